"""Figures are drawn from toys: what they say, that every photo stands in its place, and that no
name breaks them.
"""

import io

import numpy as np
import pandas as pd
import pytest
from display_toys import EVIL, NAMES, SIMILAR, catalog
from matplotlib.figure import Figure
from PIL import Image

from dishvl_lib.display import figures, fonts

PAIRS = pd.DataFrame(
    {
        "truth": ["红烧鱼", "红烧鱼块", "红烧鱼"],
        "answer": ["红烧鱼块", "not a dish", "红烧鱼"],
        "n": [2, 1, 5],
        "n_truth": [7, 1, 7],
        "share": [2 / 7, 1.0, 5 / 7],
        "look_alike_rank": pd.array([1, None, None], dtype="Int64"),
        "truth_id": ["d1", "d2", "d1"],
        "answer_id": ["d2", "", "d1"],
        "image_ids": [["d1-0", "d1-1"], ["d2-0"], ["d1-2"]],
    }
)


def png(figure):
    """The drawn pixels (height, width, 3): drawing must not fail, whatever the names hold."""
    assert isinstance(figure, Figure)
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB"))


def texts_of(figure):
    return [text.get_text() for holder in (figure, *figure.axes) for text in holder.texts]


def photos_in(figure):
    return [axes for axes in figure.axes if axes.images]


def with_fonts(monkeypatch, shipped, of_the_machine=()):
    """Only these font files are there besides matplotlib's own."""
    monkeypatch.setattr(fonts, "SHIPPED", shipped)
    monkeypatch.setattr(
        fonts.font_manager, "findSystemFonts", lambda: list(map(str, of_the_machine))
    )
    fonts.chinese_fonts.cache_clear()


@pytest.fixture
def without_font(monkeypatch, tmp_path):
    """No font that draws Chinese: neither the shipped one nor one of the machine."""
    with_fonts(monkeypatch, tmp_path / "none.otf")
    yield
    fonts.chinese_fonts.cache_clear()


def test_the_grid_shows_every_photo_up_to_its_limit(tmp_path):
    figure = figures.photo_grid(catalog(tmp_path), tmp_path, limit=5, columns=3)
    assert len(photos_in(figure)) == 5
    assert "example photos: 5 of 12" in texts_of(figure)
    assert png(figure).std() > 0


def test_no_photo_is_a_sentence_and_no_picture(tmp_path):
    nothing = figures.photo_grid(catalog(tmp_path).head(0), tmp_path, language="zh")
    assert repr(nothing) == "照片示例: 无"
    assert nothing._repr_png_() is None


def test_titles_must_fit_the_photos(tmp_path):
    with pytest.raises(ValueError, match="12 photos need as many titles, got 1"):
        figures.photo_grid(catalog(tmp_path), tmp_path, ["one"])


def test_a_photo_that_is_gone_leaves_a_box_with_the_reason(tmp_path):
    photos = catalog(tmp_path)
    (tmp_path / photos["path"][0]).unlink()
    figure = figures.photo_grid(photos.head(2), tmp_path)
    assert len(photos_in(figure)) == 1
    assert "missing" in texts_of(figure)


def test_confused_pairs_show_both_dishes_count_share_and_rank(tmp_path):
    figure = figures.confusion_grid(PAIRS, catalog(tmp_path), NAMES, tmp_path)
    assert len(photos_in(figure)) == 3 + 3 + 3
    assert "2 of 7 questions\nshare 28.6%\nlook-alike rank 1" in texts_of(figure)
    assert "1 of 1 questions\nshare 100.0%" in texts_of(figure)
    assert "wrong: 3 of 8" in texts_of(figure)[0]
    png(figure)


def test_top_limits_the_pairs(tmp_path):
    figure = figures.confusion_grid(PAIRS, catalog(tmp_path), NAMES, tmp_path, top=1)
    assert len(photos_in(figure)) == 6
    assert "1 of 2" in texts_of(figure)[0]


def test_no_confusion_is_said_with_right_answers(tmp_path):
    figure = figures.confusion_grid(PAIRS.iloc[2:], catalog(tmp_path), NAMES, tmp_path)
    assert "no confusions among 5 questions" in texts_of(figure)[0]
    assert len(photos_in(figure)) == 1
    assert (
        "no confusions among 0 questions"
        in texts_of(figures.confusion_grid(PAIRS.iloc[:0], catalog(tmp_path), NAMES, tmp_path))[0]
    )


def test_names_with_formulas_and_markup_are_drawn_as_they_are(tmp_path):
    pairs = PAIRS.head(1).assign(truth=NAMES["d4"], answer=EVIL, truth_id="d4", answer_id="d3")
    figure = figures.confusion_grid(pairs, catalog(tmp_path), NAMES, tmp_path)
    assert NAMES["d4"] in texts_of(figure)
    assert EVIL in texts_of(figure)
    png(figure)


def test_look_alikes_stand_beside_their_dish_with_scores(tmp_path):
    figure = figures.similar_grid(SIMILAR, catalog(tmp_path), NAMES, tmp_path, rows=2)
    assert len(photos_in(figure)) == (1 + 2) + (1 + 1)
    assert {"0.950", "0.300"} <= set(texts_of(figure))
    png(figure)


def test_look_alikes_may_come_from_a_csv_file_as_strings_or_be_none(tmp_path):
    figure = figures.similar_grid(SIMILAR.astype(str), catalog(tmp_path), NAMES, tmp_path, rows=1)
    assert "0.950" in texts_of(figure)
    assert "no look-alikes were found" in texts_of(
        figures.similar_grid(SIMILAR.iloc[:0], catalog(tmp_path), NAMES, tmp_path)
    )


def test_without_a_chinese_font_names_are_numbered_and_explained(tmp_path, capsys, without_font):
    figure = figures.confusion_grid(PAIRS, catalog(tmp_path), NAMES, tmp_path, language="zh")
    printed = capsys.readouterr().out
    assert all(text.isascii() or set(text) <= {"→"} for text in texts_of(figure))
    assert "#1 红烧鱼" in printed
    assert "#2 红烧鱼块" in printed
    assert "apt-get install fonts-wqy-microhei" in printed
    assert fonts.use_chinese_font() is None


def test_another_language_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'zh' or 'en'"):
        figures.similar_grid(SIMILAR, catalog(tmp_path), NAMES, tmp_path, language="fr")
