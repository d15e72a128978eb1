"""Values of a card as models write them, and what they come to."""

import json

import pytest

from dishvl_lib.annotation import card_values
from dishvl_lib.annotation.cards import DishCard, DishTexts
from dishvl_lib.endpoints import forms


@pytest.mark.parametrize(
    ("answer", "kcal"),
    [
        (120, 120),
        (120.5, 120.5),
        ("120", 120.0),
        ("约120千卡", 120.0),
        ("大约 120 kcal / 100g", 120.0),
        ("每100克约120大卡", 120.0),
        ("120卡路里", 120.0),
        ("１２０千卡", 120.0),
        ("502 kJ", 120.0),
        ("502千焦", 120.0),
        ("120千卡（502千焦）", 120.0),
        ("100-150千卡", 125.0),
        ("100kcal~150kcal", 125.0),
        ([100, 150], 125.0),
        ({"value": 120, "unit": "kcal"}, 120.0),
        ("未知", None),
        ("", None),
        (None, None),
        (True, None),
        ("每份350千卡", None),
        ("350 kcal per serving", None),
        ("<100", None),
        ("低于100千卡", None),
        ("-5", None),
        ("不少", None),
    ],
)
def test_calories(answer, kcal):
    assert card_values.calories(answer) == kcal


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("土豆、青椒", ["土豆", "青椒"]),
        ("土豆,青椒，盐;油；糖/醋", ["土豆", "青椒", "盐", "油", "糖", "醋"]),
        ("土豆 青椒", ["土豆", "青椒"]),
        ("sweet and sour", ["sweet and sour"]),
        ("土豆、青椒等。", ["土豆", "青椒"]),
        ("酱油(生抽,老抽)、盐", ["酱油(生抽,老抽)", "盐"]),
        ("- 土豆\n- 青椒", ["土豆", "青椒"]),
        ("1. 土豆\n2. 青椒", ["土豆", "青椒"]),
        ("['土豆', '青椒']", ["土豆", "青椒"]),
        ("咸鲜", ["咸鲜"]),
        ("大小不等", ["大小不等"]),
        (["土豆", ["青椒"]], ["土豆", "青椒"]),
        (["土豆、青椒"], ["土豆", "青椒"]),
        ([{"name": "土豆", "amount": "1 个"}], ["土豆"]),
        ({"蛋白质": "10g", "脂肪": "5g"}, ["蛋白质", "脂肪"]),
        (["土豆", "", "无", 7, "土豆"], ["土豆"]),
        (["长" * 41, "短"], ["短"]),
        ("无", []),
        ("N/A", []),
        ("", []),
        (None, []),
    ],
)
def test_words(answer, words):
    assert card_values.words(answer) == words


@pytest.mark.parametrize(
    "answer",
    [True, 1, 1.0, "是", "是的", "Yes", "true", "素食", "是（蛋奶素）", "是，不含肉", ["是"], "✓"],
)
def test_yes(answer):
    assert card_values.yes_or_no(answer) == "是"


@pytest.mark.parametrize(
    "answer",
    [False, 0, "否", "不是", "No", "False", "非素食", "荤菜", "否，含猪肉", "not vegetarian"],
)
def test_no(answer):
    assert card_values.yes_or_no(answer) == "否"


@pytest.mark.parametrize("answer", [None, "", "不确定", "未知", "也许", [], {}])
def test_neither_yes_nor_no(answer):
    assert card_values.yes_or_no(answer) == ""


@pytest.mark.parametrize(
    "answer",
    [
        "红烧鱼",
        "《红烧鱼》",
        "“红烧鱼”",
        "菜名：红烧鱼。",
        "**红烧鱼**",
        ["红烧鱼"],
        {"zh": "红烧鱼", "en": "fish"},
    ],
)
def test_a_name(answer):
    assert card_values.name(answer) == "红烧鱼"


@pytest.mark.parametrize("answer", [None, "", "未知", "无法判断", "N/A"])
def test_no_name(answer):
    assert card_values.name(answer) == ""


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("川菜", "川菜"),
        (["川菜"], "川菜"),
        (["川菜", "湘菜"], "川菜、湘菜"),
        (3, "3"),
        (None, ""),
        ("未知", ""),
    ],
)
def test_a_line(answer, line):
    assert card_values.line(answer) == line


@pytest.mark.parametrize(
    "answer",
    [
        ["切菜", "下锅"],
        ["1. 切菜", "2、下锅"],
        {"1": "切菜", "2": "下锅"},
        [{"step": 1, "description": "切菜"}, {"step": 2, "description": "下锅"}],
    ],
)
def test_steps_become_numbered_lines(answer):
    assert card_values.steps(answer) == "1. 切菜\n2. 下锅"


def test_a_card_in_the_words_of_a_model_without_schemas():
    reply = {
        "菜名": "红烧鱼",
        "菜系": "川菜",
        "食材": "鱼、姜",
        "热量": "约120千卡",
        "是否素食": False,
        "过敏原": None,
        "难度": "中" * 50,
        "备注": "无",
    }
    card = forms.of_text(json.dumps(reply, ensure_ascii=False), DishCard)
    assert card == DishCard(
        name="红烧鱼", cuisine="川菜", ingredients=["鱼", "姜"], calories=120.0, is_vegetarian="否"
    )


def test_texts_in_the_words_of_a_model_without_schemas():
    texts = forms.of_text('{"简介": ["好吃。"], "做法": ["切", "炒"]}', DishTexts)
    assert texts == DishTexts(introduction="好吃。", recipe="1. 切\n2. 炒")


def test_calories_of_a_whole_plate_cost_that_field_alone():
    assert forms.of_text('{"name": "鱼", "calories": 1500}', DishCard) == DishCard(name="鱼")


def test_what_was_paid_for_before_is_stored_under_the_same_key():
    """Another schema would be another request: everything would be bought again."""
    from dishvl_lib.core import records
    from dishvl_lib.endpoints import requests

    keys = [records.fingerprint(requests.sent_schema(form))[:8] for form in (DishCard, DishTexts)]
    assert keys == ["2349ff16", "7303b5e8"]


def test_a_schema_that_is_handed_back_is_no_card():
    with pytest.raises(ValueError, match="name"):
        forms.of_text(json.dumps(DishCard.model_json_schema()), DishCard)
