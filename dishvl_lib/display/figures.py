"""Pictures of dishes as matplotlib figures; the caller saves them: `figure.savefig(path, dpi=110)`.

Every function returns a Figure that Jupyter shows by itself. Without a Chinese font names are
numbered and the legend is printed. Charts and the other pictures have files of their own and can be
called from here too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames, RecordView
from dishvl_lib.display.charts import accuracy_bars, loss_curves, score_histogram, trust_curves
from dishvl_lib.display.cluster_matrix import cluster_matrix
from dishvl_lib.display.look_alikes import look_alike_graph
from dishvl_lib.display.sheet import (
    FAINT,
    GAP,
    HEAD,
    MARGIN,
    PHOTOS,
    RIGHT,
    SIDE,
    STRIP,
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
    "score_histogram",
    "similar_grid",
    "trust_curves",
]

# inches
# of photo_grid: a photo, between photos, the title below one
GRID_SIDE = 1.5
GRID_GAP = 0.1
GRID_TITLE = 0.35
# of confusion_grid: from pair to pair, between the two dishes, the facts beside
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


@dataclass(frozen=True)
class _Pair:
    """A row of a table of confusions; what the table does not hold is None, photos are []."""

    truth: str
    answer: str
    truth_id: str
    answer_id: str
    n: int
    n_truth: Any
    share: Any
    look_alike_rank: Any
    image_ids: list[str]

    @classmethod
    def of(cls, row: RecordView, ids: Mapping[str, str]) -> Self:
        """ids: {name: dish_id} of dishes without an id in the row."""
        truth = row["truth"]
        answer = row["answer"]
        image_ids = row.get("image_ids")
        return cls(
            truth=truth,
            answer=answer,
            truth_id=row.get("truth_id") or ids.get(truth, ""),
            answer_id=row.get("answer_id") or ids.get(answer, ""),
            n=int(row["n"]),
            n_truth=row.get("n_truth"),
            share=row.get("share"),
            look_alike_rank=row.get("look_alike_rank"),
            # A table that was read from a CSV file has none.
            image_ids=list(image_ids) if isinstance(image_ids, (list, tuple)) else [],
        )


def _pairs(rows: pd.DataFrame, names: DishNames) -> list[_Pair]:
    ids = confused_pairs.ids_by_name(names)
    return [_Pair.of(row, ids) for row in rows.to_dict("records")]


def _short(sheet: Sheet, text: str, columns: int) -> str:
    """What stands for a name on the sheet: its number where no font has it, and not too long."""
    label = sheet.labels(text)
    return shorten(label, columns)


@drawn
def photo_grid(
    photos: pd.DataFrame,
    image_root: AnyPath,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    limit: int = 24,
    title: str = "example photos",
    language: str = "en",
) -> Picture:
    """The first `limit` photos, `columns` in a row, each over its title (default: its dish_id).
    `photos`: path, dish_id. title: what the photos are, translated where it is one of our words.

    Raises ValueError when there is not one title for each photo.
    """
    records.require_columns(photos, ("path", "dish_id"), "the photos")
    titles = list(photos["dish_id"] if titles is None else titles)
    n = len(photos)
    if len(titles) != n:
        raise ValueError(f"{n} photos need as many titles, got {len(titles)}")
    words = drawable_words(language)
    if n == 0:
        return message(f"{words.known(title)}: {words('none')}")
    titled = list(zip(photos["path"], titles, strict=True))
    shown = titled[:limit]
    n_shown = len(shown)
    n_rows = -(-n_shown // columns)
    across = GRID_SIDE + GRID_GAP
    down = GRID_SIDE + GRID_TITLE
    n_columns = min(columns, n_shown)
    width = 2 * MARGIN + n_columns * across
    height = HEAD + n_rows * down
    sheet = Sheet(max(width, 4), height)
    heading = _counted(sheet.labels(words.known(title)), n_shown, n, words)
    sheet.text(MARGIN, 0.15, shorten(heading, 90), size=11)
    for index, (path, name) in enumerate(shown):
        row, column = divmod(index, columns)
        x = MARGIN + column * across
        y = HEAD + row * down
        below = y + GRID_SIDE + 0.04
        label = _short(sheet, name, 21)
        sheet.photo(Path(image_root) / path, x, y, GRID_SIDE)
        sheet.text(x, below, label, size=9)
    return sheet.done()


@drawn
def confusion_grid(
    confusions: pd.DataFrame,
    photos: pd.DataFrame,
    names: DishNames,
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
    is_right = confusions["truth"] == confusions["answer"]
    right = confusions[is_right]
    pairs = confusions[~is_right].sort_values("n", ascending=False, kind="stable")
    if pairs.empty:
        n_questions = int(right["n"].sum())
        shown_right = _pairs(right.head(MOST_RIGHT), names)
        return _right_answers(shown_right, n_questions, book, words, title)
    shown = pairs.head(top)
    width = MARGIN + 2 * STRIP + ARROW + FACTS
    height = HEAD + len(shown) * PAIR_HEIGHT + 0.1
    sheet = Sheet(width, height)
    counts = _headline(shown, pairs, right, words)
    heading = _after_title(sheet.labels(title), counts)
    sheet.text(MARGIN, 0.13, heading, size=11)
    for index, pair in enumerate(_pairs(shown, names)):
        y = HEAD + index * PAIR_HEIGHT
        _draw_pair(sheet, y, pair, book, words)
    return sheet.done()


def _counted(title: str, n_shown: int, n: int, words: Words) -> str:
    count = f"{n_shown} {words('of')} {n}" if n_shown < n else str(n)
    return f"{title}: {count}"


def _after_title(title: str, heading: str) -> str:
    return f"{title}  {heading}" if title else heading


def _headline(shown: pd.DataFrame, pairs: pd.DataFrame, right: pd.DataFrame, words: Words) -> str:
    n_shown = f"{words('confused pairs')}: {len(shown)} {words('of')} {len(pairs)}"
    if right.empty:
        return n_shown
    n_wrong = int(pairs["n"].sum())
    n_questions = n_wrong + int(right["n"].sum())
    return f"{n_shown};  {words('wrong')}: {n_wrong} {words('of')} {n_questions}"


def _draw_pair(sheet: Sheet, y: float, pair: _Pair, book: PhotoBook, words: Words) -> None:
    """The truth and its photos, those that were asked about framed | the answer and its photos |
    the facts.
    """
    step = SIDE + GAP
    second = MARGIN + STRIP + 0.5
    photos_y = y + 0.25
    n_asked_about = len(pair.image_ids)
    truth = _short(sheet, pair.truth, 46)
    sheet.text(MARGIN, y, truth, size=10)
    of_truth = book.examples(pair.truth_id, PHOTOS, pair.image_ids)
    for index, path in enumerate(of_truth):
        frame = WRONG if index < n_asked_about else None
        x = MARGIN + index * step
        sheet.photo(path, x, photos_y, SIDE, frame)
    arrow_y = photos_y + SIDE / 2
    sheet.text(second - 0.27, arrow_y, "→", size=16, color=FAINT, ha="center", va="center")
    answer = _short(sheet, words.answer(pair.answer), 46)
    sheet.text(second, y, answer, size=10, color=WRONG)
    of_answer = book.examples(pair.answer_id, PHOTOS) or [None]
    for index, path in enumerate(of_answer):
        x = second + index * step
        sheet.photo(path, x, photos_y, SIDE)
    beside = second + STRIP + 0.15
    facts = _facts(pair, words)
    sheet.text(beside, y + 0.3, facts, size=10)


def _facts(pair: _Pair, words: Words) -> str:
    """Count, share and look-alike rank of a pair, one a line, as far as they are known."""
    lines = [str(pair.n)]
    if not missing(pair.n_truth):
        lines = [f"{pair.n} {words('of')} {int(pair.n_truth)} {words('questions')}"]
    if not missing(pair.share):
        lines.append(f"{words('share')} {percent(pair.share)}")
    if pair.answer not in NOT_ANSWERS:
        rank = _rank(pair.look_alike_rank, words)
        lines.append(rank)
    return "\n".join(lines)


def _rank(rank: Any, words: Words) -> str:
    if missing(rank) or rank == "":
        return words("not a look-alike")
    return f"{words('look-alike rank')} {int(rank)}"


def _right_answers(
    right: Sequence[_Pair], n_questions: int, book: PhotoBook, words: Words, title: str
) -> Picture:
    width = MARGIN * 2 + MOST_RIGHT * RIGHT_STEP
    sheet = Sheet(width, 2.4 if right else 1.0)
    nothing_wrong = f"{words('no confusions among')} {n_questions} {words('questions')}"
    heading = _after_title(sheet.labels(title), nothing_wrong)
    sheet.text(MARGIN, 0.13, heading, size=12, color=RIGHT)
    for index, pair in enumerate(right):
        x = MARGIN + index * RIGHT_STEP
        name = _short(sheet, pair.truth, 18)
        count = f"{pair.n} {words('of')} {pair.n}"
        example = book.example(pair.truth_id, pair.image_ids)
        sheet.photo(example, x, 0.6, SIDE, RIGHT)
        sheet.text(x, 0.65 + SIDE, f"{name}\n{count}", size=9)
    return sheet.done()


@drawn
def similar_grid(
    similar: pd.DataFrame,
    photos: pd.DataFrame,
    names: DishNames,
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
    score = pd.to_numeric(similar["score"])
    rank = pd.to_numeric(similar["rank"])
    table = similar.assign(rank=rank, score=score).sort_values("rank", kind="stable")
    is_closest = table["rank"] == 1
    closest = table[is_closest].sort_values("score", ascending=False, kind="stable")
    dishes = closest["dish_id"].head(rows).tolist()
    if not dishes:
        return message("no look-alikes were found")
    dishes_in_row = neighbours + 1
    width = 2 * MARGIN + AFTER_DISH + dishes_in_row * STEP
    height = HEAD + 0.25 + len(dishes) * DISH_HEIGHT
    sheet = Sheet(width, height)
    n_dishes = f"{len(dishes)} {words('of')} {table['dish_id'].nunique()}"
    headings_y = HEAD - 0.03
    sheet.text(MARGIN, 0.13, f"{words('look-alikes')}: {n_dishes}", size=11)
    sheet.text(MARGIN, headings_y, words("dish"), size=9, color=FAINT)
    sheet.text(FIRST_LOOK_ALIKE, headings_y, f"{words('closest')} →", size=9, color=FAINT)
    book = PhotoBook(photos, image_root)
    for index, dish_id in enumerate(dishes):
        y = HEAD + 0.2 + index * DISH_HEIGHT
        is_of_dish = table["dish_id"] == dish_id
        nearest = table[is_of_dish].head(neighbours)
        _draw_dish(sheet, MARGIN, y, dish_id, names, book)
        _draw_look_alikes(sheet, y, nearest, names, book)
    return sheet.done()


def _draw_look_alikes(
    sheet: Sheet, y: float, nearest: pd.DataFrame, names: DishNames, book: PhotoBook
) -> None:
    """Dishes side by side, the closest first, with their scores on the photos."""
    for place, row in enumerate(nearest.itertuples()):
        x = FIRST_LOOK_ALIKE + place * STEP
        score = f"{row.score:.3f}"
        _draw_dish(sheet, x, y, row.similar_id, names, book)
        sheet.text(x + 0.05, y + 0.05, score, size=9, color="white", bbox=ON_PHOTO)


def _draw_dish(
    sheet: Sheet, x: float, y: float, dish_id: str, names: DishNames, book: PhotoBook
) -> None:
    name = names.get(dish_id, dish_id)
    label = _short(sheet, name, 18)
    example = book.example(dish_id)
    below = y + SIDE + 0.04
    sheet.photo(example, x, y, SIDE)
    sheet.text(x, below, label, size=9)
