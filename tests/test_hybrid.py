"""The model and the gallery answer as one: the Recognizer's signatures, dishes that were added or
removed, and the model alone where the gallery knows nothing.
"""

import shutil

import numpy as np
import pytest
import tiny
from gallery_toys import DISHES, FUSION, NEW, gallery_folder, photo_files, striped

paddle = pytest.importorskip("paddle")

from dishvl_lib import Gallery, Hybrid, Recognizer  # noqa: E402
from dishvl_lib.core import images, records  # noqa: E402
from dishvl_lib.gallery.fusion import Fusion  # noqa: E402
from dishvl_lib.gallery.gallery import GalleryError  # noqa: E402
from dishvl_lib.vlm.answers import Choice, Recognition  # noqa: E402
from dishvl_lib.vlm.photo_questions import PhotoQuestions  # noqa: E402
from dishvl_lib.vlm.recognizer import METADATA, model_fingerprint  # noqa: E402

MENU = ["米饭", "红烧鱼", "番茄炒蛋"]
ODD_MENU = ["1. 米饭 2元", "红烧鱼 ￥12", "没有登记的菜"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return gallery_folder(tmp_path_factory.mktemp("made") / "gallery")


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(tiny.model(), {"temperature": 1.0})


@pytest.fixture
def hybrid(made, recognizer):
    return Hybrid(recognizer, Gallery.load(made))


def with_numbers(hybrid, numbers):
    return Hybrid(hybrid.recognizer, _AsLoaded(hybrid.gallery, numbers))


class _AsLoaded(Gallery):
    """A gallery with other numbers that keeps its folder, and so its net."""

    def __init__(self, gallery, numbers):
        fitted = gallery.with_fusion({"menu": numbers, "naming": numbers})
        super().__init__(fitted.manifest, gallery.photos, gallery.folder)


def test_a_choice_has_the_recognizers_form(hybrid):
    choice = hybrid.choose(striped(1, 50), MENU)
    assert isinstance(choice, Choice)
    assert {entry for entry, _ in choice.entries} == set(MENU)
    assert sum(share for _, share in choice.entries) == pytest.approx(1)


def test_the_gallery_turns_what_the_model_does_not_know(hybrid):
    """The toy model's weights are random; the gallery knows the stripes."""
    right = [hybrid.choose(striped(dish, 50), MENU).answer for dish in range(3)]
    assert right == list(DISHES)


def test_without_weight_of_the_gallery_the_model_alone_answers(hybrid, recognizer):
    alone = recognizer.choose(striped(1, 50), MENU)
    both = with_numbers(hybrid, Fusion()).choose(striped(1, 50), MENU)
    assert [entry for entry, _ in both.entries] == [entry for entry, _ in alone.entries]
    shares = [share for _, share in alone.entries]
    assert [share for _, share in both.entries] == pytest.approx(shares, rel=1e-4)


def test_entries_are_spelt_as_the_menu_has_them(hybrid):
    choice = hybrid.choose(striped(1, 50), ODD_MENU)
    assert choice.answer == "1. 米饭 2元"
    assert {entry for entry, _ in choice.entries} == set(ODD_MENU)


def test_top_k_cuts_and_must_be_at_least_one(hybrid):
    assert len(hybrid.choose(striped(1, 50), MENU, top_k=1).entries) == 1
    with pytest.raises(ValueError, match="top_k is 0"):
        hybrid.choose(striped(1, 50), MENU, top_k=0)


def test_a_list_of_photos_gives_a_list_as_one_by_one(hybrid):
    photos = [striped(dish, 60) for dish in range(3)]
    together = hybrid.choose(photos, MENU, batch_size=2)
    alone = [hybrid.choose(photo, MENU) for photo in photos]
    assert [choice.answer for choice in together] == [choice.answer for choice in alone]
    assert [choice.entries[0][1] for choice in together] == pytest.approx(
        [choice.entries[0][1] for choice in alone], rel=1e-4
    )


def test_photos_with_other_menus_share_a_pass_and_answer_as_alone(hybrid):
    asked = [
        PhotoQuestions([MENU], top_k=9),
        PhotoQuestions(naming="naming-1"),
        PhotoQuestions([ODD_MENU, MENU[:1]], naming="naming-1", top_k=9),
    ]
    prepared = [hybrid.prepare(striped(dish, 60), asked[dish]) for dish in range(3)]
    for ready, recognition in zip(prepared, hybrid.answer_prepared(prepared), strict=True):
        (alone,) = hybrid.answer_prepared([ready])
        assert recognition.names == alone.names
        for choice, other in zip(recognition.choices, alone.choices, strict=True):
            assert choice.answer == other.answer
            assert dict(choice.entries) == pytest.approx(dict(other.entries), abs=1e-5)


def test_several_menus_about_a_photo(hybrid):
    choices = hybrid.choose_many(striped(1, 50), [MENU, ["红烧鱼", "米饭"]])
    assert [choice.answer for choice in choices] == ["米饭", "米饭"]


def test_names_come_from_the_gallery(hybrid):
    assert hybrid.name([striped(dish, 70) for dish in range(3)]) == list(DISHES)
    assert hybrid.name(striped(2, 70)) == DISHES[2]


def test_recognise_names_and_chooses_in_one(hybrid):
    recognition = hybrid.recognise(striped(1, 50), [MENU])
    assert isinstance(recognition, Recognition)
    assert (recognition.name, recognition.choices[0].answer) == ("米饭", "米饭")
    assert hybrid.recognise(striped(1, 50), [MENU], naming="").name is None


def test_paths_bytes_and_pictures_are_the_same_photo(hybrid, tmp_path):
    (file,) = photo_files(tmp_path, 1, 1, first=50)
    answers = [hybrid.choose(photo, MENU) for photo in (file, str(file), file.read_bytes())]
    shares = [answer.entries[0][1] for answer in answers]
    assert shares == pytest.approx([hybrid.choose(striped(1, 50), MENU).entries[0][1]] * 3)


def test_a_dish_that_was_added_is_named_and_chosen_and_one_that_was_removed_is_not_named(
    made, recognizer, tmp_path
):
    folder = shutil.copytree(made, tmp_path / "gallery")
    gallery = Gallery.load(folder)
    gallery.add(NEW, photo_files(tmp_path / "new", 7, 5), yes=True)
    hybrid = Hybrid(recognizer, gallery)
    assert hybrid.name(striped(7, 50)) == NEW
    assert hybrid.choose(striped(7, 50), [*MENU, NEW]).answer == NEW
    assert hybrid.choose(striped(1, 50), [*MENU, NEW]).answer == "米饭"
    gallery.remove(NEW)
    assert hybrid.name(striped(7, 50)) != NEW


def test_with_an_empty_gallery_the_model_alone_answers(made, recognizer, tmp_path):
    gallery = Gallery.load(shutil.copytree(made, tmp_path / "gallery"))
    for name in DISHES:
        gallery.remove(name)
    hybrid = Hybrid(recognizer, gallery)
    photo = striped(1, 50)
    assert hybrid.name(photo) == recognizer.name(photo)
    assert str(hybrid.recognise(photo, [MENU])) == str(recognizer.recognise(photo, [MENU]))
    assert str(hybrid.choose(photo, MENU)) == str(recognizer.choose(photo, MENU))


def test_below_the_threshold_there_is_no_answer_but_on_a_menu_of_one(hybrid):
    sure = with_numbers(hybrid, Fusion(threshold=1.1))
    assert sure.choose(striped(1, 50), MENU).answer is None
    assert sure.choose(striped(1, 50), ["米饭"]).answer == "米饭"


@pytest.mark.parametrize(
    ("photo", "words"),
    [(b"<html>", "not an image"), ("gone.jpg", "missing"), (b"", "empty")],
)
def test_a_photo_that_cannot_be_used_is_an_image_error(hybrid, photo, words):
    with pytest.raises(images.ImageError, match=words):
        hybrid.choose(photo, MENU)


@pytest.mark.parametrize("menu", [[], ["米饭", "米饭"], ["米饭", " "]])
def test_a_menu_that_cannot_be_one_is_refused(hybrid, menu):
    with pytest.raises(ValueError, match="menu"):
        hybrid.choose(striped(1, 50), menu)


@pytest.fixture
def best(tmp_path):
    folder = tiny.base_folder(tmp_path / "04_training" / "best")
    records.write_json(folder / METADATA, {"temperature": 1.0})
    return folder


def test_a_gallery_that_was_fitted_for_another_model_is_refused_with_the_remedy(best):
    gallery = gallery_folder(best.parent / "gallery", model=model_fingerprint(best))
    Hybrid(Recognizer.load(best), Gallery.load(gallery))
    records.write_json(best / METADATA, {"temperature": 2.0})
    with pytest.raises(GalleryError, match="fitted for another model.*--no-gallery"):
        Hybrid(Recognizer.load(best), Gallery.load(gallery))


def test_shares_that_vanish_do_not_become_nan(hybrid, monkeypatch):
    def sure(queries):
        entries = queries[0].menus[0][1]
        ranked = tuple((entry, float(place == 0)) for place, entry in enumerate(entries))
        return [Recognition((), (Choice(entries[0], ranked),))]

    monkeypatch.setattr(hybrid.recognizer, "answer_queries", sure)
    choice = hybrid.choose(striped(1, 50), MENU)
    assert np.isfinite([share for _, share in choice.entries]).all()


def test_the_numbers_are_those_in_the_folder(made):
    assert Gallery.load(made).fusion() == FUSION


@pytest.mark.parametrize("on_menu", [0.1, 0.9])
@pytest.mark.parametrize("is_new", [False, True])
def test_the_model_says_whether_a_dish_it_knows_is_on_the_menu(
    hybrid, monkeypatch, on_menu, is_new
):
    """Of a new dish it cannot: there the probability within the menu decides."""

    def answered(queries):
        entries = queries[0].menus[0][1]
        ranked = tuple((entry, 1 / len(entries)) for entry in entries)
        return [Recognition((), (Choice(None, ranked, 0.5, on_menu),))]

    monkeypatch.setattr(hybrid.recognizer, "answer_queries", answered)
    monkeypatch.setattr(hybrid.gallery, "is_new", lambda name: is_new)
    choice = hybrid.choose(striped(1, 50), MENU)
    best = choice.entries[0][0]
    if is_new:
        share = choice.entries[0][1]
        assert choice.answer == (best if share >= hybrid.gallery.threshold else None)
        assert choice.on_menu is None
    else:
        assert choice.answer == (best if on_menu >= 0.5 else None)
        assert choice.on_menu == on_menu
