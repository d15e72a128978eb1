"""One way to ask an OpenAI-compatible server, which never loses a paid reply and never shows a key."""

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai

from dishvl_lib.core import records
from dishvl_lib.endpoints.journal import Journal

MAX_ATTEMPTS = 4
FIELDS = {"name", "base_url", "model", "api_key_env", "price_input", "price_output", "currency", "concurrency", "timeout_s"}


class EndpointError(RuntimeError):
    """A server that cannot be used: missing key, wrong parameter, exhausted quota, or too many failures."""


class RequestRefused(EndpointError):
    """One request that this server will not answer (a content filter, say); others may well be answered."""


@dataclass(frozen=True)
class Endpoint:
    """A server and model from a params list. Prices are per million tokens in `currency`; 0 means free.

    `api_key_env` names the environment variable that holds the key; the key itself is never a parameter.
    """

    name: str
    base_url: str
    model: str
    api_key_env: str = ""
    price_input: float = 0.0
    price_output: float = 0.0
    currency: str = "USD"
    concurrency: int = 8
    timeout_s: float = 60.0
    client: openai.OpenAI = field(default=None, repr=False, compare=False)

    def cost(self, usage: dict[str, int]) -> float:
        """Price of one reply in `currency`."""
        return (usage.get("prompt_tokens", 0) * self.price_input + usage.get("completion_tokens", 0) * self.price_output) / 1e6


@dataclass(frozen=True)
class Reply:
    """What the model wrote, what it used and cost, and whether it came from the journal."""

    text: str
    usage: dict[str, int]
    cost: float
    seconds: float
    from_journal: bool


def connect(settings: Sequence[dict[str, Any]]) -> list[Endpoint]:
    """Endpoints ready to ask, from a list of {name, base_url, model, api_key_env, ...}; checks every key first.

    Raises `EndpointError` for an unknown field, a missing one, or an environment variable that is not set.
    """
    made = []
    for number, given in enumerate(settings, start=1):
        label = given.get("name") or f"number {number}"
        if unknown := sorted(set(given) - FIELDS):
            raise EndpointError(f"endpoint {label}: unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}")
        if missing := [name for name in ("name", "base_url", "model") if not given.get(name)]:
            raise EndpointError(f"endpoint {label}: {missing[0]} is missing")
        made.append(Endpoint(**given, client=_client(given, _key(given, label))))
    return made


def ask(endpoint: Endpoint, messages: list[dict[str, Any]], schema_name: str, schema: dict[str, Any], journal: Journal) -> Reply:
    """The reply to one request in the form of a JSON schema, from the journal when it was paid for before.

    Tries at most MAX_ATTEMPTS times with growing pauses for rate limits, server errors and cut connections. Raises
    `EndpointError` when that is not enough, at once for a refused key, an unknown model and an exhausted quota.
    """
    request = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": schema_name, "schema": schema}},
    }
    key = records.fingerprint(request)
    stored = journal.reply(key)
    if stored:
        return _read_reply(endpoint, stored["body"], stored["usage"], stored["seconds"], True)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return _send(endpoint, request, key, journal)
        except _Passing as error:
            if attempt == MAX_ATTEMPTS:
                raise EndpointError(f"{endpoint.name} at {endpoint.base_url}: {error} ({MAX_ATTEMPTS} attempts)") from None
            time.sleep(error.wait_s or min(30.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")


class _Passing(Exception):
    """A failure that may go away: worth another attempt after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


def _send(endpoint: Endpoint, request: dict[str, Any], key: str, journal: Journal) -> Reply:
    number, started = journal.intend(key, endpoint.name, endpoint.model), time.monotonic()
    try:
        response = endpoint.client.chat.completions.with_raw_response.create(**request)
        status, body = response.http_response.status_code, response.http_response.text
    except openai.APIStatusError as error:
        journal.settle(key, number, "failed", error.status_code, "", {}, time.monotonic() - started)
        raise _judge(endpoint, error) from None
    except openai.APIConnectionError as error:
        journal.settle(key, number, "failed", None, "", {}, time.monotonic() - started)
        raise _Passing(f"no answer ({type(error).__name__})") from None
    seconds, usage = time.monotonic() - started, _usage(body)
    try:
        reply = _read_reply(endpoint, body, usage, seconds, False)
    except _Passing:
        journal.settle(key, number, "failed", status, body, usage, seconds)
        raise
    journal.settle(key, number, "ok", status, body, usage, seconds)
    return reply


def _judge(endpoint: Endpoint, error: openai.APIStatusError) -> Exception:
    """Which failures pass and which do not. The server's own text is not repeated: it may echo the key."""
    where, code = f"{endpoint.name} at {endpoint.base_url}", getattr(error, "code", None)
    if code == "insufficient_quota":
        return EndpointError(f"{where}: the account's quota is used up; top it up and run again, nothing paid is lost")
    if error.status_code in (401, 403):
        return EndpointError(f"{where}: the key in {endpoint.api_key_env or 'api_key_env'} was refused (HTTP {error.status_code})")
    if error.status_code == 404:
        return EndpointError(f"{where}: there is no model {endpoint.model!r} (HTTP 404); change this endpoint's model or base_url")
    if error.status_code in (408, 409, 429) or error.status_code >= 500:
        return _Passing(f"HTTP {error.status_code}", _retry_after(error))
    return RequestRefused(f"{where}: the request was refused (HTTP {error.status_code}, {code or 'no code'})")


def _retry_after(error: openai.APIStatusError) -> float:
    try:
        seconds = float(error.response.headers.get("retry-after", 0))
    except ValueError:
        return 0.0
    return min(120.0, seconds) if seconds > 0 else 0.0


def _usage(body: str) -> dict[str, int]:
    try:
        found = json.loads(body).get("usage") or {}
        return {name: int(found.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")}
    except (ValueError, AttributeError, TypeError):
        return {}


def _read_reply(endpoint: Endpoint, body: str, usage: dict[str, int], seconds: float, from_journal: bool) -> Reply:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise _Passing("the reply is not a chat completion") from None
    if not text:
        raise _Passing("the reply is empty")
    if not isinstance(text, str):
        raise _Passing("the reply holds no text")
    return Reply(text, usage, 0.0 if from_journal else endpoint.cost(usage), seconds, from_journal)


def _client(given: dict[str, Any], key: str) -> openai.OpenAI:
    """Never retries on its own (it would pay twice), and reaches a server on this machine past any proxy."""
    here = urlsplit(given["base_url"]).hostname in ("127.0.0.1", "localhost", "::1")
    direct = openai.DefaultHttpxClient(trust_env=False) if here else None
    return openai.OpenAI(base_url=given["base_url"], api_key=key, max_retries=0, timeout=given.get("timeout_s", 60.0), http_client=direct)


def _key(given: dict[str, Any], label: str) -> str:
    variable = given.get("api_key_env", "")
    if not variable:
        return "none"
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EndpointError(
            f"endpoint {label}: the environment variable {variable} is not set; export it with your key (or set annotators: [] to take names from the folders)"
        )
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(f"endpoint {label}: the environment variable {variable} holds characters that no key has; export it again")
    return key
