"""A detector and a recogniser as one: what is cropped, in how many passes, and what is flagged."""

import subprocess
import sys

import pytest
import tiny
import tray_toys
from PIL import Image
from toys import ORIENTATION, encoded
from tray_toys import BOXES, MENU, SIZE, ToyDetector

import dishvl_lib
from dishvl_lib import Trays
from dishvl_lib.core import crops, records
from dishvl_lib.trays import NOT_ON_MENU, OVERLAP, UNSURE, TrayError
from dishvl_lib.vlm import qwen
from dishvl_lib.vlm.answers import Choice
from dishvl_lib.vlm.recognizer import METADATA, Recognizer

CLOSE = 1e-5
LEFT_TO_RIGHT = [BOXES[2], BOXES[0], BOXES[1]]


@pytest.fixture(scope="module")
def recognizer():
    return tray_toys.recognizer()


class Said:
    """A recogniser that answers every crop with the same choice."""

    def __init__(self, choice):
        self.choice = choice
        self.metadata = {"crop_margin": 1.0}

    def answer_photos(self, pictures, questions, batch_size):
        answer = type("Answer", (), {"choices": (self.choice,)})()
        return [answer] * len(pictures)


def test_dishes_stand_left_to_right_with_their_boxes_and_scores(recognizer):
    found = Trays(ToyDetector(), recognizer).recognise(tray_toys.tray(), MENU)
    assert [dish.box for dish in found.dishes] == LEFT_TO_RIGHT
    assert [dish.score for dish in found.dishes] == pytest.approx([0.7, 0.9, 0.8])
    assert found.size == SIZE
    assert found.best_score == pytest.approx(0.9)


def test_a_dish_is_answered_as_its_crop_alone(recognizer):
    photo = tray_toys.tray()
    found = Trays(ToyDetector(), recognizer).recognise(photo, MENU)
    for dish in found.dishes:
        alone = recognizer.choose(crops.cut(photo, dish.box, 1.0), MENU)
        assert dish.answer == alone.entries[0][0]
        assert dict(dish.choice.entries) == pytest.approx(dict(alone.entries), abs=CLOSE)


@pytest.mark.parametrize("margin", [0.5, 1.3])
def test_the_margin_is_that_of_the_recogniser(margin):
    recognizer = tray_toys.recognizer(margin)
    photo = tray_toys.tray()
    found = Trays(ToyDetector(), recognizer).recognise(photo, MENU)
    alone = recognizer.choose(crops.cut(photo, BOXES[2], margin), MENU)
    assert dict(found.dishes[0].choice.entries) == pytest.approx(dict(alone.entries), abs=CLOSE)


def test_all_dishes_of_a_tray_share_one_pass(recognizer, monkeypatch):
    passes = tray_toys.count_passes(monkeypatch)
    many = [(20 * n, 10, 20 * n + 18, 60) for n in range(19)]
    detector = ToyDetector(many, [0.9] * len(many))
    Trays(detector, recognizer).recognise(tray_toys.tray(boxes=many), MENU)
    assert passes == [19]


def test_a_photo_turned_by_exif_is_seen_upright(recognizer):
    detector = ToyDetector()
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # a quarter turn to the right makes it upright
    stored = encoded(tray_toys.tray().rotate(90, expand=True), "PNG", exif=exif)
    turned = Trays(detector, recognizer).recognise(stored, MENU)
    plain = Trays(detector, recognizer).recognise(tray_toys.tray(), MENU)
    assert detector.seen[0] == SIZE
    assert [dish.box for dish in turned.dishes] == LEFT_TO_RIGHT
    for dish, same in zip(turned.dishes, plain.dishes, strict=True):
        assert dict(dish.choice.entries) == pytest.approx(dict(same.choice.entries), abs=CLOSE)


def test_a_box_beside_the_photo_is_no_dish(recognizer):
    boxes = [*BOXES, (900, 10, 950, 60), (30, 30, 30, 90)]
    detector = ToyDetector(boxes, [0.9, 0.8, 0.7, 0.6, 0.5])
    found = Trays(detector, recognizer).recognise(tray_toys.tray(), MENU)
    assert [dish.box for dish in found.dishes] == LEFT_TO_RIGHT


def test_where_nothing_is_found_the_best_score_is_said(recognizer):
    detector = ToyDetector(scores=[0.1, 0.2, 0.05])
    found = Trays(detector, recognizer).recognise(tray_toys.tray(), MENU)
    assert found.dishes == ()
    assert found.review == (
        "no dish found: the best box has a score of 0.20, the threshold is 0.25",
    )


