"""The object in an answer, and how kindly it is read."""

import json
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field, ValidationError

from dishvl_lib.endpoints import forms


class Plain(BaseModel):
    name: str
    calories: float = Field(default=0.0, le=900)


class Kind(forms.Form):
    synonyms: ClassVar = {"name": ("菜名",), "calories": ("热量",)}
    name: str
    calories: float = Field(default=0.0, le=900)
    flavor: list[str] = []


FISH = {"name": "鱼", "calories": 5.0}
SAID = json.dumps(FISH, ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        f"```json\n{SAID}\n```",
        f"```json {SAID}```",
        f"好的，{{如下}}：\n```\n{SAID}\n```\n请看",
        f"好的：{SAID}，请看",
        f"<think>{{先看颜色。</think>{SAID}",
        f"像鱼</think>{SAID}",
        f"<think>{SAID}",
        f"<|begin_of_box|>{SAID}<|end_of_box|>",
        f"<|im_start|>{SAID}<|im_end|>",
        json.dumps(SAID),
        json.dumps({"dish": FISH}),
        json.dumps({"code": 0, "data": {"result": [FISH]}}),
        json.dumps({"data": SAID}),
        json.dumps([FISH]),
        json.dumps([FISH, FISH]),
        '{"name": "模板"}\n' + SAID,
        "{'name': '鱼', 'calories': 5.0,}",
    ],
)
def test_the_object_is_found(text):
    assert forms.of_text(text, Plain) == Plain(**FISH)
    assert forms.of_text(text, Kind) == Kind(**FISH)


@pytest.mark.parametrize("text", ["", "没有 JSON", '{"name": "鱼"', "<think>{</think>抱歉"])
def test_nothing_like_json_is_said(text):
    with pytest.raises(ValueError, match="no whole JSON object"):
        forms.of_text(text, Kind)


@pytest.mark.parametrize("text", ["[]", "{}", '{"dish": 1}'])
def test_an_object_of_another_kind_does_not_fit(text):
    with pytest.raises(ValidationError):
        forms.of_text(text, Kind)


def test_several_dishes_in_one_answer_are_too_many():
    with pytest.raises(forms.SeveralError, match="2 objects, give one"):
        forms.of_text('[{"name": "鱼"}, {"name": "肉"}]', Kind)


@pytest.mark.parametrize("key", ["Name", "NAME", "菜名", " 菜名 ", "菜名（中文）", "name:"])
def test_other_words_for_a_field(key):
    assert forms.of_text(json.dumps({key: "鱼", "calories": 5}), Kind).name == "鱼"


def test_a_fields_own_word_outranks_others():
    assert forms.of_text('{"菜名": "肉", "name": "鱼"}', Kind).name == "鱼"


def test_unknown_fields_and_bad_optional_ones_cost_themselves_alone():
    text = json.dumps({"name": "鱼", "calories": 5000, "flavor": 7, "remark": "无"})
    assert forms.of_text(text, Kind) == Kind(name="鱼")


def test_a_field_that_must_be_there_costs_all_and_all_faults_are_named():
    with pytest.raises(ValidationError) as caught:
        forms.of_text('{"name": 7, "calories": 5000, "flavor": 7}', Kind)
    assert {fault["loc"][0] for fault in caught.value.errors()} == {"name", "calories", "flavor"}


def test_where_no_field_is_left_nothing_is():
    class Optional(forms.Form):
        text: str = ""

    with pytest.raises(ValidationError):
        forms.of_text('{"text": 7}', Optional)


def test_texts_hold_no_special_tokens_and_no_control_characters():
    form = forms.of_text('{"name": "鱼<|im_end|>\\u0007", "flavor": ["辣<image>"]}', Kind)
    assert (form.name, form.flavor) == ("鱼", ["辣"])


def test_the_text_under_one_key():
    assert forms.entry('```json\n{"answer": "鱼"}\n```', "answer") == "鱼"
    assert forms.entry('{"result": {"answer": "鱼"}}', "answer") == "鱼"
    assert forms.entry("鱼", "answer") is None
    assert forms.entry('{"answer": 7}', "answer") is None


def test_a_list_inside_of_a_dish_makes_no_other_dishes():
    text = '{"name": "鱼", "flavor": [{"name": "辣"}, {"name": "咸"}]}'
    assert forms.of_text(text, Kind).name == "鱼"


def test_several_dishes_beside_other_things_are_too_many():
    with pytest.raises(forms.SeveralError):
        forms.of_text('{"count": 2, "dishes": [{"name": "鱼"}, {"name": "肉"}]}', Kind)


def test_a_schema_that_is_handed_back_is_no_answer():
    with pytest.raises(ValidationError):
        forms.of_text(json.dumps(Kind.model_json_schema()), Kind)
