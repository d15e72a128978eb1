"""Counting truth x answer pairs of the questions that a browser's filters leave."""

from collections.abc import Mapping

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
