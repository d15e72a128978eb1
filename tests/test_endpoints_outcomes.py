"""What a reply means: every status, and that no reply whatever makes the judge raise."""

import json
import random

import pytest
from pydantic import BaseModel, Field
from toys import completion

from dishvl_lib.endpoints import client, outcomes
from dishvl_lib.endpoints.client import Raw


class Dish(BaseModel):
    name: str
    calories: float = Field(default=0.0, le=900)


ENDPOINT = client.connect([{"name": "toy", "base_url": "http://x/v1", "model": "m-1"}])[0]
FINE = outcomes.FINE
FAST = outcomes.TOO_FAST
DOWN = outcomes.DOWN


def judge(status, body, schema=Dish):
    return outcomes.judge(
        ENDPOINT, Raw(status, body if isinstance(body, str) else json.dumps(body), "cut"), schema
    )


def reply(content="", **choice):
    body = completion(content)
    body["choices"][0] |= choice
    return body


def failure(code, message="no"):
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    "status, body, expected",
    [
        (200, reply({"name": "鱼"}), ("ok", "done", FINE)),
        (200, reply({"name": "鱼", "calories": 901}), ("schema_violation", "repair", FINE)),
        (200, reply('{"name": "鱼"'), ("malformed", "repair", FINE)),
        (200, reply("NaN"), ("schema_violation", "repair", FINE)),
        (200, "<html>", ("malformed", "retry", FINE)),
        (200, 'data: {"choices": []}', ("malformed", "retry", FINE)),
        (200, failure("oops"), ("malformed", "retry", FINE)),
        (200, failure("insufficient_quota"), ("failed", "stop", FINE)),
        (200, failure("content_filter"), ("content_filter", "done", FINE)),
        (200, failure("503"), ("failed", "retry", DOWN)),
        (200, failure("429"), ("failed", "retry", FAST)),
        (200, {"choices": [{"error": {"message": "oops"}}]}, ("malformed", "retry", FINE)),
        (200, reply("x", finish_reason="error"), ("malformed", "retry", FINE)),
        (200, reply("x", finish_reason="SAFETY"), ("content_filter", "done", FINE)),
        (200, reply("x", finish_reason="MAX_TOKENS"), ("length", "done", FINE)),
        (
            200,
            reply(message={"content": "", "reasoning_content": '看 {"name": "鱼"}'}),
            ("ok", "done", FINE),
        ),
        (200, reply(message={"content": "", "reasoning_content": "看"}), ("empty", "again", FINE)),
        (200, {"choices": None}, ("malformed", "retry", FINE)),
        (200, {"choices": [None]}, ("malformed", "retry", FINE)),
        (200, reply(message=["x"]), ("malformed", "retry", FINE)),
        (200, reply(message={"content": ["x"]}), ("malformed", "retry", FINE)),
        (200, reply(" "), ("empty", "again", FINE)),
        (200, reply(message={"content": None}), ("empty", "again", FINE)),
        (200, reply(message={"content": None, "refusal": "不"}), ("refusal", "done", FINE)),
        (200, reply("x", finish_reason="content_filter"), ("content_filter", "done", FINE)),
        (200, reply({"name": "鱼"}, finish_reason="length"), ("length", "done", FINE)),
        (None, "", ("failed", "retry", DOWN)),
        (429, failure("rate_limit_exceeded"), ("failed", "retry", FAST)),
        (429, failure("insufficient_quota"), ("failed", "stop", FINE)),
        (500, "oops", ("failed", "retry", DOWN)),
        (503, failure(None), ("failed", "retry", DOWN)),
        (408, "", ("failed", "retry", DOWN)),
        (401, failure("x"), ("failed", "stop", FINE)),
        (403, "", ("failed", "stop", FINE)),
        (407, "", ("failed", "stop", FINE)),
        (402, failure("x"), ("failed", "stop", FINE)),
        (403, failure(None, "your input was flagged"), ("content_filter", "done", FINE)),
        (403, failure("rate_limit_exceeded"), ("failed", "retry", FAST)),
        (451, "", ("content_filter", "done", FINE)),
        (400, failure("model_not_found"), ("failed", "stop", FINE)),
        (500, failure(None, "response_format is not supported"), ("failed", "step down", FINE)),
        (422, failure(None, "temperature must be above 0"), ("failed", "step down", FINE)),
        (422, failure(None, "max_tokens must be at most 64"), ("failed", "done", FINE)),
        (404, failure("x"), ("failed", "stop", FINE)),
        (400, failure("content_filter"), ("content_filter", "done", FINE)),
        (400, failure("SensitiveContentDetected.Text"), ("content_filter", "done", FINE)),
        (
            400,
            failure(None, "'response_format' of type json_schema is not supported"),
            ("failed", "step down", FINE),
        ),
        (400, failure("unknown", "the image is damaged"), ("failed", "done", FINE)),
        (413, "", ("failed", "done", FINE)),
    ],
)
def test_every_reply_has_its_status_and_what_comes_next(status, body, expected):
    found = judge(status, body)
    assert (found.status, found.next, found.pressure) == expected
    assert bool(found.problem) == (found.status != "ok")
    assert (found.value is not None) == (found.status == "ok")


def test_without_a_schema_any_text_is_an_answer():
    assert judge(200, reply("鱼，红烧的"), None).value == "鱼，红烧的"


def test_the_thoughts_in_a_part_are_removed_from_a_plain_answer():
    parts = [{"type": "thinking", "thinking": "像鱼"}, {"type": "text", "text": "鱼<|im_end|>"}]
    found = judge(200, reply(message={"content": parts}), None)
    assert found.value == "鱼"
    assert found.removed == "像鱼\n<|im_end|>"


def test_nothing_makes_the_judge_raise():
    chance = random.Random(0)
    bodies = [
        json.dumps(reply({"name": "鱼"})),
        json.dumps(failure("x")),
        "[" * 100_000,
        "null",
        "3",
        '{"choices": {"0": 1}}',
        '{"choices": [[]]}',
        '{"error": [1]}',
        '{"error": "x"}',
    ]
    for number in range(3000):
        text = list(chance.choice(bodies)[:400])
        for _ in range(chance.randint(0, 4)):
            text[chance.randrange(len(text))] = chance.choice('{}[]",:0nx\\')
        found = judge(chance.choice([None, 200, 400, 404, 429, 500]), "".join(text))
        assert found.status, number
        assert found.next, number


def test_half_characters_never_reach_a_file():
    for found in (
        judge(200, json.dumps(reply("鱼\ud83d")), None),
        judge(200, json.dumps(reply('{"name": "鱼\\ud83d"}'))),
    ):
        (found.text + str(found.value) + found.problem).encode("utf-8")


def test_the_fields_that_do_not_fit_are_named():
    assert "calories" in judge(200, reply({"name": "鱼", "calories": 5000})).problem
    assert "name" in judge(200, reply({})).problem


def test_a_long_message_is_cut_short():
    assert len(judge(400, failure("x", "很长" * 5000)).problem) < 500
