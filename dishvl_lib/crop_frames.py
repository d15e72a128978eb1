"""`dishvl crop FRAMES OUT --detector FILE`: the dishes on photos of whole trays as photos of their
own, in the form `FRAME$x1_y1_x2_y2#N.jpg`. What lies in OUT says `crop_folder.py`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from PIL import Image

from dishvl_lib.annotation.layout import UNREADABLE_NAME
from dishvl_lib.core import artefacts, crops, file_names, images, photo_files, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import AnyPath, Record, Records
from dishvl_lib.crop_folder import LEFT_OUT, CropFolder, CropFolderError
from dishvl_lib.detection import cropping
from dishvl_lib.detection.detector import NO_DISH, Detector, short_of
from dishvl_lib.given_detector import GivenDetector

if TYPE_CHECKING:
    from dishvl_lib.detection.boxes import Detections

DEFAULT_MARGIN = 1.0


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
    sources = [Path(name) for name in given]
    frames = _frames(sources, _photos(sources, Path(out)))
    detector = chosen.opened()
    margin = chosen.crop_margin or detector.crop_margin or DEFAULT_MARGIN
    folder = CropFolder(out)
    folder.begin(_made_by(detector, margin, frames))
    if folder.is_finished:
        print(f"{folder.folder} was finished before: nothing is done")
    else:
        _crop_all(folder, frames, detector, margin)
        folder.write_tables()
    return _report(folder, margin)


def _photos(given: Sequence[Path], out: Path) -> list[Path]:
    """The photos that are given and those in folders. Raises ValueError, `CropFolderError`."""
    files: list[Path] = []
    for path in given:
        if not path.exists():
            raise ValueError(f"no photo {path}")
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise CropFolderError(f"{out} lies in {path}, whose photos are cropped; name another")
        inside = photo_files.below(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no photo")
        files += inside
    return files


def _frames(given: Sequence[Path], photos: Sequence[Path]) -> _Frames:
    folders = [path if path.is_dir() else path.parent for path in given]
    root = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    files = sorted({photo.parent.resolve() / photo.name for photo in photos})
    below = [file.relative_to(root).as_posix() for file in files]
    ids = [artefacts.image_id_of(path) for path in below]
    names = cropping.names_of(pd.DataFrame({"path": below, "frame_id": ids}))
    return _Frames(root, below, names)


def _made_by(detector: Detector, margin: float, frames: _Frames) -> Record:
    """What the crops depend on."""
    return {
        "detector": detector.sha256,
        "layout": detector.layout,
        "threshold": detector.threshold,
        "keep_labels": list(detector.keep_labels),
        "crop_margin": margin,
        "root": file_names.printable(str(frames.root)),
        "frames": records.fingerprint([file_names.printable(path) for path in frames.paths]),
    }


def _crop_all(folder: CropFolder, frames: _Frames, detector: Detector, margin: float) -> None:
    """Crop the frames that are not done."""
    left = [path for path in frames.paths if path not in folder.done]
    n_done = len(frames.paths) - len(left)
    progress = Progress("frames cropped", len(frames.paths), "frames", n_done)
    with folder, progress:
        for path in left:
            folder.add(_crop_frame(folder.folder, frames, path, detector, margin))
            progress.advance()


def _crop_frame(
    folder: Path, frames: _Frames, path: str, detector: Detector, margin: float
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
        why = short_of(detector.best_score(upright), detector.threshold)
        return _left_out(path, NO_DISH, why)
    return {"frame": path, "crops": _write(folder, frames.names[path], upright, found, margin)}


def _left_out(path: str, reason: str, detail: str) -> Record:
    return {"frame": path, "crops": [], "reason": reason, "detail": detail}


def _write(
    folder: Path, name: str, upright: Image.Image, found: "Detections", margin: float
) -> Records:
    """The crops of a frame, best first: path, box in pixels and score of each."""
    rows = []
    for number, corners in enumerate(found.boxes, start=1):
        box = crops.pixel_box(corners, margin, upright.size)
        place = f"{cropping.FOLDER}/{crops.stem(name, box, number)}.jpg"
        with records.atomic_path(folder / place) as temporary:
            temporary.write_bytes(crops.jpeg(upright.crop(box)))
        score = round(float(found.scores[number - 1]), 4)
        rows.append({"path": place, "box": list(box), "score": score})
    return rows


def _report(folder: CropFolder, margin: float) -> int:
    """Say what became of all frames; 1 when some could not be read."""
    rows = folder.done.values()
    n_crops = sum(len(row["crops"]) for row in rows)
    reasons = [row["reason"] for row in rows if "reason" in row]
    n_unreadable = len(reasons) - reasons.count(NO_DISH)
    n_cropped = len(rows) - len(reasons)
    table = folder.folder / artefacts.CROPS_LIST
    print(f"{n_crops} crops of margin {margin:g} from {n_cropped} of {len(rows)} frames: {table}")
    if reasons:
        print(
            f"{len(reasons)} frames have none, {n_unreadable} of them because they cannot be read: "
            f"{folder.folder / LEFT_OUT}"
        )
    return int(n_unreadable > 0)
