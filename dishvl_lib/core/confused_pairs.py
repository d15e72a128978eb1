"""Confused pairs of dishes: which answer a question counts under, and how often a true name is
answered by another one.

The evaluation writes these counts to confusions.csv; the report and the browser show them.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.core.types import DishNames

NOT_A_DISH = "not a dish"
NO_ANSWER = "no answer"
PAIR = ["truth", "answer"]


def countable(predictions: pd.DataFrame, names: DishNames) -> pd.DataFrame:
    """The predictions with `shown` (see `shown_answers`) and `site` ('' where unknown), without the
    questions that were lost.
    """
    rows = without_lost(predictions)
    sites = rows["site"].fillna("") if "site" in rows else ""
    return rows.assign(shown=shown_answers(rows, names), site=sites)


def without_lost(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions that can confuse something: a question of a site that was wrong before it was
    asked (`lost` says why) cannot.
    """
    if "lost" not in predictions:
        return predictions
    return predictions[predictions["lost"].fillna("").eq("")]


def shown_answers(predictions: pd.DataFrame, names: DishNames) -> list[str]:
    """What each answer counts as: itself, NOT_A_DISH when it is neither a dish's name, a truth nor
    an entry of a menu, or NO_ANSWER.

    What is marked correct counts as the truth, whatever was said: on a menu without the dish no
    answer is the right one. predictions: answer, truth, correct, and menu where there are any.
    names: {dish_id: name}.
    """
    known = _known_names(predictions, names)
    right = predictions["correct"].eq(True)
    rows = zip(predictions["answer"], predictions["truth"], right, strict=True)
    return [_shown(answer, truth, is_right, known) for answer, truth, is_right in rows]


def count(rows: pd.DataFrame, diagonal: bool = False) -> pd.DataFrame:
    """The wrong pairs, most frequent first: truth, answer, n, n_truth (the truth's questions) and
    image_ids; with `diagonal` the right answers too.

    rows: truth, shown, image_id of one predictor and protocol.
    """
    totals = rows["truth"].value_counts()
    kept = rows if diagonal else rows[rows["truth"] != rows["shown"]]
    pairs = kept.rename(columns={"answer": "given", "shown": "answer"}).groupby(PAIR, sort=True)
    table = pairs["image_id"].agg(n="size", image_ids=list).reset_index()
    table["n_truth"] = table["truth"].map(totals).astype(int)
    return most_frequent_first(table)


def unknown_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """The answers behind NOT_A_DISH as they were given, most frequent first: truth, answer, n and
    image_id, a photo of the first such question.

    rows: truth, answer, shown, image_id.
    """
    unknown = rows[rows["shown"] == NOT_A_DISH].groupby(PAIR, sort=True)
    table = unknown["image_id"].agg(n="size", image_id="first").reset_index()
    return most_frequent_first(table)


def most_frequent_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with truth, answer and n in the order in which pairs are always listed."""
    return table.sort_values(["n", *PAIR], ascending=[False, True, True], ignore_index=True)


def ids_by_name(names: DishNames) -> dict[str, str]:
    """{name: dish_id}; of several dishes with one name the first."""
    ids: dict[str, str] = {}
    for dish_id, name in names.items():
        ids.setdefault(name, dish_id)
    return ids


def look_alike_ranks(similar: pd.DataFrame | None, names: DishNames) -> dict[tuple[str, str], int]:
    """{(truth's name, answer's name): rank} from the rows dish_id, similar_id, rank; of dishes that
    share a name the best rank counts.

    A dish without a name goes by its id. {} without look-alikes. Raises `RecordError` for a missing
    column.
    """
    if similar is None or similar.empty:
        return {}
    columns = ["dish_id", "similar_id", "rank"]
    records.require_columns(similar, columns, "the similar dishes")
    best: dict[tuple[str, str], int] = {}
    for dish_id, similar_id, rank in similar[columns].itertuples(index=False):
        pair = (names.get(dish_id, dish_id), names.get(similar_id, similar_id))
        number = int(rank)
        best[pair] = min(number, best.get(pair, number))
    return best


def _known_names(predictions: pd.DataFrame, names: DishNames) -> set[str]:
    known = {*names.values(), *predictions["truth"]}
    if "menu" in predictions:
        for menu in predictions["menu"]:
            known.update(_entries(menu))
    return known


def _entries(menu: object) -> Iterable[str]:
    """The entries of a row's menu; rows without one hold None, NaN or an empty list."""
    return menu if isinstance(menu, (list, tuple, np.ndarray)) else ()


def _shown(answer: object, truth: str, is_right: bool, known: set[str]) -> str:
    if is_right:
        return truth
    if pd.isna(answer):
        return NO_ANSWER
    return str(answer) if answer in known else NOT_A_DISH
