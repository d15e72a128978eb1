"""The browser without a browser: filters, choosing a pair, marking a photo, and finding the mark
again.
"""

import os

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from display_toys import EVIL, NAMES, SIMILAR, catalog, decided_rows, html_of, predictions
from test_display_report import Elements

from dishvl_lib.annotation import rejections
from dishvl_lib.core import dependencies, paths, records
from dishvl_lib.core.decisions import PHOTO_COLUMNS
from dishvl_lib.display import cluster_matrix
from dishvl_lib.evaluation import confusion
from dishvl_lib.review.confusion_browser import ConfusionBrowser

CLUSTERS = pd.DataFrame({"dish_id": ["d1", "d2", "d3"], "cluster": [1, 1, 2], "size": [2, 2, 1]})


@pytest.fixture
def make(tmp_path):
    photos = catalog(tmp_path)
    file = tmp_path / "decisions" / "photos.csv"

    def browser(**changes):
        changes = {"clusters": CLUSTERS, **changes}
        return ConfusionBrowser(
            changes.pop("predictions", predictions()),
            changes.pop("photos", photos),
            NAMES,
            tmp_path,
            SIMILAR,
            file,
            **changes,
        )

    browser.file = file
    return browser


def test_it_opens_on_the_first_predictor_with_its_most_confused_pair_first(make):
    browser = make()
    assert isinstance(browser.show(), ipywidgets.Widget)
    assert list(browser.pair_buttons)[0] == ("红烧鱼", "红烧鱼块")
    assert browser.pair_buttons["红烧鱼", "红烧鱼块"].description == "红烧鱼 → 红烧鱼块  2/3"
    assert "5 / 7" in browser.summary.value
    assert not make.file.exists()


def test_a_click_on_a_pair_shows_its_questions_in_full(make):
    browser = make()
    browser.filters.protocol.value = "menu"
    browser.pair_buttons["红烧鱼", "红烧鱼块"].click()
    assert list(browser.cards) == ["menu-0", "menu-1"]
    page = html_of(browser.show())
    assert "question 0" in page
    assert "0.900" in page
    assert "look-alike rank 1" in page
    assert page.count("data:image/jpeg") >= 2 + 6


