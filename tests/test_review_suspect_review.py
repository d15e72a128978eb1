"""The review of suspect labels without a browser: the grid, a card, its buttons and what they
write.
"""

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from display_toys import EVIL, NAMES, catalog, decided_rows, html_of

from dishvl_lib.core import records
from dishvl_lib.review import suspect_review
from dishvl_lib.review.suspect_review import SuspectReview

SUSPECTS = pd.DataFrame(
    [
        ("d1-1", "d1/1.png", "d1", "d2", 5, 5, 0.9),
        ("d2-1", "d2/1.png", "d2", "d3", 4, 5, 0.8),
        ("d3-2", "d3/2.png", "d3", "d1", 3, 5, 0.7),
    ],
    columns=["image_id", "path", "dish_id", "looks_like", "votes", "of", "score"],
)


@pytest.fixture
def make(tmp_path):
    photos = catalog(tmp_path)
    file = tmp_path / "decisions" / "photos.csv"

    def review(suspects=SUSPECTS, **changes):
        return SuspectReview(suspects, photos, NAMES, tmp_path, file, **changes)

    review.file = file
    return review


def test_it_opens_on_a_grid_of_photos_and_writes_nothing(make):
    review = make()
    assert isinstance(review.show(), ipywidgets.Widget)
    assert list(review.buttons) == ["d1-1", "d2-1", "d3-2"]
    assert review.buttons["d1-1"].description == "红烧鱼? 红烧鱼块  5/5"
    assert html_of(review.grid).count("data:image/jpeg") == 6
    assert "3 · decided: 0" in review.summary.value
    assert not make.file.exists()


def test_a_press_shows_the_photo_in_full_and_suggests_the_dish_that_it_lies_among(make):
    review = make()
    review.buttons["d1-1"].click()
    page = html_of(review.detail)
    assert "d1/1.png" in page
    assert "5 / 5" in page
    assert page.count("data:image/jpeg") == 1 + 6
    assert review.card.buttons[3].description == "4 other dish: 红烧鱼块"


def test_the_right_dish_is_written_at_once_and_the_next_open_suspect_follows(make):
    review = make()
    review.select("d1-1")
    review.card.note.value = "seen"
    review.card.buttons[3].click()
    (row,) = decided_rows(make.file)
    kept = {name: row[name] for name in ("image_id", "path", "dish_id", "decision", "note")}
    assert kept == {
        "image_id": "d1-1",
        "path": "d1/1.png",
        "dish_id": "d1",
        "decision": "other dish",
        "note": "seen",
    }
    assert row["right_dish"] == "d2"
    assert review.chosen == "d2-1"
    assert review.buttons["d1-1"].description.startswith("✓ ")
    assert "d1/1.png: other dish → 红烧鱼块. it counts when stage 01" in review.status.value


def test_every_other_decision_can_be_written_and_taken_back(make):
    review = make()
    for number in range(3):
        review.select(SUSPECTS.image_id[number])
        review.card.buttons[number].click()
    words = [row["decision"] for row in decided_rows(make.file)]
    assert words == ["label wrong", "photo bad", "real confusion"]
    assert review.open == []
    review.select("d2-1")
    review.card.undo.click()
    assert review.open == ["d2-1"]
    assert decided_rows(make.file)[-1]["decision"] == ""
    assert "taken back" in review.status.value


def test_marks_of_before_are_passed_over(make):
    first = make()
    first.select("d2-1")
    first.mark("photo bad")
    again = make()
    assert again.buttons["d2-1"].description.startswith("✓ ")
    again.select("d1-1")
    again.mark("label wrong")
    assert again.chosen == "d3-2"


def test_more_suspects_than_a_page_come_on_demand_or_when_they_are_next(make, monkeypatch):
    monkeypatch.setattr(suspect_review, "SUSPECTS_AT_ONCE", 1)
    review = make()
    assert list(review.buttons) == ["d1-1"]
    review.select("d1-1")
    review.mark("real confusion")
    assert review.chosen == "d2-1"
    assert list(review.buttons) == ["d1-1", "d2-1"]
    review.more.click()
    assert len(review.buttons) == 3
    assert review.more.layout.display == "none"


def test_the_nearest_training_photos_are_shown_and_a_press_chooses_their_dish(make):
    features = {
        "image_id": np.array(["d1-1", "d2-1", "d3-1"]),
        "feature": np.array([[1, 0], [0.6, 0.8], [1, 0]], np.float32),
    }
    review = make(features=features)
    review.select("d1-1")
    assert 'data-dish="d3"' in html_of(review.detail)
    review.card.chosen.value = "d3"
    review.card.buttons[3].click()
    assert decided_rows(make.file)[0]["right_dish"] == "d3"


def test_hostile_names_are_text_and_chinese_is_spoken(make):
    review = make(language="zh")
    review.select("d3-2")
    assert EVIL not in html_of(review.show())
    assert "看起来像" in html_of(review.detail)


def test_wrong_input_is_named(make):
    with pytest.raises(records.RecordError, match="looks_like"):
        make(SUSPECTS.drop(columns="looks_like"))
    with pytest.raises(KeyError, match="not among the suspects"):
        make().select("d4-0")
    with pytest.raises(ValueError, match="choose a photo first"):
        make().mark("photo bad")


def test_no_suspects_is_said(make):
    assert "0 · decided: 0" in make(SUSPECTS[:0]).summary.value
