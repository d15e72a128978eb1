"""Pictures of dishes as matplotlib figures; the caller saves them: `figure.savefig(path, dpi=110)`.

Every function returns a Figure that Jupyter shows by itself. Without a Chinese font names are
numbered and the legend is printed. Charts, curves and the other pictures have files of their own
and can be called from here too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.types import AnyPath, RecordView
from dishvl_lib.display.charts import accuracy_bars, score_histogram
from dishvl_lib.display.cluster_matrix import cluster_matrix
from dishvl_lib.display.curves import loss_curves, trust_curves
from dishvl_lib.display.look_alikes import look_alike_graph
from dishvl_lib.display.photo_book import PhotoBook
from dishvl_lib.display.review_sheet import review_sheet
from dishvl_lib.display.sheet import (
    FAINT,
    RIGHT,
    WRONG,
    Picture,
    Sheet,
    drawable_words,
    drawn,
    message,
)
from dishvl_lib.display.words import NOT_ANSWERS, Words, missing, percent, shorten

__all__ = [
    "accuracy_bars",
    "cluster_matrix",
    "confusion_grid",
    "look_alike_graph",
    "loss_curves",
    "message",
    "photo_grid",
    "review_sheet",
    "score_histogram",
    "similar_grid",
    "trust_curves",
]

# inches
SIDE = 1.15
GAP = 0.06
MARGIN = 0.2
HEAD = 0.5
# of photo_grid: a photo, between photos, the title below one
GRID_SIDE = 1.5
GRID_GAP = 0.1
GRID_TITLE = 0.35
# of confusion_grid: photos of a dish, from pair to pair, between the two dishes, the facts beside
PHOTOS = 3
STRIP = PHOTOS * (SIDE + GAP)
PAIR_HEIGHT = SIDE + 0.42
ARROW = 0.55
FACTS = 2.6
# of similar_grid: from photo to photo, from dish to dish, between a dish and its look-alikes
STEP = SIDE + 0.15
DISH_HEIGHT = SIDE + 0.4
AFTER_DISH = 0.3
FIRST_LOOK_ALIKE = MARGIN + AFTER_DISH + STEP
# of the right answers that are shown when nothing is confused
RIGHT_STEP = SIDE + 0.2
MOST_RIGHT = 6
ON_PHOTO = {"facecolor": "#000000aa", "edgecolor": "none", "pad": 1.5}


@drawn
def photo_grid(
    photos: pd.DataFrame,
    image_root: AnyPath,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    limit: int = 24,
    title: str = "",
) -> Picture:
    """The first `limit` photos, `columns` in a row, each over its title (default: its dish_id).
    `photos`: path, dish_id.

    Raises ValueError when there is not one title for each photo.
    """
    records.require_columns(photos, ("path", "dish_id"), "the photos")
    titles = list(photos["dish_id"]) if titles is None else list(titles)
    if len(titles) != len(photos):
        raise ValueError(f"{len(photos)} photos need as many titles, got {len(titles)}")
    if len(photos) == 0:
        return message(title or "0 photos")
    shown = list(zip(photos["path"], titles, strict=True))[:limit]
    n_rows = -(-len(shown) // columns)
    across = GRID_SIDE + GRID_GAP
    down = GRID_SIDE + GRID_TITLE
    width = 2 * MARGIN + min(columns, len(shown)) * across
    sheet = Sheet(max(width, 4), HEAD + n_rows * down)
    heading = sheet.labels(title) or f"{len(shown)} of {len(photos)} photos"
    sheet.text(MARGIN, 0.15, shorten(heading, 90), size=11)
    for index, (path, name) in enumerate(shown):
        row, column = divmod(index, columns)
        x = MARGIN + column * across
        y = HEAD + row * down
        sheet.photo(Path(image_root) / path, x, y, GRID_SIDE)
        sheet.text(x, y + GRID_SIDE + 0.04, shorten(sheet.labels(name), 21), size=9)
    return sheet.done()


@drawn
def confusion_grid(
    confusions: pd.DataFrame,
    photos: pd.DataFrame,
    names: Mapping[str, str],
    image_root: AnyPath,
    top: int = 8,
    *,
    language: str = "en",
    title: str = "",
) -> Picture:
    """The `top` most confused pairs: photos of the truth | photos of the dish it was taken for |
    count, share, rank.

    `confusions`: truth, answer, n, share, look_alike_rank, truth_id, answer_id and image_ids
    (photos of the cell, framed red). With the diagonal among the rows the title says how many of
    all questions are wrong, and without any confusion the sheet shows right answers instead.
    `names` ({dish_id: name}) finds dishes without an id in the row.
    """
    records.require_columns(confusions, ("truth", "answer", "n"), "the confusions")
    words = drawable_words(language)
    book = PhotoBook(photos, image_root)
    ids = confused_pairs.ids_by_name(names)
    is_right = confusions["truth"] == confusions["answer"]
    right = confusions[is_right]
    pairs = confusions[~is_right].sort_values("n", ascending=False, kind="stable")
    if pairs.empty:
        return _right_answers(right, book, ids, words, title)
    shown = pairs.head(top)
    width = MARGIN + 2 * STRIP + ARROW + FACTS
    sheet = Sheet(width, HEAD + len(shown) * PAIR_HEIGHT + 0.1)
    heading = _after_title(sheet.labels(title), _headline(shown, pairs, right, words))
    sheet.text(MARGIN, 0.13, heading, size=11)
    for index, row in enumerate(shown.to_dict("records")):
        _draw_pair(sheet, HEAD + index * PAIR_HEIGHT, row, book, ids, words)
    return sheet.done()


def _after_title(title: str, heading: str) -> str:
    return f"{title}  {heading}" if title else heading


def _headline(shown: pd.DataFrame, pairs: pd.DataFrame, right: pd.DataFrame, words: Words) -> str:
    n_shown = f"{words('confused pairs')}: {len(shown)} {words('of')} {len(pairs)}"
    if right.empty:
        return n_shown
    n_wrong = int(pairs["n"].sum())
    n_questions = n_wrong + int(right["n"].sum())
    return f"{n_shown};  {words('wrong')}: {n_wrong} {words('of')} {n_questions}"


def _draw_pair(
    sheet: Sheet,
    y: float,
    row: RecordView,
    book: PhotoBook,
    ids: Mapping[str, str],
    words: Words,
) -> None:
    """The truth and its photos, those that were asked about framed | the answer and its photos |
    the facts.
    """
    second = MARGIN + STRIP + 0.5
    photos_y = y + 0.25
    photos = _photos_of(row)
    truth_id = row.get("truth_id") or ids.get(row["truth"], "")
    answer_id = row.get("answer_id") or ids.get(row["answer"], "")
    sheet.text(MARGIN, y, shorten(sheet.labels(row["truth"]), 46), size=10)
    for index, path in enumerate(book.examples(truth_id, PHOTOS, photos)):
        frame = WRONG if index < len(photos) else None
        sheet.photo(path, MARGIN + index * (SIDE + GAP), photos_y, SIDE, frame)
    arrow_y = photos_y + SIDE / 2
    sheet.text(second - 0.27, arrow_y, "→", size=16, color=FAINT, ha="center", va="center")
    answer = shorten(sheet.labels(words.answer(row["answer"])), 46)
    sheet.text(second, y, answer, size=10, color=WRONG)
    for index, path in enumerate(book.examples(answer_id, PHOTOS) or [None]):
        sheet.photo(path, second + index * (SIDE + GAP), photos_y, SIDE)
    sheet.text(second + STRIP + 0.15, y + 0.3, _facts(row, words), size=10)


def _photos_of(row: RecordView) -> list[str]:
    """The photos of a pair's questions; a table read from a CSV file has none."""
    image_ids = row.get("image_ids")
    return list(image_ids) if isinstance(image_ids, (list, tuple)) else []


