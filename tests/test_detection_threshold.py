"""The threshold of a detector of our own: the middle of where it does best."""

import numpy as np

from dishvl_lib.detection import threshold
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.metrics import Judged

BOX = np.array([[0, 0, 10, 10]], np.float32)
ELSEWHERE = np.array([[50, 50, 60, 60]], np.float32)


def photo(right_score, wrong_score):
    """A photo with one dish, found with one score, and nothing found elsewhere with another."""
    scores = np.array([right_score, wrong_score], np.float32)
    found = Detections.ranked(np.vstack([BOX, ELSEWHERE]), scores, ("dish", "dish"))
    return Judged(found, Detections(BOX, np.ones(1, np.float32), ("dish",)))


def test_it_lies_in_the_middle_between_dishes_and_what_is_none():
    assert threshold.best([photo(0.82, 0.38), photo(0.91, 0.12)]) == 0.6


def test_most_photos_right_count_more_than_one():
    photos = [photo(0.58, 0.33), photo(0.57, 0.31), photo(0.95, 0.72)]
    assert 0.3 < threshold.best(photos) < 0.6


def test_a_detector_that_finds_nothing_has_one_all_the_same():
    nothing = Judged(Detections.none(), Detections(BOX, np.ones(1, np.float32), ("dish",)))
    assert threshold.best([nothing]) == 0.5
