"""Photos of trays with boxes and names on them."""

import math

import numpy as np
import pytest
from PIL import Image, ImageColor

from dishvl_lib.display.trays import COLOURS, Mark, Tray, marked, tray_sheet

GREY = (90, 90, 90)
BOX = (40, 60, 160, 120)


@pytest.fixture
def photo():
    return Image.new("RGB", (300, 200), GREY)


def count(picture, colour):
    return int((np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2).sum())


@pytest.mark.parametrize("kind", ["right", "wrong", "found"])
def test_a_box_has_the_colour_of_its_meaning(photo, kind):
    shown = marked(photo, [Mark(BOX, "", kind)])
    assert shown.getpixel((40, 90)) == ImageColor.getrgb(COLOURS[kind])


def test_the_photo_itself_stays(photo):
    marked(photo, [Mark(BOX, "红烧鱼")])
    assert photo.getcolors() == [(300 * 200, GREY)]


def test_names_are_written(photo):
    bare = marked(photo, [Mark(BOX, "")])
    named = marked(photo, [Mark(BOX, "红烧鱼 98%")])
    assert count(named, "white") > 0
    assert count(bare, "white") == 0


@pytest.mark.parametrize("box", [(-30, -30, 50, 50), (250, 150, 400, 300), (290, 195, 299, 199)])
def test_a_text_stays_on_the_photo(photo, box):
    shown = np.asarray(marked(photo, [Mark(box, "鱼")]))
    whites = np.argwhere((shown == 255).all(axis=2))
    assert len(whites) > 0
    assert (whites[:, 0] < 199).all()
    assert (whites[:, 1] < 299).all()


def test_a_box_that_is_no_box_is_passed_over(photo):
    shown = marked(photo, [Mark((math.nan, 0, 10, 10), "")])
    assert shown.getcolors() == [(300 * 200, GREY)]


@pytest.mark.parametrize(
    "language, title", [("en", "a.jpg: found 1, labelled 2"), ("zh", "a.jpg: 找到 1, 标注 2")]
)
def test_a_tray_says_how_many_were_found(photo, language, title):
    sheet = tray_sheet([Tray(photo, [Mark(BOX, "")], "a.jpg", 1, 2)], language=language)
    assert sheet.axes[0].get_title() == title


def test_without_labels_only_what_was_found_is_said(photo):
    sheet = tray_sheet([Tray(photo, [], "a.jpg", 0)])
    assert sheet.axes[0].get_title() == "a.jpg: found 0"


def test_trays_stand_in_rows_of_three(photo):
    sheet = tray_sheet([Tray(photo, [], f"{number}.jpg", 0) for number in range(5)])
    assert len(sheet.axes) == 5
    assert sheet.get_size_inches()[0] == pytest.approx(3 * 4.4)


def test_without_a_tray_a_sentence_stands():
    assert tray_sheet([]).sentence == "no tray was looked at"