def _facts(row: RecordView, words: Words) -> str:
    """Count, share and look-alike rank of a pair, one a line, as far as they are known."""
    n = int(row["n"])
    lines = [str(n)]
    if not missing(row.get("n_truth")):
        lines = [f"{n} {words('of')} {int(row['n_truth'])} {words('questions')}"]
    if not missing(row.get("share")):
        lines.append(f"{words('share')} {percent(row['share'])}")
    if row["answer"] not in NOT_ANSWERS:
        lines.append(_rank(row.get("look_alike_rank"), words))
    return "\n".join(lines)


def _rank(rank: Any, words: Words) -> str:
    if missing(rank) or rank == "":
        return words("not a look-alike")
    return f"{words('look-alike rank')} {int(rank)}"


def _right_answers(
    right: pd.DataFrame, book: PhotoBook, ids: Mapping[str, str], words: Words, title: str
) -> Picture:
    width = MARGIN * 2 + MOST_RIGHT * RIGHT_STEP
    sheet = Sheet(width, 2.4 if len(right) else 1.0)
    n_questions = f"{int(right['n'].sum())} {words('questions')}"
    heading = _after_title(sheet.labels(title), f"{words('no confusions among')} {n_questions}")
    sheet.text(MARGIN, 0.13, heading, size=12, color=RIGHT)
    for index, row in enumerate(right.head(MOST_RIGHT).to_dict("records")):
        x = MARGIN + index * RIGHT_STEP
        dish_id = row.get("truth_id") or ids.get(row["truth"], "")
        name = shorten(sheet.labels(row["truth"]), 18)
        n = int(row["n"])
        count = f"{n} {words('of')} {n}"
        sheet.photo(book.example(dish_id, _photos_of(row)), x, 0.6, SIDE, RIGHT)
        sheet.text(x, 0.65 + SIDE, f"{name}\n{count}", size=9)
    return sheet.done()


