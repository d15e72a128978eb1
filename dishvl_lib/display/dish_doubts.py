"""A page of what should be looked at before a dish is added: its photos beside the dish in
question.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dishvl_lib.display import pages
from dishvl_lib.display.words import Words

TITLE = "Before {name} is added / 添加 {name} 之前请看"


class Row(NamedTuple):
    """A sentence, small JPEGs of the given photos, and the dish in the gallery with its JPEG or
    None.
    """

    sentence: str
    pictures: Sequence[bytes]
    dish: str
    dish_picture: bytes | None


def page(name: str, rows: Sequence[Row]) -> str:
    """The page as HTML that works offline."""
    shown = []
    for row in rows:
        there = pages.data_source(row.dish_picture) if row.dish_picture else ""
        pictures = [pages.data_source(picture) for picture in row.pictures]
        shown.append({**row._asdict(), "pictures": pictures, "dish_picture": there})
    return pages.page(
        "dish_doubts.html.j2",
        title=TITLE.format(name=name),
        words=Words("en"),
        styles=("page.css", "cards.css"),
        name=name,
        rows=shown,
    )
