"""Decisions of people that no stage has read yet: they wait until the stage is made again."""

from pathlib import Path

from dishvl_lib.core import decided_photos, dependencies, markers, paths, records

REMEDY = "they count when it is made again (dishvl run PROFILE does that)"


def sentences(run_folder: Path) -> list[str]:
    """A sentence for each file of decisions that differs from what the run's stages have read; []
    when nothing waits, or no stage has read any decisions yet.
    """
    waiting = []
    for kind in ("names", "photos"):
        stage = _first_unread(run_folder, kind)
        if stage:
            waiting.append(f"decisions wait: {_what(run_folder, kind, stage)}; {REMEDY}")
    return waiting


def _first_unread(run_folder: Path, kind: str) -> str:
    """The first finished stage that was made from other decisions than there are now; ''."""
    file = _file(run_folder, kind)
    now = records.sha256_file(file) if file.exists() else None
    for stage in paths.STAGES:
        reads = kind in dependencies.DECISIONS.get(stage, ())
        if reads and markers.finished(run_folder / stage):
            before = markers.read(run_folder / stage)["inputs"].get(f"decisions/{file.name}")
            if before != now:
                return stage
    return ""


def _what(run_folder: Path, kind: str, stage: str) -> str:
    file = _file(run_folder, kind)
    if kind == "names":
        return f"{file} has changed since {stage} read it"
    read = run_folder / stage / decided_photos.READ_FILE
    try:
        count = decided_photos.waiting(file, read)
    except records.RecordError as error:
        return f"{stage} could not read them now: {error}"
    if not count:
        return f"{file} was saved anew since {stage} read it, with the same decisions"
    return f"{count} photos of {file} were decided about since {stage} read it"


def _file(run_folder: Path, kind: str) -> Path:
    return run_folder / "decisions" / f"{kind}.csv"
