"""Boxes as a file of labels has them, before they are laid onto photos: what `coco.py` and
`yolo_labels.py` hand to `labels.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dishvl_lib.core.types import Record

Corners = tuple[float, float, float, float]  # x1, y1, x2, y2
Parts = tuple[str, ...]  # of a path


class LabelError(ValueError):
    """Labels that nothing can be done with; the message says which file, and what to do."""


class Fault(NamedTuple):
    """What is wrong with one box or photo; the run goes on without it."""

    reason: str
    detail: str


class LeftOut(NamedTuple):
    """A row of what is not used: the photo or file of labels, and why."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class DrawnBox:
    """`corners` as in the file, in pixels or as shares of the photo's sides; `where`:
    the place in the file, for messages.
    """

    corners: Corners
    label: str
    where: str


@dataclass
class DrawnFrame:
    """A photo as a file of labels names it.

    `written`: the parts of its path, by which it is looked for; `source`: the file of labels;
    `has_suffix`: whether the last part is a whole file name; `hints`: words that may be folders
    above it. `size`: (width, height) as the file states it, None where it states none; `in_shares`:
    whether boxes are shares of the sides rather than pixels.
    """

    written: Parts
    source: str
    has_suffix: bool = True
    hints: Parts = ()
    size: tuple[int, int] | None = None
    in_shares: bool = False
    boxes: list[DrawnBox] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    split: str = ""


@dataclass
class DrawnLabels:
    """All that files of labels say. `names`: the classes in their order."""

    names: tuple[str, ...]
    frames: list[DrawnFrame] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def around(points: Sequence[float]) -> Corners:
    """The box around points x, y, x, y, ...; NaN where one of them is."""
    pairs = np.array(points, np.float64).reshape(-1, 2)
    x1, y1 = pairs.min(axis=0).tolist()
    x2, y2 = pairs.max(axis=0).tolist()
    return x1, y1, x2, y2


def text_of(file: Path) -> str:
    """The content of a file in UTF-8. Raises `LabelError`."""
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise LabelError(f"{file} is not text in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise LabelError(f"{file} cannot be read ({error.strerror}); check the path") from None


def json_of(file: Path) -> Record:
    """The object in a JSON file. Raises `LabelError`."""
    try:
        content = json.loads(text_of(file))
    except ValueError as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(f"{file} is not JSON ({error}); export the labels again") from None
    if not isinstance(content, dict):
        raise LabelError(f"{file} holds no COCO labels: it must be an object with images in it")
    return content
