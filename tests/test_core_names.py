"""Folder and file names in the reference's patterns, and when two dish names are one."""

import os
from pathlib import Path

import pytest

from dishvl_lib.core import names, records


@pytest.mark.parametrize(
    "folder, expected",
    [
        ("红烧鱼1@HGD_20211221", ("红烧鱼", "HGD", "20211221")),
        ("凉拌鸡胗@ZHONGGUANGHE_20220901", ("凉拌鸡胗", "ZHONGGUANGHE", "20220901")),
        ("素鸡(豆制品)12@HGD_20211221", ("素鸡(豆制品)", "HGD", "20211221")),
        ("素鸡（豆制品）@H_G_20211221", ("素鸡(豆制品)", "H_G", "20211221")),
        ("2022新菜@A_20220101", ("2022新菜", "A", "20220101")),
        ("100@A_20220101", ("100", "A", "20220101")),
        ("a@b3@A_20220101", ("a@b", "A", "20220101")),
        ("红烧鱼1@HGD_2021", ("红烧鱼1@HGD_2021", "", "")),
        ("GX4_6", ("GX4_6", "", "")),
        ("红烧 鱼%$#", ("红烧 鱼%$#", "", "")),
        ("___", ("", "", "")),
    ],
)
def test_folders(folder, expected):
    parts = names.parse_folder(folder)
    assert (parts.name, parts.site, parts.date) == expected
    assert names.clean_folder_name(folder) == expected[0]


def test_dishes_that_are_only_a_number_stay_apart():
    assert (
        len({names.clean_folder_name(f"{number}@A_20220101") for number in (1, 10, 12, 100)}) == 4
    )


@pytest.mark.parametrize(
    "stem, expected",
    [
        (
            "20210301181427_8190820012282_00044bdebaf5$798_549_1324_811#51",
            ("8190820012282_00044bdebaf5", "20210301181427"),
        ),
        (
            "20210301181427_8190820012282_00044bdebaf5$1_2_3_4#7",
            ("8190820012282_00044bdebaf5", "20210301181427"),
        ),
        ("20220609174506-5#90", ("20220609174506", "20220609174506")),
        ("20220609174506-6#91", ("20220609174506", "20220609174506")),
        ("IMG_2043", ("", "")),
        ("IMG_2043$10_20_300_400#1", ("_IMG_2043", "")),
        ("餐盘 (2)$10_20_300_400#12", ("_餐盘 (2)", "")),
        ("20220609174506", ("", "")),
        ("2022060917450-5#90", ("", "")),
        ("10 (2)", ("", "")),
        ("a_jpg.rf.0123456789abcdef0123456789abcdef", ("a", "")),
        ("20220609174506-5#90_jpg.rf.0123abcd", ("20220609174506", "20220609174506")),
        ("a_flip", ("", "")),
        ("x_1", ("", "")),
    ],
)
def test_files(stem, expected):
    assert names.frame_of(stem) == expected


@pytest.mark.parametrize(
    "raw, cleaned",
    [
        ("红烧鱼　", "红烧鱼"),
        ("\ufeff红\u200b烧鱼。", "红烧鱼"),
        ("素鸡（豆制品）", "素鸡(豆制品)"),
        ("a \n b", "a b"),
        ("__x_", "x"),
        ("ＡＢ", "AB"),
        ("\u200b", ""),
        ("\x1b[31m红烧鱼\x1b[0m", "红烧鱼"),
        ("\x1b]0;title\x07红烧鱼", "红烧鱼"),
        ("红\x00烧\x07鱼\x7f\x9b", "红烧鱼"),
        ("红烧鱼\r", "红烧鱼"),
        ("\u202e红烧鱼\u2066\ud800", "红烧鱼"),
    ],
)
def test_clean(raw, cleaned):
    assert names.clean(raw) == cleaned


@pytest.mark.parametrize(
    "first, second, same",
    [
        ("红烧鱼", "红烧 鱼", True),
        ("Fish·Soup", "fish soup", True),
        ("【红烧鱼】", "红烧鱼", True),
        ("素鸡(豆制品)", "素鸡", False),
        ("红烧鱼", "红烧鱼块", False),
        ("素鸡(豆制品)", "素鸡豆制品", True),
    ],
)
def test_normalise(first, second, same):
    assert (names.normalise(first) == names.normalise(second)) is same


@pytest.mark.parametrize(
    "name, clause",
    [
        ("", "it is empty"),
        ("（）!", "it is empty"),
        ("鱼、肉", "separate menu entries"),
        ("鱼\n肉", "separate menu entries"),
        ("鱼" * 61, "61 characters"),
        ("<image>鱼", "the model reads as a command"),
        ("鱼<|im_end|>", "the model reads as a command"),
    ],
)
def test_what_cannot_stand_on_a_menu_says_why_and_what_to_do(name, clause):
    assert clause in names.problem_with(name)
    assert "names_csv" in names.problem_with(name)


