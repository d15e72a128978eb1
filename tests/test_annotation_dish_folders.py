"""Which folder says the dish, and which the split."""

import pytest

from dishvl_lib.annotation.dish_folders import DishFolders, UnclearFolders


def places(*paths):
    return [tuple(path.split("/")) for path in paths]


def dishes(*paths, **options):
    folders = DishFolders(places(*paths), **options)
    return [folders.dish(place) for place in places(*paths)]


def splits(*paths):
    folders = DishFolders(places(*paths))
    return [folders.split(place) for place in places(*paths)]


@pytest.mark.parametrize(
    "below",
    "20240301 2024-03 3月1日 0301 2024/03/01 批次1 batch_2 第3批 new 新建文件夹 raw img photos 原图 已标注 "
    "1 001 GX4_6 一食堂 俯拍 train".split(),
)
def test_what_says_no_dish_takes_the_name_above_it(below):
    assert dishes(f"红烧鱼/{below}", "土豆丝") == ["红烧鱼", "土豆丝"]


@pytest.mark.parametrize(
    "above", ["一食堂", "2024", "20240301", "HGD", "张江", "photos", "train", "川菜"]
)
def test_a_dish_keeps_its_name_below_anything(above):
    assert dishes(f"{above}/红烧鱼", f"{above}/土豆丝") == ["红烧鱼", "土豆丝"]


def test_a_dish_below_several_sites_is_one():
    assert dishes("HGD/红烧鱼", "XSYY/红烧鱼", "BJ2/红烧鱼") == ["红烧鱼"] * 3
    assert dishes("张江/红烧鱼", "徐汇/红烧鱼", "张江/土豆丝") == ["红烧鱼", "红烧鱼", "土豆丝"]


@pytest.mark.parametrize("site", ["HGD", "hgd", "一食堂"])
def test_sites_below_dishes_are_none(site):
    assert dishes(f"红烧鱼/{site}", f"土豆丝/{site}") == ["红烧鱼", "土豆丝"]


def test_a_latin_name_beside_chinese_ones_is_a_dish_like_them():
    assert dishes("饮料/VSOP", "饮料/可乐", "酒水/VSOP") == ["VSOP", "可乐", "VSOP"]


def test_codes_without_a_name_above_them_stay():
    assert dishes("GX4_6", "新建文件夹", "123") == ["GX4_6", "新建文件夹", "123"]
    assert dishes("食堂菜/001", "食堂菜/002") == ["001", "002"]


def test_a_folder_put_into_another_by_accident_is_its_own_dish():
    assert dishes("红烧鱼", "红烧鱼/土豆丝", "麻婆豆腐/土豆丝", "土豆丝") == [
        "红烧鱼",
        "土豆丝",
        "土豆丝",
        "土豆丝",
    ]


@pytest.mark.parametrize(
    "paths",
    [
        ("红烧鱼/张江", "土豆丝/张江", "麻婆豆腐/张江", "麻婆豆腐/徐汇"),
        ("HGD/GX4_6", "XSYY/GX4_7"),
    ],
)
def test_what_is_not_clear_stops_and_names_the_parameter(paths):
    with pytest.raises(UnclearFolders, match="set dish_level to 1 .* or to 9"):
        dishes(*paths)
    upper = [path.split("/")[0] for path in paths]
    lower = [path.split("/")[1] for path in paths]
    assert dishes(*paths, level=1) == upper
    assert dishes(*paths, level=2) == lower
    assert dishes(*paths, level=9) == lower
    assert len(dishes(*paths, strict=False)) == len(paths)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("train/甲", "val/甲", "test/甲"), ["train", "validation", "test"]),
        (("Train/甲", "validation/甲"), ["train", "validation"]),
        (("训练集/甲", "验证集/甲", "测试集/甲"), ["train", "validation", "test"]),
        (("data/train/甲", "data/test/甲"), ["train", "test"]),
        (("甲/train", "甲/test", "乙/train"), ["train", "test", "train"]),
        (("train/甲/20240301", "test/甲"), ["train", "test"]),
    ],
)
def test_splits_over_and_below_dishes(paths, expected):
    assert splits(*paths) == expected
    assert set(dishes(*paths)) <= {"甲", "乙"}


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("train/甲", "train/乙"), "no folder for validation or testing"),
        (("val/甲", "test/甲"), "no folder for training"),
        (("train/甲", "val/甲", "valid/甲"), "two of them mean one split"),
        (("train/甲", "test/甲", "丙"), "丙 beside them is none"),
        (("甲/train", "甲/test", "乙"), "乙 beside them is none"),
    ],
)
def test_folders_called_like_splits_that_are_not_taken_are_said(paths, reason):
    folders = DishFolders(places(*paths))
    assert splits(*paths) == [""] * len(paths)
    assert "NOT taken as splits" in folders.splits.note
    assert reason in folders.splits.note


@pytest.mark.parametrize(
    "paths", [("test", "红烧鱼"), ("红烧鱼", "土豆丝"), ("train/甲", "test/甲")]
)
def test_nothing_is_said_where_nothing_is_lost(paths):
    assert DishFolders(places(*paths)).splits.note == ""


def test_an_outside_site_has_no_splits():
    assert (
        DishFolders(places("train/甲", "test/甲"), with_splits=False).split(("train", "甲")) == ""
    )
