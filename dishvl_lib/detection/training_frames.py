"""The frames that a detector of our own is trained on: which of them it learns from, checks itself
with and is judged by, and their letterboxed pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dishvl_lib.core import images, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.detection.boxes import Placement, letterbox
from dishvl_lib.detection.labels import LabelledFrame

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
LEAST_VALIDATION = 1


class FramesError(ValueError):
    """Frames that no detector can be trained on; the message says why and what to do."""


@dataclass(frozen=True)
class DealtFrames:
    """Frames to learn from, to check the net with after each epoch, and to judge it by at the end;
    no frame is in two of them.
    """

    train: list[LabelledFrame]
    validation: list[LabelledFrame]
    test: list[LabelledFrame]

    def judged(self) -> tuple[str, list[LabelledFrame]]:
        """What the finished net is judged by: (split, frames)."""
        return (TEST, self.test) if self.test else (VALIDATION, self.validation)


class LetterboxedFrames(NamedTuple):
    """pixels (n, size, size, 3) uint8, and where each photo lies in them."""

    pixels: np.ndarray
    placements: list[Placement]


def deal(frames: Sequence[LabelledFrame], validation_share: float, seed: int) -> DealtFrames:
    """As the labels say; frames of no split are learned from, and where the labels name none to
    validate with, `validation_share` of those to learn from are, chosen by `seed`.

    Raises `FramesError` for a frame that is there twice and for too few frames.
    """
    _check_once(frames)
    by_split: dict[str, list[LabelledFrame]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for frame in sorted(frames, key=lambda frame: frame.path):
        by_split[frame.split or TRAIN].append(frame)
    train = by_split[TRAIN]
    validation = by_split[VALIDATION]
    if not validation and len(train) > LEAST_VALIDATION:
        n = max(LEAST_VALIDATION, round(validation_share * len(train)))
        order = np.random.default_rng(seed).permutation(len(train))
        chosen = set(order[:n].tolist())
        validation = [frame for place, frame in enumerate(train) if place in chosen]
        train = [frame for place, frame in enumerate(train) if place not in chosen]
    _check_enough(train, validation)
    return DealtFrames(train, validation, by_split[TEST])


def identity(frames: Sequence[LabelledFrame], root: Path) -> str:
    """A hash of the frames' boxes, labels, splits and file sizes: what a training resumes by."""
    rows = []
    for frame in frames:
        size = (root / frame.path).stat().st_size
        rows.append([frame.path, frame.split, frame.boxes.tolist(), list(frame.labels), size])
    return records.fingerprint(rows)


def class_numbers(frame: LabelledFrame, names: Sequence[str]) -> np.ndarray:
    """The place (n,) of each box's label among the classes; with one class all are of it.

    Raises `FramesError` for a label that is none of several classes.
    """
    if len(names) == 1:
        return np.zeros(len(frame.labels), np.intp)
    for label in frame.labels:
        if label not in names:
            raise FramesError(
                f"{frame.path} has a box called {label!r}, which is none of the detector's classes "
                f"({', '.join(names)}); add it to them, or train on one class for all"
            )
    return np.array([names.index(label) for label in frame.labels], np.intp)


def load(frames: Sequence[LabelledFrame], root: Path, size: int, file: Path) -> LetterboxedFrames:
    """Decodes and letterboxes the photos once, into `file`, from which they are read as they are
    needed. Raises `FramesError` for a photo that cannot be read, or is of another size than its
    boxes (very large ones are decoded at half their sides).
    """
    shape = (len(frames), size, size, 3)
    placements = []
    with records.atomic_path(file) as part:
        pixels = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        with Progress("reading photos", len(frames)) as progress:
            for place, frame in enumerate(frames):
                pixels[place], placement = _letterboxed(frame, root, size)
                placements.append(placement)
                progress.advance()
        pixels.flush()
        del pixels
    return LetterboxedFrames(np.load(file, mmap_mode="r"), placements)


def _letterboxed(frame: LabelledFrame, root: Path, size: int) -> tuple[np.ndarray, Placement]:
    try:
        photo = images.load_rgb(root / frame.path)
    except images.ImageError as error:
        raise FramesError(
            f"{root / frame.path} is {error}; repair it or take it out of the labels"
        ) from None
    if photo.size != (frame.width, frame.height):
        raise FramesError(
            f"{root / frame.path} is read as {photo.width} x {photo.height} pixels, and its boxes "
            f"are of {frame.width} x {frame.height}; make it smaller and label it again, or take it "
            "out of the labels"
        )
    boxed, placement = letterbox(photo, (size, size))
    return np.asarray(boxed), placement


def _check_once(frames: Sequence[LabelledFrame]) -> None:
    seen: set[str] = set()
    for frame in frames:
        if frame.path in seen:
            raise FramesError(
                f"{frame.path} is there twice; a frame belongs to one split: name it once"
            )
        seen.add(frame.path)


def _check_enough(train: Sequence[LabelledFrame], validation: Sequence[LabelledFrame]) -> None:
    for what, frames in (("learn from", train), ("validate with", validation)):
        if not any(len(frame.labels) for frame in frames):
            raise FramesError(
                f"of {len(frames)} frames to {what} none has a box; label more frames: some "
                "hundred give a good detector, from two on it is tried"
            )
