"""Whole trays in stage 05: their menus, what is said of each dish, and prices."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dishvl_lib.detection.boxes import Detections
from dishvl_lib.steps import tray_evaluation as steps
from dishvl_lib.steps import tray_frames

NAMES = ("鱼", "饭", "面", "汤", "茶")


class ToyStage:
    """Keeps notes, and names a file."""

    done = False

    def __init__(self, prices_csv=None):
        self.prices_csv = prices_csv
        self.notes = []

    def named_file(self, name):
        return getattr(self, name)

    def note(self, sentence):
        self.notes.append(sentence)


def boxes(*lefts):
    corners = np.array([[left, 0, left + 10, 10] for left in lefts], np.float32)
    return tray_frames.as_drawn(corners.reshape(-1, 4))


def test_a_menu_holds_the_trays_dishes_and_their_look_alikes():
    rng = np.random.default_rng(0)
    menu = steps.drawn_menu(("鱼", "饭"), {"鱼": "汤"}, NAMES, 3, rng)
    assert sorted(menu) == sorted(("鱼", "饭", "汤"))


def test_a_menu_is_no_smaller_than_the_tray():
    rng = np.random.default_rng(0)
    menu = steps.drawn_menu(("鱼", "饭", "面"), {}, NAMES, 2, rng)
    assert sorted(menu) == sorted(("鱼", "饭", "面"))


def test_only_dishes_with_names_are_look_alikes():
    similar = pd.DataFrame(
        [("a", "gone", 1), ("a", "c", 3), ("a", "b", 2)], columns=["dish_id", "similar_id", "rank"]
    )
    names = {"a": "鱼", "b": "饭", "c": "面"}
    assert steps.closest_look_alikes(similar, names) == {"鱼": "饭"}


def test_each_dish_and_each_box_too_many_has_a_row(tmp_path):
    photo = tmp_path / "tray.png"
    Image.new("RGB", (100, 20)).save(photo)
    tray = steps.JudgedTray("f", photo, boxes(0, 40), ("鱼", "饭"), boxes(40, 80), ["鱼", "饭"])
    said = {40.0: ("饭", False), 80.0: ("鱼", True), 0.0: ("鱼", False)}

    def namer(upright, found, menu):
        return [said[box[0]] for box in found.boxes.tolist()]

    rows = pd.DataFrame(steps.answers("tuned", namer, [tray]))
    by_detector = rows[rows.protocol == "tray"]
    assert by_detector.truth.tolist() == ["鱼", "饭", ""]
    assert by_detector.answer.tolist() == ["", "饭", "鱼"]
    assert by_detector.flagged.tolist() == [False, False, True]
    by_people = rows[rows.protocol == "tray_true_boxes"]
    assert by_people.answer.tolist() == ["鱼", "饭"]


def test_an_empty_tray_on_which_nothing_is_found_has_a_row(tmp_path):
    photo = tmp_path / "tray.png"
    Image.new("RGB", (100, 20)).save(photo)
    tray = steps.JudgedTray("f", photo, boxes(), (), Detections.none(), ["鱼"])
    rows = steps.answers("tuned", lambda upright, found, menu: [], [tray])
    assert [(row["truth"], row["answer"]) for row in rows] == [("", ""), ("", "")]


@pytest.fixture
def prices(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("菜名,价格\n鱼,12.5\n ＴＥＡ,1\n烤鸭,50\n", "utf-8")
    return file


def test_prices_are_those_of_the_runs_dishes(prices):
    assert steps._prices(ToyStage(prices), {"鱼", "tea"}) == {"鱼": 12.5, "tea": 1.0}


def test_a_dish_without_a_price_is_noted(prices):
    stage = ToyStage(prices)
    steps._prices(stage, {"鱼", "饭", "面"})
    assert "has no price of 2 dishes (面, 饭)" in stage.notes[0]


def test_without_a_table_there_is_no_price():
    assert steps._prices(ToyStage(), {"鱼"}) == {}


def test_a_tray_is_judged_with_its_photo_and_a_name_for_each_dish(tmp_path):
    gone = steps._why_not_judged(tmp_path, "a.png", ("鱼",), False)
    (tmp_path / "a.png").touch()
    nameless = steps._why_not_judged(tmp_path, "a.png", ("鱼", ""), False)
    outside = steps._why_not_judged(tmp_path, "a.png", ("鱼",), True)
    assert gone == f"its photo has gone from {tmp_path}"
    assert nameless == "a dish on it cannot stand on a menu"
    assert "another split" in outside
    assert steps._why_not_judged(tmp_path, "a.png", ("鱼",), False) == ""


def test_trays_that_are_not_judged_are_noted_by_reason():
    stage = ToyStage()
    steps._note_left_out(stage, 5, {"it rains": 2, "it snows": 1})
    assert stage.notes == [
        "2 of 5 test trays are not judged: it rains",
        "1 of 5 test trays are not judged: it snows",
    ]


def test_a_run_without_test_frames_is_noted():
    stage = ToyStage()
    steps._note_left_out(stage, 0, {})
    assert "no frame with labels was kept for testing" in stage.notes[0]
