"""The browser without a browser: filters, choosing a pair, marking a photo, and finding the mark again."""

import csv
import os

import ipywidgets
import pandas as pd
import pytest
from display_toys import EVIL, NAMES, SIMILAR, catalog, predictions

from dishvl_lib.core import records
from dishvl_lib.display import pairs
from dishvl_lib.display.decisions import COLUMNS, DecisionFile
from dishvl_lib.display.widgets import ConfusionBrowser
from dishvl_lib.evaluation import confusion


@pytest.fixture
def make(tmp_path):
    photos = catalog(tmp_path)
    file = tmp_path / "decisions" / "photos.csv"

    def browser(**changes):
        return ConfusionBrowser(changes.pop("predictions", predictions()), photos, NAMES, tmp_path, SIMILAR, file, **changes)

    browser.file = file
    return browser


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def html_of(widget):
    """All HTML that a widget and its children would put into the page."""
    own = widget.value if isinstance(widget, ipywidgets.HTML) else ""
    return own + "".join(html_of(child) for child in getattr(widget, "children", ()))


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
    assert "question 0" in page and "0.900" in page and "look-alike rank 1" in page
    assert page.count("data:image/jpeg") >= 2 + 6


def test_filters_narrow_the_grid_and_close_the_pair(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.filters.dish.value = "红烧鱼块"
    assert list(browser.pair_buttons) == [("红烧鱼块", EVIL)] and browser.chosen is None
    browser.filters.dish.value = "红烧鱼块"
    with pytest.raises(KeyError, match="under these filters"):
        browser.select("红烧鱼", "红烧鱼块")


def test_another_predictor_keeps_the_protocol_it_has_and_leaves_one_it_has_not(make):
    rows = predictions()
    browser = make(predictions=rows[(rows["predictor"] == "tuned") | (rows["protocol"] == "naming")])
    browser.filters.protocol.value = "menu"
    browser.filters.predictor.value = "base"
    assert browser.filters.protocol.value == "naming" and len(browser.filters.rows()) == 7
    browser.filters.predictor.value = "tuned"
    assert browser.filters.protocol.value == "naming" and browser.pair_buttons


def test_a_mark_is_written_at_once_with_its_note(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.cards["naming-1"].note.value = 'plate "two", cut\noff'
    browser.cards["naming-1"].buttons[1].click()
    (row,) = read(make.file)
    assert tuple(row) == COLUMNS
    assert {name: row[name] for name in COLUMNS[1:]} == {
        "image_id": "d1-1", "path": "d1/1.png", "dish_id": "d1", "decision": "photo bad", "answer": "红烧鱼块", "predictor": "tuned",
        "note": 'plate "two", cut\noff',
    }  # fmt: skip
    assert row["time"].endswith("+00:00")
    assert "photo bad" in browser.cards["naming-1"].badge.value and browser.cards["naming-0"].badge.value == ""


def test_a_mark_is_on_the_disk_when_the_handler_returns(make, monkeypatch):
    browser, synced = make(), []
    browser.select("红烧鱼", "红烧鱼块")
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(make.file.read_text("utf-8")))
    browser.mark("naming-0", "photo bad")
    assert len(synced) == 1 and "photo bad" in synced[0]


def test_marks_are_there_again_and_the_last_one_counts(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    browser.mark("naming-0", "label wrong")
    browser.mark("naming-0", "real confusion")
    again = make(language="zh")
    again.select("红烧鱼", "红烧鱼块")
    assert "确属混淆" in again.cards["naming-0"].badge.value
    assert [row["decision"] for row in read(make.file)] == ["label wrong", "real confusion"]


def test_wrong_marks_write_nothing(make):
    browser = make()
    browser.select("红烧鱼", "红烧鱼块")
    with pytest.raises(KeyError, match="not among the cards"):
        browser.mark("naming-3", "photo bad")
    with pytest.raises(ValueError, match="label wrong, photo bad, real confusion"):
        browser.mark("naming-0", "bad photo")
    assert not make.file.exists()


def test_no_name_answer_or_note_becomes_markup(make):
    browser = make()
    for pair in list(browser.pair_buttons):
        browser.pair_buttons[pair].click()
        question = next(iter(browser.cards))
        browser.mark(question, "photo bad", note=EVIL)
        page = html_of(browser.show())
        assert "<img src=x" not in page and "<script" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_missing_and_foreign_answers_are_pairs_of_their_own(make):
    browser = make()
    assert (NAMES["d4"], "no answer") in browser.pair_buttons and (EVIL, "not a dish") in browser.pair_buttons
    browser.select(NAMES["d4"], "no answer")
    assert browser.mark("naming-6", "photo bad")["answer"] == ""


def test_the_browser_counts_as_the_evaluation_does():
    rows = predictions().query("predictor == 'tuned' and protocol == 'naming'")
    ours = pairs.count(rows.assign(shown=pairs.shown_answers(rows, NAMES))).set_index(["truth", "answer"])[["n", "n_truth"]]
    theirs = confusion.confusions(rows, NAMES, SIMILAR).set_index(["truth", "answer"])
    pd.testing.assert_frame_equal(ours.sort_index(), theirs[["n", "n_truth"]].sort_index())
    assert (pairs.NOT_A_DISH, pairs.NO_ANSWER) == (confusion.NOT_A_DISH, confusion.NO_ANSWER)
    assert pairs.ranks(SIMILAR, NAMES)["红烧鱼", "红烧鱼块"] == theirs.loc[("红烧鱼", "红烧鱼块"), "look_alike_rank"]


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
    assert "no confusions among 2 questions" in browser.summary.value and not browser.pair_buttons


def test_bad_input_is_named(make):
    with pytest.raises(records.RecordError, match="truth"):
        make(predictions=predictions().drop(columns="truth"))
    with pytest.raises(ValueError, match="no predictions"):
        make(predictions=predictions().iloc[:0])


def test_rows_go_under_an_existing_header_after_a_torn_line(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("extra," + ",".join(COLUMNS) + "\nx,2026-01-01T00:00:00+00:00,i1,p,d1,photo bad", "utf-8")
    decisions = DecisionFile(path)
    assert decisions.latest("i1")["decision"] == "photo bad" and decisions.latest("i2") is None
    decisions.add("label wrong", image_id="i2")
    rows = read(path)
    assert [(row["image_id"], row["decision"]) for row in rows] == [("i1", "photo bad"), ("i2", "label wrong")]


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(records.RecordError, match="decision"):
        DecisionFile(path)