@drawn
def similar_grid(
    similar: pd.DataFrame,
    photos: pd.DataFrame,
    names: Mapping[str, str],
    image_root: AnyPath,
    rows: int = 8,
    *,
    neighbours: int = 5,
    language: str = "en",
) -> Picture:
    """`rows` dishes with the closest look-alikes of all, each beside its `neighbours` nearest,
    scores on the pictures.

    `similar`: dish_id, similar_id, rank (1 = closest), score.
    """
    columns = ("dish_id", "similar_id", "rank", "score")
    records.require_columns(similar, columns, "the similar dishes")
    words = drawable_words(language)
    numbers = {name: pd.to_numeric(similar[name]) for name in ("rank", "score")}
    table = similar.assign(**numbers).sort_values("rank", kind="stable")
    closest = table[table["rank"] == 1].sort_values("score", ascending=False, kind="stable")
    dishes = closest["dish_id"].head(rows).tolist()
    if not dishes:
        return message("no look-alikes were found")
    width = 2 * MARGIN + AFTER_DISH + (neighbours + 1) * STEP
    sheet = Sheet(width, HEAD + 0.25 + len(dishes) * DISH_HEIGHT)
    n_dishes = f"{len(dishes)} {words('of')} {table['dish_id'].nunique()}"
    sheet.text(MARGIN, 0.13, f"{words('look-alikes')}: {n_dishes}", size=11)
    sheet.text(MARGIN, HEAD - 0.03, words("dish"), size=9, color=FAINT)
    sheet.text(FIRST_LOOK_ALIKE, HEAD - 0.03, f"{words('closest')} →", size=9, color=FAINT)
    book = PhotoBook(photos, image_root)
    for index, dish_id in enumerate(dishes):
        y = HEAD + 0.2 + index * DISH_HEIGHT
        nearest = table[table["dish_id"] == dish_id].head(neighbours)
        _draw_dish(sheet, MARGIN, y, dish_id, names, book)
        _draw_look_alikes(sheet, y, nearest, names, book)
    return sheet.done()


def _draw_look_alikes(
    sheet: Sheet, y: float, nearest: pd.DataFrame, names: Mapping[str, str], book: PhotoBook
) -> None:
    """Dishes side by side, the closest first, with their scores on the photos."""
    for place, row in enumerate(nearest.itertuples()):
        x = FIRST_LOOK_ALIKE + place * STEP
        score = f"{row.score:.3f}"
        _draw_dish(sheet, x, y, row.similar_id, names, book)
        sheet.text(x + 0.05, y + 0.05, score, size=9, color="white", bbox=ON_PHOTO)


def _draw_dish(
    sheet: Sheet, x: float, y: float, dish_id: str, names: Mapping[str, str], book: PhotoBook
) -> None:
    name = shorten(sheet.labels(names.get(dish_id, dish_id)), 18)
    sheet.photo(book.example(dish_id), x, y, SIDE)
    sheet.text(x, y + SIDE + 0.04, name, size=9)
