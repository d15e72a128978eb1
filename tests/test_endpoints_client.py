"""Endpoints from a params list, and one request to a server: sent once, never raised about, never
showing the key.
"""

import email.utils
import json
import time

import pytest
from toys import Server, completion

from dishvl_lib.endpoints import client

KEY = "sk-very/secret-12345"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TOY_KEY", KEY)


def endpoint(base_url="http://127.0.0.1:9/v1", **changed):
    return client.connect(
        [{"name": "toy", "base_url": base_url, "model": "m-1", "api_key_env": "TOY_KEY", **changed}]
    )[0]


def send(answer, **changed):
    with Server(answer) as server:
        raw = client.send(
            endpoint(server.base_url, **changed),
            {
                "model": "m-1",
                "messages": [{"role": "user", "content": "什么菜？"}],
                "temperature": 0,
                "thinking": {"type": "off"},
            },
        )
        return raw, server


def test_one_request_as_the_server_sees_it():
    raw, server = send(lambda _: (200, completion("答")))
    assert (
        raw.http_status,
        json.loads(raw.body)["usage"]["prompt_tokens"],
        raw.retry_after,
        raw.problem,
    ) == (200, 1000, 0.0, "")
    assert raw.seconds > 0
    (sent,) = server.requests
    assert sent == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "什么菜？"}],
        "temperature": 0,
        "thinking": {"type": "off"},
    }
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    "status, billed", [(400, False), (429, False), (500, False), (504, True), (408, True)]
)
def test_an_error_comes_back_as_it_is_and_is_sent_once(status, billed):
    raw, server = send(
        lambda _: (status, {"error": {"code": "x", "message": "no"}}, {"Retry-After": "7"})
    )
    assert (raw.http_status, raw.retry_after, raw.may_be_billed) == (
        status,
        7.0,
        billed,
    )
    assert json.loads(raw.body)["error"]["code"] == "x"
    assert len(server.requests) == 1


def test_a_cut_connection_may_have_been_billed_and_a_refused_one_was_not():
    cut, server = send(lambda _: None)
    assert cut.http_status is None
    assert cut.may_be_billed
    assert "no answer (APIConnectionError" in cut.problem
    assert len(server.requests) == 1
    nobody = client.send(endpoint(), {"model": "m", "messages": []})
    assert nobody.http_status is None
    assert not nobody.may_be_billed


def test_a_timeout_is_no_answer():
    raw, _ = send(lambda _: time.sleep(0.5), timeout_s=0.1)
    assert raw.http_status is None
    assert raw.may_be_billed
    assert "Timeout" in raw.problem
    assert raw.seconds < 0.5


def test_a_cut_body_is_no_answer():
    raw, _ = send(
        lambda _: (200, b'{"choices": [{"mess', {"Content-Length": "500", "Connection": "close"}),
        timeout_s=2,
    )
    assert raw.http_status is None
    assert raw.may_be_billed


@pytest.mark.parametrize(
    "given, seconds",
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("9999", client.LONGEST_WAIT_S),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("nan", 0.0),
    ],
)
def test_the_servers_wish(given, seconds):
    assert client.retry_after({"retry-after": given}) == seconds


def test_the_servers_wish_as_a_date():
    assert (
        25
        < client.retry_after({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)})
        <= 30
    )


def test_the_key_is_hidden_however_json_writes_it():
    with_key = endpoint()
    for form in (KEY, KEY.replace("/", "\\/")):
        assert with_key.hide(f'{{"message": "Bearer {form}!"}}') == '{"message": "Bearer [key]!"}'
    assert KEY not in repr(with_key)
    assert KEY not in str(with_key)
    for status in (200, 401):
        raw, _ = send(
            lambda _, status=status: (status, completion(f"your header was Bearer {KEY}"))
        )
        assert KEY not in raw.body
        assert "your header was Bearer [key]" in raw.body
        assert json.loads(raw.body)


def test_a_missing_key_names_its_variable(monkeypatch):
    for value in (None, "", "  "):
        monkeypatch.delenv("TOY_KEY") if value is None else monkeypatch.setenv("TOY_KEY", value)
        with pytest.raises(
            client.EndpointError,
            match="endpoint toy: .* the environment variable TOY_KEY is not set; export it",
        ):
            endpoint()


