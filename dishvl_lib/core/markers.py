"""The success marker of a stage, which is written last and says what the stage was made from and
what it wrote.

Whatever has happened to it or to the files it lists, reading gives a marker whose fields are there,
or a `StageError` that names the file and the command that mends it.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dishvl_lib.core import records
from dishvl_lib.core.types import Record

SUCCESS = "_SUCCESS.json"
STARTED = "_STARTED.json"
# What the stages after it take from a marker besides the fields that every marker has.
_OWN_FIELDS: dict[str, dict[str, type]] = {
    "00_trays": {"frames_root": str},
    "01_annotation": {"image_root": str},
    "04_training": {"best": dict},
}


class StageError(RuntimeError):
    """A stage that cannot start or end; the message says which file and what to do."""


class _Output(BaseModel):
    bytes: int
    mtime_ns: int
    sha256: str


class _Marker(BaseModel):
    model_config = ConfigDict(extra="allow")

    stage: str
    parameters: Record
    inputs: dict[str, str]
    outputs: dict[str, _Output]
    counts: Record
    cost: dict[str, float]
    seconds: float
    finished_at: str


def finished(folder: Path) -> bool:
    """Whether a stage's folder has a success marker, damaged or not."""
    return (folder / SUCCESS).exists()


def read(folder: Path) -> Record:
    """A finished stage's marker. Raises `StageError` when it is missing or is no marker of this
    stage.
    """
    file = folder / SUCCESS
    try:
        marker = records.read_json(file)
        _Marker.model_validate(marker)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise damaged(file, f"{place}: {first['msg']}") from None
    except (records.RecordError, OSError) as error:
        raise damaged(file, str(error)) from None
    if marker["stage"] != folder.name:
        raise damaged(file, f"it is a marker of {marker['stage']!r}")
    for field, kind in _OWN_FIELDS.get(folder.name, {}).items():
        if not isinstance(marker.get(field), kind):
            raise damaged(file, f"{field} is missing")
    return marker


def read_started(folder: Path) -> Record | None:
    """What a stage was begun with; None when that cannot be read."""
    try:
        return records.read_json(folder / STARTED)
    except (records.RecordError, OSError):
        return None


def damaged(file: Path, problem: str) -> StageError:
    """The error for a stage's file that cannot be used."""
    problem = problem.removeprefix(f"{file} ")
    return StageError(f"{file} is damaged ({problem}); {remedy(_stage_of(file))}")


def remedy(stage: str) -> str:
    """How a stage whose files are not what it wrote is mended."""
    return f"make it again with dishvl run PROFILE --from {stage[:2]} --redo {stage[:2]}"


def check_outputs(folder: Path, thorough: bool = False, patterns: Sequence[str] = ("*",)) -> None:
    """Compare a finished stage's files with its marker: size and time, and sha256 where those
    differ (or all of them).

    `patterns`: the files to look at. Raises `StageError` naming the first that is missing or is not
    the one that was written.
    """
    for name, written in read(folder)["outputs"].items():
        if matches(name, patterns):
            _check_output(folder / name, written, thorough, folder.name)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a file's path inside its stage fits one of the patterns, in which * stands for
    folders too.
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def describe(path: Path) -> Record:
    """How a marker lists a file: bytes, mtime_ns and sha256."""
    status = path.stat()
    return {
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": records.sha256_file(path),
    }


def _check_output(path: Path, written: Record, thorough: bool, stage: str) -> None:
    if not path.is_file():
        raise StageError(f"{path} is gone since the stage finished; {remedy(stage)}")
    now = path.stat()
    same_size = now.st_size == written["bytes"]
    same_time = now.st_mtime_ns == written["mtime_ns"]
    if same_size and same_time and not thorough:
        return
    if records.sha256_file(path) != written["sha256"]:
        raise StageError(
            f"{path} was changed since the stage finished (its sha256 differs from "
            f"{SUCCESS}); {remedy(stage)}"
        )


def _stage_of(file: Path) -> str:
    """The stage whose folder a file lies in: the nearest that is named like one."""
    named = [part.name for part in file.parents if part.name[:2].isdigit()]
    return named[0] if named else file.parent.name
