"""The confused pairs of every predictor and protocol, with their counts by site: what the report
page filters.
"""

import pandas as pd

# pairs of the main predictor and protocol, of each other one, in all
MOST_MAIN = 1000
MOST_OTHERS = 150
MOST_ROWS = 3000
EXAMPLES = 3
GROUP = ["predictor", "protocol"]
PAIR = ["predictor", "protocol", "truth", "shown"]


def listed(questions: pd.DataFrame, main: tuple[str, str]) -> tuple[pd.DataFrame, int]:
    """(pairs to list, all pairs there are): those of `main` (predictor, protocol) first, then the
    others' by their places.

    The most frequent pairs of each group come first, and what there is no room for is the end of
    every group but `main`.

    questions: of `pairs.countable`. Columns: predictor, protocol, truth, shown, n, n_truth,
    image_ids (up to EXAMPLES of the pair), sites ([[site, n, n_truth]] where the pair occurs), main
    (bool), place (in its group, from 0).
    """
    wrong = questions[questions["truth"] != questions["shown"]]
    table = wrong.groupby(PAIR, sort=True).size().rename("n").reset_index()
    table["main"] = (table["predictor"] == main[0]) & (table["protocol"] == main[1])
    table = table.sort_values(["main", "n"], ascending=False, kind="stable")
    table["place"] = table.groupby(GROUP).cumcount()
    kept = table[table["place"] < table["main"].map({True: MOST_MAIN, False: MOST_OTHERS})]
    kept = kept.sort_values(["main", "place"], ascending=[False, True], kind="stable").head(
        MOST_ROWS
    )
    behind = wrong.merge(kept[PAIR], on=PAIR)
    kept = kept.merge(_examples(behind), on=PAIR).merge(_totals(questions, []), on=PAIR[:3])
    return kept.merge(_by_site(behind, questions), on=PAIR), len(table)


def _examples(behind: pd.DataFrame) -> pd.DataFrame:
    first = behind.drop_duplicates([*PAIR, "image_id"]).groupby(PAIR).head(EXAMPLES)
    return first.groupby(PAIR)["image_id"].agg(list).rename("image_ids").reset_index()


def _totals(questions: pd.DataFrame, more: list[str]) -> pd.DataFrame:
    """How many questions each truth has, by site too with `more`."""
    return questions.groupby([*PAIR[:3], *more]).size().rename("n_truth").reset_index()


def _by_site(behind: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    counts = (
        behind.groupby([*PAIR, "site"])
        .size()
        .rename("n")
        .reset_index()
        .merge(_totals(questions, ["site"]), on=[*PAIR[:3], "site"])
    )
    counts["sites"] = counts[["site", "n", "n_truth"]].to_numpy().tolist()
    return counts.groupby(PAIR)["sites"].agg(list).reset_index()
