"""Names in the wrong encoding are read as they were meant, and what cannot be written is shown."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from dishvl_lib.core import file_names, records

DISHES = ("红烧鱼", "番茄炒蛋", "18.鱼香茄子", "素鸡(豆制品)", "红烧鱼1@HGD_20211221")


def misread(name, written_as, read_as):
    """Bytes that `read_as` does not know stay as they are, as on Windows."""
    return "".join(
        bytes([byte]).decode(read_as, "ignore") or chr(byte) for byte in name.encode(written_as)
    )


@pytest.mark.parametrize("name", DISHES)
@pytest.mark.parametrize("written_as", ["gbk", "utf-8"])
@pytest.mark.parametrize("read_as", file_names.SINGLE_BYTE)
def test_names_that_were_unpacked_in_another_encoding(name, written_as, read_as):
    assert file_names.reading_of(misread(name, written_as, read_as)).text == name


@pytest.mark.parametrize("name", DISHES)
def test_raw_bytes_in_gbk(name):
    raw = os.fsdecode(name.encode("gbk"))
    assert file_names.reading_of(raw) == file_names.Reading(name, "GBK", "UTF-8")


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        (quote("红烧鱼"), "红烧鱼"),
        (quote("红烧鱼".encode("gbk")), "红烧鱼"),
        ("#U7ea2#U70e7#U9c7c", "红烧鱼"),
    ],
)
def test_names_that_are_spelled_in_ascii(spelled, text):
    assert file_names.reading_of(spelled).text == text


def test_utf8_read_as_gbk_is_whole_or_has_lost_its_end():
    even = "麻婆豆腐".encode().decode("gbk")
    odd = "红烧鱼".encode().decode("gbk", "replace")
    assert file_names.reading_of(even) == file_names.Reading("麻婆豆腐", "UTF-8", "GBK")
    assert file_names.reading_of(odd) == file_names.Reading("红烧", "UTF-8", "GBK", whole=False)


def test_a_reading_in_words():
    reading = file_names.reading_of("║∞╔╒╙π")
    assert str(reading) == "GBK read as cp437, it should say 红烧鱼"


@pytest.mark.parametrize(
    "name",
    [
        *DISHES,
        "",
        "GX4_6",
        "100%果汁",
        "Crème brûlée",
        "Jalapeño",
        "Crêpes à l'orange",
        "Smørrebrød",
        "Käsespätzle",
        "Phở bò",
        "éèê",
        "борщ",
        "ラーメン",
        "김치찌개",
        "50% #1",
    ],
)
def test_names_that_are_right_are_left_alone(name):
    assert file_names.reading_of(name) is None


def test_a_cook_book_holds_no_misread_name():
    folder = os.environ.get("DISHVL_TEST_DATA")
    if not folder:
        pytest.skip("DISHVL_TEST_DATA is not set: no cook book")
    dishes = records.read_jsonl(Path(folder) / "howtocook" / "dishes.jsonl")
    assert not [dish["name"] for dish in dishes if file_names.reading_of(dish["name"])]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31m鱼", "\\x1b[31m鱼"),
        ("\udcff鱼", "\\udcff鱼"),
        ("鱼\x9b", "鱼\\x9b"),
        ("红烧鱼 (1)", "红烧鱼 (1)"),
    ],
)
def test_what_cannot_be_written_is_escaped(name, shown):
    assert file_names.printable(name) == shown
    assert file_names.is_writable(name) == (name == shown)
    assert file_names.is_writable(file_names.writable(name))


@pytest.mark.parametrize(
    "old", ["║∞╔╒╙π", "红烧鱼\r", os.fsdecode("红烧 鱼's".encode("gbk")), "\x1b[31m红", "-rf $HOME"]
)
def test_the_command_renames_and_moves_nothing_into_what_is_there(tmp_path, old):
    command = file_names.rename_command(old, "红烧鱼")
    (tmp_path / old).mkdir()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["红烧鱼"]
    (tmp_path / old).mkdir()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"红烧鱼", old}
