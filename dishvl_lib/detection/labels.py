"""Boxes that people drew around dishes, laid onto the photos of a folder: COCO's JSON and YOLO's
text files, as labelling tools write them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dishvl_lib.core import images, rules
from dishvl_lib.core.images import ImageError
from dishvl_lib.detection import boxes, coco, yolo_labels
from dishvl_lib.detection.boxes import Size
from dishvl_lib.detection.drawn import (
    Corners,
    DrawnBox,
    DrawnFrame,
    DrawnLabels,
    Fault,
    LabelError,
    LeftOut,
)
from dishvl_lib.detection.frame_files import FrameFiles, Match

__all__ = ["LabelError", "LabelledFrame", "Labels", "LeftOut", "read"]

LEAST_SIDE = 1.0  # pixels of a box
NO_LABELS = "no labels"  # reasons of what is left out
NO_PHOTO = "no photo"
SEVERAL_PHOTOS = "several photos"
# Pixels that a box may reach beyond its photo without a word: what tools round.
ROUNDING = 1.5
SAME_PLACE = 0.95  # IoU from which two boxes are one that was drawn twice


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A photo and its boxes: `path` relative to the folder of frames; `width`, `height` of the
    upright photo; `boxes` (n, 4) float32 in its pixels; `labels` n names; `split` train,
    validation, test or ''; `is_whole`: whether all boxes that were drawn are there.
    """

    path: str
    width: int
    height: int
    boxes: np.ndarray
    labels: tuple[str, ...]
    split: str
    is_whole: bool = True


@dataclass(frozen=True)
class Labels:
    """`frames` sorted by path; `names`: the classes in their order; `left_out`: rows of what is not
    used, or not as it was drawn; `notes`: sentences about all of it.
    """

    frames: list[LabelledFrame]
    names: tuple[str, ...]
    left_out: list[LeftOut]
    notes: list[str]


@dataclass(frozen=True)
class _Photo:
    """A photo's size as seen upright and as its file stores it, and EXIF's orientation."""

    upright: Size
    stored: Size
    orientation: int


def read(
    labels: Path, frames: Path, *, names: Sequence[str] = (), boxes_follow_exif: bool = True
) -> Labels:
    """The boxes of `labels` on the photos of the folder `frames`.

    `labels`: a COCO file, a folder of such, or a folder (or data.yaml) in YOLO's form; `names`: the
    classes of YOLO's numbers, instead of those in its files. `boxes_follow_exif`: whether boxes
    were drawn on the photo as EXIF turns it; False: on the photo as it is stored, unless the labels
    state the size of the upright one.

    Raises `LabelError` where nothing can go on: no labels, not JSON, no classes, no photo that
    matches, or sizes that say that `boxes_follow_exif` is wrong.
    """
    for path, what in ((labels, "the labels"), (frames, "the photos")):
        if not path.exists():
            raise LabelError(f"{path} is missing; name the path of {what}")
    drawn = _drawn(labels, names)
    files = FrameFiles(frames)
    meant, left_out = _meant(drawn, files)
    if not meant:
        raise LabelError(_without_photos(labels, frames, left_out))
    laying = _Laying(boxes_follow_exif)
    laid = [laying.frame(files, path, meant[path]) for path in sorted(meant)]
    laying.check_turns(labels)
    kept, notes = _with_dividing_splits([frame for frame in laid if frame is not None])
    return Labels(
        kept,
        drawn.names,
        drawn.left_out + left_out + laying.left_out,
        drawn.notes + notes,
    )


def _drawn(labels: Path, names: Sequence[str]) -> DrawnLabels:
    """What the labels say, in whichever form they are."""
    if labels.suffix.lower() == ".zip":
        raise LabelError(f"{labels} is packed: unpack it and name the folder")
    if labels.suffix.lower() == ".txt":
        raise LabelError(
            f"{labels} is one file of many: name the folder in which the text files lie"
        )
    is_text = yolo_labels.is_there(labels)
    files = coco.files_of(labels)
    if not files and not is_text:
        raise LabelError(
            f"{labels} holds no labels: neither COCO's JSON nor YOLO's text files; export them in "
            f"one of these forms{_packed_beside(labels)}"
        )
    if not files:
        return yolo_labels.read(labels, names)
    if names:
        raise LabelError(
            f"{files[0]} names its classes itself: take out names, which is for YOLO's numbers"
        )
    return coco.read(labels, files)


def _packed_beside(labels: Path) -> str:
    """What to do with a zip file in the folder; '' where there is none."""
    packed = sorted(labels.glob("*.zip")) if labels.is_dir() else []
    return f", or unpack {packed[0].name}" if packed else ""


