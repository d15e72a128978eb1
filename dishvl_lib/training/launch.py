"""Starting and watching the training process: it outlives the notebook, and a second start attaches to the first."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from dishvl_lib.core import paths, records
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.training.trainer import METRICS, STOP

PROCESS, LOG, CONFIG = "process.json", "training.log", "config.json"
EVERY_S = 10.0


class TrainingFailed(RuntimeError):
    """The process ended without a result; the message holds its last lines."""


def run(config: TrainingConfig, every_s: float = EVERY_S) -> Path:
    """`best/` of the configured training: made before, being made (then this attaches), or made now.

    Prints a line at most every `every_s` seconds. Raises `TrainingFailed` with the last lines of the log.
    """
    folder = Path(config.output_folder)
    if (folder / "best").is_dir():
        print("the training has finished before")
        return folder / "best"
    if running(folder):
        print("a training is running already; watching it")
    else:
        start(config)
    watch(folder, every_s)
    if not (folder / "best").is_dir():
        raise TrainingFailed(_last_words(folder))
    return folder / "best"


def start(config: TrainingConfig) -> int:
    """Start the process (torchrun for more than one) in its own session; returns its pid."""
    folder = Path(config.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).unlink(missing_ok=True)
    config.write(folder / CONFIG)
    with open(folder / LOG, "ab") as log:
        process = subprocess.Popen(
            command(config), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=paths.PROJECT_ROOT, env=_environment(), start_new_session=True
        )
    records.write_json(folder / PROCESS, {"pid": process.pid, "created": psutil.Process(process.pid).create_time()})
    return process.pid


def command(config: TrainingConfig) -> list[str]:
    """The launch line; also printed, so that it can be run by hand."""
    program = ["-m", "dishvl_lib.training", str(Path(config.output_folder) / CONFIG)]
    if config.num_processes == 1 and not config.deepspeed:
        return [sys.executable, *program]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={config.num_processes}", *program]


def running(folder: Path) -> psutil.Process | None:
    """The live training process of a stage folder, or None. A reused pid is told apart by its creation time."""
    file = folder / PROCESS
    if not file.exists():
        return None
    noted = records.read_json(file)
    try:
        process = psutil.Process(noted["pid"])
        alive = abs(process.create_time() - noted["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def watch(folder: Path, every_s: float = EVERY_S) -> None:
    """Print progress until the process ends."""
    said = 0.0
    while running(folder):
        time.sleep(0.5)
        if time.time() - said >= every_s:
            said = time.time()
            if line := progress_line(folder):
                print(line, flush=True)


def progress_line(folder: Path) -> str:
    """Step, loss and time left, from the newest row of metrics.jsonl; '' before there is one."""
    rows = metrics(folder)
    if not rows:
        return ""
    newest = rows[-1]
    loss = next((row["loss"] for row in reversed(rows) if "loss" in row), None)
    evaluated = next((row["eval_loss"] for row in reversed(rows) if "eval_loss" in row), None)
    parts = [f"step {newest['step']} of {newest['max_steps']}"]
    parts += [f"loss {loss:.4f}"] if loss is not None else []
    parts += [f"validation loss {evaluated:.4f}"] if evaluated is not None else []
    parts += [f"{newest['eta_s']:.0f} s left"] if newest.get("eta_s") else []
    return ", ".join(parts)


def metrics(folder: Path) -> list[dict]:
    """The rows of metrics.jsonl so far; a half-written last line is left out."""
    file = folder / METRICS
    rows = []
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def stop(folder: Path) -> bool:
    """Ask the running training to save a checkpoint and end; False when none is running."""
    if not running(folder):
        return False
    (folder / STOP).touch()
    return True


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def _last_words(folder: Path) -> str:
    lines = (folder / LOG).read_text("utf-8", "replace").splitlines()
    own = [line for line in lines if line.startswith("training cannot go on:")]
    if (folder / STOP).exists():
        return "the training was stopped on request after a checkpoint; run this again to go on"
    return own[-1] if own else "the training process ended without a result; its last lines:\n" + "\n".join(lines[-15:])
