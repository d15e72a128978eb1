"""The answer in what a model wrote, and what stood around it."""

import pytest

from dishvl_lib.endpoints import reading
from dishvl_lib.endpoints.reading import Reading


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n先看颜色。\n</think>\n\n红烧鱼",
        "<think>\n\n</think>\n\n红烧鱼",
        "先看颜色。\n</think>\n\n红烧鱼",
        "<thinking>x</thinking>红烧鱼",
        "<Thought>x</Thought>红烧鱼",
        "<seed:think>x</seed:think>红烧鱼",
        "<think>一<think>二</think>三</think>红烧鱼",
        "红烧鱼<think>x</think>",
        "<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>红烧鱼<|end_of_solution|>",
        "◁think▷x◁/think▷红烧鱼",
        "[THINK]x[/THINK]红烧鱼",
        "&lt;think&gt;x&lt;/think&gt;红烧鱼",
        "<unused94>thought\nx<unused95>红烧鱼",
        "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>红烧鱼<|return|>",
        "analysisWe look.assistantfinal红烧鱼",
        "<|begin_of_box|>红烧鱼<|end_of_box|>",
        "<answer>红烧鱼</answer>",
        "\\boxed{红烧鱼}",
        "<|im_start|>assistant\n红烧鱼<|im_end|>\n<|im_start|>user\n还有呢",
        "<|start_header_id|>assistant<|end_header_id|>\n\n红烧鱼<|eot_id|>",
        "<start_of_turn>model\n红烧鱼<end_of_turn>",
        "<｜Assistant｜>红烧鱼<｜end▁of▁sentence｜>",
        "红烧鱼</s>",
        "<eos>红烧鱼",
        "**红烧鱼**",
        "`红烧鱼`",
        "# **红烧鱼**",
        "- 红烧鱼",
        "\ufeff红烧\u200b鱼",
        "```\n红烧鱼\n```",
        "好的，答案是：\n```text\n红烧鱼\n```\n请看。",
        '{"answer": "红烧鱼"}',
        '["红烧鱼"]',
        '"红烧鱼"',
        '```json\n{"name": "红烧鱼", "confidence": 0.9}\n```',
    ],
)
def test_a_name_is_taken_out_of_what_stands_around_it(text):
    reply = reading.answer(text)
    assert reply.text == "红烧鱼"
    assert reply.removed


@pytest.mark.parametrize(
    "text",
    ["红烧鱼", "素鸡(豆制品)", "鱼，红烧的", "答案是红烧鱼", "a<b", "“红烧鱼”", "[红", "{鱼}汤"],
)
def test_what_is_an_answer_as_it_is_stays(text):
    assert reading.answer(f" {text}\n") == Reading(text)


def test_what_was_removed_is_kept():
    reply = reading.answer("<think>像鱼</think>红烧鱼<|im_end|>")
    assert reply.removed == "<think>像鱼</think> <|im_end|>"


def test_nothing_but_long_thoughts_is_no_answer():
    assert reading.answer("<think>先看颜色，\n再看形状").text == ""


def test_a_short_thought_without_an_end_is_the_answer():
    assert reading.answer("<think>红烧鱼").text == "红烧鱼"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("红烧鱼", Reading("红烧鱼")),
        ([{"type": "text", "text": "红烧"}, {"type": "text", "text": "鱼"}], Reading("红烧鱼")),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "看"}]},
                {"type": "text", "text": "鱼"},
            ],
            Reading("鱼", "看"),
        ),
        ([{"type": "output_text", "text": {"value": "鱼"}}], Reading("鱼")),
        ({"type": "text", "text": "鱼"}, Reading("鱼")),
        ({"菜名": "鱼"}, Reading('{"菜名": "鱼"}')),
        (None, Reading("")),
        ([], Reading("")),
        (["鱼"], None),
        (7, None),
    ],
)
def test_what_a_message_says(content, text):
    assert reading.written({"content": content}) == text


def test_an_empty_content_with_a_tool_call_says_its_arguments():
    call = {"type": "function", "function": {"name": "dish_card", "arguments": '{"name": "鱼"}'}}
    assert reading.written({"content": None, "tool_calls": [call]}) == Reading('{"name": "鱼"}')


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_the_thoughts_beside_a_content(field):
    assert reading.thoughts_of({field: "看"}) == "看"
    assert reading.thoughts_of({field: None}) == ""


@pytest.mark.parametrize(
    ("thoughts", "text"),
    [
        ("红烧鱼", "红烧鱼"),
        ("看\n</think>红烧鱼", "红烧鱼"),
        ("先看颜色，\n再看形状", ""),
        ("", ""),
    ],
)
def test_an_answer_beside_an_empty_content(thoughts, text):
    assert reading.answer_in_thoughts(thoughts).text == text


def test_a_refusal_in_its_field_or_part():
    assert reading.refusal_of({"refusal": "不"}) == "不"
    assert reading.refusal_of({"content": [{"type": "refusal", "refusal": "不"}]}) == "不"
    assert reading.refusal_of({"content": "鱼", "refusal": None}) == ""
