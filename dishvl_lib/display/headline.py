"""The report's first sentence: how often the model is right, and whom it has to beat."""

from typing import Any

import pandas as pd

from dishvl_lib.display.words import Words, missing, percent

# Rows that are not what the model is measured against: with it inside they are no rivals.
WITH_THE_MODEL = ("hybrid",)
ALONE = {
    "en": "{predictor} is right on {correct} of {n} questions of {protocol}: {accuracy} "
    "(95% interval {interval}).",
    "zh": "{predictor} 在 {protocol} 的 {n} 题中答对 {correct} 题：{accuracy}（95% 区间 {interval}）。",
}
AGAINST = {
    "en": "{predictor} is right on {correct} of {n} questions of {protocol}: {accuracy} (95% "
    "interval {interval}), against {other_accuracy} ({other_interval}) of {other}, the best "
    "baseline{test}.",
    "zh": "{predictor} 在 {protocol} 的 {n} 题中答对 {correct} 题：{accuracy}（95% 区间 {interval}）；"
    "最好的基线 {other} 为 {other_accuracy}（{other_interval}）{test}。",
}
TEST = {"en": ", McNemar p {p:.2g}", "zh": "，McNemar p {p:.2g}"}


def sentence(
    table: pd.DataFrame | None,
    comparison: pd.DataFrame | None,
    main: tuple[str, str],
    words: Words,
) -> str:
    """The accuracy of `main` (predictor, protocol) with n and interval beside the best other row of
    the protocol that answered as many questions; '' where the table lacks it.
    """
    if table is None:
        return ""
    predictor, protocol = main
    of_protocol = table[table["protocol"] == protocol]
    own = of_protocol[of_protocol["predictor"] == predictor]
    if own.empty:
        return ""
    row = own.iloc[0]
    values = {
        "predictor": predictor,
        "protocol": protocol,
        "correct": row["correct"],
        "n": row["n"],
        "accuracy": percent(row["accuracy"]),
        "interval": _interval(row),
    }
    rival = _best_baseline(of_protocol, row)
    if rival is None:
        return words.text(lambda language: ALONE[language.language].format(**values))
    values |= {
        "other": rival["predictor"],
        "other_accuracy": percent(rival["accuracy"]),
        "other_interval": _interval(rival),
    }
    p = _p(comparison, rival)

    def compose(language: Words) -> str:
        test = "" if missing(p) else TEST[language.language].format(p=p)
        return AGAINST[language.language].format(**values, test=test)

    return words.text(compose)


def _best_baseline(of_protocol: pd.DataFrame, row: pd.Series) -> pd.Series | None:
    is_other = ~of_protocol["predictor"].isin((row["predictor"], *WITH_THE_MODEL))
    others = of_protocol[is_other & (of_protocol["n"] == row["n"])]
    if others.empty:
        return None
    return others.sort_values("accuracy", ascending=False, kind="stable").iloc[0]


def _interval(row: pd.Series) -> str:
    return f"{percent(row['ci_low'])} - {percent(row['ci_high'])}"


def _p(comparison: pd.DataFrame | None, rival: pd.Series) -> Any:
    """McNemar's p of the rival's comparison; None where there is none."""
    if comparison is None:
        return None
    is_rival = comparison["predictor"] == rival["predictor"]
    rows = comparison[is_rival & (comparison["protocol"] == rival["protocol"])]
    return None if rows.empty else rows["p"].iloc[0]
