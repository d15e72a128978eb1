"""Photos of whole trays side by side, with what was found on them."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from dishvl_lib.display.marked_photo import Mark, marked
from dishvl_lib.display.sheet import Picture, drawn, message

COLUMNS = 3
WIDTH = 4.4  # inches of a tray
HEIGHT = 3.6
LONGEST_SIDE = 900  # pixels of a tray's picture


class Tray(NamedTuple):
    """An upright photo, the marks on it, and what stands above it."""

    photo: Image.Image
    marks: Sequence[Mark]
    title: str


@drawn
def tray_sheet(trays: Sequence[Tray], nothing: str) -> Picture:
    """The trays in rows of COLUMNS; a sentence (`nothing`) where there is none."""
    if not trays:
        return message(nothing)
    rows = -(-len(trays) // COLUMNS)
    columns = min(COLUMNS, len(trays))
    picture = Picture(figsize=(columns * WIDTH, rows * HEIGHT), layout="constrained")
    for place, tray in enumerate(trays, start=1):
        axes = picture.add_subplot(rows, columns, place)
        axes.set_axis_off()
        axes.set_title(tray.title, fontsize=9)
        shown = marked(tray.photo, tray.marks)
        shown.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        axes.imshow(shown)
    return picture
