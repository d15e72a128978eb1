"""Test photos that people have decided about: how many, and what accuracy is without them.

Marks are made where a model erred. To mend or to leave out such photos alone makes every figure
better than it was, so it stands beside what the others say.
"""

from collections.abc import Mapping
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
SENTENCES = {
    "en": {
        "none": "none of the {} photos that people moved or left out is a test photo",
        "moved": "people gave {moved} test photos another dish and left out {left_out}; such marks "
        "are made where a model erred and raise accuracy",
        "row": "{predictor}, {protocol}: {accuracy:.3f} (n={n}), {without}, and "
        "{accuracy_at_worst:.3f} if all of them counted as wrong (n={n_at_worst})",
        "without": "{accuracy:.3f} [{low:.3f}, {high:.3f}] without the moved ones (n={n})",
        "nothing": "no photo is left without them",
    },
    "zh": {
        "none": "人工改动或剔除的 {} 张照片中没有测试照片",
        "moved": "人工把 {moved} 张测试照片改为另一道菜，剔除了 {left_out} 张；这类标记总是打在模型出错的地方，"
        "会抬高准确率",
        "row": "{predictor}，{protocol}：{accuracy:.3f}（n={n}）；{without}；若它们全算答错则为 "
        "{accuracy_at_worst:.3f}（n={n_at_worst}）",
        "without": "不计改动的照片为 {accuracy:.3f} [{low:.3f}, {high:.3f}]（n={n}）",
        "nothing": "不计它们就没有照片了",
    },
}


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


def sentences(
    decided: pd.DataFrame,
    counted: pd.DataFrame,
    predictor: str = "tuned",
    language: str = "en",
) -> list[str]:
    """How many test photos a decision moved or left out, and what that does to accuracy; [] where
    nobody decided about any photo. counted: of `table`.
    """
    texts = SENTENCES[language]
    if decided.empty:
        return []
    tested = decided[decided.split.map(_is_tested)]
    if tested.empty:
        return [texts["none"].format(len(decided))]
    moved = int((tested.effect == decided_photos.MOVED).sum())
    text = texts["moved"].format(moved=moved, left_out=len(tested) - moved)
    of_predictor = counted[counted.predictor == predictor]
    first = of_predictor[of_predictor.protocol.isin(FIRST)]
    return [text, *(_sentence(row, texts) for row in first.itertuples())]


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


def _sentence(row: Any, texts: Mapping[str, str]) -> str:
    without = texts["nothing"]
    if row.n_without:
        low, high = row.without_ci95
        limits = {"low": low, "high": high}
        without = texts["without"].format(accuracy=row.accuracy_without, n=row.n_without, **limits)
    return texts["row"].format(without=without, **row._asdict())
