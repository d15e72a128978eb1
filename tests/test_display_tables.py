"""A notebook's tables: no index, numbers as long as their n supports, a sentence for nothing."""

import pandas as pd
import pytest
from display_toys import EVIL

from dishvl_lib.core import kernel
from dishvl_lib.display import tables
from dishvl_lib.display.tables import Table, cell
from dishvl_lib.display.words import Words

ENGLISH = Words("en")


def table(rows, most=12, words=ENGLISH):
    return Table("accuracy", rows, words, most)


def test_an_accuracy_has_two_digits_under_a_hundred_questions():
    assert cell("accuracy", 0.6842105, n=94) == "68%"


def test_an_accuracy_has_three_digits_from_a_hundred_on():
    assert cell("accuracy", 0.6842105, n=409) == "68.4%"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("share", "0.05", "5.0%"),
        ("score", "0.8317997455596924", "0.832"),
        ("score", 0.8317997455596924, "0.832"),
        ("tokens", 80054, "80,054"),
        ("p", 0.00834, "0.0083"),
        ("seconds", 12345.6, "12,346"),
        ("dish_id", "1.5", "1.5"),
        ("shared", True, "True"),
        ("answer", None, ""),
        ("menu_sizes", [1, 2], "[1, 2]"),
    ],
)
def test_a_cell_by_its_column(name, value, text):
    assert cell(name, value) == text


def test_nothing_is_one_sentence_and_no_table():
    empty = table(pd.DataFrame(columns=["dish_id", "n"]))
    assert repr(empty) == "accuracy: none"
    assert empty._repr_html_() == "<p>accuracy: none</p>"


def test_an_index_without_a_name_is_not_shown():
    shown = table(pd.DataFrame({"n": [7, 8]}, index=[501, 502]))
    assert shown.heads == ["n"]
    assert "501" not in shown._repr_html_()


def test_an_index_with_a_name_is_a_column():
    rows = pd.DataFrame({"n": [7]}, index=pd.Index(["test"], name="split"))
    assert table(rows).rows == [["test", "7"]]


def test_an_interval_is_one_column_and_empty_columns_are_left_out():
    rows = pd.DataFrame(
        {"n": [200], "accuracy": [0.5], "ci_low": [0.4], "ci_high": [0.6], "lost": [None]}
    )
    shown = table(rows)
    assert shown.heads == ["n", "accuracy", "interval"]
    assert shown.rows == [["200", "50.0%", "[40.0%, 60.0%]"]]


def test_intervals_of_several_measures_keep_their_names():
    rows = [{"eval_menu_ci_low": 0.4, "eval_menu_ci_high": 0.6, "lo": 0.1, "hi": 0.2}]
    assert table(rows).heads == ["eval menu interval", "interval"]


def test_how_many_of_how_many_rows_stands_in_the_heading():
    assert table(pd.DataFrame({"n": range(30)}), most=5).heading == "accuracy: 5 of 30"


def test_one_mapping_is_shown_as_names_and_values():
    assert table({"n": 94, "accuracy": 0.6842}).rows == [["n", "94"], ["accuracy", "68%"]]


def test_a_mapping_of_mappings_is_a_row_each():
    shown = table({"visual": {"tensors": 49}, "merger": {"tensors": 5}})
    assert shown.rows == [["visual", "49"], ["merger", "5"]]


def test_heads_and_headings_are_in_the_language():
    shown = table(pd.DataFrame({"accuracy": [0.5]}), words=Words("zh"))
    assert (shown.heading, shown.heads) == ("准确率", ["准确率"])


def test_names_never_become_markup():
    assert EVIL not in table(pd.DataFrame({EVIL: [EVIL]}))._repr_html_()


def test_every_table_is_an_output_of_the_cell(monkeypatch):
    shown = []
    monkeypatch.setattr(kernel, "show", shown.append)
    tables.show({"names": [{"name": "米饭"}], "exports": []}, "zh")
    assert [repr(output).splitlines()[0] for output in shown] == ["菜名", "导出: 无"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(123456, "123,456"), (1234567.8, "1,234,568"), (1.23456, "1.235"), (7, "7")],
)
def test_large_numbers_of_the_report_are_written_out(value, shown):
    table = tables.any_table("costs", pd.DataFrame({"tokens": [value]}), Words("en"))
    assert table.rows == [[shown]]
