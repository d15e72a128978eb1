"""Which dish is taken for which, and what becomes of answers that name no dish."""

import pandas as pd
import pytest
from evaluation_toys import prediction, table

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.evaluation import confusion

NAMES = {"d1": "红烧鱼", "d2": "红烧鱼块", "d3": "米饭"}
SIMILAR = pd.DataFrame(
    {
        "dish_id": ["d1", "d1", "d2"],
        "similar_id": ["d2", "d3", "d3"],
        "rank": ["1", "2", "1"],
        "score": [0.9, 0.2, 0.3],
    }
)


def rows_of(*pairs, menu=None):
    rows = [
        {
            "id": f"q{i}",
            "predictor": "tuned",
            "protocol": "naming",
            "image_id": f"i{i}",
            "dish_id": dish_id,
            "truth": NAMES[dish_id],
            "menu": menu,
            "answer": answer,
            "correct": answer == NAMES[dish_id],
            "correct_normalised": False,
        }
        for i, (dish_id, answer) in enumerate(pairs)
    ]
    return pd.DataFrame(rows)


def test_pairs_are_counted_and_sorted_with_share_and_rank():
    rows = rows_of(
        ("d1", "红烧鱼块"), ("d1", "红烧鱼块"), ("d1", "红烧鱼"), ("d1", "米饭"), ("d2", "红烧鱼")
    )
    table = confusion.confusions(rows, NAMES, SIMILAR)
    assert table[["truth", "answer", "n", "n_truth"]].to_numpy().tolist() == [
        ["红烧鱼", "红烧鱼块", 2, 4],
        ["红烧鱼块", "红烧鱼", 1, 1],
        ["红烧鱼", "米饭", 1, 4],
    ]
    assert table["share"].tolist() == [0.5, 1.0, 0.25]
    assert table["look_alike_rank"].tolist()[0] == 1
    assert table["look_alike_rank"].tolist()[2] == 2
    assert table["look_alike_rank"].isna().tolist() == [False, True, False]
    assert table.loc[0, "answer_id"] == "d2"
    assert table.loc[0, "image_ids"] == ["i0", "i1"]
    assert tuple(table.columns) == confusion.COLUMNS


def test_the_diagonal_comes_only_when_asked_for():
    rows = rows_of(("d1", "红烧鱼"), ("d2", "红烧鱼"))
    assert confusion.confusions(rows, NAMES, SIMILAR)["n"].sum() == 1
    assert confusion.confusions(rows, NAMES, SIMILAR, diagonal=True)["n"].sum() == 2


def test_no_confusion_is_an_empty_table_with_its_columns():
    table = confusion.confusions(rows_of(("d1", "红烧鱼")), NAMES, SIMILAR)
    assert table.empty
    assert tuple(table.columns) == confusion.COLUMNS


def test_answers_that_are_no_dish_are_one_column_and_listed_raw():
    rows = rows_of(("d1", "鱼"), ("d1", "红烧鱼。"), ("d1", None), ("d1", "鱼"))
    table = confusion.confusions(rows, NAMES, SIMILAR).set_index("answer")
    assert table.loc[confused_pairs.NOT_A_DISH, "n"] == 3
    assert table.loc[confused_pairs.NO_ANSWER, "n"] == 1
    assert table.loc[confused_pairs.NOT_A_DISH, "answer_id"] == ""
    raw = confusion.not_dishes(rows, NAMES)
    assert raw[["answer", "n", "equal_normalised"]].to_numpy().tolist() == [
        ["鱼", 2, False],
        ["红烧鱼。", 1, True],
    ]


def test_nothing_to_list_when_every_answer_is_a_dish():
    assert confusion.not_dishes(rows_of(("d1", "米饭")), NAMES).empty


def test_a_menu_entry_is_a_name_though_the_catalog_has_no_such_dish():
    table = confusion.confusions(
        rows_of(("d1", "别的菜"), menu=["红烧鱼", "别的菜"]), NAMES, SIMILAR
    )
    assert table["answer"].tolist() == ["别的菜"]


def test_dishes_of_one_name_share_the_better_rank():
    names = NAMES | {"d4": "红烧鱼块"}
    similar = pd.concat(
        [
            SIMILAR.assign(rank=5),
            pd.DataFrame({"dish_id": ["d1"], "similar_id": ["d4"], "rank": [2], "score": [0.8]}),
        ]
    )
    table = confusion.confusions(rows_of(("d1", "红烧鱼块")), names, similar)
    assert table["look_alike_rank"].tolist() == [2]
    assert table["answer_id"].tolist() == ["d2"]


def test_without_similar_dishes_the_rank_is_empty():
    assert confusion.confusions(rows_of(("d1", "米饭")), NAMES)["look_alike_rank"].isna().all()


def test_errors_name_the_predictor_and_the_column():
    with pytest.raises(ValueError, match="no predictions of base / menu"):
        confusion.confusions(rows_of(("d1", "米饭")), NAMES, SIMILAR, "base", "menu")
    with pytest.raises(records.RecordError, match="image_id"):
        confusion.confusions(rows_of(("d1", "米饭")).drop(columns="image_id"), NAMES)


def test_a_refusal_that_is_right_is_no_confusion():
    rows = rows_of(("d1", None), ("d1", "红烧鱼块"), menu=["红烧鱼块", "米饭"]).assign(
        truth="菜单上没有", correct=[True, False], protocol="menu_absent"
    )
    table = confusion.confusions(rows, NAMES, SIMILAR, protocol="menu_absent")
    assert table[["truth", "answer", "n"]].to_numpy().tolist() == [["菜单上没有", "红烧鱼块", 1]]


@pytest.mark.parametrize("lost", [["", "2 dishes share it"], ["2 dishes share it"] * 2])
def test_questions_that_were_lost_before_they_were_asked_confuse_nothing(lost):
    table = confusion.confusions(
        rows_of(("d1", "红烧鱼块"), ("d1", None)).assign(lost=lost), NAMES, SIMILAR
    )
    assert table["answer"].tolist() == (["红烧鱼块"] if not lost[0] else [])
    assert tuple(table.columns) == confusion.COLUMNS


def test_a_model_that_was_never_asked_for_a_name_is_looked_at_by_its_first_protocol():
    menus = table(
        prediction(0, "米饭", menu=["米饭", "红烧鱼"], protocol="menu"),
        prediction(1, "红烧鱼", menu=["米饭", "红烧鱼"], protocol="menu"),
    )
    assert confusion.first_protocol(menus) == "menu"
    assert confusion.confusions(
        menus, {"d-红烧鱼": "红烧鱼"}, protocol=confusion.first_protocol(menus)
    ).n.tolist() == [1]
    assert confusion.first_protocol(pd.concat([menus, table(prediction(2, "米饭"))])) == "naming"
    with pytest.raises(ValueError, match="no predictions of base"):
        confusion.first_protocol(menus, "base")