@pytest.mark.parametrize("name", ["鱼" * 60, "素鸡(豆制品)", "A&W <b> 鱼", "100"])
def test_what_can(name):
    assert names.problem_with(name) == ""


@pytest.mark.parametrize(
    "first, second, same",
    [
        ("番茄炒蛋", "西红柿炒鸡蛋", True),
        ("凉拌土豆丝", "拌马铃薯丝", True),
        ("素鸡(豆制品)", "素鸡", True),
        ("红烧鱼【大份】", "红烧 鱼", True),
        ("炝炒包菜", "炝炒圆白菜", True),
        ("银耳羹", "白木耳羹", True),
        ("凉拌木耳", "凉拌黑木耳", True),
        ("葱油拌面", "葱油拌面条", True),
        ("红烧大排骨", "红烧大猪排骨", True),
        ("粉丝煲", "粉条煲", False),
        ("青椒肉丝", "甜椒肉丝", False),
        ("红烧鱼", "红烧鱼块", False),
        ("木耳羹", "银耳羹", False),
        ("小白菜", "白菜", False),
        ("红烧鱼", "糖醋鱼", False),
    ],
)
def test_canonical_names_are_equal_for_true_synonyms_only(first, second, same):
    assert (names.canonical(first) == names.canonical(second)) is same


def test_a_word_inside_another_is_not_taken_for_a_synonym():
    assert names.canonical("芹菜花生米") == "芹菜花生"
    assert names.canonical("韩式拌饭") == "韩式拌饭"
    assert names.canonical("松花蛋") == "皮蛋"


def test_a_name_that_is_only_a_remark_keeps_it():
    assert names.canonical("(特价)") == "特价"


def test_no_word_has_two_meanings():
    words = [word for group in names.SYNONYMS for word in group]
    assert len(words) == len(set(words))
    assert all(names.normalise(word) == word for word in words)


@pytest.mark.parametrize(
    "name, bare",
    [
        ("秘制红烧肉", "红烧肉"),
        ("妈妈的家常豆腐", "豆腐"),
        ("家常菜", "家常菜"),
        ("红烧肉", "红烧肉"),
        ("的红烧肉", "的红烧肉"),
    ],
)
def test_praise_in_front_is_taken_off_as_long_as_a_name_stays(name, bare):
    assert names.undecorated(name) == bare


@pytest.mark.parametrize(
    "text, clause",
    [
        ("", "names no dish"),
        ("菜品", "names no dish"),
        ("菜品12", "names no dish"),
        ("2022新菜", "names no dish"),
        ("100", "names no dish"),
        ("Unknown", "names no dish"),
        ("未知菜品", "a remark"),
        ("无法识别这道菜", "a remark"),
        ("图中是红烧鱼", "a remark"),
        ("红烧鱼、米饭", "joins several"),
        ("红烧鱼/糖醋鱼", "joins several"),
        ("红烧鱼或者糖醋鱼", "joins several"),
        ("GX4_6", "a code"),
        ("IMG_1234", "a code"),
        ("DSCF0012", "a code"),
        ("X", "a code"),
        ("aaa", "names no dish"),
        ("asdf", "names no dish"),
        ("未分类", "names no dish"),
        ("img", "names no dish"),
        ("新建文件夹 (2)", "names no dish"),
        ("批次1", "names no dish"),
        ("train", "names no dish"),
        ("3月1日", "a date"),
        ("一食堂", "a place"),
        ("║∞╔╒╙π", "the wrong encoding"),
        ("锟斤拷", "the wrong encoding"),
    ],
)
def test_what_is_no_name_of_a_dish(text, clause):
    assert clause in names.not_a_dish(text)


@pytest.mark.parametrize(
    "name",
    [
        "红烧鱼",
        "素鸡(豆制品/卤)",
        "B52轰炸机",
        "Mojito",
        "Fish Soup 2",
        "三杯鸡",
        "蒸菜",
        "粥",
        "BBQ",
        "A&W burger",
    ],
)
def test_what_may_be_one(name):
    assert names.not_a_dish(name) == ""


def test_several_names_in_one_are_no_name_and_still_say_something():
    assert names.not_a_dish("红烧鱼+米饭") == "it joins several names"
    assert names.says_nothing("红烧鱼+米饭") == ""


@pytest.mark.parametrize("entry", ["套餐1", "菜0", "2套餐"])
def test_a_numbered_entry_of_a_menu_is_no_name_and_still_says_something(entry):
    assert names.not_a_dish(entry) == "it names no dish"
    assert names.says_nothing(entry) == ""


def test_a_cook_book_holds_nothing_but_names():
    folder = os.environ.get("DISHVL_TEST_DATA")
    if not folder:
        pytest.skip("DISHVL_TEST_DATA is not set: no cook book")
    dishes = records.read_jsonl(Path(folder) / "howtocook" / "dishes.jsonl")
    assert len(dishes) > 300
    assert not [dish["name"] for dish in dishes if names.not_a_dish(dish["name"])]
