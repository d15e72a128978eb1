"""`dishvl crop FRAMES OUT --detector FILE`: the dishes on photos of whole trays as photos of their
own, in the form `FRAME$x1_y1_x2_y2#N.jpg`.

    OUT/crops/...       the crops, in folders as the frames are
    OUT/crops.csv       a row a crop: path, frame, box on the upright photo, score
    OUT/left_out.csv    a row a frame without crops: path, reason, detail
    OUT/made_by.json    by which detector, margin and threshold
    OUT/frames.jsonl    a row a frame that is done, by which a killed command goes on
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from dishvl_lib.core import (
    artefacts,
    crops,
    file_names,
    images,
    photo_files,
    records,
    system_files,
)
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import AnyPath, Record, Records
from dishvl_lib.detection import cropping
from dishvl_lib.given_detector import GivenDetector

if TYPE_CHECKING:
    from dishvl_lib.detection.boxes import Detections
    from dishvl_lib.detection.detector import Detector

MADE_BY = "made_by.json"
DONE = "frames.jsonl"
LEFT_OUT = "left_out.csv"
COLUMNS = ("path", "frame", "x1", "y1", "x2", "y2", "score")
DEFAULT_MARGIN = 1.0
NO_DISH = "no dish found"
UNREADABLE_NAME = "unreadable name"


class CropFolderError(ValueError):
    """A folder that crops cannot go into; the message says what to do."""


class _Frames(NamedTuple):
    """Photos by their paths below `root`, and what the crops of each are called."""

    root: Path
    paths: list[str]
    names: dict[str, str]


def crop(given: Sequence[str], out: AnyPath, chosen: GivenDetector) -> int:
    """Write the crops of all photos that are given; 1 when a photo could not be read, otherwise 0.

    Nothing is written over: `out` is a new folder, or one in which the same crops were begun.
    Raises `CropFolderError`, `DetectorError`, and ValueError for what is no photo.
    """
    folder = Path(out)
    frames = _frames([Path(name) for name in given], folder)
    detector = chosen.opened()
    margin = chosen.crop_margin or detector.crop_margin or DEFAULT_MARGIN
    _begin(folder, detector, margin, frames)
    done = _done(folder)
    if _is_finished(folder):
        print(f"{folder} was finished before: nothing is done")
    else:
        _crop_all(folder, frames, detector, margin, done)
        _write_tables(folder, done)
    return _report(folder, done, margin)


def _frames(given: Sequence[Path], out: Path) -> _Frames:
    """The photos that are given and those in folders. Raises ValueError, `CropFolderError`."""
    files: list[Path] = []
    for path in given:
        if not path.exists():
            raise ValueError(f"no photo {path}")
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise CropFolderError(f"{out} lies in {path}, whose photos are cropped; name another")
        inside = _photos_below(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no photo")
        files += inside
    folders = [path if path.is_dir() else path.parent for path in given]
    root = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    found = sorted({file.resolve().relative_to(root).as_posix() for file in files})
    ids = [artefacts.image_id_of(path) for path in found]
    names = cropping.names_of(pd.DataFrame({"path": found, "frame_id": ids}))
    return _Frames(root, found, names)


def _photos_below(folder: Path) -> list[Path]:
    files = []
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not system_files.refusal((name,))]
        for name in names:
            file = Path(directory) / name
            is_hidden = name.startswith(".") or system_files.refusal((), name)
            if not is_hidden and photo_files.is_photo(file):
                files.append(file)
    return files


def _begin(folder: Path, detector: "Detector", margin: float, frames: _Frames) -> None:
    """Make the folder, or see that it was begun with the same. Raises `CropFolderError`."""
    made_by = {
        "detector": detector.sha256,
        "layout": detector.layout,
        "threshold": detector.threshold,
        "keep_labels": list(detector.keep_labels),
        "crop_margin": margin,
        "frames": records.fingerprint([file_names.printable(path) for path in frames.paths]),
        "root": str(frames.root),
    }
    file = folder / MADE_BY
    if not file.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise CropFolderError(f"{folder} is not empty; name a folder that is not there yet")
        records.write_json(file, made_by)
        return
    before = records.read_json(file)
    others = [key for key, value in made_by.items() if before.get(key) != value]
    if others:
        raise CropFolderError(
            f"{folder} was begun with another {', '.join(others)}; name another folder, or give "
            "what it was begun with"
        )


def _done(folder: Path) -> dict[str, Record]:
    """{path: row} of the frames that are done."""
    file = folder / DONE
    if not file.is_file():
        return {}
    rows = {}
    for line in file.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:  # the last line of a command that was killed
            continue
        rows[row["frame"]] = row
    return rows


def _is_finished(folder: Path) -> bool:
    return (folder / LEFT_OUT).is_file()  # written last


def _crop_all(
    folder: Path, frames: _Frames, detector: "Detector", margin: float, done: dict[str, Record]
) -> None:
    """Crop the frames that are not in `done`, and add them to it."""
    left = [path for path in frames.paths if path not in done]
    began_with = len(frames.paths) - len(left)
    with (
        open(folder / DONE, "ab") as journal,
        Progress("frames cropped", len(frames.paths), "frames", began_with) as progress,
    ):
        journal.write(b"\n" if began_with else b"")  # behind a line that may be torn
        for path in left:
            done[path] = _crop_frame(folder, frames, path, detector, margin)
            journal.write(json.dumps(done[path]).encode("ascii") + b"\n")
            journal.flush()
            progress.advance()


def _crop_frame(
    folder: Path, frames: _Frames, path: str, detector: "Detector", margin: float
) -> Record:
    """The row of a frame: its crops, or why it has none."""
    if not file_names.is_writable(path):
        return _left_out(path, UNREADABLE_NAME, "control characters or no UTF-8; rename it")
    try:
        upright = images.load_rgb(frames.root / path, max_image_pixels=images.MAX_IMAGE_PIXELS)
    except images.ImageError as error:
        return _left_out(path, error.reason, error.detail)
    found = detector.detect_image(upright)
    if not len(found):
        best = detector.best_score(upright)
        detail = f"the best score is {best:.2f}, the threshold {detector.threshold:.2f}"
        return _left_out(path, NO_DISH, detail)
    rows: Records = []
    for number, (box, score) in enumerate(_boxes(found, margin, upright.size), start=1):
        stem = crops.stem(frames.names[path], box, number)
        place = f"{cropping.FOLDER}/{stem}.jpg"
        with records.atomic_path(folder / place) as temporary:
            temporary.write_bytes(crops.jpeg(upright.crop(box)))
        rows.append({"path": place, "box": list(box), "score": round(score, 4)})
    return {"frame": path, "crops": rows}


def _left_out(path: str, reason: str, detail: str) -> Record:
    return {"frame": path, "crops": [], "reason": reason, "detail": detail}


def _boxes(
    found: "Detections", margin: float, size: tuple[int, int]
) -> list[tuple[crops.Box, float]]:
    """(pixels of the crop, score) of each box, best first."""
    boxes = []
    for box, score in zip(found.boxes, found.scores, strict=True):
        boxes.append((crops.pixel_box(box, margin, size), float(score)))
    return boxes


def _write_tables(folder: Path, done: dict[str, Record]) -> None:
    rows = []
    left_out = []
    for path in sorted(done):
        row = done[path]
        for made in row["crops"]:
            rows.append([made["path"], path, *made["box"], made["score"]])
        if "reason" in row:
            left_out.append([file_names.printable(path), row["reason"], row["detail"]])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    records.write_table(folder / artefacts.CROPS_LIST, table)
    without = pd.DataFrame(left_out, columns=list(artefacts.LEFT_OUT_COLUMNS))
    records.write_table(folder / LEFT_OUT, without)


def _report(folder: Path, done: dict[str, Record], margin: float) -> int:
    n_crops = sum(len(row["crops"]) for row in done.values())
    left_out = [row for row in done.values() if "reason" in row]
    unreadable = [row for row in left_out if row["reason"] != NO_DISH]
    print(
        f"{n_crops} crops of margin {margin:g} from {len(done) - len(left_out)} of {len(done)} "
        f"frames: {folder / artefacts.CROPS_LIST}"
    )
    if left_out:
        print(
            f"{len(left_out)} frames have none, {len(unreadable)} of them because they cannot be "
            f"read: {folder / LEFT_OUT}"
        )
    return int(bool(unreadable))
