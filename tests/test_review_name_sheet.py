"""The picture of a review of names for batch runs: whose photos it shows, and which are framed."""

import pytest
from display_toys import catalog
from test_display_figures import photos_in, png, texts_of
from test_review_name_review import DISHES, REVIEW

from dishvl_lib.core import records
from dishvl_lib.review import name_sheet


@pytest.fixture
def photos(tmp_path):
    return catalog(tmp_path)


def test_the_picture_shows_both_dishes_and_frames_the_photos_that_were_named(photos, tmp_path):
    figure = name_sheet.review_sheet(REVIEW, DISHES, photos, tmp_path, limit=3)
    assert len(photos_in(figure)) == 3 + 3 + 3 + 3 + 3
    assert "suspicion: 3 of 4" in texts_of(figure)
    assert png(figure).std() > 0
    framed = [axes for axes in figure.axes if axes.spines["left"].get_visible()]
    assert len(framed) == 2
    assert {axes.get_images()[0].get_array()[0, 0, 1] for axes in framed} == {
        160,
        80,
    }


def test_the_picture_of_an_empty_review_says_so(photos, tmp_path):
    assert "nothing to review" in texts_of(
        name_sheet.review_sheet(REVIEW.iloc[:0], DISHES, photos, tmp_path)
    )
    with pytest.raises(records.RecordError, match="suspicion"):
        name_sheet.review_sheet(REVIEW.drop(columns="suspicion"), DISHES, photos, tmp_path)