def _meant(drawn: DrawnLabels, files: FrameFiles) -> tuple[dict[str, DrawnFrame], list[LeftOut]]:
    """(the drawn frame by the path of its photo, what has no photo or no labels)."""
    matches = [
        (files.matching(frame.written, frame.has_suffix, frame.hints), frame)
        for frame in drawn.frames
    ]
    # A path that agrees further with a photo's folders has the better claim to it.
    matches.sort(key=lambda match: -match[0].agreement)
    meant: dict[str, DrawnFrame] = {}
    agreements: dict[str, int] = {}
    left_out = []
    named: set[str] = set()
    for match, frame in matches:
        named.update(match.paths)
        fault = _match_fault(match, frame, agreements, meant)
        if fault is not None:
            left_out.append(LeftOut("/".join(frame.written), *fault))
            continue
        path = match.paths[0]
        meant[path] = frame
        agreements[path] = match.agreement
    without = [path for path in files.paths if path not in named]
    left_out += [LeftOut(path, *_unlabelled(drawn)) for path in without]
    return meant, left_out


def _match_fault(
    match: Match,
    frame: DrawnFrame,
    agreements: dict[str, int],
    meant: dict[str, DrawnFrame],
) -> Fault | None:
    """Why labels are not those of a photo; None where they are."""
    if len(match.paths) > 1:
        found = rules.listed(match.paths)
        return Fault(SEVERAL_PHOTOS, f"{frame.source} may mean {found}; rename these photos")
    path = match.paths[0] if match.paths else ""
    if not path or agreements.get(path, match.agreement) > match.agreement:
        return Fault(NO_PHOTO, f"{frame.source} has labels for it; add the photo to the frames")
    if path in meant:
        first = meant[path].source
        detail = f"{frame.source} labels it again, the labels of {first} are used; keep one"
        return Fault("labelled twice", detail)
    return None


def _unlabelled(drawn: DrawnLabels) -> Fault:
    """What is said of a photo that no label names."""
    is_text = any(not frame.has_suffix for frame in drawn.frames)
    remedy = "an empty text file" if is_text else "an entry in images without annotations"
    return Fault(NO_LABELS, f"no label names it; {remedy} says that it shows no dish")


def _without_photos(labels: Path, frames: Path, left_out: Sequence[LeftOut]) -> str:
    looked_for = [row.path for row in left_out if row.reason != NO_LABELS]
    if not looked_for:
        return f"{labels} names no photo; export the labels again"
    several = [row for row in left_out if row.reason == SEVERAL_PHOTOS]
    if several:
        return (
            f"{labels} does not say which photos of {frames} it means: {several[0].detail}, or "
            "export the labels with the folders in their file names"
        )
    return (
        f"no photo of {labels} is in {frames} (looked for: {rules.listed(looked_for)}); name the "
        "folder in which its photos lie"
    )


class _Laying:
    """Lays drawn boxes onto photos, and keeps what is left out on the way."""

    def __init__(self, boxes_follow_exif: bool):
        self.boxes_follow_exif = boxes_follow_exif
        self.left_out: list[LeftOut] = []
        self.unturned: list[str] = []  # whose labels state the size of the stored photo

    def frame(self, files: FrameFiles, path: str, drawn: DrawnFrame) -> LabelledFrame | None:
        """The labelled photo; None where it cannot be used."""
        try:
            photo = _photo(files.folder / path)
        except ImageError as error:
            self.left_out.append(LeftOut(path, error.reason, error.detail))
            return None
        if drawn.size not in (None, photo.upright, photo.stored):
            self.left_out.append(LeftOut(path, "another size", _sizes(drawn, photo)))
            return None
        is_turned = self._is_turned(path, drawn.size, photo)
        kept = _Kept(drawn, photo.stored if is_turned else photo.upright)
        self.left_out += [LeftOut(path, *fault) for fault in kept.faults]
        corners = np.array(kept.corners, np.float64).reshape(-1, 4)
        if is_turned:
            corners = boxes.upright(corners, photo.stored, photo.orientation)
        width, height = photo.upright
        labels = tuple(kept.labels)
        return LabelledFrame(
            path, width, height, corners.astype(np.float32), labels, drawn.split, kept.is_whole
        )

    def check_turns(self, labels: Path) -> None:
        """Raises `LabelError` where boxes of stored photos would be taken for those of upright
        ones.
        """
        if self.unturned and self.boxes_follow_exif:
            raise LabelError(
                f"{labels} states the size of {len(self.unturned)} photos before EXIF turns them "
                f"({rules.listed(self.unturned)}): set boxes_follow_exif to false, so that their "
                "boxes are turned with them"
            )

    def _is_turned(self, path: str, stated: Size | None, photo: _Photo) -> bool:
        """Whether boxes were drawn on the stored photo and must be turned. A stated size decides
        where it can.
        """
        if photo.orientation == 1:
            return False
        if stated is None or photo.stored == photo.upright:
            return not self.boxes_follow_exif
        if stated == photo.stored:
            self.unturned.append(path)
        return stated == photo.stored


