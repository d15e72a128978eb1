"""Asking a server: what is retried, what stops at once, what is stored, and that a key is never shown."""

import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toys import Server, completion

from dishvl_lib.endpoints import client
from dishvl_lib.endpoints.journal import Journal

KEY = "sk-very-secret-12345"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """The pauses that were asked for, instead of pauses."""
    waits = []
    monkeypatch.setattr(client.time, "sleep", waits.append)
    monkeypatch.setenv("TOY_KEY", KEY)
    return waits


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.sqlite")
    yield made
    made.close()


def endpoint(base_url, **changed):
    return client.connect(
        [{"name": "toy", "base_url": base_url, "model": "m-1", "api_key_env": "TOY_KEY", "price_input": 2.0, "price_output": 8.0, **changed}]
    )[0]


def ask(one, journal, text="什么菜？"):
    return client.ask(one, [{"role": "user", "content": text}], "dish_card", {"type": "object"}, journal)


def replies(*given):
    """Answers these in turn, the last one for ever."""
    queue = list(given)
    return lambda _: queue.pop(0) if len(queue) > 1 else queue[0]


def error(status, code, message="no", headers=None):
    return status, {"error": {"message": f"{message} {KEY}", "type": "x", "code": code}}, headers or {}


def statuses(journal):
    with sqlite3.connect(journal.path) as db:
        return [row[0] for row in db.execute("SELECT status FROM attempts ORDER BY attempt")]


def test_a_request_and_its_price(journal):
    with Server(lambda _: (200, completion("答"))) as server:
        reply = ask(endpoint(server.base_url), journal)
    assert (reply.text, reply.usage, reply.from_journal) == ("答", {"prompt_tokens": 1000, "completion_tokens": 100}, False)
    assert reply.cost == pytest.approx((1000 * 2 + 100 * 8) / 1e6) and server.keys == [f"Bearer {KEY}"]
    (sent,) = server.requests
    assert sent["model"] == "m-1" and sent["temperature"] == 0 and sent["messages"] == [{"role": "user", "content": "什么菜？"}]
    assert sent["response_format"] == {"type": "json_schema", "json_schema": {"name": "dish_card", "schema": {"type": "object"}}}


def test_what_was_paid_for_is_never_asked_twice(journal):
    with Server(lambda _: (200, completion("答"))) as server:
        one = endpoint(server.base_url)
        ask(one, journal)
        again = ask(one, journal)
        assert (again.text, again.cost, again.from_journal) == ("答", 0.0, True) and len(server.requests) == 1
        ask(one, journal, "另一个")
        ask(endpoint(server.base_url, model="m-2"), journal)
        assert len(server.requests) == 3


