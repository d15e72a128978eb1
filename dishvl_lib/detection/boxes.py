"""Boxes on a photo: what a detector answers with, IoU, NMS, and how a photo is laid into the input
of a net.

A box is (x1, y1, x2, y2) in pixels; x runs to the right and y down, and pixel 0 reaches from 0 to
1. Boxes of n things are an array (n, 4).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]
GREY = (114, 114, 114)  # what letterboxed photos are surrounded with, as detectors were trained
Size = tuple[int, int]  # width, height in pixels
# Two boxes that cover each other further are one thing found twice: dishes stand side by side.
NMS_IOU = 0.6
# EXIF's orientations by what makes the stored photo upright: mirrored from left to right, from top
# to bottom, and then x and y exchanged.
MIRRORED_X = (2, 3, 7, 8)
MIRRORED_Y = (3, 4, 6, 7)
SIDES_EXCHANGED = (5, 6, 7, 8)
# A photo that becomes much smaller is reduced by a whole number first: twice as fast or more, and on
# average 0.3 grey levels from the exact picture.
REDUCING_GAP = 2.0


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found on a photo, best first.

    `boxes` (n, 4) float32 in pixels of the upright photo, `scores` (n,) float32 from 0 to 1,
    `labels` n names of classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def none(cls) -> "Detections":
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())

    @classmethod
    def ranked(cls, boxes: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> "Detections":
        """The same things best first; of equal scores the first given comes first."""
        order = np.argsort(-scores, kind="stable")
        ranked_labels = tuple(labels[place] for place in order)
        return cls(
            boxes[order].astype(np.float32).reshape(-1, 4),
            scores[order].astype(np.float32),
            ranked_labels,
        )

    def above(self, threshold: float) -> "Detections":
        """Those whose score is at least `threshold`."""
        return self._chosen(self.scores >= threshold)

    def only(self, labels: Collection[str]) -> "Detections":
        """Those of some classes."""
        chosen = [label in labels for label in self.labels]
        return self._chosen(np.array(chosen, bool))

    def _chosen(self, chosen: np.ndarray) -> "Detections":
        places = np.flatnonzero(chosen)
        labels = tuple(self.labels[place] for place in places)
        return Detections(self.boxes[places], self.scores[places], labels)


@dataclass(frozen=True)
class Placement:
    """Where a photo lies in the input of a net: its pixel (x, y) is at
    (x * scale_x + left, y * scale_y + top).
    """

    photo_size: Size
    scale_x: float
    scale_y: float
    left: int = 0
    top: int = 0

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the photo (n, 4) in pixels of the input."""
        return boxes * self._scales() + self._offsets()

    def to_photo(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the input (n, 4) in pixels of the photo, cut at its edges."""
        placed = (boxes - self._offsets()) / self._scales()
        return clipped(placed, self.photo_size)

    def _scales(self) -> np.ndarray:
        return np.array([self.scale_x, self.scale_y] * 2)

    def _offsets(self) -> np.ndarray:
        return np.array([self.left, self.top] * 2)


def letterbox(
    photo: Image.Image, size: Size, colour: Colour = GREY
) -> tuple[Image.Image, Placement]:
    """The photo, its sides in proportion, in the middle of an input of `size` (width, height), the
    rest in `colour`.
    """
    width, height = size
    scale = min(width / photo.width, height / photo.height)
    inner = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    left = (width - inner[0]) // 2
    top = (height - inner[1]) // 2
    canvas = Image.new("RGB", size, colour)
    canvas.paste(_resized(photo, inner), (left, top))
    return canvas, _placement(photo, inner, left, top)


def stretch(photo: Image.Image, size: Size) -> tuple[Image.Image, Placement]:
    """The photo over the whole of an input of `size` (width, height), its sides out of
    proportion.
    """
    return _resized(photo, size), _placement(photo, size, 0, 0)


def clipped(boxes: np.ndarray, size: Size) -> np.ndarray:
    """Boxes (n, 4) cut at the edges of a photo of `size` (width, height)."""
    width, height = size
    return np.clip(boxes, 0, [width, height, width, height])


def upright(boxes: np.ndarray, size: Size, orientation: int) -> np.ndarray:
    """Boxes (n, 4) drawn on a photo of `size` (width, height) as its file stores it, on the upright
    photo. `orientation`: 1 to 8, as EXIF counts.
    """
    width, height = size
    x1, y1, x2, y2 = boxes.reshape(-1, 4).T
    left, right = (width - x2, width - x1) if orientation in MIRRORED_X else (x1, x2)
    top, bottom = (height - y2, height - y1) if orientation in MIRRORED_Y else (y1, y2)
    corners = (left, top, right, bottom)
    if orientation in SIDES_EXCHANGED:
        corners = (top, left, bottom, right)
    return np.stack(corners, axis=1)


def areas(boxes: np.ndarray) -> np.ndarray:
    """The areas (n,) of boxes (n, 4); 0 for inverted ones."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) with boxes (m, 4), 0 to 1, float64."""
    a = first.astype(np.float64)
    b = second.astype(np.float64)
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(opposite - corner, 0)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(a)[:, None] + areas(b)[None, :] - shared
    return shared / np.maximum(union, np.finfo(np.float64).tiny)


def nms(boxes: np.ndarray, scores: np.ndarray, most_iou: float = NMS_IOU) -> np.ndarray:
    """The places of boxes that stay when of those with an IoU over `most_iou` the best does: best
    first.

    Classes are not looked at: a dish is one thing, and a net that sees a bowl and a plate in it has
    found it twice.
    """
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while len(remaining):
        best = remaining[0]
        kept.append(best)
        others = remaining[1:]
        overlaps = iou(boxes[[best]], boxes[others])[0]
        remaining = others[overlaps <= most_iou]
    return np.array(kept, np.intp)


def _resized(photo: Image.Image, size: Size) -> Image.Image:
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)


def _placement(photo: Image.Image, inner: Size, left: int, top: int) -> Placement:
    return Placement(photo.size, inner[0] / photo.width, inner[1] / photo.height, left, top)
