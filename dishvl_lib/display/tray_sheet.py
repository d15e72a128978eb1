"""Photos of whole trays side by side, with what was found on them."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from dishvl_lib.display.fonts import Labels
from dishvl_lib.display.marked_photo import Mark, marked
from dishvl_lib.display.sheet import Picture, drawable_words, drawn, message
from dishvl_lib.display.words import Words

COLUMNS = 3
WIDTH = 4.4  # inches of a tray
HEIGHT = 3.6
LONGEST_SIDE = 900  # pixels of a tray's picture


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
    labels = Labels()
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
