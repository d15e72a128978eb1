"""CSV files that spreadsheets open right: every value comes back as it was written."""

import csv

import pandas as pd
import pytest

from dishvl_lib.core import records, spreadsheets

FORMULAS = ["=a", "-5", "@c", "+1", "＝SUM(A1)", "'=a", "''-x"]
PLAIN = ["", "'", "'a", "a=b", "红烧肉", "3-4", "5"]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_would_start_a_formula_is_guarded(text):
    assert spreadsheets.guarded(text) == "'" + text


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_is_written_as_it_is(text):
    assert spreadsheets.guarded(text) == text


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN])
def test_a_guard_is_undone(text):
    assert spreadsheets.unguarded(spreadsheets.guarded(text)) == text


def test_numbers_are_never_guarded(tmp_path):
    records.write_table(tmp_path / "t.csv", pd.DataFrame({"n": [-5, 3], "x": [-0.5, float("nan")]}))
    assert (tmp_path / "t.csv").read_text("utf-8-sig") == "n,x\n-5,-0.5\n3,\n"


def test_mixed_values_keep_their_kind(tmp_path):
    records.write_table(tmp_path / "t.csv", pd.DataFrame({"value": [-5, "-5", None]}))
    with open(tmp_path / "t.csv", encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["value"], ["-5"], ["'-5"], [""]]


def test_a_table_begins_with_a_byte_order_mark_and_is_read_as_it_was(tmp_path):
    table = pd.DataFrame({"name": [*FORMULAS, *PLAIN], "=odd": ["x"] * 14})
    records.write_table(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert records.read_table(tmp_path / "t.csv").to_dict("list") == table.to_dict("list")


def test_a_table_without_mark_or_guard_is_read_too(tmp_path):
    (tmp_path / "t.csv").write_text("name\n=a\n-5\n", "utf-8")
    assert records.read_table(tmp_path / "t.csv").name.tolist() == ["=a", "-5"]
