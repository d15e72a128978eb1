"""Pictures of dishes as matplotlib figures; the caller saves them: `figure.savefig(path, dpi=110)`.

Every function returns a Figure that Jupyter shows by itself. Without a Chinese font names are
numbered and the legend is printed. Charts are in `charts` and can be called from here too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display.charts import accuracy_bars, loss_curves, score_histogram
from dishvl_lib.display.cluster_matrix import cluster_matrix
from dishvl_lib.display.curves import trust_curves
from dishvl_lib.display.look_alikes import look_alike_graph
from dishvl_lib.display.review_sheet import review_sheet
from dishvl_lib.display.sheet import FAINT, RIGHT, WRONG, PhotoBook, Picture, Sheet, drawn
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

SIDE = 1.15
GAP = 0.06
MARGIN = 0.2
HEAD = 0.5


@drawn
def photo_grid(
    photos: pd.DataFrame,
    image_root: str | Path,
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
    side = 1.5
    shown = list(zip(photos["path"], titles, strict=True))[:limit]
    rows = -(-len(shown) // columns)
    across = min(columns, len(shown))
    sheet = Sheet(max(2 * MARGIN + across * (side + 0.1), 4), HEAD + rows * (side + 0.35))
    sheet.text(
        MARGIN,
        0.15,
        shorten(sheet.labels(title) or f"{len(shown)} of {len(photos)} photos", 90),
        size=11,
    )
    for index, (path, name) in enumerate(shown):
        x = MARGIN + index % columns * (side + 0.1)
        y = HEAD + index // columns * (side + 0.35)
        sheet.photo(Path(image_root) / path, x, y, side)
        sheet.text(x, y + side + 0.04, shorten(sheet.labels(name), 21), size=9)
    return sheet.done()


@drawn
def confusion_grid(
    confusions: pd.DataFrame,
    photos: pd.DataFrame,
    names: Mapping[str, str],
    image_root: str | Path,
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
    pairs = confusions[confusions["truth"] != confusions["answer"]].sort_values(
        "n", ascending=False, kind="stable"
    )
    right = confusions[confusions["truth"] == confusions["answer"]]
    book = PhotoBook(photos, image_root)
    ids = {name: dish_id for dish_id, name in reversed(list(names.items()))}
    if pairs.empty:
        return _right_answers(right, book, ids, language, title)
    sheet = Sheet(
        MARGIN + 6 * (SIDE + GAP) + 0.55 + 2.6, HEAD + min(top, len(pairs)) * (SIDE + 0.42) + 0.1
    )
    words = _words(language, sheet)
    sheet.text(
        MARGIN,
        0.13,
        sheet.labels(title) + ("  " if title else "") + _headline(pairs, right, words, top),
        size=11,
    )
    for index, row in enumerate(pairs.head(top).to_dict("records")):
        _pair(sheet, HEAD + index * (SIDE + 0.42), row, book, ids, words)
    return sheet.done()


@drawn
def similar_grid(
    similar: pd.DataFrame,
    photos: pd.DataFrame,
    names: Mapping[str, str],
    image_root: str | Path,
    rows: int = 8,
    *,
    neighbours: int = 5,
    language: str = "en",
) -> Picture:
    """`rows` dishes with the closest look-alikes of all, each beside its `neighbours` nearest,
    scores on the pictures.

    `similar`: dish_id, similar_id, rank (1 = closest), score.
    """
    records.require_columns(
        similar, ("dish_id", "similar_id", "rank", "score"), "the similar dishes"
    )
    table = similar.assign(
        rank=pd.to_numeric(similar["rank"]), score=pd.to_numeric(similar["score"])
    ).sort_values("rank", kind="stable")
    dishes = (
        table[table["rank"] == 1]
        .sort_values("score", ascending=False, kind="stable")["dish_id"]
        .head(rows)
        .tolist()
    )
    if not dishes:
        return message("no look-alikes were found")
    book = PhotoBook(photos, image_root)
    sheet = Sheet(
        2 * MARGIN + 0.3 + (neighbours + 1) * (SIDE + 0.15),
        HEAD + 0.25 + len(dishes) * (SIDE + 0.4),
    )
    words = _words(language, sheet)
    sheet.text(
        MARGIN,
        0.13,
        f"{words('look-alikes')}: {len(dishes)} {words('of')} {table['dish_id'].nunique()}",
        size=11,
    )
    sheet.text(MARGIN, HEAD - 0.03, words("dish"), size=9, color=FAINT)
    sheet.text(
        MARGIN + 0.3 + SIDE + 0.15, HEAD - 0.03, words("closest") + " →", size=9, color=FAINT
    )
    for index, dish_id in enumerate(dishes):
        _neighbours(
            sheet,
            HEAD + 0.2 + index * (SIDE + 0.4),
            table[table["dish_id"] == dish_id].head(neighbours),
            dish_id,
            names,
            book,
        )
    return sheet.done()


@drawn
def message(text: str) -> Picture:
    """A small sheet that says why there is nothing to draw."""
    sheet = Sheet(7, 1)
    sheet.text(3.5, 0.5, sheet.labels(text), size=12, ha="center", va="center", color=FAINT)
    return sheet.done()


def _words(language: str, sheet: Sheet) -> Words:
    words = Words(language)
    return words if sheet.labels.font else Words("en")


def _headline(pairs: pd.DataFrame, right: pd.DataFrame, words: Words, top: int) -> str:
    shown = f"{words('confused pairs')}: {min(top, len(pairs))} {words('of')} {len(pairs)}"
    total = int(pairs["n"].sum() + right["n"].sum())
    return (
        shown
        if right.empty
        else f"{shown};  {words('wrong')}: {int(pairs['n'].sum())} {words('of')} {total}"
    )


def _pair(sheet: Sheet, y: float, row: dict, book: PhotoBook, ids: dict, words: Words) -> None:
    second = MARGIN + 3 * (SIDE + GAP) + 0.5
    sheet.text(MARGIN, y, shorten(sheet.labels(row["truth"]), 46), size=10)
    sheet.text(
        second, y, shorten(sheet.labels(words.answer(row["answer"])), 46), size=10, color=WRONG
    )
    confused = _cell_photos(row)
    truth_id = row.get("truth_id") or ids.get(row["truth"], "")
    for index, path in enumerate(book.examples(truth_id, 3, confused)):
        sheet.photo(
            path,
            MARGIN + index * (SIDE + GAP),
            y + 0.25,
            SIDE,
            WRONG if index < len(confused) else None,
        )
    sheet.text(
        second - 0.27, y + 0.25 + SIDE / 2, "→", size=16, color=FAINT, ha="center", va="center"
    )
    answer_id = row.get("answer_id") or ids.get(row["answer"], "")
    for index, path in enumerate(book.examples(answer_id, 3) or [None]):
        sheet.photo(path, second + index * (SIDE + GAP), y + 0.25, SIDE)
    sheet.text(second + 3 * (SIDE + GAP) + 0.15, y + 0.3, _facts(row, words), size=10)


def _cell_photos(row: dict) -> list[str]:
    examples = row.get("image_ids")
    return list(examples) if isinstance(examples, (list, tuple)) else []


def _facts(row: dict, words: Words) -> str:
    total = row.get("n_truth")
    count = f"{int(row['n'])}" + (
        "" if missing(total) else f" {words('of')} {int(total)} {words('questions')}"
    )
    lines = (
        [count, f"{words('share')} {percent(row['share'])}"]
        if not missing(row.get("share"))
        else [count]
    )
    if row["answer"] in NOT_ANSWERS:
        return "\n".join(lines)
    rank = row.get("look_alike_rank")
    return "\n".join(
        [
            *lines,
            words("not a look-alike")
            if missing(rank) or rank == ""
            else f"{words('look-alike rank')} {int(rank)}",
        ]
    )


def _right_answers(
    right: pd.DataFrame, book: PhotoBook, ids: dict, language: str, title: str
) -> Picture:
    sheet = Sheet(MARGIN * 2 + 6 * (SIDE + 0.2), 2.4 if len(right) else 1.0)
    words = _words(language, sheet)
    said = f"{words('no confusions among')} {int(right['n'].sum())} {words('questions')}"
    sheet.text(
        MARGIN, 0.13, sheet.labels(title) + ("  " if title else "") + said, size=12, color=RIGHT
    )
    for index, row in enumerate(right.head(6).to_dict("records")):
        x = MARGIN + index * (SIDE + 0.2)
        paths = book.examples(
            row.get("truth_id") or ids.get(row["truth"], ""), 1, _cell_photos(row)
        )
        sheet.photo(paths[0] if paths else None, x, 0.6, SIDE, RIGHT)
        sheet.text(
            x,
            0.65 + SIDE,
            f"{shorten(sheet.labels(row['truth']), 18)}\n{int(row['n'])} {words('of')} "
            f"{int(row['n'])}",
            size=9,
        )
    return sheet.done()


def _neighbours(
    sheet: Sheet,
    y: float,
    nearest: pd.DataFrame,
    dish_id: str,
    names: Mapping[str, str],
    book: PhotoBook,
) -> None:
    entries = [
        (dish_id, None),
        *nearest[["similar_id", "score"]].itertuples(index=False, name=None),
    ]
    for index, (other, score) in enumerate(entries):
        x = MARGIN + index * (SIDE + 0.15) + (0.3 if index else 0)
        paths = book.examples(other, 1)
        sheet.photo(paths[0] if paths else None, x, y, SIDE)
        sheet.text(x, y + SIDE + 0.04, shorten(sheet.labels(names.get(other, other)), 18), size=9)
        if score is not None:
            sheet.text(
                x + 0.05,
                y + 0.05,
                f"{float(score):.3f}",
                size=9,
                color="white",
                bbox={"facecolor": "#000000aa", "edgecolor": "none", "pad": 1.5},
            )
