"""Accuracy with its n, interval, chance and baseline: pure functions on the table of predictions.

A row of `predictions` is one question answered by one predictor: id, predictor, protocol, truth,
answer (None: no answer), correct, correct_normalised, and for menu questions menu (list of names).
A missing mark counts as wrong. Where they are there: error (why there is no answer), lost (why a
site's question is wrong whatever is answered), framed (the question depends on its predictor),
near_training (what training photo it resembles), seconds.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dishvl_lib.core import intervals, params, records

REQUIRED = ("id", "predictor", "protocol", "truth", "correct")
TABLE_COLUMNS = (
    "predictor",
    "protocol",
    "n",
    "correct",
    "accuracy",
    "ci_low",
    "ci_high",
    "accuracy_normalised",
    "chance",
    "majority",
    "menu_size",
    "off_menu",
    "no_answer",
    "failed",
    "lost",
    "near_training",
    "seconds",
    "n_dishes",
    "macro_accuracy",
    "macro_ci_low",
    "macro_ci_high",
)


def accuracy_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per predictor x protocol, in order of first appearance, with TABLE_COLUMNS.

    `ci_low`, `ci_high`: 95% Wilson interval. `chance`: of drawing an entry of the menu, or one of
    the distinct truths, blindly. `majority`: of always answering the most frequent truth, on menus
    the entry that is most frequently true. `menu_size`: mean entries, None without menus.
    `off_menu`: share of the answers given that are not on their menu. `no_answer`: questions
    without an answer; `failed`: those of them that could not be asked or answered; `lost`: those of
    a site whose dish got no name of its own; `near_training`: questions whose photo shows what a
    training photo shows; `seconds`: median of one question that was asked. `macro_accuracy`: mean
    of the dishes' accuracies, its interval from a bootstrap over dishes. Raises ValueError for no
    rows or for a question answered twice, `RecordError` (a ValueError) for a missing column, naming
    it.
    """
    rows = checked(predictions)
    groups = rows.groupby(["predictor", "protocol"], sort=False)
    measured = []
    for (predictor, protocol), group in groups:
        measures = _measures(group)
        measured.append({"predictor": predictor, "protocol": protocol, **measures})
    return pd.DataFrame(measured, columns=list(TABLE_COLUMNS))


def metrics_dict(table: pd.DataFrame) -> dict:
    """{predictor: {protocol: {n, correct, accuracy, ci95: [lo, hi], ...}}} of an `accuracy_table`,
    ready for JSON.

    Values that do not apply (menu_size of naming) are left out, and so are seconds: the same
    answers give the same file; nothing is NaN.
    """
    records.require_columns(table, TABLE_COLUMNS, "the accuracy table")
    metrics: dict = {}
    for row in table.to_dict("records"):
        protocols = metrics.setdefault(row["predictor"], {})
        protocols[row["protocol"]] = _json_row(row)
    return metrics


def compare(predictions: pd.DataFrame, reference: str = "tuned") -> pd.DataFrame:
    """Every other predictor against `reference` on the questions that both answered, per protocol.

    Questions that a predictor framed itself are no other predictor's questions and are left out.
    Columns: predictor, protocol, n (common questions), accuracy_reference, accuracy, difference
    (reference minus predictor), only_reference and only_predictor (questions that one alone got
    right), p (McNemar, exact, two-sided; not corrected for the number of comparisons). Raises
    ValueError when `reference` is not among the predictors.
    """
    rows = checked(predictions)
    if "framed" in rows:
        is_framed = rows["framed"].eq(True)
        rows = rows[~is_framed]
    predictors = rows["predictor"]
    if reference not in set(predictors):
        there = ", ".join(map(str, predictors.unique()))
        raise ValueError(f"no predictor {reference!r} in the predictions; they have {there}")
    first = rows[predictors == reference]
    others = rows[predictors != reference].groupby(["predictor", "protocol"], sort=False)
    compared = []
    for (predictor, protocol), group in others:
        of_protocol = first[first["protocol"] == protocol]
        pair = of_protocol.merge(group, on="id", suffixes=("_reference", ""))
        if len(pair):
            difference = _difference(pair)
            compared.append({"predictor": predictor, "protocol": protocol, **difference})
    columns = [
        "predictor",
        "protocol",
        "n",
        "accuracy_reference",
        "accuracy",
        "difference",
        "only_reference",
        "only_predictor",
        "p",
    ]
    return pd.DataFrame(compared, columns=columns)


