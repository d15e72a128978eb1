"""How well a detector of our own finds boxes: `metrics` as a record, with n and 95% intervals, and
the threshold at which it does best.
"""

import math
from collections.abc import Sequence

from dishvl_lib.core import intervals
from dishvl_lib.core.types import Record
from dishvl_lib.detection import metrics
from dishvl_lib.detection.metrics import Judged

THRESHOLDS = tuple(step / 20 for step in range(2, 19))  # 0.1, 0.15 ... 0.9


def record(photos: Sequence[Judged], threshold: float) -> Record:
    """Average precisions of everything found, null without a true box; at `threshold` precision,
    recall, and the shares of photos with as many boxes as there are dishes and with all boxes
    right.
    """
    precision = metrics.average_precision(photos)
    counts = metrics.at_threshold(photos, threshold)
    return {
        "n_frames": counts.n_photos,
        "n_boxes": counts.n_true,
        "ap50": _rounded(precision.ap50),
        "ap75": _rounded(precision.ap75),
        "map": _rounded(precision.mean),
        "threshold": threshold,
        "precision": share(counts.n_right, counts.n_found),
        "recall": share(counts.n_right, counts.n_true),
        "count_exact": share(counts.n_count_exact, counts.n_photos),
        "all_right": share(counts.n_all_right, counts.n_photos),
    }


def best_threshold(photos: Sequence[Judged]) -> float:
    """The middle of those of THRESHOLDS at which most photos have all boxes right and no other, and
    of these most boxes are right.
    """
    scores = [_rightness(photos, threshold) for threshold in THRESHOLDS]
    highest = max(scores)
    best = [at for at, score in zip(THRESHOLDS, scores, strict=True) if score == highest]
    return best[len(best) // 2]


def share(successes: int, n: int) -> Record:
    """A share with its n and Wilson interval; its value is null for n = 0."""
    low, high = intervals.wilson(successes, n)
    value = successes / n if n else None
    return {"value": value, "n": n, "ci95": [round(low, 4), round(high, 4)]}


def _rightness(photos: Sequence[Judged], threshold: float) -> tuple[int, float]:
    counts = metrics.at_threshold(photos, threshold)
    n_boxes = counts.n_found + counts.n_true
    f1 = 2 * counts.n_right / max(1, n_boxes)
    return counts.n_all_right, f1


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
