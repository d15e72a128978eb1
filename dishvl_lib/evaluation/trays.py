"""Whole trays: one row for every dish that lies on a tray or was said to, and what they add up to.

A tray is exact when every dish on it has the right name and there is nothing more: that is what a
till needs, and what the dishes' accuracy alone hides.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dishvl_lib.core import intervals
from dishvl_lib.core.types import Record, Records

TRAY = "tray"  # the detector's boxes
TRUE_BOXES = "tray_true_boxes"
PROTOCOLS = (TRAY, TRUE_BOXES)
# truth '': nothing lies there; answer '': the dish was not found. flagged: a person was asked to
# look at it. menu_size: entries that were to choose from.
COLUMNS = ("frame_id", "predictor", "protocol", "truth", "answer", "flagged", "menu_size")


def measures(rows: pd.DataFrame, prices: Mapping[str, float] | None = None) -> dict[str, Record]:
    """{predictor: {protocol: measures}} of a table with COLUMNS, of which each frame has a row at
    least (truth and answer '' for a tray without dishes on which none was found).

    `n`: trays; `correct`, `accuracy`, `ci95`: exact ones with their Wilson interval; `count_exact`:
    as many dishes found as there are; `dishes`, `dishes_found`, `dishes_right` (`dishes_ci95`:
    bootstrap over trays, whose dishes are no independent draws); `silent_errors`: dishes that are
    wrong, missing or too many and not flagged; `chance`: of an exact tray by drawing blindly from
    the menu for each dish. With `prices` ({name: price}): trays `overcharged` and `undercharged`,
    and `mean_price_error`, the mean of the absolute differences; trays with a dish of unknown price
    are left out of these (`priced`: how many count).
    """
    measured: dict[str, Record] = {}
    for (predictor, protocol), group in rows.groupby(["predictor", "protocol"], sort=False):
        protocols = measured.setdefault(str(predictor), {})
        protocols[str(protocol)] = _measured(group, prices)
    return measured


def joined(metrics: Mapping[str, Record], measured: Mapping[str, Record]) -> dict[str, Record]:
    """metrics.json's predictors with what they did on trays, which may be others' names too."""
    together = {name: dict(protocols) for name, protocols in metrics.items()}
    for name, protocols in measured.items():
        together[name] = {**together.get(name, {}), **protocols}
    return together


def table(measured: Mapping[str, Mapping[str, Record]]) -> pd.DataFrame:
    """One row per predictor and protocol, for people."""
    rows: Records = []
    for predictor, protocols in measured.items():
        for protocol, numbers in protocols.items():
            low, high = numbers["ci95"]
            plain = {key: value for key, value in numbers.items() if "ci95" not in key}
            interval = {"ci_low": low, "ci_high": high}
            rows.append({"predictor": predictor, "protocol": protocol, **plain, **interval})
    return pd.DataFrame(rows)


def _measured(rows: pd.DataFrame, prices: Mapping[str, float] | None) -> Record:
    lies_there = rows.truth != ""
    was_said = rows.answer != ""
    is_right = rows.truth == rows.answer
    per_tray = pd.DataFrame(
        {
            "exact": is_right,
            "dishes": lies_there,
            "found": lies_there & was_said,
            "right": lies_there & is_right,
            "said": was_said,
        }
    ).groupby(rows.frame_id, sort=False)
    sums = per_tray.sum()
    is_exact = per_tray.exact.all()
    n = len(is_exact)
    correct = int(is_exact.sum())
    chances = (1 / rows.menu_size).where(lies_there, 1.0)
    silent = ~is_right & ~rows.flagged.astype(bool)
    measured: Record = {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "ci95": list(intervals.wilson(correct, n)),
        "chance": float(chances.groupby(rows.frame_id).prod().mean()),
        "menu_size": float(rows.menu_size.mean()),
        "count_exact": int((sums.dishes == sums.said).sum()),
        "dishes": int(sums.dishes.sum()),
        "dishes_found": int(sums.found.sum()),
        "dishes_right": int(sums.right.sum()),
        "dishes_ci95": _dishes_interval(sums),
        "silent_errors": int(silent.sum()),
    }
    return measured | (_price_errors(rows, prices) if prices else {})


def _dishes_interval(sums: pd.DataFrame) -> list[float]:
    """95% of the share of right dishes, by a bootstrap over trays."""
    right = sums.right.to_numpy(float)
    dishes = sums.dishes.to_numpy(float)

    def share(drawn: np.ndarray) -> float:
        return right[drawn].sum() / max(dishes[drawn].sum(), 1.0)

    low, high = intervals.bootstrap(share, len(sums))
    return [low, high]


def _price_errors(rows: pd.DataFrame, prices: Mapping[str, float]) -> Record:
    price_of = {**prices, "": 0.0}
    due = rows.truth.map(price_of)
    charged = rows.answer.map(price_of)
    sums = pd.DataFrame({"due": due, "charged": charged}).groupby(rows.frame_id)
    is_known = sums.count().min(axis=1) == sums.size()
    differences = (sums.charged.sum() - sums.due.sum())[is_known]
    cents = differences.map(lambda amount: round(amount, 6))  # sums of floats
    mean = {"mean_price_error": float(cents.abs().mean())} if len(cents) else {}
    return {
        "priced": len(cents),
        "overcharged": int((cents > 0).sum()),
        "undercharged": int((cents < 0).sum()),
        **mean,
    }