def _photo(file: Path) -> _Photo:
    upright = images.upright_size(file)
    orientation = images.orientation(file)
    stored = upright[::-1] if orientation in boxes.SIDES_EXCHANGED else upright
    return _Photo(upright, stored, orientation)


def _sizes(drawn: DrawnFrame, photo: _Photo) -> str:
    stated = " x ".join(map(str, drawn.size or ()))
    actual = " x ".join(map(str, photo.upright))
    return (
        f"{drawn.source} states {stated} pixels and the photo has {actual}: give the photos that "
        "were labelled"
    )


class _Kept:
    """The boxes of a photo of `size`, cut at its edges: `corners` in pixels, `labels`; `faults` of
    those that are not kept, or not as they were drawn; `is_whole`: whether all are kept.
    """

    def __init__(self, drawn: DrawnFrame, size: Size):
        self.width, self.height = size
        self.faults = list(drawn.faults)
        self.corners: list[Corners] = []
        self.labels: list[str] = []
        self.n_repeated = 0
        units = (*size, *size) if drawn.in_shares else (1, 1, 1, 1)
        for box in drawn.boxes:
            pixels = np.array(box.corners) * units
            fault = self._fault(pixels, box.where) or self._drawn_before(pixels, box)
            if fault is None:
                self._keep(pixels, box)
            else:
                self.faults.append(fault)

        n_known = len(self.corners) + self.n_repeated
        self.is_whole = not drawn.faults and n_known == len(drawn.boxes)

    def _fault(self, pixels: np.ndarray, where: str) -> Fault | None:
        """Why a box is not kept; None where it is."""
        if not np.isfinite(pixels).all():
            return Fault("not a number", f"{where} holds values that are no numbers")
        if not _has_area(pixels):
            return Fault(
                "inverted or empty box", f"{where} is inverted or has no area; draw the box again"
            )
        if not _has_area(self._cut(pixels)):
            size = f"{self.width} x {self.height}"
            return Fault("box beside the photo", f"{where} lies beside the photo of {size} pixels")
        return None

    def _drawn_before(self, pixels: np.ndarray, box: DrawnBox) -> Fault | None:
        """What is said of a box that lies where another does; None where none does."""
        kept = np.array(self.corners, np.float64).reshape(-1, 4)
        overlap = boxes.iou(self._cut(pixels)[None], kept)[0]
        same = np.flatnonzero(overlap >= SAME_PLACE)
        if not len(same):
            return None
        earlier = self.labels[same[0]]
        if earlier == box.label:
            self.n_repeated += 1
            return Fault("box drawn twice", f"{box.where} lies where another {earlier} does")
        detail = f"{box.where} says {box.label} where another box says {earlier}, which is kept"
        return Fault("two names", f"{detail}; keep the right one")

    def _keep(self, pixels: np.ndarray, box: DrawnBox) -> None:
        cut = self._cut(pixels)
        beyond = np.abs(pixels - cut).max()
        if beyond > ROUNDING:
            detail = f"{box.where} reaches {beyond:.0f} pixels beyond the photo and is cut there"
            self.faults.append(Fault("box cut at the edge", detail))
        self.corners.append(tuple(cut.tolist()))
        self.labels.append(box.label)

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        return boxes.clipped(pixels, (self.width, self.height))


def _has_area(corners: np.ndarray) -> bool:
    return bool((corners[2:] - corners[:2] >= LEAST_SIDE).all())


def _with_dividing_splits(
    frames: list[LabelledFrame],
) -> tuple[list[LabelledFrame], list[str]]:
    """(the frames, notes): a split that all frames share divides nothing and is taken out."""
    splits = {frame.split for frame in frames}
    if len(splits) != 1 or splits == {""}:
        return frames, []
    note = (
        f"the labels put all photos into {splits.pop()}, which divides nothing: it is passed over"
    )
    return [replace(frame, split="") for frame in frames], [note]
