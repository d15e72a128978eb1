"""Files of decisions: rows are added and none is lost, whoever wrote the file before."""

import codecs
import csv
import multiprocessing
import threading

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


OLD_COLUMNS = PHOTO_COLUMNS[:-1]
OLD_ROW = "2026-01-01T00:00:00+00:00,i1,a/1.jpg,d1,photo bad,,tuned,old"


def old_file(path):
    """A file as versions without `right_dish` wrote it."""
    text = ",".join(OLD_COLUMNS) + "\n" + OLD_ROW + "\n"
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    return path


def test_the_columns_and_words_of_before_stay_and_the_new_ones_are_last():
    assert PHOTO_COLUMNS == (*OLD_COLUMNS, "right_dish")
    assert decisions.PHOTO_DECISIONS == ("label wrong", "photo bad", "real confusion", "other dish")


def test_a_file_of_an_earlier_version_is_read_and_grows_the_column_with_its_next_row(tmp_path):
    path = old_file(tmp_path / "photos.csv")
    before = path.read_bytes()
    file = PhotoDecisions(path)
    assert file.latest("i1")["right_dish"] == ""
    assert path.read_bytes() == before
    file.add("other dish", image_id="i1", right_dish='=鱼, "块"')
    assert path.read_text("utf-8-sig").splitlines()[0] == ",".join(PHOTO_COLUMNS)
    assert [row["decision"] for row in read(path)] == ["photo bad", "other dish"]
    assert read(path)[0]["note"] == "old"
    assert PhotoDecisions(path).latest("i1")["right_dish"] == '=鱼, "块"'


def test_a_right_dish_is_needed_for_another_dish(tmp_path):
    file = PhotoDecisions(tmp_path / "photos.csv")
    with pytest.raises(ValueError, match="needs a right_dish"):
        file.add("other dish", image_id="i1", right_dish=" ")
    assert not file.path.exists()


def test_a_file_by_hand_with_two_columns_is_added_to(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("image_id,decision\ni1,label wrong\n", "utf-8")
    PhotoDecisions(path).add("other dish", image_id="i2", right_dish="d2")
    assert [(row["image_id"], row["right_dish"]) for row in read(path)] == [
        ("i1", ""),
        ("i2", "d2"),
    ]


def test_what_a_spreadsheet_saved_meanwhile_is_added_to_and_not_overwritten(tmp_path):
    path = tmp_path / "photos.csv"
    file = PhotoDecisions(path)
    file.add("label wrong", image_id="i1")
    rows = read(path)
    columns = [*reversed(PHOTO_COLUMNS), "mine"]
    lines = [";".join(columns)]
    lines += [";".join(row.get(name, "x") for name in columns) for row in rows]
    path.write_bytes("\r\n".join(lines).encode("utf-16"))
    file.add("photo bad", image_id="i2")
    assert [row["decision"] for row in PhotoDecisions(path).rows] == ["label wrong", "photo bad"]
    assert [row["mine"] for row in read(path)] == ["x", ""]


def test_rows_that_a_spreadsheet_sorted_still_count_by_their_time(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text(
        "time,image_id,decision\n"
        "2026-01-02T00:00:00+00:00,i1,photo bad\n2026-01-01T00:00:00+00:00,i1,label wrong\n",
        "utf-8",
    )
    assert PhotoDecisions(path).latest("i1")["decision"] == "photo bad"


def test_the_last_row_counts_where_no_time_can_be_read(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text(
        "time,image_id,decision\n2026-01-02T00:00:00+00:00,i1,photo bad\nmonday,i1,label wrong\n",
        "utf-8",
    )
    assert PhotoDecisions(path).latest("i1")["decision"] == "label wrong"


def test_a_new_row_counts_after_one_that_a_clock_ahead_of_ours_wrote(tmp_path):
    path = tmp_path / "photos.csv"
    path.write_text("time,image_id,decision\n2999-01-01T00:00:00+00:00,i1,photo bad\n", "utf-8")
    file = PhotoDecisions(path)
    file.take_back(image_id="i1")
    assert PhotoDecisions(path).latest("i1") is None


def test_a_decision_of_another_process_is_seen(tmp_path):
    path = tmp_path / "photos.csv"
    first = PhotoDecisions(path)
    second = PhotoDecisions(path)
    assert first.latest("i1") is None
    second.add("photo bad", image_id="i1")
    assert first.latest("i1")["decision"] == "photo bad"


def add_many(path, name, start):
    start.wait()
    for number in range(20):
        PhotoDecisions(path).add("photo bad", image_id=f"{name}-{number}")


@pytest.mark.parametrize("kind", [multiprocessing.get_context("spawn").Process, threading.Thread])
def test_two_who_decide_at_once_lose_no_row_while_the_file_grows_a_column(tmp_path, kind):
    path = old_file(tmp_path / "photos.csv")
    is_thread = kind is threading.Thread
    start = threading.Event() if is_thread else multiprocessing.get_context("spawn").Event()
    writers = [kind(target=add_many, args=(path, name, start)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
    written = [row["image_id"] for row in read(path)]
    expected = ["i1", *(f"{name}-{number}" for name in "ab" for number in range(20))]
    assert sorted(written) == sorted(expected)
    assert list(read(path)[0]) == list(PHOTO_COLUMNS)
