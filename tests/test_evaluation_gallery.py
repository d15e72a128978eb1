"""Predictors with a gallery: what is asked of the model, what is taken from its earlier answers,
and which gallery a question belongs to.
"""

import numpy as np
import pandas as pd
import pytest
import tiny
from evaluation_toys import row

from dishvl_lib import Recognizer
from dishvl_lib.evaluation import asking, predictors, protocols
from dishvl_lib.evaluation.gallery import Galleries, GalleryPredictor, HybridPredictor
from dishvl_lib.gallery import run_gallery
from dishvl_lib.gallery.fusion import Fusion
from dishvl_lib.vlm.menu_presence import MenuPresence

NAMES = {"d1": "红烧鱼", "d2": "米饭", "d3": "番茄炒蛋"}
NEW = "麻婆豆腐"
VECTORS = {
    name: np.array(value, np.float32) / np.linalg.norm(value)
    for name, value in {
        "a": (1, 0, 0),
        "b": (0, 1, 0),
        "c": (0, 0, 1),
        "n": (1, 1, 0),
        "i0": (0.9, 0.2, 0.1),
        "i1": (0.8, 0.7, 0),
    }.items()
}
HASHES = {"sha256": "", "phash": "0" * 16, "phash_mirrored": "0" * 16}
TRAIN = pd.DataFrame({"image_id": ["a", "b", "c"], "dish_id": ["d1", "d2", "d3"]}).assign(**HASHES)
ADDED = pd.DataFrame({"image_id": ["n"], "dish_id": ["d4"]}).assign(**HASHES)
MENU = ["米饭", "红烧鱼", "麻婆豆腐"]
FITTED = Fusion(gallery=5.0, unknown=0.5)


def galleries(numbers=FITTED):
    rows = run_gallery.registered(TRAIN, NAMES, VECTORS)
    known = run_gallery.in_memory(rows, "pplcnet").with_fusion({"menu": numbers, "naming": numbers})
    added = run_gallery.registered(ADDED, {"d4": NEW}, VECTORS)
    return Galleries(known, known.with_photos(added), protocols.ENLARGED)


def asked(number, protocol="menu", **more):
    return {**row(number, **more), "protocol": protocol}


class Counting(Recognizer):
    """A recognizer that counts the menus it is asked."""

    def answer_questions(self, queries, top_k=3):
        for _, namings, menus in queries:
            assert not namings
            self.metadata["asked"] = self.metadata.get("asked", 0) + len(menus)
        return super().answer_questions(queries, top_k)


@pytest.fixture
def recognizer(tmp_path):
    for number in range(3):
        tiny.photo(number).save(tmp_path / f"{number}.jpg")
    return Counting(tiny.model(), {"temperature": 2.0})


@pytest.fixture
def hybrid(recognizer, tmp_path):
    def made(answered=(), numbers=FITTED):
        shown = galleries(numbers)
        return HybridPredictor(lambda: recognizer, tmp_path, VECTORS, shown, lambda: list(answered))

    return made


def test_the_gallery_alone_takes_the_most_similar_dish_of_all_or_of_the_menu():
    predictor = GalleryPredictor(VECTORS, galleries())
    naming, menu = predictor.answer([asked(0, "naming"), asked(0, menu=["米饭", "番茄炒蛋"])])
    assert (naming.text, menu.text) == ("红烧鱼", "米饭")


def test_new_dishes_are_in_the_gallery_only_where_they_were_added():
    predictor = GalleryPredictor(VECTORS, galleries())
    before, after = predictor.answer([asked(1, "naming"), asked(1, "naming_with_new")])
    assert (before.text, after.text) == ("红烧鱼", NEW)
    before, after = predictor.answer([asked(1, menu=MENU), asked(1, "new_dishes", menu=MENU)])
    assert (before.text, after.text) == ("红烧鱼", NEW)


def test_a_menu_of_which_nothing_is_registered_has_no_answer_of_the_gallery():
    (answer,) = GalleryPredictor(VECTORS, galleries()).answer([asked(0, menu=["汤"])])
    assert (answer.text, answer.error) == (None, "")


def test_a_photo_without_features_is_a_failure(hybrid):
    question = asked(7, menu=MENU)
    assert "no features" in GalleryPredictor(VECTORS, galleries()).answer([question])[0].error
    assert "no features" in hybrid().answer([question])[0].error


def tuned_answers(recognizer, tmp_path, rows):
    predictor = predictors.RecognizerPredictor(recognizer, tmp_path)
    return asking.predict("tuned", predictor, rows, tmp_path / "tuned.jsonl")


def test_what_the_model_has_said_of_a_menu_is_not_asked_again(hybrid, recognizer, tmp_path):
    rows = [asked(0, menu=MENU), asked(1, menu=MENU)]
    said = tuned_answers(recognizer, tmp_path, rows)
    recognizer.metadata["asked"] = 0
    kept = hybrid(said).answer(rows)
    assert recognizer.metadata["asked"] == 0
    again = hybrid().answer(rows)
    assert recognizer.metadata["asked"] == 2
    for first, second in zip(kept, again, strict=True):
        assert first.log_probabilities == pytest.approx(second.log_probabilities, abs=1e-3)