def test_a_bad_menu_is_refused_before_anything_is_looked_at(recognizer):
    detector = ToyDetector()
    with pytest.raises(ValueError, match="twice"):
        Trays(detector, recognizer).recognise(tray_toys.tray(), ["米饭", "米饭"])
    assert detector.seen == []


def test_an_unknown_margin_must_be_given():
    with pytest.raises(TrayError, match=r"give crop_margin \(--crop-margin"):
        Trays(ToyDetector(), tray_toys.recognizer(None))


def test_a_given_margin_is_not_proved():
    trays = Trays(ToyDetector(), tray_toys.recognizer(None), crop_margin=1.2)
    assert trays.crop_margin == 1.2
    assert not trays.is_proved


def test_a_margin_that_the_recogniser_knows_is_proved(recognizer):
    assert Trays(ToyDetector(), recognizer).is_proved
    assert Trays(ToyDetector(), recognizer, crop_margin=1.0).crop_margin == 1.0


def test_another_margin_than_the_recognisers_is_refused(recognizer):
    with pytest.raises(TrayError, match=r"crop_margin 0\.8 .* \(1\): leave it out"):
        Trays(ToyDetector(), recognizer, crop_margin=0.8)


@pytest.mark.parametrize("margin", [0.0, 5.0, float("nan")])
def test_a_margin_that_can_be_none_is_refused(margin):
    with pytest.raises(TrayError, match=r"is not from 0\.3 to 2"):
        Trays(ToyDetector(), tray_toys.recognizer(None), crop_margin=margin)


def test_a_detector_of_ours_of_another_margin_is_refused(recognizer):
    ours = ToyDetector(is_ours=True, crop_margin=0.76)
    with pytest.raises(TrayError, match=r"toy\.onnx was made for crops of margin 0\.76"):
        Trays(ours, recognizer)


@pytest.mark.parametrize("margin", [None, 1.0])
def test_a_detector_of_ours_of_the_same_margin_or_none_is_taken(recognizer, margin):
    ours = ToyDetector(is_ours=True, crop_margin=margin)
    assert Trays(ours, recognizer).crop_margin == 1.0


@pytest.mark.parametrize("margin", ["wide", -1, 7])
def test_a_margin_in_the_folder_that_can_be_none_is_said(tmp_path, margin):
    best = tiny.base_folder(tmp_path)
    records.write_json(best / METADATA, {"crop_margin": margin})
    with pytest.raises(qwen.ModelError, match="crop_margin is"):
        Recognizer.load(best)


def test_a_dish_that_is_not_on_the_menu_is_for_review():
    absent = Choice(None, (("米饭", 0.9), ("红烧鱼", 0.1)), threshold=0.5, on_menu=0.1)
    found = Trays(ToyDetector(), Said(absent)).recognise(tray_toys.tray(), MENU)
    assert found.dishes[0].review == (NOT_ON_MENU,)
    assert found.dishes[0].answer == "米饭"
    assert found.review[0] == "dish 1: not on the menu"


def test_an_unsure_dish_is_for_review():
    unsure = Choice("米饭", (("米饭", 0.4), ("红烧鱼", 0.35)), on_menu=0.9)
    found = Trays(ToyDetector(), Said(unsure)).recognise(tray_toys.tray(), MENU)
    assert found.dishes[0].review == (UNSURE,)


def test_a_sure_dish_is_not_for_review():
    sure = Choice("米饭", (("米饭", 0.9), ("红烧鱼", 0.1)), on_menu=0.9)
    found = Trays(ToyDetector(), Said(sure)).recognise(tray_toys.tray(), MENU)
    assert found.review == ()


def test_boxes_that_overlap_are_for_review():
    boxes = [(0, 0, 100, 100), (20, 0, 120, 100), (300, 0, 390, 100)]
    sure = Choice("米饭", (("米饭", 0.9), ("红烧鱼", 0.1)), on_menu=0.9)
    found = Trays(ToyDetector(boxes), Said(sure)).recognise(tray_toys.tray(), MENU)
    assert [dish.review for dish in found.dishes] == [(OVERLAP,), (OVERLAP,), ()]


def test_they_are_named_by_the_package_and_load_nothing_by_themselves():
    assert {"Detector", "Trays"} <= set(dishvl_lib.__all__)
    code = (
        "import sys; from dishvl_lib import Detector, Trays; "
        "print([name for name in ('onnxruntime', 'onnx', 'paddle') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
