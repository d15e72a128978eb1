"""Numbering, prices, portions, camera words and copies come off a name, and nothing else does."""

import os
from pathlib import Path

import pytest

from dishvl_lib.core import name_trimmings, names, records


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("18.鱼香茄子", "鱼香茄子"),
        ("18、鱼香茄子", "鱼香茄子"),
        ("18_鱼香茄子", "鱼香茄子"),
        ("18 鱼香茄子", "鱼香茄子"),
        ("（18）鱼香茄子", "鱼香茄子"),
        ("No.18 鱼香茄子", "鱼香茄子"),
        ("018鱼香茄子", "鱼香茄子"),
        ("①鱼香茄子", "鱼香茄子"),
        ("一、鱼香茄子", "鱼香茄子"),
        ("第3道 红烧鱼", "红烧鱼"),
        ("糖醋里脊(大份)12元", "糖醋里脊"),
        ("糖醋里脊大份", "糖醋里脊"),
        ("红烧鱼￥15", "红烧鱼"),
        ("￥15 红烧鱼", "红烧鱼"),
        ("红烧鱼 12.5元/份", "红烧鱼"),
        ("红烧鱼 特价9.9元", "红烧鱼"),
        ("IMG_20211220 香菇青菜 - 副本", "香菇青菜"),
        ("微信图片_20240301123456红烧鱼", "红烧鱼"),
        ("香菇青菜（新）", "香菇青菜"),
        ("【新品】香菇青菜", "香菇青菜"),
        ("香菇青菜_final", "香菇青菜"),
        ("香菇青菜 v2", "香菇青菜"),
        ("香菇青菜已标注", "香菇青菜"),
        ("红烧鱼 (2)", "红烧鱼"),
        ("红烧鱼 - Copy (2)", "红烧鱼"),
        ("20240301红烧鱼", "红烧鱼"),
        ("红烧鱼_2024-03-01", "红烧鱼"),
        ("12.粥", "粥"),
        ("18#鱼香茄子", "鱼香茄子"),
        ("18—鱼香茄子", "鱼香茄子"),
        ("复件 红烧鱼", "红烧鱼"),
        ("Copy of 红烧鱼", "红烧鱼"),
        ("红烧鱼 - 副本 - 副本", "红烧鱼"),
        ("红烧鱼（12.5）", "红烧鱼"),
        ("红烧鱼.jpg", "红烧鱼"),
        ("12. Kung Pao Chicken", "Kung Pao Chicken"),
    ],
)
def test_what_comes_off(folder, name):
    assert names.clean_folder_name(folder) == name


@pytest.mark.parametrize(
    "name",
    [
        "素鸡(豆制品)",
        "三杯鸡",
        "3 杯鸡",
        "八宝饭",
        "五香牛肉",
        "7喜",
        "7-up",
        "2号套餐",
        "15元套餐",
        "套餐1",
        "100%果汁",
        "85度C",
        "9寸披萨",
        "24味凉茶",
        "1.5斤烤鱼",
        "B52轰炸机",
        "3+2饼干",
        "2个馒头",
        "水煮鱼(微辣)",
        "小份菜",
        "可乐500ml",
        "红烧鱼1",
        "红烧鱼_01",
        "18鱼香茄子",
        "Fish Soup 2",
        "红烧鱼1@HGD_2021",
        "12元",
        "18",
    ],
)
def test_what_stays(name):
    assert name_trimmings.without(name) == name


def test_a_name_in_the_references_form_keeps_what_stands_in_it():
    assert names.clean_folder_name("15元套餐1@HGD_20211221") == "15元套餐"


def test_a_cook_book_is_left_alone():
    folder = os.environ.get("DISHVL_TEST_DATA")
    if not folder:
        pytest.skip("DISHVL_TEST_DATA is not set: no cook book")
    dishes = records.read_jsonl(Path(folder) / "howtocook" / "dishes.jsonl")
    cleaned = [names.clean(dish["name"]) for dish in dishes]
    assert [name_trimmings.without(name) for name in cleaned] == cleaned
    assert not [name for name in cleaned if name_trimmings.leftover(name)]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("15元套餐", "15元"),
        ("18鱼香茄子", "18"),
        ("红烧鱼_01", "01"),
        ("红烧鱼12.50", "12.50"),
        ("大份红烧鱼", "大份"),
        ("B52 轰炸机", "B52"),
        ("7喜", ""),
        ("三杯鸡", ""),
        ("85度C", ""),
    ],
)
def test_what_is_pointed_out(name, part):
    assert name_trimmings.leftover(name) == part
