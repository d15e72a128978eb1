"""Asking: every question once, faults recorded as wrong answers, and a killed evaluation that ends
as an undisturbed one.
"""

import pandas as pd
import pytest
from evaluation_toys import Saying, row, site_rows

from dishvl_lib.core import images, questions, records
from dishvl_lib.evaluation import asking, sites
from dishvl_lib.evaluation.predictors import Answer
from dishvl_lib.evaluation.protocols import Plan

MENU = ["红烧鱼", "米饭"]


def predicted(tmp_path, question, say):
    return asking.predict("x", Saying(say), [question], tmp_path / "a.jsonl")[0]


def without_seconds(rows):
    return [{**row, "seconds": 0} for row in rows]


def test_strict_and_normalised_marks(tmp_path):
    right, dotted, wrong = asking.predict(
        "x",
        Saying(lambda row: {"q0": "红烧鱼", "q1": "红烧鱼。", "q2": "米饭"}[row["id"]]),
        [row(i) for i in range(3)],
        tmp_path / "a",
    )
    assert [answer["correct"] for answer in (right, dotted, wrong)] == [True, False, False]
    assert [answer["correct_normalised"] for answer in (right, dotted, wrong)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        ([], "the menu is empty"),
        (["红烧鱼", "菜" * 500], "500 characters"),
        (["红烧鱼", "红烧鱼"], "there twice"),
        (["红烧鱼", " "], "it is empty"),
    ],
    ids=["empty", "500 characters", "twice", "blank entry"],
)
def test_a_menu_that_cannot_be_one_is_a_recorded_failure_and_nobody_is_asked(tmp_path, menu, words):
    predictor = Saying(lambda _: "红烧鱼")
    prediction = asking.predict(
        "x", predictor, [row(0, menu=menu, kind="menu")], tmp_path / "a.jsonl"
    )[0]
    assert words in prediction["error"]
    assert not prediction["correct"]
    assert prediction["answer"] is None
    assert predictor.ids == []


def test_a_menu_of_one_entry_is_asked(tmp_path):
    assert predicted(tmp_path, row(0, menu=["红烧鱼"]), lambda row: row["menu"][0])["correct"]


def test_a_photo_that_cannot_be_read_is_wrong_and_the_others_of_its_batch_are_answered(tmp_path):
    def say(row):
        if row["id"] == "q1":
            raise images.ImageError("damaged", "cut off")
        return "红烧鱼"

    predictions = asking.predict("x", Saying(say), [row(i) for i in range(3)], tmp_path / "a.jsonl")
    assert [prediction["correct"] for prediction in predictions] == [True, False, True]
    assert predictions[1]["error"] == "damaged: cut off"
    assert predictions[1]["answer"] is None


def test_no_answer_is_right_where_the_dish_is_not_on_the_menu(tmp_path):
    absent = row(0, questions.NOT_ON_MENU, MENU, "menu_absent")
    assert predicted(tmp_path, absent, lambda _: None)["correct"]
    assert not predicted(tmp_path, {**absent, "id": "q1"}, lambda _: "米饭")["correct"]
    assert not predicted(
        tmp_path, {**absent, "id": "q2"}, lambda _: Answer(None, error="the server failed")
    )["correct"]


def test_no_answer_is_wrong_where_the_dish_is_on_the_menu(tmp_path):
    assert not predicted(tmp_path, row(0, menu=MENU), lambda _: None)["correct"]


def test_scores_are_cut_and_log_probabilities_are_whole(tmp_path):
    answer = Answer("红烧鱼", [(f"菜{i}", 0.1) for i in range(8)], log_probabilities=[-1.0] * 8)
    prediction = predicted(tmp_path, row(0), lambda _: answer)
    assert len(prediction["scores"]) == asking.TOP_K
    assert len(prediction["log_probabilities"]) == 8


