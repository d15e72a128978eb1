"""A page of photos and text measured in inches from its upper left corner, and what all figures are
drawn with.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure

from dishvl_lib.core import images
from dishvl_lib.core.photo_book import thumbnail
from dishvl_lib.core.types import Record
from dishvl_lib.display import fonts
from dishvl_lib.display.words import Words

INK = "#222222"
FAINT = "#777777"
RIGHT = "#2f7d4f"
WRONG = "#b3362b"
ACCENT = "#2c5f8a"
NO_PHOTO = "#eeeeee"
PHOTO_PIXELS = 240
# inches: the border of a sheet, its heading, and on it a dish's photos side by side
MARGIN = 0.2
HEAD = 0.5
SIDE = 1.15
GAP = 0.06
PHOTOS = 3
STRIP = PHOTOS * (SIDE + GAP)

Arguments = ParamSpec("Arguments")
Drawing = TypeVar("Drawing")


class Picture(Figure):
    """A matplotlib Figure that Jupyter shows by itself, without pyplot and without being kept alive
    by it.
    """

    def _repr_png_(self) -> bytes | None:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


class Sentence(Picture):
    """What stands where there is nothing to draw: in a notebook a sentence and no picture."""

    sentence: str = ""

    def __repr__(self) -> str:
        return self.sentence

    def _repr_png_(self) -> None:
        return None


def drawn(function: Callable[Arguments, Drawing]) -> Callable[Arguments, Drawing]:
    """Runs a figure function with fonts for names and with formulas off: a dish may be called
    `a$b$`.
    """

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawing:
        with matplotlib.rc_context(fonts.drawing_settings()):
            return function(*args, **kwargs)

    return wrapper


def drawable_words(language: str) -> Words:
    """The words of a figure: English ones where no font draws Chinese. Raises ValueError for an
    unknown language.
    """
    words = Words(language)
    return words if fonts.find_chinese_font() else Words("en")


class Sheet:
    """A white Picture of `width` x `height` inches to which photos and lines of text are pinned."""

    def __init__(self, width: float, height: float):
        self.width = width
        self.height = height
        self.figure = Picture(figsize=(width, height), facecolor="white")
        self.labels = fonts.Labels()

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 10,
        color: str = INK,
        ha: str = "left",
        va: str = "top",
        linespacing: float = 1.5,
        bbox: Record | None = None,
    ) -> None:
        """A text whose upper left corner is x, y inches from the sheet's upper left corner."""
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            fontsize=size,
            color=color,
            ha=ha,
            va=va,
            linespacing=linespacing,
            bbox=bbox,
        )

    def photo(
        self, path: Path | None, x: float, y: float, side: float, frame: str | None = None
    ) -> None:
        """A photo in a square of `side` inches, whole; one that cannot be read is a grey square
        with the reason.
        """
        left = x / self.width
        bottom = 1 - (y + side) / self.height
        axes = self.figure.add_axes((left, bottom, side / self.width, side / self.height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=frame is not None, color=frame or INK, linewidth=2)
        try:
            axes.imshow(thumbnail(path, PHOTO_PIXELS))
        except images.ImageError as error:
            axes.set_facecolor(NO_PHOTO)
            axes.text(
                0.5,
                0.5,
                error.reason,
                fontsize=8,
                color=FAINT,
                ha="center",
                va="center",
                transform=axes.transAxes,
            )

    def done(self) -> Picture:
        """The finished picture; the legend of numbered names is printed."""
        self.labels.print_legend()
        return self.figure


@drawn
def message(text: str) -> Sentence:
    """Why there is nothing to draw: a sentence in a notebook, a small sheet as a file."""
    labels = fonts.Labels()
    figure = Sentence(figsize=(7, 1), facecolor="white")
    figure.sentence = text
    figure.suptitle(labels(text), y=0.6, fontsize=12, color=FAINT)
    labels.print_legend()
    return figure
