"""The score from which on a box counts as a dish, chosen on frames that were not learned from."""

from collections.abc import Sequence

from dishvl_lib.detection import metrics
from dishvl_lib.detection.metrics import Judged

THRESHOLDS = tuple(step / 20 for step in range(2, 19))  # 0.1, 0.15 ... 0.9


def best(photos: Sequence[Judged]) -> float:
    """The middle of those of THRESHOLDS at which most photos have all boxes right and no other, and
    of these most boxes are right (F1).
    """
    scores = [_rightness(photos, threshold) for threshold in THRESHOLDS]
    highest = max(scores)
    at_best = [at for at, score in zip(THRESHOLDS, scores, strict=True) if score == highest]
    return at_best[len(at_best) // 2]


def _rightness(photos: Sequence[Judged], threshold: float) -> tuple[int, float]:
    counts = metrics.at_threshold(photos, threshold)
    n_boxes = counts.n_found + counts.n_true
    f1 = 2 * counts.n_right / max(1, n_boxes)
    return counts.n_all_right, f1
