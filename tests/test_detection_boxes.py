"""Boxes: what was found, IoU, NMS, and photos laid into the input of a net."""

import numpy as np
import pytest
from PIL import Image

from dishvl_lib.core import images
from dishvl_lib.detection import boxes

PHOTO_SIZES = [(640, 480), (480, 640), (500, 500), (1999, 33)]
BOXES = np.array([[10, 20, 110, 60], [0, 0, 20, 20], [300, 200, 400, 300]], np.float32)


def found():
    scores = np.array([0.3, 0.9, 0.5], np.float32)
    return boxes.Detections.ranked(BOXES, scores, ("bowl", "plate", "bowl"))


def test_what_was_found_stands_best_first():
    detections = found()
    assert detections.labels == ("plate", "bowl", "bowl")
    assert detections.scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert detections.boxes.tolist() == BOXES[[1, 2, 0]].tolist()


def test_equal_scores_stay_in_their_order():
    scores = np.full(3, 0.5, np.float32)
    assert boxes.Detections.ranked(BOXES, scores, "abc").labels == ("a", "b", "c")


def test_a_score_at_the_threshold_counts():
    assert found().above(0.5).labels == ("plate", "bowl")
    assert len(found().above(0.95)) == 0


def test_some_classes_only():
    bowls = found().only({"bowl"})
    assert bowls.labels == ("bowl", "bowl")
    assert bowls.boxes.tolist() == BOXES[[2, 0]].tolist()


def test_nothing_found_has_the_shapes_of_something():
    nothing = boxes.Detections.none()
    assert nothing.boxes.shape == (0, 4)
    assert nothing.scores.shape == (0,)
    assert len(nothing.above(0.1).only({"bowl"})) == 0


def test_iou_of_boxes_whose_overlap_is_known():
    first = np.array([[0, 0, 10, 10], [100, 100, 110, 110]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    expected = [[1, 50 / 150, 0], [0, 0, 0]]
    assert boxes.iou(first, second) == pytest.approx(np.array(expected))


def test_iou_with_nothing_and_of_empty_boxes():
    assert boxes.iou(BOXES, np.zeros((0, 4))).shape == (3, 0)
    assert boxes.iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0]]


def test_nms_keeps_the_best_of_those_that_cover_each_other():
    given = np.array([[0, 0, 100, 100], [0, 0, 100, 90], [60, 0, 160, 100], [1, 0, 100, 100]])
    kept = boxes.nms(given, np.array([0.5, 0.9, 0.1, 0.8]))
    assert kept.tolist() == [1, 2]


def test_nms_lets_a_box_stay_that_only_a_removed_one_covered():
    given = np.array([[0, 0, 100, 10], [20, 0, 120, 10], [40, 0, 140, 10]])
    kept = boxes.nms(given, np.array([0.9, 0.8, 0.7]), most_iou=0.5)
    assert kept.tolist() == [0, 2]


def test_nms_of_nothing():
    assert boxes.nms(np.zeros((0, 4)), np.zeros(0)).tolist() == []


@pytest.mark.parametrize("lay", [boxes.letterbox, boxes.stretch])
@pytest.mark.parametrize("size", PHOTO_SIZES)
def test_boxes_go_into_an_input_and_come_back(lay, size):
    picture, placement = lay(Image.new("RGB", size), (320, 256))
    corners = np.array([[0, 0, *size], [1, 2, 30, 31]], np.float64)
    assert picture.size == (320, 256)
    assert placement.to_photo(placement.to_input(corners)) == pytest.approx(corners)


def test_a_letterboxed_photo_keeps_its_proportions_and_lies_in_the_middle():
    picture, placement = boxes.letterbox(Image.new("RGB", (200, 100), "white"), (64, 64))
    corners = np.array([[0, 0, 200, 100]])
    assert placement.to_input(corners).tolist() == [[0, 16, 64, 48]]
    assert picture.getpixel((32, 15)) == boxes.GREY
    assert picture.getpixel((32, 16)) == (255, 255, 255)
    assert picture.getpixel((32, 47)) == (255, 255, 255)
    assert picture.getpixel((32, 48)) == boxes.GREY


def test_a_stretched_photo_fills_the_input():
    picture, placement = boxes.stretch(Image.new("RGB", (200, 100), "white"), (64, 64))
    corners = np.array([[0, 0, 200, 100]])
    assert placement.to_input(corners).tolist() == [[0, 0, 64, 64]]
    assert picture.getextrema() == ((255, 255),) * 3


def test_boxes_that_reach_beyond_the_photo_are_cut_at_its_edge():
    _, placement = boxes.letterbox(Image.new("RGB", (200, 100)), (64, 64))
    beyond = np.array([[-9, -9, 99, 99]])
    assert placement.to_photo(beyond).tolist() == [[0, 0, 200, 100]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_drawn_on_the_stored_photo_is_turned_with_it(orientation):
    stored = Image.new("RGB", (40, 30))
    stored.paste("white", (5, 3, 12, 20))
    stored.getexif()[0x0112] = orientation
    turned = images.load_rgb(stored)
    drawn = np.array([[5, 3, 12, 20]], np.float32)
    expected = turned.convert("L").getbbox()
    assert boxes.upright(drawn, stored.size, orientation).tolist() == [list(expected)]


def test_no_boxes_are_turned_into_none():
    assert boxes.upright(np.zeros((0, 4)), (40, 30), 6).shape == (0, 4)
