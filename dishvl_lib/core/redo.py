"""What is not done twice unasked.

A stage whose inputs have changed since it was made is made again by itself only where that is quick
and costs no money. For the rest there is one word: `--redo STAGE`.
"""

from pathlib import Path

from dishvl_lib.core import markers, records
from dishvl_lib.core.progress import duration
from dishvl_lib.core.rules import listed

QUICK_S = 600.0
TRAINING_LOG = "metrics.jsonl"
# What these stages take their time for is kept by content (replies, scans), so that making them
# again takes a small part of it.
KEPT_BY_CONTENT = ("01_annotation",)


class RedoNeeded(markers.StageError):
    """Something long or paid would be done again; the message says what, why, and how to ask for
    it.
    """

    def __init__(self, stage: str, message: str):
        super().__init__(message)
        self.stage = stage


def seconds_worked(folder: Path) -> float:
    """How long a stage took, or has been trained if it did not finish; 0 where nothing says so."""
    marked = markers.read(folder)["seconds"] if markers.finished(folder) else 0.0
    # A training that was resumed says in its marker only how long its last part took.
    return max(marked, _seconds_trained(folder / TRAINING_LOG))


def _seconds_trained(log: Path) -> float:
    longest = 0.0
    try:
        for row in records.iter_jsonl(log):
            longest = max(longest, float(row.get("elapsed_s") or 0.0))
    except (records.RecordError, OSError, TypeError, ValueError, AttributeError):
        return longest  # a log that cannot be read to its end
    return longest


def is_long(folder: Path) -> bool:
    """Whether a stage takes too long to be made again unasked."""
    return folder.name not in KEPT_BY_CONTENT and seconds_worked(folder) > QUICK_S


def refuse_if_long(folder: Path, changed: list[str]) -> None:
    """Raise `RedoNeeded` for a stage that would be made again because of `changed` inputs and takes
    long.
    """
    if is_long(folder):
        took = duration(seconds_worked(folder))
        raise RedoNeeded(folder.name, f"{_because(folder, changed)}, {_last_time(folder, took)}")


def _last_time(folder: Path, took: str) -> str:
    if markers.finished(folder):
        sentence = f"which took {took} the last time"
    else:
        sentence = f"and {took} of training would be put aside"
    return f"{sentence}. Nothing was touched. {_remedy(folder.name)}"


def payment_refused(folder: Path, changed: list[str], refusal: Exception) -> RedoNeeded:
    """The error for a stage that is made again because of `changed` inputs and would pay for it."""
    return RedoNeeded(
        folder.name,
        f"{_because(folder, changed)}, and servers would be paid for what they were not asked "
        f"before ({refusal}). What was answered before is kept. {_remedy(folder.name)}",
    )


def _because(folder: Path, changed: list[str]) -> str:
    run_name = folder.parent.name
    return (
        f"{folder.name} of run {run_name} would be made again, since what it was made from has "
        f"changed ({listed(changed)})"
    )


def _remedy(stage: str) -> str:
    number = stage[:2]
    return (
        f"To have it made again: dishvl run PROFILE --from {number} --to {number} "
        f"--redo {number}, which moves the old folder aside and deletes nothing. Otherwise undo "
        "the change and run this again"
    )
