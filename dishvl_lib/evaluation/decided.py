"""Test photos that people have decided about: how many, and what accuracy is without them.

Marks are made where a model erred. To mend or to leave out such photos alone makes every figure
better than it was, so it stands beside what the others say.
"""

from typing import Any

import pandas as pd

from dishvl_lib.core import artefacts, decided_photos, intervals
from dishvl_lib.core.types import Record, RecordView
from dishvl_lib.evaluation import metrics

COLUMNS = (
    "predictor",
    "protocol",
    "n",
    "accuracy",
    "moved",
    "left_out",
    "n_without",
    "accuracy_without",
    "without_ci95",
    "n_at_worst",
    "accuracy_at_worst",
)
FIRST = ("naming", "menu")


def table(predictions: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS, a row for each predictor and protocol with photos that somebody decided about.

    predictions: as `metrics.accuracy_table` takes them, with image_id. decided: DECIDED_COLUMNS.
    `moved`: questions about photos that were given another dish, which `n` and `accuracy` count
    under it. `left_out`: questions that photos which are no more in the test would have had, as
    many as the others have. `accuracy_without`: of the questions about photos that nobody decided
    about. `accuracy_at_worst`: as if each of the moved and the left out had been answered wrongly.
    """
    rows = metrics.checked(predictions, ("image_id",))
    moved = set(decided.image_id[decided.effect == decided_photos.MOVED])
    photos_of = rows.groupby("protocol").image_id.nunique()
    out_of = _left_out_by_split(decided)
    counted = []
    for (predictor, protocol), group in rows.groupby(["predictor", "protocol"], sort=False):
        per_photo = len(group) / photos_of[protocol]
        left_out = round(per_photo * out_of.get(_split_of(protocol), 0))
        is_moved = group.image_id.isin(moved)
        if left_out or is_moved.any():
            row = _row(group, is_moved, left_out)
            counted.append({"predictor": predictor, "protocol": protocol, **row})
    return pd.DataFrame(counted, columns=list(COLUMNS))


def into_metrics(measured: dict[str, Record], counted: pd.DataFrame) -> dict[str, Record]:
    """metrics.json with `decided` {moved, left_out, without: {n, accuracy, ci95}, at_worst: {n,
    accuracy}} where there is something to say. counted: of `table`.
    """
    for row in counted.itertuples():
        measured[row.predictor][row.protocol]["decided"] = {
            "moved": int(row.moved),
            "left_out": int(row.left_out),
            "without": {
                "n": int(row.n_without),
                "accuracy": float(row.accuracy_without) if row.n_without else None,
                "ci95": row.without_ci95,
            },
            "at_worst": {"n": int(row.n_at_worst), "accuracy": float(row.accuracy_at_worst)},
        }
    return measured


def sentences(decided: pd.DataFrame, counted: pd.DataFrame, predictor: str = "tuned") -> list[str]:
    """How many test photos a decision moved or left out, and what that does to accuracy; [] where
    nobody decided about any photo. counted: of `table`.
    """
    if decided.empty:
        return []
    tested = decided[decided.split.map(_is_tested)]
    if tested.empty:
        return [f"none of the {len(decided)} photos that people moved or left out is a test photo"]
    moved = int((tested.effect == decided_photos.MOVED).sum())
    text = (
        f"people gave {moved} test photos another dish and left out {len(tested) - moved}; such "
        "marks are made where a model erred and raise accuracy"
    )
    of_predictor = counted[counted.predictor == predictor]
    first = of_predictor[of_predictor.protocol.isin(FIRST)]
    return [text, *(_sentence(row) for row in first.itertuples())]


def _left_out_by_split(decided: pd.DataFrame) -> dict[str, int]:
    left_out = decided[decided.effect == decided_photos.LEFT_OUT]
    return left_out.split.value_counts().to_dict()


def _split_of(protocol: str) -> str:
    """The split whose photos a protocol asks about."""
    if protocol.startswith(artefacts.SITE_PREFIX):
        return artefacts.site_split(artefacts.site_of(protocol).partition(":")[0])
    return artefacts.HELD_OUT if protocol == "new_dishes" else "test"


def _is_tested(split: str) -> bool:
    return split in ("test", artefacts.HELD_OUT) or split.startswith(artefacts.SITE_PREFIX)


def _row(group: pd.DataFrame, is_moved: pd.Series, left_out: int) -> RecordView:
    n = len(group)
    without = group[~is_moved]
    right = int(without["correct"].sum())
    n_without = len(without)
    return {
        "n": n,
        "accuracy": float(group["correct"].mean()),
        "moved": int(is_moved.sum()),
        "left_out": left_out,
        "n_without": n_without,
        "accuracy_without": right / n_without if n_without else None,
        "without_ci95": list(intervals.wilson(right, n_without)) if n_without else [0.0, 1.0],
        "n_at_worst": n + left_out,
        "accuracy_at_worst": right / (n + left_out),
    }


def _sentence(row: Any) -> str:
    without = "no photo is left without them"
    if row.n_without:
        low, high = row.without_ci95
        without = (
            f"{row.accuracy_without:.3f} [{low:.3f}, {high:.3f}] without the moved ones "
            f"(n={row.n_without})"
        )
    return (
        f"{row.predictor}, {row.protocol}: {row.accuracy:.3f} (n={row.n}), {without}, and "
        f"{row.accuracy_at_worst:.3f} if all of them counted as wrong (n={row.n_at_worst})"
    )