def test_a_key_with_a_line_break_works_and_one_that_cannot_be_is_not_shown(monkeypatch):
    monkeypatch.setenv("TOY_KEY", KEY + "\n")
    _, server = send(lambda _: (200, completion("x")))
    assert server.keys == [f"Bearer {KEY}"]
    monkeypatch.setenv("TOY_KEY", "密钥" + KEY)
    with pytest.raises(
        client.EndpointError, match="TOY_KEY holds characters that no key has"
    ) as caught:
        endpoint()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"name": "a", "base_url": "http://u", "model": "m", "price_inptu": 1},
            "endpoint a: unknown field 'price_inptu'; did you mean price_input?",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "zzz": 1},
            "endpoint a: unknown field 'zzz'; known are name, base_url",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "secret": "k"},
            "unknown field 'secret'",
        ),
        ({"name": "a", "base_url": "http://u"}, "endpoint a: model is missing"),
        ({"base_url": "http://u", "model": "m"}, "endpoint number 1: name is missing"),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "concurrency": 0},
            "endpoint a: concurrency must be at least 1 and at most 4096, got 0",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "price_input": "2"},
            "price_input must be float, got '2'",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "price_output": float("nan")},
            "price_output must be a finite number, got nan",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "requests_per_minute": 1.5},
            "requests_per_minute must be int",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": 4.1},
            "endpoint a: model must be str, got 4.1",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "batch": "yes"},
            "batch must be bool, got 'yes'",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "parameters": {"stream": True}},
            "parameters must not hold stream: these are set by us",
        ),
        (
            {"name": "a", "base_url": "http://u", "model": "m", "parameters": ["x"]},
            "parameters must be dict, got",
        ),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(client.EndpointError) as caught:
        client.connect([given])
    assert message in str(caught.value)


def test_a_key_in_the_place_of_its_variable_is_refused_and_not_shown():
    with pytest.raises(
        client.EndpointError,
        match="api_key_env must be the name of an environment variable.*never the key itself",
    ) as caught:
        endpoint(api_key_env=KEY)
    assert KEY not in str(caught.value)


def test_two_endpoints_of_one_name_are_refused():
    first = {"name": "a", "base_url": "http://h/v1", "model": "m"}
    with pytest.raises(
        client.EndpointError, match="two endpoints are called a; .*give each its own"
    ):
        client.connect([first, {**first, "model": "n"}])


def test_a_server_is_known_by_its_host_and_one_on_this_machine_by_its_name():
    assert endpoint("https://api.example.com:444/v1").server == "api.example.com"
    assert (
        endpoint("http://127.0.0.1:5001/v1").server
        == endpoint("http://localhost:5002/v1").server
        == "toy"
    )


def test_a_server_on_this_machine_is_reached_past_a_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert send(lambda _: (200, completion("x")))[0].http_status == 200


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        for spelt in (name, name.lower()):
            monkeypatch.delenv(spelt, raising=False)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_makes_a_server_unreachable_is_named(no_proxies, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://user:word@127.0.0.1:9")
    behind_proxy = endpoint("http://api.example.com/v1", timeout_s=5.0)
    raw = client.send(behind_proxy, {"model": "m", "messages": []})
    assert raw.http_status is None
    assert f"the environment variable {variable} sends requests to api.example.com" in raw.problem
    assert "word" not in raw.problem


def test_a_proxy_that_an_address_goes_past_is_not_named(no_proxies, monkeypatch):
    assert endpoint("http://api.example.com/v1").proxy_note == ""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert endpoint("http://127.0.0.1:1/v1").proxy_note == ""
    assert endpoint("https://api.example.com/v1").proxy_note == ""
    monkeypatch.setenv("NO_PROXY", "localhost,api.example.com")
    assert endpoint("http://api.example.com/v1").proxy_note == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks://127.0.0.1:9"), ("HTTPS_PROXY", "http://127.0.0.1:nine")],
)
def test_a_proxy_that_cannot_be_used_is_a_sentence(no_proxies, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(client.EndpointError, match=f"endpoint toy: the proxy that {variable} name"):
        endpoint("https://api.example.com/v1")


@pytest.mark.parametrize(
    "tail", ["/chat/completions", "/chat/completions/", "/Chat/Completions", "/completions"]
)
def test_an_address_that_names_the_call_already_is_said(tail):
    with pytest.raises(client.EndpointError, match=f"take {tail} off its end"):
        endpoint(f"https://api.example.com/v1{tail}")


def test_prices_are_per_million_tokens():
    priced = endpoint(price_input=2.0, price_output=8.0)
    assert priced.cost({"prompt_tokens": 1000, "completion_tokens": 100}) == pytest.approx(0.0028)
    assert priced.cost({}) == 0.0
