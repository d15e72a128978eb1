"""JSON as language models write it."""

import random

import pytest

from dishvl_lib.endpoints import loose_json

FISH = {"name": "鱼", "flavor": ["辣", "咸"]}


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "鱼", "flavor": ["辣", "咸"]}',
        "{'name': '鱼', 'flavor': ['辣', '咸']}",
        '{"name": "鱼", "flavor": ["辣", "咸",],}',
        "｛“name”：“鱼”，“flavor”：［“辣”，“咸”］｝",
        '{"name"："鱼"，"flavor"：["辣"、"咸"]}',
        '{"name": "鱼", // 菜名\n "flavor": /* 口味 */ ["辣", "咸"]}',
        "{name: 鱼, flavor: [辣, 咸]}",
        '{"name": "鱼"\n "flavor": ["辣", "咸"]}',
    ],
)
def test_an_object_in_other_spellings(text):
    assert loose_json.parse(text) == FISH
    assert list(loose_json.values(f"好的：{text}。请看")) == [FISH]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': True, 'b': False, 'c': None}", {"a": True, "b": False, "c": None}),
        ('{"a": 1.5, "b": undefined,}', {"a": 1.5, "b": None}),
        ('{"a": "这道"名菜"很好"}', {"a": '这道"名菜"很好'}),
        ('{"a": "一\n二"}', {"a": "一\n二"}),
        ("{'a': 'it\\'s', 'b': '\\u9c7c'}", {"a": "it's", "b": "鱼"}),
        ('{"a": 约120千卡, "b": 1}', {"a": "约120千卡", "b": 1}),
    ],
)
def test_values_in_other_spellings(text, value):
    assert loose_json.parse(text) == value


@pytest.mark.parametrize(
    "text", ['{"name": "鱼"', '{"name": "鱼", "flavor": ["辣"', "鱼", "", "{}x"]
)
def test_what_is_cut_or_more_than_a_value_is_none(text):
    with pytest.raises(ValueError):
        loose_json.parse(text)


def test_talk_with_braces_is_passed_over():
    assert list(loose_json.values('我看{先看颜色。答案 {"a": 1} 和 [2]')) == [{"a": 1}, [2]]


def test_hostile_text_ends_soon():
    chance = random.Random(0)
    for _ in range(300):
        text = "".join(chance.choices("{}[]\"':,，“”/\\#x1 \n", k=400))
        list(loose_json.values(text))
    assert list(loose_json.values("[" * 100_000)) == []
    assert list(loose_json.values('{"a":' * 20_000)) == []
