"""What the probabilities of menu choices are worth on the test menus: calibration before and after
stage 04's temperature, coverage, menus without the dish.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dishvl_lib.core import intervals
from dishvl_lib.core.types import Record, RecordView
from dishvl_lib.evaluation import metrics
from dishvl_lib.vlm import calibration

BINS = 10
FITTED = ("temperature", "threshold")  # on the validation menus, by stage 04
COVERAGES = np.arange(1, 21) / 20


def scored(
    predictions: pd.DataFrame, temperature: float, predictor: str = "tuned", protocol: str = "menu"
) -> list[calibration.Scored]:
    """(log-probabilities before the temperature (entries,), place of the truth) of every test menu
    that was answered.

    Predictions hold the log-probabilities after it: times the temperature they are the model's own
    but for a constant, which a softmax does not see. [] when the predictor was not asked under this
    protocol.
    """
    rows = metrics.checked(predictions, ("menu", "log_probabilities"))
    is_predictor = rows["predictor"] == predictor
    is_protocol = rows["protocol"] == protocol
    rows = rows[is_predictor & is_protocol]
    scored = []
    for row in rows.itertuples():
        if len(row.log_probabilities) and row.truth in row.menu:
            scores = np.array(row.log_probabilities) * temperature
            place = list(row.menu).index(row.truth)
            scored.append((scores, place))
    return scored


def summary(scored: Sequence[calibration.Scored], temperature: float, threshold: float) -> Record:
    """n, accuracy, temperature, ece_before and ece_after it, auroc, threshold, answered,
    accuracy_answered, refused, with 95% Wilson intervals (`*_ci95`).

    ece: expected calibration error over 15 bins. auroc: of telling the menus from the same menus
    without their true entry by the best entry's probability (0.5: not at all). answered: the share
    of the menus at or above the threshold, right in `accuracy_answered`; refused: the share of
    those without the dish that get no answer. {n: 0} without menus.
    """
    if not scored:
        return {"n": 0}
    before, right = confidence(scored, 1.0)
    after, _ = confidence(scored, temperature)
    # A menu of one entry is none without it.
    longer = [menu for menu in scored if len(menu[0]) > 1]
    without_truth = list(map(calibration.without_truth, longer))
    absent, _ = confidence(without_truth, temperature)
    given = after >= threshold
    shares = {
        "accuracy": right,
        "answered": given,
        "accuracy_answered": right[given],
        "refused": absent < threshold,
    }
    values = {
        "n": len(scored),
        "temperature": temperature,
        "threshold": threshold,
        "ece_before": calibration.calibration_error(before, right),
        "ece_after": calibration.calibration_error(after, right),
        "auroc": calibration.auroc(after, absent) if len(absent) else None,
    }
    for name, marks in shares.items():
        values |= _share(name, marks)
    return values


def shown(measures: RecordView) -> pd.DataFrame:
    """A `summary` as a table to read: measure, value, interval, n."""
    names = [name for name in measures if not name.endswith(("_n", "_ci95")) and name != "n"]
    lines = [_line(name, measures) for name in names]
    return pd.DataFrame(lines, columns=["measure", "value", "interval", "n"])


def reliability(scored: Sequence[calibration.Scored], temperature: float) -> pd.DataFrame:
    """when (`before`, `after`), confidence (mean of the bin), n, accuracy, ci_low, ci_high: BINS
    equally wide bins, the empty ones left out.
    """
    rows = []
    for when, value in (("before", 1.0), ("after", temperature)):
        sure, right = confidence(scored, value)
        bin_from_zero = (sure * BINS).astype(int)
        place = np.minimum(bin_from_zero, BINS - 1)
        for bin_number in np.unique(place):
            inside = place == bin_number
            mean = float(sure[inside].mean())
            measured = _measured(right[inside])
            rows.append({"when": when, "confidence": mean, **measured})
    columns = ["when", "confidence", "n", "correct", "accuracy", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def coverage(scored: Sequence[calibration.Scored], temperature: float) -> pd.DataFrame:
    """coverage (share of the menus answered, the surest first), least (their lowest probability),
    n, correct, accuracy, ci_low, ci_high.
    """
    sure, right = confidence(scored, temperature)
    order = np.argsort(-sure, kind="stable")
    n = len(order)
    counts = set()
    if n:
        counts = {max(1, round(share * n)) for share in COVERAGES}
    rows = []
    for count in sorted(counts):
        surest = order[:count]
        last = surest[-1]
        least = float(sure[last])
        measured = _measured(right[surest])
        rows.append({"coverage": count / n, "least": least, **measured})
    columns = ["coverage", "least", "n", "correct", "accuracy", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def confidence(
    scored: Sequence[calibration.Scored], temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """(probability of the best entry (menus,), whether it is the truth (menus,) bool) at a
    temperature.
    """
    best = []
    right = []
    for scores, truth in scored:
        shares = calibration.probabilities(scores, temperature)
        best.append(shares.max())
        right.append(shares.argmax() == truth)
    return np.array(best, float), np.array(right, bool)


def _measured(right: np.ndarray) -> Record:
    low, high = intervals.wilson(int(right.sum()), len(right))
    return {
        "n": len(right),
        "correct": int(right.sum()),
        "accuracy": float(right.mean()),
        "ci_low": low,
        "ci_high": high,
    }


def _share(name: str, marks: np.ndarray) -> Record:
    if not len(marks):
        return {name: None, f"{name}_n": 0}
    return {
        name: float(marks.mean()),
        f"{name}_n": len(marks),
        f"{name}_ci95": list(intervals.wilson(int(marks.sum()), len(marks))),
    }


def _line(name: str, measures: RecordView) -> Record:
    value = measures[name]
    interval = measures.get(f"{name}_ci95")
    limits = "[{:.3f}, {:.3f}]".format(*interval) if interval else ""
    return {
        "measure": name.replace("_", " "),
        "value": "" if value is None else f"{value:.3f}",
        "interval": limits,
        "n": "" if name in FITTED else measures.get(f"{name}_n", measures["n"]),
    }
