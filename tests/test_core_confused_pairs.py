"""What an answer counts as, and how often a true name is answered by another one."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.confused_pairs import NO_ANSWER, NOT_A_DISH

NAMES = {"d1": "鱼", "d2": "虾", "d3": "鱼"}
SIMILAR = pd.DataFrame(
    [("d1", "d2", "3"), ("d3", "d2", "2"), ("d2", "gone", "1")],
    columns=["dish_id", "similar_id", "rank"],
)


def questions(*answers):
    """Questions about 鱼, each with an answer and its mark."""
    rows = [
        {"image_id": f"i{number}", "truth": "鱼", "answer": answer, "correct": correct}
        for number, (answer, correct) in enumerate(answers)
    ]
    return pd.DataFrame(rows)


def test_an_answer_counts_as_itself_a_stand_in_or_when_it_is_right_as_the_truth():
    rows = questions(("虾", False), ("汤", False), (None, False), ("x", True))
    assert confused_pairs.shown_answers(rows, NAMES) == ["虾", NOT_A_DISH, NO_ANSWER, "鱼"]
    assert confused_pairs.shown_answers(rows.assign(answer=np.nan), NAMES)[0] == NO_ANSWER


@pytest.mark.parametrize("menu", [["汤"], ("汤",), np.array(["汤"])])
def test_an_entry_of_a_menu_is_a_name(menu):
    rows = questions(("汤", False), ("面", False)).assign(menu=[menu, None])
    assert confused_pairs.shown_answers(rows, NAMES) == ["汤", NOT_A_DISH]


def test_a_question_that_was_lost_before_it_was_asked_does_not_count():
    rows = questions(("虾", False), ("虾", False)).assign(lost=["", "2 dishes share it"])
    table = confused_pairs.countable(rows, NAMES)
    assert table["image_id"].tolist() == ["i0"]
    assert table["site"].tolist() == [""]


def test_pairs_are_counted_with_the_questions_of_their_truth():
    rows = questions(("虾", False), ("虾", False), ("汤", False), ("鱼", True))
    rows = confused_pairs.countable(rows, NAMES)
    table = confused_pairs.count(rows)
    assert table[["truth", "answer", "n", "n_truth"]].to_numpy().tolist() == [
        ["鱼", "虾", 2, 4],
        ["鱼", NOT_A_DISH, 1, 4],
    ]
    assert table["image_ids"][0] == ["i0", "i1"]
    assert confused_pairs.count(rows, diagonal=True)["n"].sum() == 4


def test_nothing_confused_is_an_empty_table_with_its_columns():
    rows = confused_pairs.countable(questions(("鱼", True)), NAMES)
    table = confused_pairs.count(rows)
    assert table.empty
    assert set(table.columns) == {"truth", "answer", "n", "n_truth", "image_ids"}


def test_unknown_answers_are_listed_as_they_were_given():
    rows = questions(("汤", False), ("面", False), ("汤", False), ("虾", False))
    table = confused_pairs.unknown_answers(confused_pairs.countable(rows, NAMES))
    assert table.to_numpy().tolist() == [["鱼", "汤", 2, "i0"], ["鱼", "面", 1, "i1"]]


def test_of_dishes_with_one_name_the_first_has_it_and_the_best_rank_counts():
    assert confused_pairs.ids_by_name(NAMES) == {"鱼": "d1", "虾": "d2"}
    ranks = confused_pairs.look_alike_ranks(SIMILAR, NAMES)
    assert ranks == {("鱼", "虾"): 2, ("虾", "gone"): 1}


def test_without_look_alikes_there_are_no_ranks_and_a_missing_column_is_named():
    assert confused_pairs.look_alike_ranks(None, NAMES) == {}
    assert confused_pairs.look_alike_ranks(SIMILAR.iloc[:0], NAMES) == {}
    with pytest.raises(records.RecordError, match="rank"):
        confused_pairs.look_alike_ranks(SIMILAR.drop(columns="rank"), NAMES)
