"""The first suspicions of a review of names as one picture, for notebooks that run in batch."""

import re
from collections.abc import Mapping

import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.core.decisions import REVIEW_COLUMNS
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import AnyPath, RecordView, RecordViews
from dishvl_lib.display.sheet import (
    ACCENT,
    FAINT,
    GAP,
    HEAD,
    MARGIN,
    PHOTOS,
    SIDE,
    STRIP,
    Picture,
    Sheet,
    drawable_words,
    drawn,
    message,
)
from dishvl_lib.display.words import shorten, wrapped

# inches
SECOND_DISH = STRIP + 0.2
ROW = SIDE + 0.85
SHEET_WIDTH = 2 * MARGIN + 2 * STRIP + 3.6
# columns of text
NAME_COLUMNS = 48
TEXT_COLUMNS = 44
MOST_LINES = 8
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@drawn
def review_sheet(
    review: pd.DataFrame,
    dishes: RecordViews,
    photos: pd.DataFrame,
    image_root: AnyPath,
    limit: int = 6,
    *,
    language: str = "en",
) -> Picture:
    """The first `limit` rows of the review: photos of the dish | photos of the other dish, if there
    is one | the evidence.

    review: REVIEW_COLUMNS. dishes: rows of dishes.jsonl, for the names. photos: image_id, path,
    dish_id. A photo that the evidence names comes first, framed.
    """
    records.require_columns(review, REVIEW_COLUMNS, "the review")
    words = drawable_words(language)
    book = PhotoBook(photos, image_root)
    by_id = {dish["dish_id"]: dish for dish in dishes}
    shown = review.fillna("").head(limit)
    if shown.empty:
        return message(words("nothing to review"))
    sheet = Sheet(SHEET_WIDTH, HEAD + len(shown) * ROW)
    heading = f"{words('suspicion')}: {len(shown)} {words('of')} {len(review)}"
    sheet.text(MARGIN, 0.13, heading, size=11)
    for place, row in enumerate(shown.to_dict("records")):
        y = HEAD + place * ROW
        sheet.text(MARGIN, y, words.known(row["suspicion"]), size=10, color=ACCENT)
        _draw_question(sheet, y + 0.22, row, by_id, book)
    return sheet.done()


def _draw_question(
    sheet: Sheet,
    y: float,
    row: RecordView,
    by_id: Mapping[str, RecordView],
    book: PhotoBook,
) -> None:
    """One dish with the photos of two, or two side by side, and the evidence."""
    sides = [by_id[dish_id] for dish_id in (row["dish_id"], row["other_dish"]) if dish_id]
    n_photos = PHOTOS * 2 // len(sides)
    for side, dish in enumerate(sides):
        _draw_dish(sheet, MARGIN + side * SECOND_DISH, y, dish, book, row["evidence"], n_photos)
    # A name in the evidence that no font draws has its number there too.
    evidence = NOT_ASCII.sub(lambda part: sheet.labels(part[0]), row["evidence"])
    lines = wrapped(evidence, TEXT_COLUMNS)[:MOST_LINES]
    beside = MARGIN + 2 * STRIP + 0.4
    sheet.text(beside, y + 0.25, "\n".join(lines), size=9, color=FAINT)


def _draw_dish(
    sheet: Sheet,
    x: float,
    y: float,
    dish: RecordView,
    book: PhotoBook,
    evidence: str,
    n_photos: int,
) -> None:
    name = sheet.labels(dish["name"])
    dish_id = sheet.labels(dish["dish_id"])
    title = f"{name}  ({dish_id}, {dish['n_images']})"
    sheet.text(x, y, shorten(title, NAME_COLUMNS), size=10)
    evidence_photos = book.named_in(evidence, dish["dish_id"])[:1]
    paths = book.examples(dish["dish_id"], n_photos, evidence_photos) or [None]
    for place, path in enumerate(paths):
        frame = ACCENT if place < len(evidence_photos) else None
        sheet.photo(path, x + place * (SIDE + GAP), y + 0.25, SIDE, frame)
