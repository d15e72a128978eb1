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
    pairs: dict[int, int] = {}
    for place in range(len(found)):
        if not len(truth):
            break
        closest = int(free[place].argmax())
        if free[place, closest] >= least_iou:
            pairs[closest] = place
            free[:, closest] = -1.0
    return pairs


def wrong_boxes(truth: Detections, found: Detections) -> int:
    """Dishes that are not found, and boxes where none lies."""
    n_right = len(matched(truth, found))
    return len(truth) + len(found) - 2 * n_right
