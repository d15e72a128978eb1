"""How the newest start of a training ended: a record for the notebook; the log is for people."""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

from dishvl_lib.core import records

FILE = "outcome.json"
RUNNING = "running"
STOPPED = "stopped"
FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """status: `running` until a start has ended by itself, `stopped` on request, `failed` with a
    sentence.

    log_from: where in the log, in bytes, this start begins.
    """

    status: str
    sentence: str = ""
    log_from: int = 0


def begin(folder: Path, log_from: int) -> None:
    """Record that a training starts; what an earlier start ended with is forgotten."""
    records.write_json(folder / FILE, asdict(Outcome(RUNNING, log_from=log_from)))


def end(folder: Path, status: str, sentence: str = "") -> None:
    """Record how the training ended, where the folder is there and takes it.

    A disk that is full must not hide the sentence, which stands in the log too.
    """
    if not folder.is_dir():
        return
    ended = Outcome(status, sentence, read(folder).log_from)
    with contextlib.suppress(OSError):
        records.write_json(folder / FILE, asdict(ended))


def read(folder: Path) -> Outcome:
    """The newest start's outcome; one that an earlier version or a damaged file tells nothing of is
    running.
    """
    try:
        stored = records.read_json(folder / FILE)
        status = str(stored["status"])
        sentence = str(stored["sentence"])
        return Outcome(status, sentence, int(stored["log_from"]))
    except (records.RecordError, KeyError, TypeError, ValueError, OSError):
        return Outcome(RUNNING)
