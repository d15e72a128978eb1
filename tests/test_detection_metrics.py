"""Average precision as pycocotools counts it, and what a detector does at its threshold."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dishvl_lib.detection import metrics
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.metrics import Judged

LABELS = ("bowl", "plate", "tray")


def judged(found, scores, true, labels=None, true_labels=None):
    """A photo of boxes of one class, unless labels are given."""
    scores = np.array(scores, np.float32)
    labels = labels or ["dish"] * len(found)
    true_labels = true_labels or ["dish"] * len(true)
    corners = np.array(found, np.float32).reshape(-1, 4)
    true_corners = np.array(true, np.float32).reshape(-1, 4)
    there = Detections(true_corners, np.ones(len(true), np.float32), tuple(true_labels))
    return Judged(Detections.ranked(corners, scores, labels), there)


def random_photo(generator):
    n_true = int(generator.integers(0, 9))
    corner = generator.uniform(0, 300, (n_true, 2))
    true = np.hstack([corner, corner + generator.uniform(20, 120, (n_true, 2))])
    shifted = np.repeat(true, 2, axis=0) + generator.uniform(-9, 9, (2 * n_true, 4))
    kept = shifted[generator.random(2 * n_true) < 0.7]
    start = generator.uniform(0, 300, (3, 2))
    chance = np.hstack([start, start + 40])
    found = np.vstack([kept, chance])
    # Few different scores, so that many are equal.
    scores = generator.integers(1, 12, len(found)) / 12
    labels = generator.choice(LABELS, len(found)).tolist()
    true_labels = generator.choice(LABELS[:2], n_true).tolist()
    return judged(found, scores, true, labels, true_labels)


def xywh(corners):
    x1, y1, x2, y2 = map(float, corners)
    return [x1, y1, x2 - x1, y2 - y1]


def of_pycocotools(photos):
    """AP50, AP75 and mAP of the same photos."""
    images = [{"id": number} for number in range(len(photos))]
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, start=1)]
    true = []
    found = []
    for number, photo in enumerate(photos):
        for corners, label in zip(photo.truth.boxes, photo.truth.labels, strict=True):
            box = {"bbox": xywh(corners), "category_id": LABELS.index(label) + 1}
            area = box["bbox"][2] * box["bbox"][3]
            others = {"id": len(true) + 1, "image_id": number, "iscrowd": 0, "area": area}
            true.append({**box, **others})
        results = zip(photo.found.boxes, photo.found.scores, photo.found.labels, strict=True)
        for corners, score, label in results:
            box = {"bbox": xywh(corners), "category_id": LABELS.index(label) + 1}
            found.append({**box, "image_id": number, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": true, "categories": categories}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    mean, ap50, ap75 = evaluation.stats[:3]
    return ap50, ap75, mean


@pytest.mark.parametrize("seed", range(50))
def test_average_precision_is_that_of_pycocotools(seed):
    generator = np.random.default_rng(seed)
    photos = [random_photo(generator) for _ in range(int(generator.integers(2, 12)))]
    ap = metrics.average_precision(photos)
    expected = of_pycocotools(photos)
    assert (ap.ap50, ap.ap75, ap.mean) == pytest.approx(expected, abs=1e-6)


def test_average_precision_of_more_boxes_than_count():
    """Of a photo and class the best hundred boxes count."""
    true = [[0, 0, 10, 10]]
    chance = [[50, 50, 60, 60]] * 100
    photo = judged(chance + true, [0.9] * 100 + [0.1], true)
    assert metrics.average_precision([photo]).ap50 == 0


def test_all_right_is_one():
    corners = [[0, 0, 10, 10], [20, 20, 40, 50]]
    ap = metrics.average_precision([judged(corners, [0.9, 0.8], corners)])
    assert (ap.ap50, ap.ap75, ap.mean) == pytest.approx((1, 1, 1))


def test_without_a_true_box_there_is_no_average_precision():
    ap = metrics.average_precision([judged([[0, 0, 9, 9]], [0.9], [])])
    assert np.isnan(ap.mean)


def test_counts_at_a_threshold():
    one = [0, 0, 100, 100]
    other = [200, 0, 300, 100]
    beside = [120, 0, 180, 100]
    photos = [
        judged([one, other], [0.9, 0.8], [one, other]),
        judged([one, beside], [0.9, 0.6], [one, other]),
        judged([one, other], [0.9, 0.1], [one, other]),
        judged([], [], []),
    ]
    counts = metrics.at_threshold(photos, 0.5)
    assert counts == metrics.AtThreshold(
        n_true=6, n_found=5, n_right=4, n_photos=4, n_count_exact=3, n_all_right=2
    )
    assert counts.precision == 4 / 5
    assert counts.recall == 4 / 6


def test_a_true_box_is_found_once_and_by_its_class():
    box = [0, 0, 100, 100]
    photo = judged([box, box, box], [0.9, 0.8, 0.7], [box], ["tray", "bowl", "bowl"], ["bowl"])
    counts = metrics.at_threshold([photo], 0.5)
    assert (counts.n_found, counts.n_right) == (3, 1)
    assert counts.n_count_exact == 0


def test_nothing_found_and_nothing_there_have_no_share():
    counts = metrics.at_threshold([], 0.5)
    assert counts.n_photos == 0
    assert np.isnan(counts.precision)
    assert np.isnan(counts.recall)
