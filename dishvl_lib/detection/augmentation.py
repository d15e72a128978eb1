"""Another view of a letterboxed photo and its boxes: mirrored, turned, nearer or further, shifted, in
another light.
"""

import numpy as np
from PIL import Image

from dishvl_lib.detection.boxes import GREY, areas, clipped

ZOOM = (0.75, 1.35)
MOST_SHIFT = 0.12  # of the side
MOST_STRETCH = 0.1
# A box stays when so much of it is still in view: less of a dish is nothing to learn from.
LEAST_IN_VIEW = 0.6
GAIN = (0.7, 1.3)
CHANNEL_GAIN = (0.9, 1.1)
CONTRAST = (0.8, 1.25)


def another_view(
    photo: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """photo (size, size, 3) uint8 and boxes (n, 4) in its pixels -> another photo of the same size,
    the boxes on it, and which of them (n,) bool are still there.
    """
    size = len(photo)
    matrix = _turn_and_zoom(rng)
    middle = np.full(2, size / 2)
    shift = rng.uniform(-MOST_SHIFT, MOST_SHIFT, 2) * size
    offset = middle + shift - matrix @ middle
    inverse = np.linalg.inv(matrix)
    back = inverse @ -offset
    coefficients = (*inverse[0], back[0], *inverse[1], back[1])
    moved = Image.fromarray(photo).transform(
        (size, size),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BILINEAR,
        fillcolor=GREY,
    )
    placed = _moved(boxes, matrix, offset)
    cut = clipped(placed, (size, size))
    in_view = areas(cut) >= LEAST_IN_VIEW * areas(placed)
    return np.asarray(_relit(moved, rng)), cut, in_view


def _turn_and_zoom(rng: np.random.Generator) -> np.ndarray:
    """(2, 2): a quarter turn or none, a mirror or none, and how much nearer."""
    zoom = rng.uniform(*ZOOM)
    stretch = 1 + rng.uniform(-MOST_STRETCH, MOST_STRETCH)
    sides = zoom * np.array([stretch, 1 / stretch]) * rng.choice([-1, 1], 2)
    scaled = np.diag(sides)
    # A turn by anything else would leave boxes that no longer fit what is in them.
    return scaled[::-1] if rng.random() < 0.5 else scaled


def _moved(boxes: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    first = boxes[:, :2] @ matrix.T + offset
    second = boxes[:, 2:] @ matrix.T + offset
    return np.hstack([np.minimum(first, second), np.maximum(first, second)])


def _relit(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brighter or darker, with more or less contrast, under a lamp of another colour."""
    levels = np.arange(256)
    contrast = rng.uniform(*CONTRAST)
    gains = rng.uniform(*GAIN) * rng.uniform(*CHANNEL_GAIN, 3)
    tables = []
    for gain in gains:
        curve = ((levels - 128) * contrast + 128) * gain
        tables += np.clip(curve, 0, 255).round().astype(int).tolist()
    return photo.point(tables)
