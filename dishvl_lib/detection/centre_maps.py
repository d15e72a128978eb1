"""The maps that our own net answers with: where boxes have their centres, and how far their sides
are from there.

A photo of `size` x `size` pixels has a cell for every STRIDE pixels: cell (row, column) stands for
the pixel ((column + 0.5) * STRIDE, (row + 0.5) * STRIDE). For C classes there are

    heatmap (C, cells, cells)   0 to 1: that a box of the class has its centre here
    sides (4, cells, cells)     from the cell to the left, top, right and bottom of that box, in
                                units of STRIDE
"""

from typing import NamedTuple

import numpy as np

STRIDE = 8
# The heat around a centre falls to 1/e^2 at this share of the box's side from it.
SPREAD = 1 / 6
LEAST_SPREAD = 1.0  # cells
CORE = 0.3  # cells as hot as this learn where the box's sides are


class Targets(NamedTuple):
    """What the maps of a photo should be: heatmap and sides as above, and core (cells, cells) bool,
    the cells whose sides count.
    """

    heatmap: np.ndarray
    sides: np.ndarray
    core: np.ndarray


def targets(boxes: np.ndarray, classes: np.ndarray, n_classes: int, size: int) -> Targets:
    """The maps that say boxes (n, 4), in pixels of an input of `size`, of classes (n,)."""
    cells = size // STRIDE
    places = np.arange(cells, dtype=np.float32) + 0.5
    heatmap = np.zeros((n_classes, cells, cells), np.float32)
    sides = np.zeros((4, cells, cells), np.float32)
    hottest = np.zeros((cells, cells), np.float32)
    for box, of_class in zip(boxes / STRIDE, classes, strict=True):
        left, top, right, bottom = box.tolist()
        across = _heat(places, left, right)
        down = _heat(places, top, bottom)
        heat = down[:, None] * across[None, :]
        np.maximum(heatmap[of_class], heat, out=heatmap[of_class])
        # Where boxes are close, a cell speaks for the one whose centre is nearer.
        nearer = heat > hottest
        distances = (places - left, places - top, right - places, bottom - places)
        for number, distance in enumerate(distances):
            along = distance[None, :] if number % 2 == 0 else distance[:, None]
            sides[number] = np.where(nearer, along, sides[number])
        hottest = np.maximum(hottest, heat)
    return Targets(heatmap, sides, hottest >= CORE)


def peaks(
    heatmap: np.ndarray, sides: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, 4) in pixels of the input, scores (n,) and classes (n,) of the cells that are at
    least as hot as `least` and as their eight neighbours.
    """
    around = np.pad(heatmap, ((0, 0), (1, 1), (1, 1)), constant_values=-1.0)
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
    is_peak = (heatmap >= windows.max(axis=(3, 4))) & (heatmap >= least)
    classes, rows, columns = np.nonzero(is_peak)
    left, top, right, bottom = sides[:, rows, columns]
    x = columns + 0.5
    y = rows + 0.5
    boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=1) * STRIDE
    return boxes, heatmap[classes, rows, columns], classes


def _heat(places: np.ndarray, first: float, last: float) -> np.ndarray:
    """How hot the cells of a row are, 1 at the one that the middle lies in."""
    middle = (first + last) / 2
    spread = max(LEAST_SPREAD, (last - first) * SPREAD)
    heat = np.exp(-2 * ((places - middle) / spread) ** 2)
    nearest = min(max(int(middle), 0), len(places) - 1)
    heat[nearest] = 1.0
    return heat
