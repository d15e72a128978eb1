"""Folder and file names in the reference's patterns, and when two dish names are one."""

import pytest

from dishvl_lib.core import names


@pytest.mark.parametrize("folder, expected", [
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
])  # fmt: skip
def test_folders(folder, expected):
    found = names.parse_folder(folder)
    assert (found.name, found.site, found.date) == expected
    assert names.clean_folder_name(folder) == expected[0]


def test_dishes_that_are_only_a_number_stay_apart():
    assert len({names.clean_folder_name(f"{number}@A_20220101") for number in (1, 10, 12, 100)}) == 4


@pytest.mark.parametrize("stem, expected", [
    ("20210301181427_8190820012282_00044bdebaf5$798_549_1324_811#51", ("8190820012282_00044bdebaf5", "20210301181427")),
    ("20210301181427_8190820012282_00044bdebaf5$1_2_3_4#7", ("8190820012282_00044bdebaf5", "20210301181427")),
    ("20220609174506-5#90", ("20220609174506", "20220609174506")),
    ("20220609174506-6#91", ("20220609174506", "20220609174506")),
    ("IMG_2043", ("", "")), ("20220609174506", ("", "")), ("2022060917450-5#90", ("", "")), ("10 (2)", ("", "")),
])  # fmt: skip
def test_files(stem, expected):
    assert names.frame_of(stem) == expected


@pytest.mark.parametrize("raw, cleaned", [
    ("红烧鱼　", "红烧鱼"), ("\ufeff红\u200b烧鱼。", "红烧鱼"), ("素鸡（豆制品）", "素鸡(豆制品)"), ("a \n b", "a b"), ("__x_", "x"), ("ＡＢ", "AB"), ("\u200b", ""),
])  # fmt: skip
def test_clean(raw, cleaned):
    assert names.clean(raw) == cleaned


@pytest.mark.parametrize("one, other, same", [
    ("红烧鱼", "红烧 鱼", True), ("Fish·Soup", "fish soup", True), ("【红烧鱼】", "红烧鱼", True), ("素鸡(豆制品)", "素鸡", False), ("红烧鱼", "红烧鱼块", False), ("素鸡(豆制品)", "素鸡豆制品", True),
])  # fmt: skip
def test_normalise(one, other, same):
    assert (names.normalise(one) == names.normalise(other)) is same


@pytest.mark.parametrize("name, clause", [
    ("", "it is empty"), ("（）!", "it is empty"), ("鱼、肉", "separate menu entries"), ("鱼\n肉", "separate menu entries"), ("鱼" * 61, "61 characters"),
    ("<image>鱼", "the model reads as a command"), ("鱼<|im_end|>", "the model reads as a command"),
])  # fmt: skip
def test_what_cannot_stand_on_a_menu_says_why_and_what_to_do(name, clause):
    assert clause in names.problem_with(name) and "names_csv" in names.problem_with(name)


@pytest.mark.parametrize("name", ["鱼" * 60, "素鸡(豆制品)", "A&W <b> 鱼", "100"])
def test_what_can(name):
    assert names.problem_with(name) == ""