def test_kinds_are_not_mixed_in_a_batch(tmp_path):
    predictor = Saying(lambda _: "米饭")
    asking.predict(
        "x",
        predictor,
        [row(0), row(1, menu=MENU), row(2), row(3, questions.NOT_ON_MENU, MENU, "menu_absent")],
        tmp_path / "a.jsonl",
    )
    assert [{question["kind"] for question in batch} for batch in predictor.batches] == [
        {"naming"},
        {"menu"},
        {"menu_absent"},
    ]


def test_a_predictor_may_say_how_many_it_takes_at_once(tmp_path):
    predictor = Saying(lambda _: "米饭")
    predictor.batch_size = 3
    asking.predict("x", predictor, [row(i) for i in range(7)], tmp_path / "a.jsonl", batch_size=100)
    assert [len(batch) for batch in predictor.batches] == [3, 3, 1]


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.97])
def test_a_plan_cut_anywhere_ends_as_an_undisturbed_one_and_asks_only_what_is_missing(
    tmp_path, cut
):
    """The sites' questions too, which depend on how the predictor named the dishes before it was
    killed.
    """
    plan = Plan(
        [{**row(i, menu=MENU), "protocol": "menu"} for i in range(5)],
        sites.protocols("b", site_rows(["甲", "乙", "丙"]), seed=3),
    )

    def say(row):
        return (
            row["menu"][len(row["id"]) % len(row["menu"])]
            if row["menu"]
            else f"菜{row['dish_id'][-1]}"
        )

    whole = asking.follow("x", Saying(say), plan, tmp_path / "whole.jsonl", batch_size=2)
    text = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(text[: int(cut * len(text))])
    kept = (tmp_path / "cut.jsonl").read_bytes().count(b"\n")
    again = Saying(say)
    assert without_seconds(
        asking.follow("x", again, plan, tmp_path / "cut.jsonl", batch_size=2)
    ) == without_seconds(whole)
    assert 0 < kept
    assert len(again.ids) == text.count(b"\n") - kept
    assert len(whole) == plan.questions == 5 + 3 * 2


def test_every_predictor_follows_its_own_plan_and_is_opened_at_its_turn(tmp_path, capsys):
    opened = []
    plans = {"a": Plan([row(0), row(1)], []), "b": Plan([row(0)], [])}
    predictors = {
        name: lambda name=name: opened.append(name) or Saying(lambda _: "红烧鱼") for name in plans
    }
    predictions = asking.predict_all(predictors, plans, tmp_path)
    assert [(prediction["predictor"], prediction["id"]) for prediction in predictions] == [
        ("a", "q0"),
        ("a", "q1"),
        ("b", "q0"),
    ]
    assert opened == ["a", "b"]
    assert "a: 2 questions" in capsys.readouterr().out


def test_nothing_to_ask_is_said_before_anybody_is_opened(tmp_path):
    with pytest.raises(ValueError, match="nothing to ask: 03_dataset/test.jsonl holds no question"):
        asking.predict_all({"tuned": lambda: 1 / 0}, {"tuned": Plan([], [])}, tmp_path)
    with pytest.raises(ValueError, match="batch_size is 0"):
        asking.predict_all(
            {"tuned": lambda: 1 / 0}, {"tuned": Plan([row(0)], [])}, tmp_path, batch_size=0
        )


def test_a_broken_line_of_an_answer_file_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "q0"}\n{"id": \n')
    with pytest.raises(records.RecordError, match="a.jsonl, line 2"):
        asking.predict("x", Saying(lambda _: "红烧鱼"), [row(0)], tmp_path / "a.jsonl")


def test_questions_without_an_answer_are_counted_with_what_to_do():
    plans = {name: Plan([{}] * 3, []) for name in ("tuned", "base", "gpt")}
    answered = pd.DataFrame({"predictor": ["tuned"] * 3 + ["base"] * 3 + ["gpt"] * 3})
    assert asking.unanswered(answered, plans) == ""
    sentence = asking.unanswered(answered.iloc[:4], plans)
    assert "base 1 of 3, gpt 0 of 3" in sentence
    assert "tuned" not in sentence
    assert "--redo 05" in sentence
