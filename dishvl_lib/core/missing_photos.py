"""Photos that have gone between two stages: left out and listed, up to a share, instead of blocking
the rest.

What is missing is decided once, when a stage begins (`Stage.make` keeps the list), so that a
resumed training sees the same questions. A photo that goes later is said by whoever reads it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dishvl_lib.core import artefacts, records
from dishvl_lib.core.markers import StageError
from dishvl_lib.core.types import Record, Records, RecordView, RecordViews

if TYPE_CHECKING:
    from dishvl_lib.core.stages import Stage


def decided(stage: "Stage", rows: RecordViews, max_missing_share: float) -> pd.DataFrame:
    """The missing photos of the questions of a stage, kept in its missing_photos.csv from its first
    start on.

    Raises `StageError` when they are more than `max_missing_share` of all.
    """
    root = stage.image_root()
    missing = stage.make("missing_photos.csv", find, rows, root)
    photos = len({row["image"] for row in rows if row.get("image")})
    check_share(missing, photos, max_missing_share, root)
    print(
        f"{len(missing)} of {photos} photos are gone since stage 01; their questions are "
        "left out (missing_photos.csv)"
    )
    return missing


def find(rows: Iterable[RecordView], image_root: Path) -> pd.DataFrame:
    """The photos of questions that are not there: path, reason, detail, sorted. `rows`: questions
    with their `image`.
    """
    root = Path(image_root)
    wanted = sorted({row["image"] for row in rows if row.get("image")})
    gone = [path for path in wanted if not _whole(root / path)]
    table = [(path, "missing", f"gone from {root} since stage 01") for path in gone]
    return pd.DataFrame(table, columns=list(artefacts.LEFT_OUT_COLUMNS))


def check_share(
    missing: pd.DataFrame, photos: int, max_missing_share: float, image_root: Path
) -> None:
    """Raises `StageError` when more than the allowed share of `photos` is missing: then it is no
    accident of a few.
    """
    if len(missing) <= max_missing_share * photos:
        return
    root = Path(image_root)
    where = (
        f"the folder {root} is not there"
        if not root.is_dir()
        else f"the first is {missing.path.iloc[0]}"
    )
    raise StageError(
        f"{len(missing)} of {photos} photos are missing ({where}); bring them back, set "
        "image_root to where they are now, "
        f"or raise max_missing_share (now {max_missing_share:g}) to go on without them"
    )


def without(rows: Sequence[Record], missing: pd.DataFrame) -> Records:
    """The questions whose photo is there."""
    gone = set(missing.path)
    return [row for row in rows if row.get("image") not in gone]


def question_files(
    missing: pd.DataFrame, files: Mapping[str, Path], folder: Path
) -> dict[str, Path]:
    """Each file itself where none of its photos is missing, else a copy in `folder` without their
    questions.
    """
    chosen = {}
    for name, file in files.items():
        rows = records.read_jsonl(file)
        left = without(rows, missing)
        chosen[name] = file
        if len(left) < len(rows):
            chosen[name] = Path(folder) / file.name
            records.write_jsonl(chosen[name], left)
    return chosen


def _whole(path: Path) -> bool:
    """Whether a photo's file is there and holds something; an unreachable one is missing."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False
