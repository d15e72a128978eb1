"""`python -m dishvl_lib.training.trial CONFIG.json`: a few steps of the real training, for its speed on this machine.

Nothing is validated, saved or exported; the figures land in metrics.jsonl of the configuration's folder.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import set_seed
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from dishvl_lib.training import launch, planner, run
from dishvl_lib.training.callbacks import LastValidation
from dishvl_lib.training.config import TrainingConfig, read

STEPS, WARM = 6, 3  # steps made, and how many of them are left out of the rate


class TrialFailed(RuntimeError):
    """The trial ended without a rate; the message holds its last lines."""


def photos_per_second(config: TrainingConfig) -> float:
    """The rate of the last steps of a short trial, in a process of its own. Raises `TrialFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        short = planner.replace_config(config, output_folder=folder, max_steps=STEPS, logging_steps=WARM, num_processes=1, hostfile="")
        short.write(Path(folder) / launch.CONFIG)
        done = subprocess.run([sys.executable, "-m", "dishvl_lib.training.trial", str(Path(folder) / launch.CONFIG)], capture_output=True, text=True)
        rates = [row["photos_per_second"] for row in launch.metrics(Path(folder)) if "photos_per_second" in row]
    if done.returncode or not rates:
        raise TrialFailed("the trial ended without a result; its last lines:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-8:]))
    return rates[-1]


def main(config_file: str) -> None:
    """Make the steps."""
    config = read(config_file)
    set_seed(config.seed)
    arguments = run.training_arguments(config)
    arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    trainer = run.build(config, arguments)
    trainer.remove_callback(LastValidation)
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1])
