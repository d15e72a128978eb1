"""Pairs of dishes: counting truth x answer of the questions that a browser's filters leave, and an order that keeps pairs together."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dishvl_lib.display.words import missing

NOT_A_DISH, NO_ANSWER = "not a dish", "no answer"


def shown_answers(predictions: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """The answers, with NOT_A_DISH for those that are neither a dish's name, a truth nor on a menu, NO_ANSWER for none."""
    known = set(names.values()) | set(predictions["truth"])
    for menu in predictions["menu"] if "menu" in predictions else ():
        known |= set() if missing(menu) else set(menu)
    return [NO_ANSWER if missing(answer) else answer if answer in known else NOT_A_DISH for answer in predictions["answer"]]


def count(rows: pd.DataFrame) -> pd.DataFrame:
    """Wrong pairs, most frequent first: truth, answer, n, n_truth (the truth's questions), image_ids. `rows`: truth, shown, image_id."""
    totals, wrong = rows["truth"].value_counts(), rows[rows["truth"] != rows["shown"]]
    table = wrong.groupby(["truth", "shown"], sort=True)["image_id"].agg(n="size", image_ids=list).reset_index().rename(columns={"shown": "answer"})
    table["n_truth"] = table["truth"].map(totals)
    return table.sort_values(["n", "truth", "answer"], ascending=[False, True, True], ignore_index=True)


def ranks(similar: pd.DataFrame | None, names: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """{(truth's name, answer's name): best look-alike rank} from dish_id, similar_id, rank."""
    best: dict[tuple[str, str], int] = {}
    for row in () if similar is None else similar.itertuples():
        pair = names.get(row.dish_id, row.dish_id), names.get(row.similar_id, row.similar_id)
        best[pair] = min(int(row.rank), best.get(pair, int(row.rank)))
    return best


def side_by_side(counts: np.ndarray) -> list[int]:
    """(dishes, dishes) counts or scores -> an order in which each dish is followed by the one closest to it, of those not placed yet."""
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    left, order = set(range(len(both))), []
    while left:
        follows = max(left, key=lambda i: (both[order[-1], i], both[i].sum(), -i)) if order else max(left, key=lambda i: (both[i].sum(), -i))
        order.append(follows)
        left.remove(follows)
    return order
