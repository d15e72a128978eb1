"""Photos of whole trays: one with a box and a line of text for each dish on it, and several side by
side.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import ACCENT, RIGHT, WRONG, Picture, drawable_words, drawn, message
from dishvl_lib.display.words import Words

Kind = Literal["right", "wrong", "found"]
COLOURS = {"right": RIGHT, "wrong": WRONG, "found": ACCENT}
# Of the photo's shorter side: lines and letters that are seen at any size.
LINE = 1 / 200
LETTER = 1 / 30
LEAST_LETTER = 12  # pixels
# of trays side by side, in inches
COLUMNS = 3
WIDTH = 4.4
HEIGHT = 3.6
LONGEST_SIDE = 900  # pixels of a tray's picture


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
    return ImageFont.truetype(str(fonts.SHIPPED), size)


class Tray(NamedTuple):
    """An upright photo and the marks on it; its path, how many dishes were found and, where people
    labelled it, how many they drew.
    """

    photo: Image.Image
    marks: Sequence[Mark]
    path: str
    n_found: int
    n_labelled: int | None = None


@drawn
def tray_sheet(trays: Sequence[Tray], *, language: str = "en") -> Picture:
    """The trays in rows of COLUMNS; a sentence where there is none."""
    words = drawable_words(language)
    if not trays:
        return message(words("no tray was looked at"))
    labels = fonts.Labels()
    rows = -(-len(trays) // COLUMNS)
    columns = min(COLUMNS, len(trays))
    picture = Picture(figsize=(columns * WIDTH, rows * HEIGHT), layout="constrained")
    for place, tray in enumerate(trays, start=1):
        axes = picture.add_subplot(rows, columns, place)
        axes.set_axis_off()
        axes.set_title(f"{labels(tray.path)}: {_counts(tray, words)}", fontsize=9)
        shown = marked(tray.photo, tray.marks)
        shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        axes.imshow(shown)
    labels.print_legend()
    return picture


def _counts(tray: Tray, words: Words) -> str:
    found = f"{words('found')} {tray.n_found}"
    if tray.n_labelled is None:
        return found
    return f"{found}, {words('labelled')} {tray.n_labelled}"
