"""The review of names without a browser: what it shows, what each button writes, resuming."""

import csv
import os

import ipywidgets
import pandas as pd
import pytest
from display_toys import EVIL, catalog
from PIL import Image
from test_review_confusion_browser import html_of

from dishvl_lib.core import records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.display.cards import dish_card
from dishvl_lib.display.words import Words
from dishvl_lib.review.name_review import NameReview

COLUMNS = ["dish_id", "name", "suspicion", "other_dish", "evidence", "n_images"]


def dish(dish_id, name, folders, source="annotator", ingredients=("鱼",), **changed):
    answer = {"annotator": "gpt", "name": name, "votes": {name: 2, "炸鱼": 1}, "problems": [EVIL]}
    card = {
        "name": name,
        "cuisine": "川菜",
        "ingredients": list(ingredients),
        "calories": 100.0,
        "flavor": [],
    }
    row = {
        "dish_id": dish_id,
        "folders": folders,
        "name": name,
        "name_source": source,
        "aliases": ["又名"],
        "n_images": 3,
        "card": card,
        "source": [answer],
    }
    return {**row, **changed}


DISHES = [
    dish("d1", "红烧鱼", ["鱼1@A", "鱼2@A"]),
    dish("d2", "红烧鱼", ["GX4"], ingredients=("鱼", "姜")),
    dish("d3", EVIL, [EVIL], card=None),
    dish("d4", "a$b$", ["d4"], source="decision"),
]
REVIEW = pd.DataFrame(
    [
        ("d1", "红烧鱼", "same_name", "d2", "both are called 红烧鱼", "3"),
        ("d1", "红烧鱼", "same_photo", "d4", "1 pair: d1/2.png = d4/1.png", "3"),
        ("d3", EVIL, "hint_disagrees", "", f"folder {EVIL}", "3"),
        ("d4", "a$b$", "problem", "", "gpt: refusal", "3"),
    ],
    columns=COLUMNS,
)


@pytest.fixture
def make(tmp_path):
    photos = catalog(tmp_path)
    file = tmp_path / "decisions" / "names.csv"

    def review(rows=REVIEW, **changes):
        return NameReview(rows, changes.pop("dishes", DISHES), photos, tmp_path, file, **changes)

    review.file = file
    review.photos = photos
    return review


def written(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [
            (row["folder"], row["name"], row["action"], row["note"]) for row in csv.DictReader(file)
        ]


def press(review, word, side=None):
    review.buttons[word, side].click()


def test_it_opens_on_the_first_question_with_both_dishes_side_by_side(make):
    review = make()
    page = html_of(review.show())
    assert isinstance(review.show(), ipywidgets.Widget)
    assert review.index == 0
    assert not make.file.exists()
    assert "0 of 4" in review.progress.value
    assert "both are called" in review.head.value
    assert Words().question("same_name") in review.head.value
    assert page.count("data:image/jpeg") == 6
    assert [field.value for field in review.fields] == [
        "红烧鱼",
        "红烧鱼",
    ]
    assert "鱼1@A, 鱼2@A" in review.pages[0].value
    assert "红烧鱼 2, 炸鱼 1" in review.pages[0].value
    assert "又名" in review.pages[1].value


def test_only_differing_fields_of_the_cards_are_marked(make):
    page = make().pages[0].value
    assert page.count("class=differs") == 1
    assert "<tr class=differs><td>ingredients</td><td>鱼</td></tr>" in page


def test_this_name_is_written_for_every_folder_of_the_dish_and_the_next_question_comes(make):
    review = make()
    review.fields[0].value = "清蒸鱼"
    press(review, "this name", 0)
    assert written(make.file) == [
        ("鱼1@A", "清蒸鱼", "name", "same_name: d2"),
        ("鱼2@A", "清蒸鱼", "name", "same_name: d2"),
    ]
    assert review.index == 1
    assert "1 of 4" in review.progress.value
    assert review.choice.options[0][0].startswith("✓ 1.")
    assert "清蒸鱼" in review.status.value
    assert review.fields[0].value == "清蒸鱼"


def test_a_decision_is_on_the_disk_when_the_handler_returns(make, monkeypatch):
    review = make()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(make.file.read_text("utf-8")))
    press(review, "the same dish")
    assert len(synced) == 1
    assert synced[0].count("same_name: d2") == 3


