"""A page of photos and text measured in inches from its upper left corner, and where its photos
come from.
"""

import functools
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from dishvl_lib.core import images, records
from dishvl_lib.display import fonts

INK = "#222222"
FAINT = "#777777"
RIGHT = "#2f7d4f"
WRONG = "#b3362b"
ACCENT = "#2c5f8a"
PHOTO_PIXELS = 240


class Picture(Figure):
    """A matplotlib Figure that Jupyter shows by itself, without pyplot and without being kept alive
    by it.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def drawn(function: Callable) -> Callable:
    """Runs a figure function with fonts for names and with formulas off: a dish may be called
    `a$b$`.
    """

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(fonts.drawing_settings()):
            return function(*args, **kwargs)

    return wrapper


class Sheet:
    """A white Picture of `width` x `height` inches to which photos and lines of text are pinned."""

    def __init__(self, width: float, height: float):
        self.width = width
        self.height = height
        self.figure = Picture(figsize=(width, height), facecolor="white")
        self.labels = fonts.Labels()

    def text(
        self, x: float, y: float, text: str, *, size: float = 10, color: str = INK, **options
    ) -> None:
        """A text whose upper left corner is x, y inches from the sheet's upper left corner."""
        options = {"va": "top", "linespacing": 1.5, **options}
        self.figure.text(
            x / self.width, 1 - y / self.height, text, fontsize=size, color=color, **options
        )

    def photo(
        self, path: Path | None, x: float, y: float, side: float, frame: str | None = None
    ) -> None:
        """A photo in a square of `side` inches, whole; one that cannot be read is a grey square
        with the reason.
        """
        axes = self.figure.add_axes(
            (x / self.width, 1 - (y + side) / self.height, side / self.width, side / self.height)
        )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=frame is not None, color=frame or INK, linewidth=2)
        try:
            axes.imshow(thumbnail(path, PHOTO_PIXELS))
        except images.ImageError as error:
            axes.set_facecolor("#eeeeee")
            axes.text(
                0.5,
                0.5,
                error.reason,
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=8,
                color=FAINT,
            )

    def done(self) -> Picture:
        self.labels.print_legend()
        return self.figure


def thumbnail(path: Path | None, side: int):
    """The photo, RGB, its longer side at most `side` pixels. Raises `images.ImageError`."""
    if path is None:
        raise images.ImageError("no photo", "none is in the catalog")
    photo = images.load_rgb(path, draft_size=(side, side))
    photo.thumbnail((side, side))
    return photo


class PhotoBook:
    """The catalog's photos by id and by dish: photos with image_id, path (relative to image_root),
    dish_id, split.
    """

    def __init__(self, photos: pd.DataFrame, image_root: str | Path):
        records.require_columns(photos, ("image_id", "path", "dish_id"), "the photos")
        self.image_root = Path(image_root)
        self.path_by_id = dict(zip(photos["image_id"], photos["path"], strict=True))
        order = (
            photos["split"].map({"train": 0, "validation": 1}).fillna(2)
            if "split" in photos
            else pd.Series(0, index=photos.index)
        )
        ranked = photos.assign(_order=order).sort_values("_order", kind="stable")
        if "group_id" in ranked:
            ranked = pd.concat(
                [ranked.drop_duplicates("group_id"), ranked[ranked.duplicated("group_id")]]
            )
        self.ids_by_dish = ranked.groupby("dish_id", sort=False)["image_id"].agg(list).to_dict()

    def path(self, image_id: str) -> Path | None:
        """Where the photo is, or None when the catalog does not have it."""
        relative = self.path_by_id.get(image_id)
        return self.image_root / relative if relative else None

    def examples(
        self, dish_id: str, count: int, first: Iterable[str] = (), only: bool = False
    ) -> list[Path | None]:
        """Up to `count` photos of a dish: those in `first`, then training photos of different
        frames, then any.
        """
        ids = list(first) if only else [*first, *self.ids_by_dish.get(dish_id, [])]
        return [self.path(image_id) for image_id in dict.fromkeys(ids)][:count]
