"""Starting and watching the training process.

It outlives the notebook, and a second start attaches to the first.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dishvl_lib.core import locks, paths, records, sockets, stages
from dishvl_lib.core.progress import Line
from dishvl_lib.training import heartbeat, outcome
from dishvl_lib.training.config import TrainingConfig, read

LOG = "training.log"
CONFIG = "config.json"
METRICS = "metrics.jsonl"
BOARD = "tensorboard"
STOP = "STOP"
EVERY_S = 10.0
# A process takes its lock before it imports torch; several hosts are reached by ssh first.
STARTING_S = 120.0
SHOWN = (
    ("loss", "loss", ".4f"),
    ("eval_loss", "validation loss", ".4f"),
    ("eval_naming_accuracy", "naming", ".1%"),
    ("eval_menu_accuracy", "menus", ".1%"),
    ("photos_per_second", "photos/s", ".3g"),
)
Show = Callable[[list[dict]], None]


class AlreadyRunning(RuntimeError):
    """Another training works in the same folder."""


class TrainingFailed(RuntimeError):
    """The process ended without a result; the message holds its last lines."""


def main(config_file: str) -> int:
    """Train in this process, under the training lock of its folder.

    Returns the exit status (see `run.main`).
    """
    folder = Path(config_file).parent
    try:
        folder = Path(read(config_file).output_folder)
        with only_one(folder):
            from dishvl_lib.training import run  # under the lock, for torch takes seconds to import

            return run.main(config_file)
    except (AlreadyRunning, records.RecordError, ValueError, OSError) as error:
        return refuse(error, folder)


def refuse(error: Exception, folder: Path) -> int:
    """Say in one sentence why a training cannot go on, on stderr and in its folder's record; 1."""
    problem = f"training cannot go on: {type(error).__name__}: {sentence(error)}"
    print(problem, file=sys.stderr, flush=True)
    if not isinstance(error, AlreadyRunning):  # the record is the running training's
        outcome.end(folder, outcome.FAILED, problem)
    return 1


def sentence(error: Exception) -> str:
    """What an error says, in one line.

    Of an error that a data loader's worker sent, its own last line without the traceback.
    """
    lines = str(error).splitlines() or [""]
    if lines[0].startswith("Caught ") and len(lines) > 1:
        return lines[-1].partition(": ")[2]
    return " ".join(lines)


def run(config: TrainingConfig, every_s: float = EVERY_S, show: Show | None = None) -> Path:
    """`best/` of the configured training: made before, being made, or made now.

    To a training that runs already this attaches. Every `every_s` seconds `show` gets the rows of
    metrics.jsonl; without it a line says how far it is. Raises `TrainingFailed` with the last lines of the
    log.
    """
    folder = Path(config.output_folder)
    if (folder / "best").is_dir():
        print("the training has finished before")
        return folder / "best"
    process = None
    if running(folder):
        print("a training is running already; watching it")
    else:
        process = start(config)
    watch(folder, every_s, show, process)
    if not (folder / "best").is_dir():
        raise TrainingFailed(last_words(folder))
    return folder / "best"


def start(config: TrainingConfig) -> subprocess.Popen:
    """Start the process, or torchrun's several, in a session of its own.

    Returns when it holds its lock or has ended. Until then the notebook's lock keeps others out,
    afterwards the training's own does.
    """
    folder = Path(config.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).unlink(missing_ok=True)
    (folder / heartbeat.FILE).unlink(missing_ok=True)
    config.write(folder / CONFIG)
    print(f"watch it in TensorBoard: tensorboard --logdir {shlex.quote(str(folder / BOARD))}")
    with open(folder / LOG, "ab") as log:
        outcome.begin(folder, log.tell())
        log.write(f"training started at {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command(config),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=paths.PROJECT_ROOT,
            env=_environment(),
            start_new_session=True,
        )
    end = time.monotonic() + STARTING_S
    while process.poll() is None and time.monotonic() < end:
        if running(folder):
            break
        time.sleep(0.05)
    return process


def command(config: TrainingConfig, module: str = "dishvl_lib.training") -> list[str]:
    """The launch line; also printed, so that it can be run by hand.

    Several hosts go by DeepSpeed's launcher, over ssh.
    """
    program = str(Path(config.output_folder) / CONFIG)
    if config.hostfile:
        check_hostfile(Path(config.hostfile))
        launcher = [
            sys.executable,
            "-m",
            "deepspeed.launcher.runner",
            "--hostfile",
            config.hostfile,
            "--force_multi",
            "--no_local_rank",
        ]
        return [*launcher, "--module", module, program]
    if config.num_processes == 1 and not config.deepspeed:
        return [sys.executable, "-m", module, program]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={config.num_processes}",
        "-m",
        module,
        program,
    ]


