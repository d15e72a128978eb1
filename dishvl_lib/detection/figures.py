"""How well a detector of our own finds boxes, as figures with their n and 95% intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dishvl_lib.core import intervals
from dishvl_lib.core.types import Record
from dishvl_lib.detection.boxes import Detections, iou

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
RIGHT_IOU = 0.5  # a box that covers the true one so far is right


class Truth(NamedTuple):
    """The true boxes (n, 4) of a frame and their classes."""

    boxes: np.ndarray
    labels: tuple[str, ...]


def all_figures(
    found: Sequence[Detections], truths: Sequence[Truth], names: Sequence[str], threshold: float
) -> Record:
    """Average precisions of everything found; precision, recall, and the shares of frames with as
    many boxes as there are dishes and with all boxes right, at `threshold`.
    """
    curve = [average_precision(found, truths, names, least) for least in IOUS]
    taken = [detections.above(threshold) for detections in found]
    right = [matched(*pair, RIGHT_IOU) for pair in zip(taken, truths, strict=True)]
    n_right = sum(int(marks.sum()) for marks in right)
    n_found = sum(map(len, taken))
    n_true = sum(len(truth.labels) for truth in truths)
    same_count = 0
    all_right = 0
    for marks, truth in zip(right, truths, strict=True):
        is_same = len(marks) == len(truth.labels)
        same_count += is_same
        all_right += is_same and bool(marks.all())
    return {
        "n_frames": len(truths),
        "n_boxes": n_true,
        "ap50": round(curve[0], 5),
        "ap75": round(curve[5], 5),
        "map": round(float(np.mean(curve)), 5),
        "precision": share(n_right, n_found),
        "recall": share(n_right, n_true),
        "count_exact": share(same_count, len(truths)),
        "all_right": share(all_right, len(truths)),
    }


def best_threshold(
    found: Sequence[Detections], truths: Sequence[Truth], thresholds: Sequence[float]
) -> float:
    """The middle of the thresholds at which most frames have exactly their boxes, and of those most
    boxes are right.
    """
    scores = [_rightness(found, truths, threshold) for threshold in thresholds]
    best = [at for at, score in zip(thresholds, scores, strict=True) if score == max(scores)]
    return best[len(best) // 2]


def average_precision(
    found: Sequence[Detections], truths: Sequence[Truth], names: Sequence[str], least_iou: float
) -> float:
    """The mean over the classes that have true boxes, at 101 recalls as COCO has it."""
    of_classes = []
    for name in names:
        of_class = [Truth(*_only(truth, name)) for truth in truths]
        n_true = sum(len(truth.labels) for truth in of_class)
        if n_true:
            detections = [item.only({name}) for item in found]
            of_classes.append(_class_precision(detections, of_class, n_true, least_iou))
    return float(np.mean(of_classes)) if of_classes else 0.0


def matched(found: Detections, truth: Truth, least_iou: float) -> np.ndarray:
    """Which detections (n,) bool are right: best first, each takes the true box of its class that
    it covers best, and no box is taken twice.
    """
    is_right = np.zeros(len(found), bool)
    overlaps = iou(found.boxes, truth.boxes)
    for place, label in enumerate(found.labels):
        same = np.array([label == other for other in truth.labels], bool)
        row = np.where(same, overlaps[place], -1.0)
        if len(row) and row.max() >= least_iou:
            is_right[place] = True
            overlaps[:, row.argmax()] = -1.0
    return is_right


def share(successes: int, n: int) -> Record:
    """A share with its n and Wilson interval; null for n = 0."""
    low, high = intervals.wilson(successes, n)
    value = successes / n if n else None
    return {"value": value, "n": n, "ci95": [round(low, 4), round(high, 4)]}


def _rightness(
    found: Sequence[Detections], truths: Sequence[Truth], threshold: float
) -> tuple[int, float]:
    exact = 0
    right = 0
    counted = 0
    for detections, truth in zip(found, truths, strict=True):
        taken = detections.above(threshold)
        marks = matched(taken, truth, RIGHT_IOU)
        exact += len(marks) == len(truth.labels) and bool(marks.all())
        right += int(marks.sum())
        counted += len(marks) + len(truth.labels)
    return exact, 2 * right / max(1, counted)


def _class_precision(
    found: Sequence[Detections], truths: Sequence[Truth], n_true: int, least_iou: float
) -> float:
    scores = np.concatenate([detections.scores for detections in found])
    marks = [matched(*pair, least_iou) for pair in zip(found, truths, strict=True)]
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate(marks)[order].cumsum()
    if not len(right):
        return 0.0
    recall = right / n_true
    precision = right / np.arange(1, len(right) + 1)
    highest_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS)
    reached = places < len(recall)
    return float(highest_from_here[places[reached]].sum() / len(RECALLS))


def _only(truth: Truth, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    places = [place for place, label in enumerate(truth.labels) if label == name]
    return truth.boxes[places], (name,) * len(places)
