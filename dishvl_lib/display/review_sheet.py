"""The first suspicions of a review of names as one picture, for notebooks that run in batch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display.sheet import ACCENT, FAINT, PhotoBook, Picture, Sheet, drawn
from dishvl_lib.display.words import Words, shorten, wrapped

COLUMNS = ("dish_id", "name", "suspicion", "other_dish", "evidence", "n_images")
SIDE = 1.15
GAP = 0.06
MARGIN = 0.2
HEAD = 0.5
PHOTOS = 3
STRIP = PHOTOS * (SIDE + GAP)
ROW = SIDE + 0.85
SHEET_WIDTH = 2 * MARGIN + 2 * STRIP + 3.6
TEXT_COLUMNS = 44


@drawn
def review_sheet(
    review: pd.DataFrame,
    dishes: Sequence[Mapping[str, Any]],
    photos: pd.DataFrame,
    image_root: str | Path,
    limit: int = 6,
    *,
    language: str = "en",
) -> Picture:
    """The first `limit` rows of the review: photos of the dish | photos of the other dish, if there
    is one | the evidence.

    review: COLUMNS. dishes: rows of dishes.jsonl, for the names. photos: image_id, path, dish_id. A
    photo that the evidence names comes first, framed.
    """
    records.require_columns(review, COLUMNS, "the review")
    shown = review.fillna("").head(limit)
    by_id = {dish["dish_id"]: dish for dish in dishes}
    sheet = Sheet(SHEET_WIDTH, HEAD + max(1, len(shown)) * ROW)
    book = PhotoBook(photos, image_root)
    words = Words(language if sheet.labels.font else "en")
    said = (
        f"{words('suspicion')}: {len(shown)} {words('of')} {len(review)}"
        if len(review)
        else words("nothing to review")
    )
    sheet.text(MARGIN, 0.13, said, size=11)
    for place, row in enumerate(shown.to_dict("records")):
        _row(sheet, HEAD + place * ROW, row, by_id, book, words)
    return sheet.done()


def _row(
    sheet: Sheet,
    y: float,
    row: Mapping[str, Any],
    by_id: Mapping[str, Mapping[str, Any]],
    book: PhotoBook,
    words: Words,
) -> None:
    sheet.text(MARGIN, y, words.known(row["suspicion"]), size=10, color=ACCENT)
    sides = [by_id[dish_id] for dish_id in (row["dish_id"], row["other_dish"]) if dish_id]
    for side, dish in enumerate(sides):
        _dish(
            sheet,
            MARGIN + side * (STRIP + 0.2),
            y + 0.22,
            dish,
            book,
            row["evidence"],
            PHOTOS * 2 // len(sides),
        )
    evidence = re.sub(r"[^\x00-\x7f]+", lambda part: sheet.labels(part[0]), row["evidence"])
    lines = wrapped(evidence, TEXT_COLUMNS)[:8]
    sheet.text(MARGIN + 2 * STRIP + 0.4, y + 0.47, "\n".join(lines), size=9, color=FAINT)


def _dish(
    sheet: Sheet,
    x: float,
    y: float,
    dish: Mapping[str, Any],
    book: PhotoBook,
    evidence: str,
    count: int,
) -> None:
    sheet.text(
        x,
        y,
        shorten(
            f"{sheet.labels(dish['name'])}  ({sheet.labels(dish['dish_id'])}, {dish['n_images']})",
            48,
        ),
        size=10,
    )
    asked = [
        image_id
        for image_id in book.ids_by_dish.get(dish["dish_id"], ())
        if str(book.path_by_id[image_id]) in evidence
    ][:1]
    for place, path in enumerate(book.examples(dish["dish_id"], count, asked) or [None]):
        sheet.photo(
            path, x + place * (SIDE + GAP), y + 0.25, SIDE, ACCENT if place < len(asked) else None
        )