def rivals(
    table: pd.DataFrame, compared: pd.DataFrame, family: tuple[str, ...] = params.NETS
) -> pd.DataFrame:
    """The best predictor of a family (names that begin so) per protocol, the one that the reference
    is compared with.

    `table`, `compared`: of `accuracy_table` and `compare`. Columns: protocol, rival, n,
    accuracy_reference, accuracy, difference, p; a protocol without common questions is left out. Of
    equally good ones the first in the table.
    """
    is_of_family = table["predictor"].str.startswith(family)
    accuracies = (
        table[is_of_family]
        .sort_values("accuracy", ascending=False, kind="stable")
        .drop_duplicates("protocol")
    )
    comparisons = (
        accuracies[["protocol", "predictor"]]
        .merge(compared, on=["protocol", "predictor"])
        .rename(columns={"predictor": "rival"})
    )
    protocols = dict.fromkeys(table["protocol"])
    order = {protocol: place for place, protocol in enumerate(protocols)}
    columns = ["protocol", "rival", "n", "accuracy_reference", "accuracy", "difference", "p"]
    return comparisons[columns].sort_values(
        "protocol", key=lambda names: names.map(order), ignore_index=True
    )


def against_better(
    runs: Sequence[pd.DataFrame], predictor: str, others: Sequence[str]
) -> pd.DataFrame:
    """A predictor over several runs together against the better of `others`, protocol by protocol.

    Columns: protocol, rival (of `others` the one with more right over all runs; of equally good
    ones the first), n, accuracy, accuracy_rival, difference (predictor minus rival, of the
    accuracies over all runs' questions), only_predictor, only_rival, p. Questions are paired within
    their run, those that each framed itself by their photo. p: McNemar over the runs' discordant
    questions put together. A photo can be asked about in several runs, so that these are not
    independent, and p is smaller than it should be: who is not worse by it is not worse.
    """
    numbered = [checked(rows).assign(run=number) for number, rows in enumerate(runs)]
    joined = pd.concat(numbered)
    ours = joined[joined["predictor"] == predictor]
    compared = []
    for protocol, rows in ours.groupby("protocol", sort=False):
        of_protocol = joined[joined["protocol"] == protocol]
        predictors = of_protocol["predictor"]
        asked = {}
        for other in others:
            right = of_protocol.loc[predictors == other, "correct"]
            if len(right):
                asked[other] = right
        if not asked:
            continue
        rival = max(asked, key=lambda other: asked[other].mean())
        of_rival = of_protocol[predictors == rival]
        pair = of_rival.merge(rows, on=["run", "id"], suffixes=("_reference", ""))
        difference = _difference(pair)
        compared.append({"protocol": protocol, "rival": rival, **difference})
    table = pd.DataFrame(compared)
    renamed = table.rename(
        columns={"accuracy_reference": "accuracy_rival", "only_reference": "only_rival"}
    )
    return renamed.assign(difference=-renamed["difference"])


def by_dish(predictions: pd.DataFrame, predictor: str, protocol: str) -> pd.DataFrame:
    """dish_id, truth, n, correct, accuracy, ci_low, ci_high: one row per dish, worst first. Errors
    as in `by_group`.
    """
    rows = checked(predictions, ("dish_id",))
    table = by_group(rows, "dish_id", predictor, protocol)
    first_rows = rows.drop_duplicates("dish_id")
    truths = first_rows.set_index("dish_id")["truth"]
    truth_of_dish = table["dish_id"].map(truths)
    table.insert(1, "truth", truth_of_dish)
    return table