def test_another_menu_or_wording_under_the_same_id_is_asked(hybrid, recognizer, tmp_path):
    said = tuned_answers(recognizer, tmp_path, [asked(0, menu=MENU)])
    recognizer.metadata["asked"] = 0
    hybrid(said).answer([asked(0, menu=MENU[::-1])])
    assert recognizer.metadata["asked"] == 1


def test_equal_shortlists_of_a_photo_are_asked_once(hybrid, recognizer):
    recognizer.metadata["asked"] = 0
    rows = [asked(0, "naming"), {**asked(0, "naming_unseen"), "id": "other"}]
    first, second = hybrid().answer(rows)
    assert recognizer.metadata["asked"] == 1
    assert first.text == second.text


def test_without_weight_of_the_gallery_a_menu_is_answered_as_by_the_model(
    hybrid, recognizer, tmp_path
):
    rows = [asked(0, menu=MENU), asked(1, menu=["米饭", "汤"])]
    alone = predictors.RecognizerPredictor(recognizer, tmp_path).answer(rows)
    both = hybrid(numbers=Fusion()).answer(rows)
    assert [answer.text for answer in both] == [answer.text for answer in alone]
    for answer, other in zip(both, alone, strict=True):
        assert answer.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-3)


def test_a_name_is_one_of_the_gallery(hybrid):
    (answer,) = hybrid().answer([asked(0, "naming")])
    assert answer.text in NAMES.values()
    assert len(answer.scores) == len(NAMES)


def test_a_strong_gallery_names_the_photo(hybrid):
    (answer,) = hybrid(numbers=Fusion(gallery=1000.0)).answer([asked(0, "naming")])
    assert answer.text == "红烧鱼"


def test_a_new_dish_is_found_with_the_gallery(hybrid):
    numbers = Fusion(gallery=20.0)
    before, after = hybrid(numbers=numbers).answer(
        [asked(1, "naming"), {**asked(1, "naming_with_new"), "id": "after"}]
    )
    assert (before.text == NEW, after.text) == (False, NEW)


def test_below_the_threshold_there_is_no_answer_only_where_the_dish_may_be_absent(hybrid):
    numbers = Fusion(threshold=1.1)
    present = asked(0, menu=MENU)
    absent = {**asked(0, "menu_absent", menu=MENU, kind="menu_absent"), "id": "x"}
    given, refused = hybrid(numbers=numbers).answer([present, absent])
    assert given.text in MENU
    assert refused.text is None


ABSENT = {**asked(0, "menu_absent", menu=MENU[:2], kind="menu_absent"), "id": "x"}


def deciding(recognizer, tmp_path, on_menu, answered=(), shown=None):
    """A hybrid whose model says of every menu that the dish is on it, or that it is not."""
    bias = 1000.0 if on_menu else -1000.0
    recognizer.presence = MenuPresence(1.0, bias, 0.5, (2,), 40)
    shown = shown or galleries()
    return HybridPredictor(
        lambda: recognizer, tmp_path, VECTORS, shown, lambda: list(answered), model_decides=True
    )


@pytest.mark.parametrize("on_menu", [True, False])
def test_the_model_says_whether_a_dish_is_on_the_menu_as_in_use(recognizer, tmp_path, on_menu):
    (answer,) = deciding(recognizer, tmp_path, on_menu).answer([ABSENT])
    assert (answer.text is not None) == on_menu


@pytest.mark.parametrize("on_menu", [True, False])
def test_what_the_model_has_refused_before_stays_refused(recognizer, tmp_path, on_menu):
    tuned = predictors.RecognizerPredictor(recognizer, tmp_path)
    predictor = deciding(recognizer, tmp_path, on_menu)
    kept = asking.predict("tuned", tuned, [ABSENT], tmp_path / "tuned.jsonl")
    predictor = deciding(recognizer, tmp_path, not on_menu, kept)
    (answer,) = predictor.answer([ABSENT])
    assert (answer.text is not None) == on_menu


@pytest.mark.parametrize("threshold, answered", [(0.0, True), (1.1, False)])
def test_of_a_new_dish_the_probability_within_the_menu_decides(
    recognizer, tmp_path, threshold, answered
):
    shown = galleries(Fusion(gallery=500.0, unknown=0.5, threshold=threshold))
    question = {**ABSENT, "protocol": protocols.ENLARGED[0], "menu": [MENU[0], NEW]}
    question = {**question, "image_id": "n"}
    (answer,) = deciding(recognizer, tmp_path, not answered, shown=shown).answer([question])
    assert answer.scores[0][0] == NEW
    assert (answer.text is not None) == answered


def test_a_damaged_photo_costs_no_other_its_answer(hybrid, tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"no photo")
    rows = [asked(0, menu=MENU), asked(1, menu=MENU)]
    kept = asking.predict("hybrid", hybrid(), rows, tmp_path / "a.jsonl")
    assert [bool(line["error"]) for line in kept] == [False, True]