def test_the_same_dish_gives_all_folders_one_name(make):
    press(make(), "the same dish")
    assert written(make.file) == [
        (folder, "红烧鱼", "name", "same_name: d2") for folder in ("鱼1@A", "鱼2@A", "GX4")
    ]


def test_keep_apart_is_of_the_first_dish_and_takes_a_new_name_of_the_other(make):
    review = make()
    review.fields[1].value = "红烧鱼块"
    press(review, "keep apart")
    assert written(make.file) == [
        ("鱼1@A", "红烧鱼", "keep_apart", "same_name: d2"),
        ("鱼2@A", "红烧鱼", "keep_apart", "same_name: d2"),
        ("GX4", "红烧鱼块", "name", "same_name: d2"),
    ]
    assert review.index == 1


def test_of_two_names_neither_is_written_when_one_cannot_stand(make):
    for side in (0, 1):
        review = make()
        review.fields[side].value = "鱼、肉"
        press(review, "keep apart")
        assert "separate menu entries" in review.status.value
        assert not make.file.exists()


def test_leave_out_and_the_other_side(make):
    review = make()
    press(review, "leave out", 1)
    assert written(make.file) == [("GX4", "", "leave_out", "same_name: d2")]


def test_skip_writes_nothing_and_comes_round_again(make):
    review = make()
    for expected in (1, 2, 3, 0):
        press(review, "skip")
        assert review.index == expected
    assert not make.file.exists()


def test_a_name_that_cannot_stand_on_a_menu_is_refused_with_the_reason(make):
    review = make()
    for text, reason in (("", "it is empty"), ("鱼、肉", "separate menu entries")):
        review.fields[0].value = text
        press(review, "this name", 0)
        assert reason in review.status.value
        assert review.index == 0
        assert not make.file.exists()


def test_a_dish_alone_has_no_buttons_for_two(make):
    review = make()
    review.choice.value = 2
    assert review.index == 2
    assert review.columns[1].layout.display == "none"
    assert review.buttons["keep apart", None].layout.display == "none"
    review.choice.value = 0
    assert review.columns[1].layout.display is None


def test_photos_that_the_evidence_names_come_first(make):
    review = make()
    review.go(1)
    assert all(
        page.value.split("<div class=strip>")[1].startswith("<span class=asked>")
        for page in review.pages
    )
    assert review.pages[0].value.count("class=asked") == 1


def test_it_resumes_where_it_was_left(make):
    first = make()
    press(first, "keep apart")
    first.go(3)
    press(first, "this name", 0)
    again = make(language="zh")
    assert again.open == [1, 2]
    assert again.index == 1
    assert "2 / 4" in again.progress.value
    again.go(0)
    assert "已决定" in again.head.value
    press(again, "this name", 0)
    assert len(written(make.file)) == 5
    assert again.index == 1


def test_rows_written_by_hand_count_and_those_the_review_was_made_with_do_not(make):
    make.file.parent.mkdir()
    make.file.write_text("folder,name\nd4,a$b$\nGX4,清蒸鱼\n", "utf-8")
    review = make()
    assert review.open == [1, 2, 3]
    press(review, "this name", 0)
    assert make.file.read_text("utf-8-sig").splitlines()[:3] == [
        "folder,name,time,action,note",
        "d4,a$b$,,,",
        "GX4,清蒸鱼,,,",
    ]
    assert written(make.file)[-1] == (
        "鱼2@A",
        "红烧鱼",
        "name",
        "same_photo: d4",
    )
    assert review.open == [2, 3]