def by_group(predictions: pd.DataFrame, column: str, predictor: str, protocol: str) -> pd.DataFrame:
    """Accuracy within each value of `column` (a site, a size class, a cluster): n, correct,
    accuracy, Wilson interval.

    Worst first, larger groups first among equals. Raises ValueError when the predictor has no such
    protocol.
    """
    known = checked(predictions, (column,))
    rows = of_predictor(known, predictor, protocol)
    marks = rows.groupby(column, sort=True)["correct"]
    counts = marks.agg(n="size", correct="sum").reset_index()
    counts["accuracy"] = counts["correct"] / counts["n"]
    bounds = [intervals.wilson(int(row.correct), int(row.n)) for row in counts.itertuples()]
    counts["ci_low"] = [low for low, _ in bounds]
    counts["ci_high"] = [high for _, high in bounds]
    ordered = counts.sort_values(["accuracy", "n"], ascending=[True, False], kind="stable")
    return ordered.reset_index(drop=True)


def of_predictor(predictions: pd.DataFrame, predictor: str, protocol: str) -> pd.DataFrame:
    """The rows of one predictor and protocol; ValueError naming those there are when there is
    none.
    """
    is_predictor = predictions["predictor"] == predictor
    is_protocol = predictions["protocol"] == protocol
    rows = predictions[is_predictor & is_protocol]
    if rows.empty:
        there = predictions[["predictor", "protocol"]].drop_duplicates()
        listed = ", ".join(there["predictor"].str.cat(there["protocol"], sep=" / "))
        raise ValueError(f"no predictions of {predictor} / {protocol}; there are {listed}")
    return rows


def checked(predictions: pd.DataFrame, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A copy with bool marks, checked: rows, columns, and each question answered once per predictor
    and protocol.
    """
    if len(predictions) == 0:
        raise ValueError(
            "there are no predictions to measure; run the predictors on the test questions first"
        )
    records.require_columns(predictions, (*REQUIRED, *columns), "the predictions")
    twice = predictions.duplicated(["id", "predictor", "protocol"])
    if twice.any():
        row = predictions[twice].iloc[0]
        raise ValueError(
            f"question {row['id']} is answered twice by {row['predictor']} / "
            f"{row['protocol']}; {int(twice.sum())} such rows"
        )
    marks = {
        name: predictions[name].eq(True).fillna(False).astype(bool)
        for name in ("correct", "correct_normalised")
        if name in predictions
    }
    return predictions.assign(**marks)


def has_menu(value: object) -> bool:
    """Whether a row's `menu` holds entries; naming rows carry an empty list, None or NaN."""
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) > 0


def _measures(rows: pd.DataFrame) -> dict:
    n = len(rows)
    correct = int(rows["correct"].sum())
    low, high = intervals.wilson(correct, n)
    normalised = math.nan
    if "correct_normalised" in rows:
        normalised = float(rows["correct_normalised"].mean())
    menus = rows.iloc[:0]
    if "menu" in rows:
        menus = rows[rows["menu"].map(has_menu)]
    blind = _menu_baselines(rows, menus) if len(menus) else _naming_baselines(rows)
    no_answer = _answers(rows).isna()
    shown = {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "ci_low": low,
        "ci_high": high,
        "accuracy_normalised": normalised,
    }
    return {
        **shown,
        **blind,
        "no_answer": int(no_answer.sum()),
        **_mishaps(rows),
        **_macro(rows),
    }


