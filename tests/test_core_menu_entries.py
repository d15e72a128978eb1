"""Menus as people write them: numbering and prices are kept beside what the model reads."""

import openpyxl
import pytest

from dishvl_lib.core import menu_entries
from dishvl_lib.core.records import RecordError


@pytest.mark.parametrize(
    "entry, name",
    [
        ("红烧肉", "红烧肉"),
        ("1. 红烧肉", "红烧肉"),
        ("3、红烧肉", "红烧肉"),
        ("①红烧肉", "红烧肉"),
        ("(12) 红烧肉", "红烧肉"),
        ("001 红烧肉", "红烧肉"),
        ("红烧肉 12元", "红烧肉"),
        ("红烧肉 12元/份", "红烧肉"),
        ("红烧肉 ¥12.50", "红烧肉"),
        ("红烧肉￥12", "红烧肉"),
        ("红烧肉……12", "红烧肉"),
        ("红烧肉\t12.00", "红烧肉"),
        ("红烧肉,12", "红烧肉"),
        ("红烧肉12.00", "红烧肉"),
        ("红烧肉 $12", "红烧肉"),
        ("￥15 红烧肉", "红烧肉"),
        ("2. 红烧肉(大份) 18元", "红烧肉(大份)"),
        ("2号套餐", "2号套餐"),
        ("15元套餐", "15元套餐"),
        ("三杯鸡", "三杯鸡"),
        ("7喜", "7喜"),
        ("100%橙汁", "100%橙汁"),
        ("Kung Pao Chicken 12", "Kung Pao Chicken"),
        ("-5", "-5"),
    ],
)
def test_what_the_model_reads_of_an_entry(entry, name):
    assert menu_entries.dish_names([entry]) == [name]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("1. 红烧鱼 ￥12\r\n\r\n 米饭 \n", ["1. 红烧鱼 ￥12", "米饭"]),
        ("红烧鱼、米饭，番茄炒蛋", ["红烧鱼", "米饭", "番茄炒蛋"]),
        ("红烧鱼、大份\n米饭", ["红烧鱼、大份", "米饭"]),
        (" \n", []),
    ],
)
def test_text_is_an_entry_a_line_or_one_line_of_entries(text, entries):
    assert menu_entries.of_text(text) == entries


def test_entries_that_differ_in_their_numbers_alone_keep_them():
    entries = ["酸奶 200", "酸奶 400", "1. 米饭 2元"]
    assert menu_entries.dish_names(entries) == ["酸奶 200", "酸奶 400", "米饭"]


def test_an_entry_that_is_there_twice_stays_so():
    assert menu_entries.dish_names(["米饭", "米饭 "]) == ["米饭", "米饭"]


FILES = {
    "lines": "\ufeff 甲 \r\n\r\n乙".encode(),
    "lines in GBK": "甲\n乙\n".encode("gbk"),
    "lines in UTF-16": "甲\n乙\n".encode("utf-16"),
    "one line": "甲、乙\n".encode(),
    "one line with commas": "甲，乙".encode(),
    "a table": "菜名,价格\n甲,12\n乙,8\n".encode("gbk"),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_files_of_menus(tmp_path, content):
    (tmp_path / "menu.txt").write_bytes(content)
    assert menu_entries.read(tmp_path / "menu.txt") == ["甲", "乙"]


def test_a_workbook_is_a_menu(tmp_path):
    book = openpyxl.Workbook()
    for row in (["菜品名称", "单价"], ["甲", 12], ["乙", 8.5]):
        book.active.append(row)
    book.save(tmp_path / "menu.xlsx")
    assert menu_entries.read(tmp_path / "menu.xlsx") == ["甲", "乙"]


def test_a_workbook_without_a_column_of_names_is_told(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["price"])
    book.save(tmp_path / "menu.xlsx")
    with pytest.raises(RecordError, match="no column name"):
        menu_entries.read(tmp_path / "menu.xlsx")


def test_a_menu_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RecordError, match="menu.txt is missing"):
        menu_entries.read(tmp_path / "menu.txt")
