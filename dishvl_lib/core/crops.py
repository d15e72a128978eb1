"""The one way from a box around a dish to a crop of the photo, and to the crop's file.

A box is (x1, y1, x2, y2) in pixels of the upright photo. `margin` is a factor of its sides about
its centre: 1.0 is the box itself, below 1 the plate's rim goes, above 1 some of the table comes in.
How much of a plate a recogniser sees is part of its input, so training and use share one margin.
"""

import io
import math
from collections.abc import Sequence

from PIL import Image

Box = tuple[int, int, int, int]
LEAST_MARGIN = 0.3  # less shows no dish
MOST_MARGIN = 2.0
# A crop holds the box's own pixels as they are; only JPEG's rounding is between them and the photo.
JPEG_QUALITY = 95


class CropError(ValueError):
    """A box that no crop can be made of; the message says what is wrong with it."""


def pixel_box(box: Sequence[float], margin: float, size: tuple[int, int]) -> Box:
    """The whole pixels of a photo of `size` (width, height) that a crop of a box holds.

    The sides are scaled by `margin`, rounded outwards to whole pixels and cut at the photo's edge.
    Raises `CropError` for a box that is not finite, inverted, or beside the photo.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise CropError("its box holds values that are no numbers")
    if x2 <= x1 or y2 <= y1:
        raise CropError(f"its box is inverted or empty: {x1:g}, {y1:g}, {x2:g}, {y2:g}")
    width, height = size
    left, right = _span(x1, x2, margin, width)
    top, bottom = _span(y1, y2, margin, height)
    if right <= left or bottom <= top:
        raise CropError(f"its box lies beside the photo of {width} x {height} pixels")
    return left, top, right, bottom


def cut(photo: Image.Image, box: Sequence[float], margin: float) -> Image.Image:
    """The crop of an upright photo around a box. Raises `CropError` as `pixel_box`."""
    return photo.crop(pixel_box(box, margin, photo.size))


def stem(frame: str, box: Box, counter: int) -> str:
    """A crop's file name without suffix in the form that `names.frame_of` reads:
    `FRAME$x1_y1_x2_y2#COUNTER`.
    """
    corners = "_".join(map(str, box))
    return f"{frame}${corners}#{counter}"


def jpeg(crop: Image.Image) -> bytes:
    """A crop as the JPEG that it is stored as."""
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _span(first: float, last: float, margin: float, most: int) -> tuple[int, int]:
    centre = (first + last) / 2
    half = (last - first) / 2 * margin
    return max(0, math.floor(centre - half)), min(most, math.ceil(centre + half))
