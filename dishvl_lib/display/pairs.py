"""Pairs of dishes: counting truth x answer of the questions that a browser's filters leave, and an
order that keeps pairs together.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dishvl_lib.display.words import missing

NOT_A_DISH = "not a dish"
NO_ANSWER = "no answer"


def countable(predictions: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The predictions with `shown` (`shown_answers`) and `site` ('' where unknown), without the
    questions that were `lost` before they were asked.
    """
    rows = (
        predictions[predictions["lost"].fillna("").eq("")] if "lost" in predictions else predictions
    )
    sites = rows["site"].fillna("") if "site" in rows else ""
    return rows.assign(shown=shown_answers(rows, names), site=sites)


def shown_answers(predictions: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """The answers, with NOT_A_DISH for those that are neither a dish's name, a truth nor on a menu,
    NO_ANSWER for none.

    What is marked correct is the truth, whatever was said: on a menu without the dish no answer is
    the right one.
    """
    known = set(names.values()) | set(predictions["truth"])
    for menu in predictions["menu"] if "menu" in predictions else ():
        known.update(() if missing(menu) else menu)
    said = zip(
        predictions["answer"], predictions["truth"], predictions["correct"].eq(True), strict=True
    )
    return [
        truth
        if right
        else NO_ANSWER
        if missing(answer)
        else answer
        if answer in known
        else NOT_A_DISH
        for answer, truth, right in said
    ]


def count(rows: pd.DataFrame) -> pd.DataFrame:
    """Wrong pairs, most frequent first: truth, answer, n, n_truth (the truth's questions),
    image_ids. `rows`: truth, shown, image_id.
    """
    totals = rows["truth"].value_counts()
    wrong = rows[rows["truth"] != rows["shown"]]
    table = (
        wrong.groupby(["truth", "shown"], sort=True)["image_id"]
        .agg(n="size", image_ids=list)
        .reset_index()
        .rename(columns={"shown": "answer"})
    )
    table["n_truth"] = table["truth"].map(totals)
    return table.sort_values(
        ["n", "truth", "answer"], ascending=[False, True, True], ignore_index=True
    )


def strangers(rows: pd.DataFrame) -> pd.DataFrame:
    """The answers behind NOT_A_DISH as they were given, most frequent first: truth, answer, n.
    `rows`: truth, answer, shown.
    """
    table = (
        rows[rows["shown"] == NOT_A_DISH]
        .groupby(["truth", "answer"], sort=True)
        .size()
        .rename("n")
        .reset_index()
    )
    return table.sort_values(
        ["n", "truth", "answer"], ascending=[False, True, True], ignore_index=True
    )


def ids_by_name(names: Mapping[str, str]) -> dict[str, str]:
    """{name: dish_id}; of several dishes with one name the first."""
    return {name: dish_id for dish_id, name in reversed(list(names.items()))}


def ranks(similar: pd.DataFrame | None, names: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """{(truth's name, answer's name): best look-alike rank} from dish_id, similar_id, rank."""
    best: dict[tuple[str, str], int] = {}
    for row in () if similar is None else similar.itertuples():
        pair = names.get(row.dish_id, row.dish_id), names.get(row.similar_id, row.similar_id)
        best[pair] = min(int(row.rank), best.get(pair, int(row.rank)))
    return best


def side_by_side(counts: np.ndarray) -> list[int]:
    """(dishes, dishes) counts or scores -> an order in which each dish is followed by the one
    closest to it, of those not placed yet.
    """
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    left = set(range(len(both)))
    order = []
    while left:
        follows = (
            max(left, key=lambda i: (both[order[-1], i], both[i].sum(), -i))
            if order
            else max(left, key=lambda i: (both[i].sum(), -i))
        )
        order.append(follows)
        left.remove(follows)
    return order