def check_hostfile(file: Path) -> None:
    """Lines `HOST slots=GPUS`; raises ValueError naming the line that is not one."""
    if not file.is_file():
        raise ValueError(f"hostfile: no file {file}; write one line per host: NAME slots=GPUS")
    text = file.read_text("utf-8")
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        if line and not re.fullmatch(r"\S+\s+slots=[1-9]\d*", line):
            raise ValueError(f"hostfile {file}, line {number}: {line!r} must read NAME slots=GPUS")
    if not any(lines):
        raise ValueError(f"hostfile {file} names no host")


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's training lock in the first process of a training.

    Raises `AlreadyRunning` when another holds it. The lock goes with the process that took it,
    however it ends.
    """
    if int(os.environ.get("RANK", 0)) != 0:
        yield
        return
    try:
        locks.take(stages.training_lock_file(folder), "training")
    except locks.LockedError as error:
        raise AlreadyRunning(
            f"a training is running in {folder} already ({error.holder}); watch it with "
            "dishvl status, end it with dishvl stop"
        ) from None
    try:
        yield
    finally:
        locks.release(stages.training_lock_file(folder))


def running(folder: Path) -> locks.Holder | None:
    """Who trains in a stage's folder, known by its lock; None when nobody does."""
    return locks.holder(stages.training_lock_file(folder))


def watch(
    folder: Path,
    every_s: float = EVERY_S,
    show: Show | None = None,
    process: subprocess.Popen | None = None,
) -> None:
    """Show progress until the training ends, and once more then.

    `process`: its launcher, when this process started it.
    """
    line = Line()
    last_shown = 0.0
    while running(folder) or (process and process.poll() is None):
        time.sleep(0.5)
        if time.time() - last_shown >= every_s:
            last_shown = time.time()
            _say(folder, show, line)
    line.close()
    if show and (rows := metrics(folder)):
        show(rows)


def _say(folder: Path, show: Show | None, line: Line) -> None:
    if show and (rows := metrics(folder)):
        show(rows)
    elif line.is_due() and (text := progress_line(folder)):
        line.show(text)


def progress_line(folder: Path) -> str:
    """Step, loss and time left, and what is done now; '' before there is either."""
    now = heartbeat.line(folder) if running(folder) else ""
    return "; ".join(filter(None, (_newest_row(folder), now)))


def _newest_row(folder: Path) -> str:
    rows = metrics(folder)
    if not rows:
        return ""
    newest = rows[-1]
    latest = {key: value for row in rows for key, value in row.items()}
    parts = [f"step {newest['step']} of {newest['max_steps']}"]
    parts += [
        f"{word} {latest[key]:{form}}" for key, word, form in SHOWN if latest.get(key) is not None
    ]
    parts += [f"{newest['eta_s']:.0f} s left"] if newest.get("eta_s") else []
    return ", ".join(parts)


def metrics(folder: Path) -> list[dict]:
    """The rows of metrics.jsonl so far; a line that is half-written or damaged is left out."""
    file = folder / METRICS
    lines = file.read_text("utf-8", "replace").splitlines() if file.is_file() else []
    rows = map(_metrics_row, lines)
    return [row for row in rows if row]


def _metrics_row(line: str) -> dict | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = (
        isinstance(row, dict)
        and isinstance(row.get("step"), int)
        and isinstance(row.get("max_steps"), int)
    )
    return row if whole else None


def stop(folder: Path) -> bool:
    """Ask the running training to save a checkpoint and end; False when none is running."""
    holder = running(folder)
    if not holder:
        return False
    records.write_text(folder / STOP, str(holder.pid))
    return True


def asked_to_stop(folder: Path) -> bool:
    """Whether the training that runs now was asked to stop.

    A request that an earlier training did not live to see does not count.
    """
    file = folder / STOP
    if not file.exists():
        return False
    holder = running(folder)
    return holder is not None and file.read_text("utf-8") == str(holder.pid)


def _environment() -> dict[str, str]:
    """The training's environment.

    Its data loader's sockets lie in TMPDIR, whose path may be too long for them.
    """
    quiet = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet, "TMPDIR": str(sockets.short_temporary_folder())}


def last_words(folder: Path) -> str:
    """Why the newest start ended without a result: its own sentence, or the log's last lines."""
    ended = outcome.read(folder)
    if ended.status == outcome.STOPPED:
        return "the training was stopped on request after a checkpoint; run this again to go on"
    if ended.status == outcome.FAILED:
        return ended.sentence
    log = (folder / LOG).read_bytes()[ended.log_from :].decode("utf-8", "replace")
    shown = "\n".join(log.splitlines()[-15:])
    return f"the training process ended without a result; its last lines:\n{shown}"
