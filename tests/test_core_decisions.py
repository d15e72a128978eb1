"""Files of decisions: rows are added and none is lost, whoever wrote the file before."""

import csv

import pytest

from dishvl_lib.core import decisions, records
from dishvl_lib.core.decisions import (
    NAME_COLUMNS,
    PHOTO_COLUMNS,
    NameDecisions,
    PhotoDecisions,
)


def read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_go_under_an_existing_header_after_a_torn_line(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text(
        "extra," + ",".join(PHOTO_COLUMNS) + "\nx,2026-01-01T00:00:00+00:00,i1,p,d1,photo bad",
        "utf-8",
    )
    decisions = PhotoDecisions(path)
    assert decisions.latest("i1")["decision"] == "photo bad"
    assert decisions.latest("i2") is None
    decisions.add("label wrong", image_id="i2")
    rows = read(path)
    assert [(row["image_id"], row["decision"]) for row in rows] == [
        ("i1", "photo bad"),
        ("i2", "label wrong"),
    ]


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(records.RecordError, match="decision"):
        PhotoDecisions(path)


def test_name_decisions_need_an_action_and_a_name(tmp_path):
    file = NameDecisions(tmp_path / "names.csv")
    with pytest.raises(ValueError, match="name, keep_apart, leave_out"):
        file.add("merge", {"a": "x"})
    with pytest.raises(ValueError, match="folder b needs a name"):
        file.add("name", {"a": "x", "b": " "})
    assert not file.path.exists()
    file.add("name", {"a": 'x "y",\nz'})
    assert file.path.read_text("utf-8-sig").splitlines()[0] == ",".join(NAME_COLUMNS)
    assert NameDecisions(file.path).latest("a")["name"] == 'x "y",\nz'
    assert file.latest("b") is None


def test_a_decision_notes_its_question_with_the_other_dish_if_there_is_one():
    assert decisions.question("same_name", "d2") == "same_name: d2"
    assert decisions.question("problem") == "problem"
