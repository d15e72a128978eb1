"""`python -m dishvl_lib.estimate.trial CONFIG.json`: a few real training steps, for their speed.

Nothing is validated, saved or exported; the figures land in metrics.jsonl of the configuration's
folder.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from dishvl_lib.estimate import planner
from dishvl_lib.training import launch, outcome, run
from dishvl_lib.training.callbacks import LastValidation
from dishvl_lib.training.config import TrainingConfig, read

# steps made, and how many of them are left out of the rate
STEPS = 6
WARM = 3


class TrialFailed(RuntimeError):
    """The trial ended without a rate; the message holds its last lines."""


def photos_per_second(config: TrainingConfig) -> float:
    """The rate of the last steps of a short trial, in a process of its own.

    Raises `TrialFailed`.
    """
    with tempfile.TemporaryDirectory() as folder:
        short = planner.replace_config(
            config,
            output_folder=folder,
            max_steps=STEPS,
            logging_steps=WARM,
            num_processes=1,
            hostfile="",
            early_stopping_patience=0,
        )
        short.write(Path(folder) / launch.CONFIG)
        done = subprocess.run(
            launch.command(short, "dishvl_lib.estimate.trial"), capture_output=True, text=True
        )
        ended = outcome.read(Path(folder))
        rates = []
        for row in launch.metrics(Path(folder)):
            if "photos_per_second" in row:
                rates.append(row["photos_per_second"])
    if done.returncode or not rates:
        lines = (done.stdout + done.stderr).splitlines()
        shown = "\n".join(lines[-8:])
        reason = ended.sentence or f"its last lines:\n{shown}"
        raise TrialFailed(f"the trial ended without a result; {reason}")
    return rates[-1]


def main(config_file: str) -> int:
    """Make the steps; 0, or 1 with one sentence on stderr."""
    try:
        trainer = run.begin(read(config_file))
        trainer.args.eval_strategy = IntervalStrategy.NO
        trainer.args.save_strategy = SaveStrategy.NO
        trainer.remove_callback(LastValidation)
        trainer.train()
        return 0
    except run.EXPECTED as error:
        return launch.refuse(error, Path(config_file).parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