def test_filters_narrow_the_grid_and_close_the_pair(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.filters.dish.value = "红烧鱼块"
    assert list(browser.pair_buttons) == [("红烧鱼块", EVIL)]
    assert browser.chosen is None
    browser.filters.dish.value = "红烧鱼块"
    with pytest.raises(KeyError, match="under these filters"):
        browser.select("红烧鱼", "红烧鱼块")


def test_a_part_of_a_name_is_found_and_a_whole_name_is_that_dish_alone(make):
    browser = make()
    browser.filters.dish.value = "鱼块"
    assert list(browser.pair_buttons) == [("红烧鱼块", EVIL)]
    browser.filters.dish.value = "红烧鱼"
    assert list(browser.pair_buttons) == [("红烧鱼", "红烧鱼块")]
    browser.filters.dish.value = "红烧"
    assert set(browser.pair_buttons) == {("红烧鱼", "红烧鱼块"), ("红烧鱼块", EVIL)}


def test_the_site_narrows_the_questions_and_their_totals(make):
    rows = predictions()
    browser = make(
        predictions=rows.assign(
            site=["north" if image_id.endswith("0") else "south" for image_id in rows["image_id"]]
        )
    )
    browser.filters.site.value = "north"
    assert browser.pair_buttons["红烧鱼", "红烧鱼块"].description.endswith("1/1")
    assert len(browser.filters.rows()) == 3
    browser.filters.clear()
    assert browser.pair_buttons["红烧鱼", "红烧鱼块"].description.endswith("2/3")


def test_the_cluster_of_the_truth_narrows_questions_and_that_of_the_answer_pairs(make):
    browser = make()
    browser.filters.cluster.value = 1
    assert set(browser.pair_buttons) == {("红烧鱼", "红烧鱼块"), ("红烧鱼块", EVIL)}
    assert "3 / 4" in browser.summary.value
    browser.filters.answered.value = 2
    assert list(browser.pair_buttons) == [("红烧鱼块", EVIL)]
    assert "1 / 4" in browser.summary.value
    browser.filters.set_clusters("", cluster_matrix.NO_DISH)
    assert list(browser.pair_buttons) == [(EVIL, "not a dish")]


def counts_of(widget):
    """The buttons of the matrix in a widget's HTML, by their titles."""
    buttons = Elements(html_of(widget)).named("button")
    return {attrs["title"]: attrs for attrs in buttons}


def press(browser, button):
    """What keys.js does when a count is pressed."""
    browser.pressed.value = f"{button['data-cluster']} {button['data-answered']}"


def test_a_press_on_a_count_of_the_matrix_chooses_its_pairs(make):
    browser = make()
    assert not browser.matrix.children[0].children
    browser.matrix.selected_index = 0
    title, grid = browser.matrix.children[0].children
    assert "2 of 2 clusters with confusions, 5 of 5 wrong answers" in title.value
    assert "<img src=x" not in html_of(grid)
    counts = counts_of(grid)
    button = next(
        attrs for name, attrs in counts.items() if name.startswith("1: ") and "→ 2: " in name
    )
    assert button["title"].endswith(": 1 wrong answers, 1 pairs")
    assert len(counts) == 4
    press(browser, button)
    assert list(browser.pair_buttons) == [("红烧鱼块", EVIL)]
    assert (browser.filters.cluster.value, browser.filters.answered.value) == (1, 2)


def test_the_same_count_can_be_pressed_again(make):
    browser = make()
    browser.matrix.selected_index = 0
    button = next(iter(counts_of(browser.matrix).values()))
    press(browser, button)
    browser.filters.clear()
    everything = set(browser.pair_buttons)
    press(browser, button)
    assert set(browser.pair_buttons) < everything


def test_every_count_that_can_be_pressed_names_clusters_that_the_filters_hold(make):
    browser = make()
    browser.matrix.selected_index = 0
    for button in counts_of(browser.matrix).values():
        press(browser, button)
        assert browser.pair_buttons


def test_answers_into_clusters_that_are_not_shown_cannot_be_pressed(make, monkeypatch):
    monkeypatch.setattr(cluster_matrix, "MOST_CLUSTERS", 1)
    browser = make()
    browser.matrix.selected_index = 0
    elsewhere = [
        attrs for name, attrs in counts_of(browser.matrix).items() if "other clusters" in name
    ]
    assert elsewhere
    assert all("disabled" in attrs for attrs in elsewhere)
    assert all("data-cluster" not in attrs for attrs in elsewhere)


def test_the_matrix_goes_on_to_the_next_clusters_and_round_again(make, monkeypatch):
    monkeypatch.setattr(cluster_matrix, "MOST_CLUSTERS", 1)
    browser = make()
    browser.matrix.selected_index = 0
    seen = []
    for _ in range(3):
        seen.append(
            browser.matrix.children[0].children[0].value.split(": ")[1].split(" clusters")[0]
        )
        browser.matrix.children[0].children[-1].click()
    assert seen == ["1 of 2", "2-2 of 2", "1 of 2"]


def test_cards_show_the_nearest_training_photos_with_their_dish_and_cosine(make):
    features = {
        "image_id": np.array(["d1-0", "d1-1", "d2-1", "d3-1"]),
        "feature": np.array([[1, 0], [0.6, 0.8], [1, 0], [0, 1]], np.float32),
    }
    browser = make(features=features)
    browser.select("红烧鱼", "红烧鱼块")
    shown = html_of(browser.cards["naming-0"].box).split("class=near")[1]
    assert [shown.index(text) for text in ("红烧鱼块", "1.000", "0.600", "0.000")] == sorted(
        shown.index(text) for text in ("红烧鱼块", "1.000", "0.600", "0.000")
    )
    assert shown.count("data:image/jpeg") == 3
    assert "<img src=x" not in shown


def test_answers_that_are_no_dish_are_listed_in_full(make):
    browser = make()
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in browser.unknown.value
    assert "1 / 1" in browser.unknown.value
    browser.filters.dish.value = "红烧鱼"
    assert browser.unknown.value == ""


def test_a_right_refusal_and_a_lost_question_confuse_nothing(make):
    rows = (
        predictions().query("predictor == 'tuned' and protocol == 'naming'").reset_index(drop=True)
    )
    rows.loc[6, "correct"] = True
    rows["lost"] = ["2 dishes share it", *[""] * 6]
    browser = make(predictions=rows)
    assert (
        NAMES["d4"],
        "no answer",
    ) not in browser.pair_buttons
    assert "3 / 6" in browser.summary.value


def test_another_predictor_keeps_the_protocol_it_has_and_leaves_one_it_has_not(make):
    rows = predictions()
    browser = make(
        predictions=rows[(rows["predictor"] == "tuned") | (rows["protocol"] == "naming")]
    )
    browser.filters.protocol.value = "menu"
    browser.filters.predictor.value = "base"
    assert browser.filters.protocol.value == "naming"
    assert len(browser.filters.rows()) == 7
    browser.filters.predictor.value = "tuned"
    assert browser.filters.protocol.value == "naming"
    assert browser.pair_buttons


def test_a_mark_is_written_at_once_with_its_note(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.cards["naming-1"].note.value = 'plate "two", cut\noff'
    browser.cards["naming-1"].buttons[1].click()
    (row,) = decided_rows(make.file)
    assert tuple(row) == PHOTO_COLUMNS
    assert {name: row[name] for name in PHOTO_COLUMNS[1:]} == {
        "image_id": "d1-1",
        "path": "d1/1.png",
        "dish_id": "d1",
        "decision": "photo bad",
        "answer": "红烧鱼块",
        "predictor": "tuned",
        "note": 'plate "two", cut\noff',
        "right_dish": "",
    }
    assert row["time"].endswith("+00:00")
    assert "photo bad" in browser.cards["naming-1"].badge.value
    assert browser.cards["naming-0"].badge.value == ""


def test_a_mark_is_on_the_disk_when_the_handler_returns(make, monkeypatch):
    browser = make()
    synced = []
    browser.select("红烧鱼", "红烧鱼块")
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(make.file.read_text("utf-8")))
    browser.mark("naming-0", "photo bad")
    assert len(synced) == 1
    assert "photo bad" in synced[0]


def test_marks_are_there_again_and_the_last_one_counts(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.mark("naming-0", "label wrong")
    browser.mark("naming-0", "real confusion")
    again = make(language="zh")
    again.select("红烧鱼", "红烧鱼块")
    assert "确属混淆" in again.cards["naming-0"].badge.value
    assert [row["decision"] for row in decided_rows(make.file)] == ["label wrong", "real confusion"]


def test_stages_01_and_03_start_from_the_marks_and_leave_out_what_they_say(
    make, tmp_path, monkeypatch
):
    browser = make()
    for pair, question, decision in (
        (("红烧鱼", "红烧鱼块"), "naming-0", "label wrong"),
        (("红烧鱼", "红烧鱼块"), "naming-1", "real confusion"),
        (("红烧鱼块", EVIL), "naming-3", "photo bad"),
    ):
        browser.select(*pair)
        browser.mark(question, decision)
    photos = catalog(tmp_path)
    kept, out = rejections.without_decided(photos, make.file)
    assert dict(zip(out["path"], out["reason"], strict=True)) == {
        "d1/0.png": "label wrong",
        "d2/0.png": "photo bad",
    }
    assert len(kept) == len(photos) - 2
    monkeypatch.setattr(
        paths, "decisions_file", lambda run, kind: tmp_path / "decisions" / f"{kind}.csv"
    )
    for stage in ("01_annotation", "03_dataset"):
        assert dependencies.inputs_of(stage, {"run_name": "r"}, {}) == {
            "decisions/photos.csv": records.sha256_file(make.file)
        }


def test_wrong_marks_write_nothing(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    with pytest.raises(KeyError, match="not among the cards"):
        browser.mark("naming-3", "photo bad")
    with pytest.raises(ValueError, match="label wrong, photo bad, real confusion"):
        browser.mark("naming-0", "bad photo")
    assert not make.file.exists()


def test_a_photo_is_given_its_right_dish_which_is_the_answer_while_nothing_else_is_chosen(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    card = browser.cards["naming-1"]
    assert card.buttons[3].description == "4 other dish: 红烧鱼块"
    card.buttons[3].click()
    (row,) = decided_rows(make.file)
    assert (row["image_id"], row["decision"], row["right_dish"]) == ("d1-1", "other dish", "d2")
    assert row["dish_id"] == "d1"
    assert "marked: other dish → 红烧鱼块" in card.badge.value


def test_the_right_dish_is_searched_for_and_its_own_dish_is_not_offered(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    picker = browser.cards["naming-1"].picker
    assert "d1" not in [dish_id for _, dish_id in picker.choice.options]
    picker.field.value = "FRAC"
    assert [dish_id for _, dish_id in picker.choice.options] == ["d4"]
    browser.cards["naming-1"].buttons[3].click()
    assert decided_rows(make.file)[0]["right_dish"] == "d4"
    picker.field.value = "no such"
    assert browser.cards["naming-1"].buttons[3].disabled
    assert picker.count.value == "no such dish"


def test_a_press_on_a_near_photo_chooses_its_dish(make):
    features = {
        "image_id": np.array(["d1-0", "d1-1", "d2-1", "d3-1"]),
        "feature": np.array([[1, 0], [0.6, 0.8], [1, 0], [0, 1]], np.float32),
    }
    browser = make(features=features)
    browser.select("红烧鱼", "红烧鱼块")
    card = browser.cards["naming-0"]
    near = [attrs["data-dish"] for attrs in Elements(html_of(card.box)).named("button")]
    assert near == ["d2", "d1", "d3"]
    card.chosen.value = "d3"
    assert card.picker.dish_id == "d3"
    assert card.chosen.value == ""
    card.chosen.value = "no such dish"
    assert card.picker.dish_id == "d3"


def test_a_decision_is_taken_back_by_a_further_row(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    card = browser.cards["naming-1"]
    assert card.undo.disabled
    card.buttons[3].click()
    card.undo.click()
    assert [row["decision"] for row in decided_rows(make.file)] == ["other dish", ""]
    assert card.badge.value == ""
    assert card.undo.disabled
    assert make().marks.latest("d1-1") is None


def test_near_duplicates_get_the_right_dish_too_unless_that_is_unticked(make, tmp_path):
    photos = catalog(tmp_path).assign(group_id=lambda table: table.dish_id)
    browser = make(photos=photos)
    browser.select("红烧鱼", "红烧鱼块")
    browser.cards["naming-0"].buttons[3].click()
    moved = [
        (row["image_id"], row["dish_id"], row["right_dish"]) for row in decided_rows(make.file)
    ]
    assert moved == [("d1-0", "d1", "d2"), ("d1-1", "d1", "d2"), ("d1-2", "d1", "d2")]
    browser.cards["naming-1"].twins.value = False
    browser.cards["naming-1"].buttons[3].click()
    assert len(decided_rows(make.file)) == 4
    browser.cards["naming-1"].buttons[0].click()
    assert len(decided_rows(make.file)) == 5


def test_a_photo_of_an_outside_site_is_offered_the_dishes_of_its_site(make, tmp_path):
    photos = catalog(tmp_path)
    is_site = photos.dish_id.isin(("d1", "d2"))
    photos["split"] = photos.split.mask(is_site, "site:north")
    photos["dish_id"] = photos.dish_id.mask(is_site, "north/" + photos.dish_id)
    rows = predictions()
    rows["dish_id"] = rows.dish_id.mask(rows.dish_id.isin(("d1", "d2")), "north/" + rows.dish_id)
    browser = make(photos=photos, predictions=rows)
    browser.select("红烧鱼", "红烧鱼块")
    picker = browser.cards["naming-1"].picker
    assert picker.choice.options == (("d2", "north/d2"),)


def test_what_keeps_a_decision_from_the_disk_is_said_on_the_card(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    make.file.parent.mkdir(parents=True)
    make.file.write_text("a,b\n1,2\n", "utf-8")
    browser.cards["naming-1"].buttons[0].click()
    assert "no column image_id, decision" in browser.cards["naming-1"].badge.value
    assert make.file.read_text("utf-8") == "a,b\n1,2\n"


def test_no_name_answer_or_note_becomes_markup(make):
    browser = make()
    for pair in list(browser.pair_buttons):
        browser.pair_buttons[pair].click()
        question = next(iter(browser.cards))
        browser.mark(question, "photo bad", note=EVIL)
        page = html_of(browser.show())
        assert "<img src=x" not in page
        assert "<script" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_missing_and_foreign_answers_are_pairs_of_their_own(make):
    browser = make()
    assert (NAMES["d4"], "no answer") in browser.pair_buttons
    assert (
        EVIL,
        "not a dish",
    ) in browser.pair_buttons
    browser.select(NAMES["d4"], "no answer")
    assert browser.mark("naming-6", "photo bad")["answer"] == ""


def test_the_browser_counts_as_the_evaluation_does(make):
    rows = predictions().query("predictor == 'tuned' and protocol == 'naming'")
    table = confusion.confusions(rows, NAMES, SIMILAR)
    counted = {(row.truth, row.answer): f"{row.n}/{row.n_truth}" for row in table.itertuples()}
    shown = {pair: button.description.split()[-1] for pair, button in make().pair_buttons.items()}
    assert shown == counted


def test_more_questions_come_on_demand(make):
    rows = predictions().query("predictor == 'tuned' and protocol == 'naming' and id == 'naming-0'")
    many = pd.concat([rows.assign(id=f"q{index}") for index in range(8)])
    browser = make(predictions=many)
    browser.select("红烧鱼", "红烧鱼块")
    assert len(browser.cards) == 6
    browser.detail.children[-1].click()
    assert len(browser.cards) == 8


def test_no_confusion_is_said(make):
    rows = predictions()
    browser = make(predictions=rows[rows["correct"]])
    assert "no confusions among 2 questions" in browser.summary.value
    assert not browser.pair_buttons


def test_bad_input_is_named(make):
    with pytest.raises(records.RecordError, match="truth"):
        make(predictions=predictions().drop(columns="truth"))
    with pytest.raises(ValueError, match="no predictions"):
        make(predictions=predictions().iloc[:0])