def _mishaps(rows: pd.DataFrame) -> dict:
    mishaps = {}
    counts = {}
    for name in ("error", "lost", "near_training"):
        reasons = rows[name] if name in rows else pd.Series("", index=rows.index)
        has_reason = reasons.fillna("").ne("")
        mishaps[name] = has_reason
        counts[name] = int(has_reason.sum())
    seconds = None
    if "seconds" in rows:
        # A lost question is not asked: it took no time.
        was_asked = ~mishaps["lost"]
        of_asked = rows.loc[was_asked, "seconds"]
        seconds = float(of_asked.median())
    return {
        "failed": counts["error"],
        "lost": counts["lost"],
        "near_training": counts["near_training"],
        "seconds": seconds,
    }


def _answers(rows: pd.DataFrame) -> pd.Series:
    return rows["answer"] if "answer" in rows else pd.Series(None, index=rows.index, dtype=object)


def _naming_baselines(rows: pd.DataFrame) -> dict:
    counts = rows["truth"].value_counts()
    return {
        "chance": 1 / len(counts),
        "majority": float(counts.iloc[0] / len(rows)),
        "menu_size": None,
        "off_menu": None,
    }


def _menu_baselines(rows: pd.DataFrame, menus: pd.DataFrame) -> dict:
    """Expected accuracy of a blind draw and of the most frequent truth; entries equally frequent
    share the guess.
    """
    counts = menus["truth"].value_counts().to_dict()
    drawn = []
    guessed = []
    sizes = []
    off_menu = []
    columns = (menus["menu"], menus["truth"], _answers(menus))
    for menu, truth, answer in zip(*columns, strict=True):
        entries = list(menu)
        size = len(entries)
        of_draw = entries.count(truth) / max(size, 1)
        of_guess = _share_of_guess(entries, truth, counts)
        drawn.append(of_draw)
        guessed.append(of_guess)
        sizes.append(size)
        if not pd.isna(answer):
            off_menu.append(answer not in entries)
    n = len(rows)
    n_answers = max(len(off_menu), 1)
    return {
        "chance": sum(drawn) / n,
        "majority": sum(guessed) / n,
        "menu_size": sum(sizes) / len(sizes),
        "off_menu": sum(off_menu) / n_answers,
    }


def _share_of_guess(menu: list, truth: str, counts: dict) -> float:
    frequencies = {entry: counts.get(entry, 0) for entry in menu}
    best = max(frequencies.values(), default=0)
    favourites = [entry for entry, frequency in frequencies.items() if frequency == best]
    return 1 / len(favourites) if truth in favourites else 0.0


def _macro(rows: pd.DataFrame) -> dict:
    dish = "dish_id" if "dish_id" in rows else "truth"
    shares = rows.groupby(dish, sort=True)["correct"].mean().to_numpy()
    low, high = intervals.bootstrap_mean(shares)
    mean = float(shares.mean()) if len(shares) else math.nan
    return {
        "n_dishes": len(shares),
        "macro_accuracy": mean,
        "macro_ci_low": low,
        "macro_ci_high": high,
    }


def _difference(pair: pd.DataFrame) -> dict:
    first = pair["correct_reference"].to_numpy(bool)
    second = pair["correct"].to_numpy(bool)
    only_first = first & ~second
    only_second = ~first & second
    accuracy_reference = first.mean()
    accuracy = second.mean()
    return {
        "n": len(pair),
        "accuracy_reference": accuracy_reference,
        "accuracy": accuracy,
        "difference": accuracy_reference - accuracy,
        "only_reference": int(only_first.sum()),
        "only_predictor": int(only_second.sum()),
        "p": intervals.mcnemar(first, second),
    }


def _json_row(row: dict) -> dict:
    shown = [name for name in TABLE_COLUMNS[2:] if "ci_" not in name and name != "seconds"]
    plain = {name: _plain(row[name]) for name in shown}
    plain["ci95"] = [float(row["ci_low"]), float(row["ci_high"])]
    if not pd.isna(row["macro_ci_low"]):
        plain["macro_ci95"] = [float(row["macro_ci_low"]), float(row["macro_ci_high"])]
    return {name: value for name, value in plain.items() if value is not None}


def _plain(value: object) -> object:
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
