"""What nets answer with, and what boxes that means: one layout for each family of detectors.

A layout says how photos are laid into the net's input, by which outputs it is known, and how these
are read. Boxes are read in pixels of the input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.special import expit

from dishvl_lib.detection import boxes, centre_maps
from dishvl_lib.detection.boxes import Placement, Size

Outputs = Mapping[str, np.ndarray]  # by name; the first axis is that of photos, and one is asked
Lay = Callable[[Image.Image, Size], tuple[Image.Image, Placement]]
# The strides of the maps on which YOLO nets answer: usual ones, with a larger or finer map, tiny.
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
V5_ANCHORS = 3  # boxes a cell


class Found(NamedTuple):
    """`corners` (n, 4) in pixels of the input, `scores` (n,) 0 to 1, `classes` (n,) numbers from
    0.
    """

    corners: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Layout:
    """`shape`: in words, for messages; `classes`: how many classes the outputs have, None where they
    do not say it.
    """

    shape: str
    lay: Lay
    is_there: Callable[[Outputs, Size], bool]
    read: Callable[[Outputs, Size], Found]
    classes: Callable[[Outputs], int | None]


def found_in(outputs: Outputs, size: Size) -> str:
    """The word of the layout that a net's outputs for an input of `size` are in; '' for none."""
    fitting = (word for word, layout in LAYOUTS.items() if layout.is_there(outputs, size))
    return next(fitting, "")


def _table(outputs: Outputs) -> np.ndarray:
    """The photo's output with rows and columns; an empty one where there is none or, beside it, the
    masks of a segmentation.
    """
    tables = [output for output in outputs.values() if output.ndim == 3]
    has_masks = any(output.ndim == 4 for output in outputs.values())
    return np.zeros((0, 0)) if has_masks or not tables else tables[0][0]


def _cell_counts(size: Size) -> list[int]:
    """How many cells YOLO nets may have for an input of this size."""
    width, height = size
    return [sum((width // s) * (height // s) for s in strides) for strides in STRIDES]


def _is_v8(outputs: Outputs, size: Size) -> bool:
    table = _table(outputs)
    return len(table) >= 5 and table.shape[1] in _cell_counts(size)


def _is_v5(outputs: Outputs, size: Size) -> bool:
    n_rows, n_columns = _table(outputs).shape
    cells = [V5_ANCHORS * count for count in _cell_counts(size)]
    return n_columns >= 6 and n_rows in cells


def _is_end_to_end(outputs: Outputs, size: Size) -> bool:
    table = _table(outputs)
    # The last column are numbers of classes; in another net's it is the score of the second class.
    return table.shape[1] == 6 and bool((table[:, 5] % 1 == 0).all())


def _is_in_shares(outputs: Outputs, size: Size) -> bool:
    table = _table(outputs)
    n_rows, n_columns = table.shape
    are_shares = bool(((table >= 0) & (table <= 1)).all())
    return n_columns >= 5 and n_rows not in _cell_counts(size) and are_shares


def _is_paddle(outputs: Outputs, size: Size) -> bool:
    shapes = sorted((output.ndim, output.shape[-1]) for output in outputs.values() if output.ndim)
    # How many boxes each photo has, and the boxes of all photos.
    return shapes == [(1, 1), (2, 6)]


def _read_v8(outputs: Outputs, size: Size) -> Found:
    rows = _table(outputs).T
    return _best_class(_corners(rows[:, :4]), rows[:, 4:])


def _read_v5(outputs: Outputs, size: Size) -> Found:
    rows = _table(outputs)
    # That there is anything, times what it would be.
    return _best_class(_corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:])


def _read_end_to_end(outputs: Outputs, size: Size) -> Found:
    rows = _table(outputs)
    corners, scores, classes = np.split(rows, [4, 5], axis=1)
    return Found(corners, scores[:, 0], classes.reshape(len(rows)).astype(np.intp))


def _read_in_shares(outputs: Outputs, size: Size) -> Found:
    rows = _table(outputs)
    return _best_class(_corners(rows[:, :4]) * [*size, *size], rows[:, 4:])


def _read_paddle(outputs: Outputs, size: Size) -> Found:
    rows = next(output for output in outputs.values() if output.ndim == 2)
    # A photo without a dish has one row of class -1.
    rows = rows[rows[:, 0] >= 0]
    return Found(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.intp))


def _read_detr(outputs: Outputs, size: Size) -> Found:
    corners = _corners(outputs["pred_boxes"][0]) * [*size, *size]
    return _best_class(corners, expit(outputs["logits"][0]))


def _read_sized(outputs: Outputs, size: Size) -> Found:
    labels = outputs["labels"][0].astype(np.intp)
    return Found(outputs["boxes"][0], outputs["scores"][0], labels)


def _read_ours(outputs: Outputs, size: Size) -> Found:
    heatmap = outputs["heatmap"][0]
    return Found(*centre_maps.peaks(heatmap, outputs["sides"][0], least=0.0))


def _corners(centred: np.ndarray) -> np.ndarray:
    """Boxes given by centre, width and height, as corners."""
    middles = centred[:, :2]
    halves = centred[:, 2:] / 2
    return np.hstack([middles - halves, middles + halves])


def _best_class(corners: np.ndarray, scores: np.ndarray) -> Found:
    """Each box (n, 4) as the best of its classes (n, C)."""
    return Found(corners, scores.max(axis=1), scores.argmax(axis=1))


def _holds(*names: str) -> Callable[[Outputs, Size], bool]:
    return lambda outputs, size: set(names) <= set(outputs)


def _unsaid(outputs: Outputs) -> None:
    return None


LAYOUTS = {
    "dishvl": Layout(
        "heatmap (1, C, h, w), sides (1, 4, h, w)",
        boxes.letterbox,
        _holds("heatmap", "sides"),
        _read_ours,
        lambda outputs: outputs["heatmap"].shape[1],
    ),
    "dfine": Layout(
        "labels (1, n), boxes (1, n, 4), scores (1, n)",
        boxes.stretch,
        _holds("labels", "boxes", "scores"),
        _read_sized,
        _unsaid,
    ),
    "detr": Layout(
        "logits (1, n, C), pred_boxes (1, n, 4)",
        boxes.stretch,
        _holds("logits", "pred_boxes"),
        _read_detr,
        lambda outputs: outputs["logits"].shape[2],
    ),
    "yolov8": Layout(
        "(1, 4 + C, cells)",
        boxes.letterbox,
        _is_v8,
        _read_v8,
        lambda outputs: len(_table(outputs)) - 4,
    ),
    "yolov5": Layout(
        "(1, 3 x cells, 5 + C)",
        boxes.letterbox,
        _is_v5,
        _read_v5,
        lambda outputs: _table(outputs).shape[1] - 5,
    ),
    "yolov10": Layout(
        "(1, n, 6)",
        boxes.letterbox,
        _is_end_to_end,
        _read_end_to_end,
        _unsaid,
    ),
    "rtdetr": Layout(
        "(1, n, 4 + C) in shares of the sides",
        boxes.stretch,
        _is_in_shares,
        _read_in_shares,
        lambda outputs: _table(outputs).shape[1] - 4,
    ),
    "paddle": Layout(
        "(n, 6) of class, score and corners, (1,)",
        boxes.stretch,
        _is_paddle,
        _read_paddle,
        _unsaid,
    ),
}
