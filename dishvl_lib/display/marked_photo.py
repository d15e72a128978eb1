"""A photo of a tray with a box and a line of text for each dish on it."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from dishvl_lib.display.sheet import ACCENT, RIGHT, WRONG

FONT = Path(__file__).with_name("DishVLSansSC-Regular.otf")
Kind = Literal["right", "wrong", "found"]
COLOURS = {"right": RIGHT, "wrong": WRONG, "found": ACCENT}
# Of the photo's shorter side: lines and letters that are seen at any size.
LINE = 1 / 200
LETTER = 1 / 30
LEAST_LETTER = 12  # pixels


class Mark(NamedTuple):
    """A box (x1, y1, x2, y2) in pixels of the upright photo, a text, and its colour's meaning."""

    box: tuple[float, float, float, float]
    text: str
    kind: Kind = "found"


def marked(photo: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of an upright RGB photo with its marks."""
    copy = photo.convert("RGB")
    if copy is photo:
        copy = photo.copy()
    shorter = min(copy.size)
    line = max(1, round(shorter * LINE))
    font = _font(max(LEAST_LETTER, round(shorter * LETTER)))
    draw = ImageDraw.Draw(copy)
    for mark in marks:
        if all(map(math.isfinite, mark.box)):
            draw.rectangle(mark.box, outline=COLOURS[mark.kind], width=line)
    for mark in marks:  # above all boxes, so that none runs through a text
        _write(draw, mark, font, copy.size)
    return copy


def _write(
    draw: ImageDraw.ImageDraw, mark: Mark, font: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    """The text on a label of the box's colour, at its upper left corner and inside the photo."""
    if not mark.text:
        return
    left, top, right, bottom = draw.textbbox((0, 0), mark.text, font=font)
    pad = (bottom - top) // 4
    width = right - left + 2 * pad
    height = bottom - top + 2 * pad
    x = max(0, min(round(mark.box[0]), size[0] - width))
    y = max(0, min(round(mark.box[1]), size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=COLOURS[mark.kind])
    draw.text((x + pad - left, y + pad - top), mark.text, font=font, fill="white")


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)