def test_a_dish_left_out_by_hand_leaves_none_of_its_questions_open(make):
    make.file.parent.mkdir()
    make.file.write_text("folder,name,action\nd4,,leave_out\n", "utf-8")
    assert make().open == [0, 2]


def test_a_dish_kept_apart_by_hand_leaves_no_pair_open(make):
    make.file.parent.mkdir()
    make.file.write_text("folder,name,action\n鱼1@A,红烧鱼,keep_apart\n", "utf-8")
    assert make().open == [2, 3]


def test_nothing_that_comes_from_data_becomes_markup(make):
    review = make()
    for place in range(4):
        review.go(place)
        page = html_of(review.show())
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
    review.go(2)
    press(review, "this name", 0)
    assert "<img src=x" not in html_of(review.show())
    assert "&lt;img src=x" in review.status.value


def test_the_annotators_answers_are_not_touched(make):
    review = make()
    review.fields[0].value = "别的"
    press(review, "this name", 0)
    assert DISHES[0]["name"] == "红烧鱼"
    assert DISHES[0]["source"][0]["name"] == "红烧鱼"


def test_an_empty_review_says_so(make):
    review = make(REVIEW.iloc[:0])
    assert "nothing to review" in review.status.value
    assert review.question_box.layout.display == "none"


def test_bad_input_is_named(make):
    with pytest.raises(records.RecordError, match="evidence"):
        make(REVIEW.drop(columns="evidence"))
    with pytest.raises(ValueError, match="'d4', which is not among the dishes"):
        make(dishes=DISHES[:3])
    make.file.parent.mkdir()
    make.file.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(records.RecordError, match="folder"):
        make()


def test_without_a_card_or_another_dish_nothing_is_marked(tmp_path):
    photos = catalog(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "d3" / "0.png")
    book = PhotoBook(photos, tmp_path)
    assert "no card" in dish_card(DISHES[2], DISHES[0], book, Words())
    assert "differs" not in dish_card(DISHES[0], None, book, Words())


def test_any_dish_can_be_searched_for_and_renamed(make):
    review = make(REVIEW.head(0))
    assert review.renamed_box.layout.display == "none"
    review.picker.field.value = "a$"
    assert "a$b$" in review.renamed_page.value
    assert review.renamed_field.value == "a$b$"
    review.renamed_field.value = "干锅土豆片"
    press(review, "rename")
    assert written(make.file) == [("d4", "干锅土豆片", "name", "")]
    assert "d4 → 干锅土豆片" in review.status.value
    assert review.renamed_field.value == "干锅土豆片"


def test_a_renamed_dish_keeps_the_questions_about_others(make):
    review = make()
    review.rename("d4", "土豆片")
    assert review.index == 0
    assert 0 in review.open


def test_enter_takes_the_name_of_its_field(make):
    review = make()
    review.fields[1].value = "清蒸鱼"
    review.fields[1]._handle_custom_msg({"event": "submit"}, [])
    assert written(make.file) == [("GX4", "清蒸鱼", "name", "same_name: d2")]
    review.picker.field.value = "a$"
    review.renamed_field.value = "土豆片"
    review.renamed_field._handle_custom_msg({"event": "submit"}, [])
    assert written(make.file)[-1] == ("d4", "土豆片", "name", "")


def test_a_name_that_cannot_stand_on_a_menu_renames_nothing(make):
    review = make()
    review.rename("d4", "a、b")
    assert not make.file.exists()
    assert "wrong" in review.status.value


def test_what_is_not_there_is_refused(make):
    review = make()
    with pytest.raises(ValueError, match="no dish 'd44'; did you mean d4"):
        review.rename("d44", "土豆片")
    with pytest.raises(ValueError, match="no folder '鱼3@A'"):
        review.decisions.add("name", {"鱼3@A": "鱼"})
    assert not make.file.exists()
