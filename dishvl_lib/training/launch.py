"""Starting and watching the training process: it outlives the notebook, and a second start attaches to the first."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from dishvl_lib.core import paths, records, stages
from dishvl_lib.training.config import TrainingConfig

PROCESS, LOG, CONFIG, METRICS, STOP = "process.json", "training.log", "config.json", "metrics.jsonl", "STOP"
CANNOT, BEGUN, STOPPED = "training cannot go on:", "training started at", "stopped on request;"  # how lines of the log begin
EVERY_S = 10.0
SHOWN = (
    ("loss", "loss", ".4f"), ("eval_loss", "validation loss", ".4f"), ("eval_naming_accuracy", "naming", ".1%"), ("eval_menu_accuracy", "menus", ".1%"),
    ("photos_per_second", "photos/s", ".1f"),
)  # fmt: skip
Show = Callable[[list[dict]], None]


class AlreadyRunning(RuntimeError):
    """Another training works in the same folder."""


class TrainingFailed(RuntimeError):
    """The process ended without a result; the message holds its last lines."""


def run(config: TrainingConfig, every_s: float = EVERY_S, show: Show | None = None) -> Path:
    """`best/` of the configured training: made before, being made (then this attaches), or made now.

    Every `every_s` seconds `show` gets the rows of metrics.jsonl; without it a line is printed. Raises `TrainingFailed`
    with the last lines of the log.
    """
    folder = Path(config.output_folder)
    if (folder / "best").is_dir():
        print("the training has finished before")
        return folder / "best"
    if running(folder):
        print("a training is running already; watching it")
    else:
        start(config)
    watch(folder, every_s, show)
    if not (folder / "best").is_dir():
        raise TrainingFailed(last_words(folder))
    return folder / "best"


def start(config: TrainingConfig) -> int:
    """Start the process (torchrun for more than one) in its own session; returns its pid."""
    folder = Path(config.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).unlink(missing_ok=True)
    config.write(folder / CONFIG)
    with open(folder / LOG, "ab") as log:
        log.write(f"{BEGUN} {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command(config), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=paths.PROJECT_ROOT, env=_environment(), start_new_session=True
        )
    note(folder, process.pid)
    return process.pid


def command(config: TrainingConfig, module: str = "dishvl_lib.training") -> list[str]:
    """The launch line; also printed, so that it can be run by hand. Several hosts go by DeepSpeed's launcher, over ssh."""
    program = str(Path(config.output_folder) / CONFIG)
    if config.hostfile:
        check_hostfile(Path(config.hostfile))
        launcher = [sys.executable, "-m", "deepspeed.launcher.runner", "--hostfile", config.hostfile, "--force_multi", "--no_local_rank"]
        return [*launcher, "--module", module, program]
    if config.num_processes == 1 and not config.deepspeed:
        return [sys.executable, "-m", module, program]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={config.num_processes}", "-m", module, program]


def check_hostfile(file: Path) -> None:
    """Lines `HOST slots=GPUS`; raises ValueError naming the line that is not one."""
    if not file.is_file():
        raise ValueError(f"hostfile: no file {file}; write one line per host: NAME slots=GPUS")
    lines = [line.split("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    for number, line in enumerate(lines, start=1):
        if line and not re.fullmatch(r"\S+\s+slots=[1-9]\d*", line):
            raise ValueError(f"hostfile {file}, line {number}: {line!r} must read NAME slots=GPUS")
    if not any(lines):
        raise ValueError(f"hostfile {file} names no host")


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock in the first process of a training; raises `AlreadyRunning` when another holds it.

    The lock goes with the process that took it, however it ends. A training that was started by hand is noted here too,
    so that `dishvl status` and `dishvl stop` find it.
    """
    if int(os.environ.get("RANK", 0)) != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / stages.LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = (folder / stages.LOCK).read_text().strip()
            raise AlreadyRunning(
                f"a training is running in {folder} already (process {holder}); watch it with dishvl status, end it with dishvl stop"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if not running(folder):
            (folder / STOP).unlink(missing_ok=True)  # of an earlier start; one for this start finds it running
            note(folder, os.getpid())
        yield


def note(folder: Path, pid: int) -> None:
    """Write down which process trains here."""
    records.write_json(folder / PROCESS, {"pid": pid, "created": psutil.Process(pid).create_time()})


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


def watch(folder: Path, every_s: float = EVERY_S, show: Show | None = None) -> None:
    """Show progress until the process ends, and once more then."""
    said = 0.0
    while running(folder):
        time.sleep(0.5)
        if time.time() - said >= every_s:
            said = time.time()
            _say(folder, show)
    if show:
        _say(folder, show)


def _say(folder: Path, show: Show | None) -> None:
    if show and (rows := metrics(folder)):
        show(rows)
    elif line := progress_line(folder):
        print(line, flush=True)


def progress_line(folder: Path) -> str:
    """Step, loss and time left, from the newest row of metrics.jsonl; '' before there is one."""
    rows = metrics(folder)
    if not rows:
        return ""
    newest, latest = rows[-1], {key: value for row in rows for key, value in row.items()}
    parts = [f"step {newest['step']} of {newest['max_steps']}"]
    parts += [f"{word} {latest[key]:{form}}" for key, word, form in SHOWN if latest.get(key) is not None]
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


def last_words(folder: Path) -> str:
    """Why the newest start ended without a result: its own sentence, or the log's last lines."""
    lines = (folder / LOG).read_text("utf-8", "replace").splitlines()
    begun = max((number for number, line in enumerate(lines) if line.startswith(BEGUN)), default=0)
    lines = lines[begun:]
    own = [line for line in lines if line.startswith(CANNOT)]
    if any(line.startswith(STOPPED) for line in lines):
        return "the training was stopped on request after a checkpoint; run this again to go on"
    return own[-1] if own else "the training process ended without a result; its last lines:\n" + "\n".join(lines[-15:])
