"""Predictors: the nearest photo, the classifier, and a Qwen2.5-VL folder that may be the wrong
one.
"""

import json
import random

import numpy as np
import pandas as pd
import pytest
import tiny
from evaluation_toys import row

from dishvl_lib import Recognizer
from dishvl_lib.core import questions
from dishvl_lib.evaluation import asking, predictors
from dishvl_lib.vlm import calibration, qwen

NAMES = {"d1": "红烧鱼", "d2": "米饭", "d3": "红烧鱼"}
FEATURES = {
    name: np.array(value, np.float32)
    for name, value in {
        "a": (1, 0),
        "b": (0, 1),
        "c": (0.6, 0.8),
        "i0": (0.8, 0.6),
        "i1": (0, 1),
    }.items()
}
GALLERY = pd.DataFrame({"image_id": ["a", "b", "c"], "dish_id": ["d1", "d2", "d3"]})
SCORES = {
    "image_id": np.array(["i0"]),
    "dish_id": np.array(["d1", "d2", "d3", "gone"]),
    "log_probability": np.log([[0.1, 0.2, 0.15, 0.55]]).astype(np.float16),
}


def nearest(gallery=GALLERY):
    return predictors.NearestPredictor(FEATURES, gallery, NAMES)


def test_the_nearest_photo_of_any_dish_with_a_name_counts():
    first, second = nearest().answer([row(0), row(1)])
    assert (first.text, second.text) == ("红烧鱼", "米饭")
    assert [name for name, _ in first.scores] == ["红烧鱼", "米饭"]
    assert first.scores[0][1] == pytest.approx(0.96)


def test_on_a_menu_only_its_entries_count():
    assert nearest().answer([row(0, menu=["米饭", "汤"])])[0].text == "米饭"
    assert nearest().answer([row(0, menu=["汤"])])[0].text is None


def test_a_photo_without_features_is_a_failure_and_no_refusal():
    assert "no features" in nearest().answer([row(7)])[0].error
    assert "no scores" in predictors.ClassifierPredictor(SCORES, NAMES).answer([row(7)])[0].error


def test_a_gallery_without_names_is_refused():
    with pytest.raises(ValueError, match="no photo with features"):
        nearest(GALLERY.assign(dish_id="unknown"))


def test_the_classifier_takes_the_most_probable_class_that_has_a_name():
    classifier = predictors.ClassifierPredictor(SCORES, NAMES)
    answers = classifier.answer([row(0), row(0, menu=["红烧鱼"])])
    assert [answer.text for answer in answers] == ["米饭", "红烧鱼"]
    assert dict(answers[0].scores) == pytest.approx({"米饭": 0.2, "红烧鱼": 0.15}, rel=1e-2)


def test_registered_photos_are_of_different_groups_and_the_same_for_a_seed():
    photos = pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "dish_id": ["d1"] * 4 + ["d2"] * 2,
            "group_id": list("xxxyzz"),
            "split": ["train"] * 5 + ["test"],
        }
    )
    chosen = predictors.register(photos, 2, seed=0)
    assert sorted(chosen[chosen.dish_id == "d1"].group_id) == ["x", "y"]
    assert chosen.split.eq("train").all()
    assert predictors.register(photos, 2, seed=0).equals(chosen)


@pytest.fixture
def opened(tmp_path):
    """(predictor with a given threshold, a menu question about a real photo)."""
    tiny.photo(1).save(tmp_path / "0.jpg")

    def opened(threshold, temperature=2.0):
        return predictors.RecognizerPredictor(
            Recognizer(tiny.model(), {"temperature": temperature, "off_menu_threshold": threshold}),
            tmp_path,
        )

    return opened


def test_naming_is_what_the_recognizer_answers(opened, tmp_path):
    question = row(0)
    text = opened(0.0).recognizer.answer([(tmp_path / "0.jpg", questions.ask("naming-1"))])[0]
    assert opened(0.0).answer([question])[0].text == text


def test_below_the_threshold_the_best_entry_is_answered_only_where_the_dish_is_on_the_menu(opened):
    menu = list(tiny.NAMES)
    sure = opened(0.0)
    unsure = opened(1.0)
    best = sure.answer([row(0, menu=menu)])[0]
    assert best.text == best.scores[0][0] == unsure.answer([row(0, menu=menu)])[0].text
    absent = row(0, questions.NOT_ON_MENU, menu, "menu_absent")
    assert sure.answer([absent])[0].text in menu
    assert unsure.answer([absent])[0].text is None


def test_log_probabilities_are_of_all_entries_in_the_menus_order(opened):
    menu = list(tiny.NAMES)
    answer = opened(0.0).answer([row(0, menu=menu)])[0]
    assert np.exp(answer.log_probabilities).sum() == pytest.approx(1, abs=1e-5)
    assert {
        entry: np.exp(value) for entry, value in zip(menu, answer.log_probabilities, strict=True)
    } == pytest.approx(dict(answer.scores), rel=1e-5)


def test_the_temperature_can_be_taken_back(opened):
    menu = list(tiny.NAMES)
    cold, warm = (
        np.array(opened(0.0, temperature).answer([row(0, menu=menu)])[0].log_probabilities)
        for temperature in (1.0, 2.0)
    )
    assert calibration.probabilities(warm * 2.0, 1.0) == pytest.approx(np.exp(cold), rel=1e-4)


def test_a_best_of_another_family_or_without_processor_files_is_refused(tmp_path):
    folder = tiny.base_folder(tmp_path / "best")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(qwen.ModelError, match="image processor files are missing"):
        Recognizer.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(qwen.ModelError, match="model_type is 'llama'"):
        Recognizer.load(folder)


def test_all_questions_about_a_photo_are_answered_as_one_by_one(tmp_path):
    """Naming in two wordings, menus and a menu without the dish, of three photos in any order; one
    photo is damaged.
    """
    predictor = predictors.RecognizerPredictor(
        Recognizer(tiny.model(2), {"off_menu_threshold": 0.5}), tmp_path
    )
    for number, size in enumerate([(64, 48), (48, 64), (120, 40)]):
        tiny.photo(number, size).save(tmp_path / f"{number}.jpg")
    menus = [list(tiny.NAMES), ["红烧鱼块", "红烧鱼", "红烧"]]
    rows = []
    for number in (0, 1, 2):
        rows += [
            row(number, id=f"a{number}"),
            *(row(number, menu=menu, id=f"m{number}-{len(menu)}") for menu in menus),
        ]
        rows += [
            row(number, menu=menus[0], kind="menu_absent", id=f"x{number}"),
            {**row(number, id=f"b{number}"), "template": "naming-2"},
        ]
    random.Random(0).shuffle(rows)
    together = predictor.answer(rows)
    alone = [predictor.answer([question])[0] for question in rows]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in together}) > 2
    for answer, other in zip(together, alone, strict=True):
        assert [entry for entry, _ in answer.scores] == [entry for entry, _ in other.scores]
        assert list(answer.log_probabilities) == pytest.approx(
            list(other.log_probabilities), abs=1e-3
        )
    (tmp_path / "1.jpg").write_bytes(b"no photo")
    kept = asking.predict("ours", predictor, rows, tmp_path / "answers.jsonl", batch_size=2)
    assert {line["id"] for line in kept if line["error"]} == {
        question["id"] for question in rows if question["image"] == "1.jpg"
    }
    assert [line["answer"] for line in kept if not line["error"]] == [
        answer.text for answer, given in zip(alone, rows, strict=True) if given["image"] != "1.jpg"
    ]
