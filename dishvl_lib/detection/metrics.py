"""How well boxes are found: average precision as COCO counts it, precision and recall at a
threshold, and whether the number of boxes is right.

Average precision: for each class, of all photos together, best score first, each found box takes
the free true box that it covers best, if their IoU reaches the limit. The precision at 101 recalls
from 0 to 1 is the highest at that recall or beyond; their mean is the AP. (Lin et al., Microsoft
COCO, 2014; area all, 100 boxes a photo, without crowds.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dishvl_lib.core import intervals
from dishvl_lib.core.types import Record
from dishvl_lib.detection.boxes import Detections, iou
from dishvl_lib.detection.matching import matched, pairs

IOU_LIMITS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_BOXES = 100  # a photo and class


@dataclass(frozen=True, eq=False)
class Judged:
    """A photo: what was found on it and what is there; the scores of `truth` do not count."""

    found: Detections
    truth: Detections


@dataclass(frozen=True)
class AveragePrecision:
    """Means over the classes that have a true box: at IoU 0.5, at 0.75, and over 0.5 to 0.95; NaN
    without a true box.
    """

    ap50: float
    ap75: float
    mean: float


@dataclass(frozen=True)
class AtThreshold:
    """What a detector does at a threshold.

    `n_true`, `n_found`, `n_right`: true boxes, found ones, and those of both that match; photos:
    `n_photos`, of which `n_count_exact` have as many found as true boxes and `n_all_right` only
    boxes that are right, and all of them.
    """

    n_true: int
    n_found: int
    n_right: int
    n_photos: int
    n_count_exact: int
    n_all_right: int

    @property
    def precision(self) -> float:
        """The share of found boxes that are right; NaN where none is found."""
        return _share(self.n_right, self.n_found)

    @property
    def recall(self) -> float:
        """The share of true boxes that are found; NaN where there is none."""
        return _share(self.n_right, self.n_true)


def average_precision(photos: Sequence[Judged]) -> AveragePrecision:
    """Equal to pycocotools', whose scores should reach down to where nothing more is found: judge
    detectors at a threshold near 0.
    """
    labels = sorted({label for photo in photos for label in photo.truth.labels})
    if not labels:
        return AveragePrecision(np.nan, np.nan, np.nan)
    of_classes = np.array([_of_class(photos, label) for label in labels])
    of_limits = of_classes.mean(axis=0)
    at_75 = int(np.flatnonzero(np.isclose(IOU_LIMITS, 0.75))[0])
    return AveragePrecision(float(of_limits[0]), float(of_limits[at_75]), float(of_limits.mean()))


def at_threshold(photos: Iterable[Judged], threshold: float) -> AtThreshold:
    """Precision, recall and counts of what is found at `threshold`."""
    counts = np.array([_counts(photo, threshold) for photo in photos], np.intp).reshape(-1, 3)
    n_true, n_found, n_right = counts.T
    is_exact = n_true == n_found
    is_all_right = is_exact & (n_true == n_right)
    return AtThreshold(
        n_true=int(n_true.sum()),
        n_found=int(n_found.sum()),
        n_right=int(n_right.sum()),
        n_photos=len(counts),
        n_count_exact=int(is_exact.sum()),
        n_all_right=int(is_all_right.sum()),
    )


def summary(photos: Sequence[Judged], threshold: float) -> Record:
    """All of it for a file or a table: photos and boxes, average precisions of everything found,
    and at `threshold` precision, recall, the share of photos with as many boxes as there are
    dishes, and of those with all boxes right and no other, each with its 95% interval (Wilson).
    """
    precision = average_precision(photos)
    counts = at_threshold(photos, threshold)
    shares = {
        "precision": (counts.n_right, counts.n_found),
        "recall": (counts.n_right, counts.n_true),
        "count_exact": (counts.n_count_exact, counts.n_photos),
        "all_right": (counts.n_all_right, counts.n_photos),
    }
    record: Record = {
        "n_frames": counts.n_photos,
        "n_boxes": counts.n_true,
        "ap50": _rounded(precision.ap50),
        "ap75": _rounded(precision.ap75),
        "map": _rounded(precision.mean),
    }
    for name, (part, whole) in shares.items():
        interval = list(intervals.wilson(part, whole))
        share = part / whole if whole else None
        record[name] = {"value": share, "n": whole, "ci95": interval}
    return record


def _rounded(precision: float) -> float | None:
    """For a file, in which nothing is NaN."""
    return None if np.isnan(precision) else round(float(precision), 5)


def _counts(photo: Judged, threshold: float) -> tuple[int, int, int]:
    """True boxes, found ones and those that are both."""
    found = photo.found.above(threshold)
    n_right = len(matched(photo.truth, found))
    return len(photo.truth), len(found), n_right


def _of_class(photos: Sequence[Judged], label: str) -> np.ndarray:
    """The AP of a class at each of the IoU limits."""
    scores = []
    matches = []
    n_true = 0
    for photo in photos:
        truth = photo.truth.only({label})
        found = photo.found.only({label})
        overlap = iou(found.boxes[:MOST_BOXES], truth.boxes)
        matches.append(_right_at_limits(overlap))
        scores.append(found.scores[:MOST_BOXES])
        n_true += len(truth)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    is_right = np.concatenate(matches, axis=1)[:, order]
    return np.array([_area(row, n_true) for row in is_right])


def _right_at_limits(overlap: np.ndarray) -> np.ndarray:
    """Whether each found box is right at each IoU limit (limits, found), from IoU (found, true)."""
    is_right = np.zeros((len(IOU_LIMITS), len(overlap)), bool)
    for place, limit in enumerate(IOU_LIMITS):
        places = list(pairs(overlap, limit).values())
        is_right[place, places] = True
    return is_right


def _area(is_right: np.ndarray, n_true: int) -> float:
    """The mean precision over RECALLS of a class's boxes, best first."""
    right = np.cumsum(is_right)
    recall = right / n_true
    precision = right / np.arange(1, len(right) + 1)
    # From each box on, the best that is still to come.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    reached = places < len(best)
    return float(best[places[reached]].sum() / len(RECALLS))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