@pytest.mark.parametrize("failure", [
    error(429, "rate_limit"), error(500, None), error(503, None), error(408, None), error(409, None), None, (200, b"<html>busy</html>"), (200, {"choices": None}),
    (200, {"choices": []}), (200, b'{"choices": [{"mess'), (200, completion("")), (200, b"[]"), (200, {"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]}),
])  # fmt: skip
def test_failures_that_may_pass_are_tried_again(journal, no_waiting, failure):
    with Server(replies(failure, failure, (200, completion("答")))) as server:
        assert ask(endpoint(server.base_url), journal).text == "答"
    assert len(server.requests) == 3 and statuses(journal) == ["failed", "failed", "ok"] and len(no_waiting) == 2 and all(wait > 0 for wait in no_waiting)


def test_they_are_not_tried_for_ever(journal, no_waiting):
    with Server(lambda _: error(503, None)) as server, pytest.raises(client.EndpointError, match=r"toy at http.*HTTP 503 \(4 attempts\)"):
        ask(endpoint(server.base_url), journal)
    assert len(server.requests) == client.MAX_ATTEMPTS == 4 and statuses(journal) == ["failed"] * 4


def test_pauses_grow_and_the_servers_wish_is_heeded(journal, no_waiting, monkeypatch):
    monkeypatch.setattr(client.random, "uniform", lambda low, high: high)
    with Server(lambda _: error(500, None)) as server, pytest.raises(client.EndpointError):
        ask(endpoint(server.base_url), journal)
    assert no_waiting == [1.0, 2.0, 4.0]
    no_waiting.clear()
    wishes = [error(429, "x", headers={"Retry-After": value}) for value in ("7", "9999", "-5")]
    with Server(replies(*wishes, (200, completion("答")))) as server:
        ask(endpoint(server.base_url, model="m-2"), journal)
    assert no_waiting[:2] == [7.0, 120.0] and 0 < no_waiting[2] <= 30


@pytest.mark.parametrize("failure, words", [
    (error(401, "invalid_api_key"), ["TOY_KEY", "refused", "401"]),
    (error(403, None), ["TOY_KEY", "refused", "403"]),
    (error(404, "model_not_found"), ["no model 'm-1'", "change this endpoint's model or base_url"]),
    (error(429, "insufficient_quota"), ["quota is used up", "top it up"]),
    (error(400, "bad_thing"), ["refused", "400", "bad_thing"]),
])  # fmt: skip
def test_failures_that_stay_stop_at_once_with_the_remedy(journal, no_waiting, failure, words):
    with Server(lambda _: failure) as server, pytest.raises(client.EndpointError) as caught:
        ask(endpoint(server.base_url), journal)
    assert all(word in str(caught.value) for word in [*words, "toy", server.base_url]) and len(server.requests) == 1 and no_waiting == []
    assert statuses(journal) == ["failed"]


@pytest.mark.parametrize("failure", [error(401, "x"), error(404, "x"), error(429, "insufficient_quota"), error(500, None), error(400, None), None])
def test_a_key_is_never_shown(journal, tmp_path, failure):
    with Server(lambda _: failure) as server:
        one = endpoint(server.base_url)
        with pytest.raises(client.EndpointError) as caught:
            ask(one, journal)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown and KEY not in repr(one) and KEY not in str(one)
    assert all(KEY.encode() not in file.read_bytes() for file in Path(tmp_path).glob("journal.sqlite*"))


def test_a_missing_key_names_its_variable_and_sends_nothing(monkeypatch):
    monkeypatch.delenv("TOY_KEY")
    with Server(lambda _: (200, completion("x"))) as server:
        with pytest.raises(client.EndpointError, match="endpoint toy: the environment variable TOY_KEY is not set; export it"):
            endpoint(server.base_url)
        monkeypatch.setenv("TOY_KEY", "")
        with pytest.raises(client.EndpointError, match="TOY_KEY is not set"):
            endpoint(server.base_url)
        assert server.requests == []


def test_a_key_with_a_line_break_works_and_one_that_cannot_be_is_not_shown(journal, monkeypatch):
    monkeypatch.setenv("TOY_KEY", KEY + "\n")
    with Server(lambda _: (200, completion("x"))) as server:
        ask(endpoint(server.base_url), journal)
    assert server.keys == [f"Bearer {KEY}"]
    monkeypatch.setenv("TOY_KEY", "密钥" + KEY)
    with pytest.raises(client.EndpointError, match="TOY_KEY holds characters that no key has") as caught:
        endpoint("http://127.0.0.1:1/v1")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("given, message", [
    ({"name": "a", "base_url": "u", "model": "m", "api_key": "k"}, "endpoint a: unknown field 'api_key'; known are api_key_env"),
    ({"name": "a", "base_url": "u"}, "endpoint a: model is missing"),
    ({"base_url": "u", "model": "m"}, "endpoint number 1: name is missing"),
])  # fmt: skip
def test_settings_are_checked(given, message):
    with pytest.raises(client.EndpointError, match=message):
        client.connect([given])


def test_a_server_without_a_key_needs_none(journal):
    with Server(lambda _: (200, completion("x"))) as server:
        (one,) = client.connect([{"name": "free", "base_url": server.base_url, "model": "m"}])
        assert ask(one, journal).cost == 0.0


def test_a_server_on_this_machine_is_reached_past_a_proxy(journal, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(lambda _: (200, completion("x"))) as server:
        assert ask(endpoint(server.base_url), journal).text == "x"


def test_nobody_listening_is_said(journal, no_waiting):
    with pytest.raises(client.EndpointError, match="no answer .APIConnectionError. .4 attempts."):
        ask(endpoint("http://127.0.0.1:9/v1"), journal)


def test_a_reply_without_usage_is_no_failure(journal):
    body = completion("答") | {"usage": None}
    with Server(lambda _: (200, body)) as server:
        reply = ask(endpoint(server.base_url), journal)
    assert reply.text == "答" and reply.cost == 0.0


def test_many_threads_share_one_journal(journal):
    with Server(lambda request: (200, completion(request["messages"][0]["content"]))) as server:
        one = endpoint(server.base_url)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda i: ask(one, journal, f"q{i}").text, range(24))) == [f"q{i}" for i in range(24)]
    assert statuses(journal) == ["ok"] * 24
