"""A request's key, its body in each mode, the strict schema, and the ladder."""

import json

import pytest
from pydantic import BaseModel, Field

from dishvl_lib.annotation.cards import DishCard
from dishvl_lib.endpoints import client, requests
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.requests import Ladder, Request


class Part(BaseModel):
    title: str = Field(default="x", max_length=5)


class Dish(BaseModel):
    name: str
    default: int = 0
    parts: list[Part] = []


def endpoint(**changed):
    return client.connect(
        [{"name": "toy", "base_url": "http://127.0.0.1:1/v1", "model": "m", **changed}]
    )[0]


def request(identity="photo", schema=Dish):
    return Request("id", identity, lambda: [{"role": "user", "content": "什么菜？"}], schema)


def test_the_key_is_of_what_is_asked_of_whom():
    same = requests.key(endpoint(), request())
    moved = [
        endpoint(base_url="http://localhost:2/v1"),
        endpoint(concurrency=3),
        endpoint(price_input=1.0),
        endpoint(timeout_s=9.0),
        endpoint(batch=True),
        endpoint(api_key_env=""),
    ]
    assert {requests.key(other, request()) for other in moved} == {same}
    others = [
        endpoint(name="b"),
        endpoint(base_url="http://h/v1"),
        endpoint(model="n"),
        endpoint(max_tokens=9),
        endpoint(parameters={"top_p": 0.5}),
    ]
    keys = {requests.key(other, request()) for other in others} | {
        requests.key(endpoint(), request("other")),
        requests.key(endpoint(), request(schema=None)),
    }
    assert len(keys) == len(others) + 2
    assert same not in keys


def test_the_body_in_each_mode():
    with_parameters = endpoint(parameters={"temperature": None, "seed": 3})
    messages = request().messages()
    schema, json_object, prompt = (
        requests.body(with_parameters, messages, request(), mode) for mode in requests.MODES
    )
    assert schema["response_format"]["json_schema"] == {
        "name": "dish",
        "strict": True,
        "schema": requests.sent_schema(Dish),
    }
    assert schema["messages"] == messages
    assert json_object["response_format"] == {"type": "json_object"}
    assert "response_format" not in prompt
    assert json_object["messages"] == prompt["messages"]
    assert prompt["messages"][1:] == messages
    assert (
        json.dumps(requests.sent_schema(Dish), ensure_ascii=False)
        in prompt["messages"][0]["content"]
    )
    assert schema["max_tokens"] == 2048
    assert schema["seed"] == 3
    assert "temperature" not in schema
    assert requests.body(endpoint(), messages, Request("i", {}, list), "json_schema") == {
        "model": "m",
        "messages": messages,
        "temperature": 0,
        "max_tokens": 2048,
    }


def test_a_requests_own_fields_are_sent_and_counted():
    bound = Request("id", "photo", list, None, {"structured_outputs": {"choice": ["鱼"]}})
    assert requests.body(endpoint(), [], bound, "prompt")["structured_outputs"] == {
        "choice": ["鱼"]
    }
    assert requests.binding(bound) == bound.extra
    assert requests.binding(request()) == requests.sent_schema(Dish)
    assert requests.binding(request(schema=None)) is None


def test_the_schema_is_strict_at_every_depth_and_keeps_fields_with_odd_names():
    sent = requests.sent_schema(Dish)
    assert sent["required"] == ["name", "default", "parts"]
    assert sent["additionalProperties"] is False
    part = sent["$defs"]["Part"]
    assert part["required"] == ["title"]
    assert part["additionalProperties"] is False
    assert part["properties"] == {"title": {"type": "string"}}
    assert "maximum" in json.dumps(requests.sent_schema(DishCard))
    assert len(requests.sent_schema(DishCard)["required"]) == 14


def test_a_repair_shows_the_answer_and_has_a_key_of_its_own():
    again = requests.repair(request(), '{"nam', "it is cut")
    user, assistant, complaint = again.messages()
    assert (user["role"], assistant) == (
        "user",
        {"role": "assistant", "content": '{"nam'},
    )
    assert "it is cut" in complaint["content"]
    keys = {
        requests.key(endpoint(), sent)
        for sent in (request(), again, requests.repair(request(), "{}", "it is cut"))
    }
    assert len(keys) == 3
    assert requests.key(endpoint(), requests.repair(request(), "{}", "said otherwise")) in keys


@pytest.mark.parametrize(
    "name, expected", [("DishCard", "dish_card"), ("Dish", "dish"), ("A1Card", "a1_card")]
)
def test_schema_names(name, expected):
    assert requests.schema_name(type(name, (BaseModel,), {})) == expected


def test_the_ladder_goes_down_once_however_many_complain(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    ladder = Ladder(endpoint(), journal)
    assert ladder.mode == "json_schema"
    assert ladder.step_down("json_schema")
    assert ladder.step_down("json_schema")
    assert ladder.mode == "json_object"
    assert ladder.step_down("json_object")
    assert not ladder.step_down("prompt")
    assert ladder.mode == "prompt"
    assert Ladder(endpoint(), journal).mode == "prompt"
    assert Ladder(endpoint(model="n"), journal).mode == "json_schema"
    journal.close()


ALL = requests.Capabilities("json_schema")


def test_a_refused_field_is_left_out_or_sent_under_its_other_name():
    payload = requests.body(endpoint(), [], request(), "prompt", {"temperature", "max_tokens"})
    assert "temperature" not in payload
    assert "max_tokens" not in payload
    assert payload["max_completion_tokens"] == 2048


def test_a_rung_is_taken_once_however_many_complain_and_is_kept(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    ladder = Ladder(endpoint(), journal)
    assert ladder.next_rung("temperature", ALL)
    assert ladder.next_rung("temperature", ALL), "sent before the first complaint came back"
    assert not ladder.next_rung("temperature", ladder.capabilities), "it is left out already"
    assert ladder.capabilities == requests.Capabilities("json_schema", frozenset({"temperature"}))
    assert Ladder(endpoint(), journal).capabilities == ladder.capabilities
    assert Ladder(endpoint(model="n"), journal).capabilities == ALL
    journal.close()


def test_a_form_that_is_refused_is_a_rung_of_its_own(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    ladder = Ladder(endpoint(), journal)
    assert ladder.next_rung("response_format", ALL)
    assert ladder.capabilities.mode == "json_object"
    journal.close()


@pytest.mark.parametrize("field", ["seed", "max_completion_tokens", ""])
def test_there_is_no_rung_for_another_field(tmp_path, field):
    journal = Journal(tmp_path / "j.sqlite")
    assert not Ladder(endpoint(), journal).next_rung(field, ALL)
    journal.close()
