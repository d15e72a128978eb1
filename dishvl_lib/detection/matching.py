"""Which found box is which true one."""

import numpy as np

from dishvl_lib.detection.boxes import Detections, iou

RIGHT_IOU = 0.5  # a box that covers the true one so far is right


def matched(truth: Detections, found: Detections, least_iou: float = RIGHT_IOU) -> dict[int, int]:
    """{place in truth: place in found} of the pairs, each box in one pair at most.

    The detections choose in their order, best first, the true box of their class that they cover
    best and that is still free, as COCO's evaluation has it.
    """
    overlap = iou(found.boxes, truth.boxes)
    same_class = np.array(found.labels)[:, None] == np.array(truth.labels)[None, :]
    free = np.where(same_class.reshape(overlap.shape), overlap, -1.0)
    return pairs(free, least_iou)


def pairs(overlap: np.ndarray, least_iou: float) -> dict[int, int]:
    """As `matched`, of the IoU (found, true) of boxes that may be pairs; found ones best first."""
    free = overlap.copy()
    n_found, n_true = free.shape
    chosen: dict[int, int] = {}
    for place in range(n_found if n_true else 0):
        closest = int(free[place].argmax())
        if free[place, closest] >= least_iou:
            chosen[closest] = place
            free[:, closest] = -1.0
    return chosen


def wrong_boxes(truth: Detections, found: Detections) -> int:
    """Dishes that are not found, and boxes where none lies."""
    n_right = len(matched(truth, found))
    return len(truth) + len(found) - 2 * n_right
