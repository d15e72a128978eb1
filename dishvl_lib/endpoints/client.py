"""A server and model from a params list, and one request to it: sent once, never raised about,
never showing the key.
"""

import difflib
import email.utils
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

import openai

from dishvl_lib.endpoints.errors import EndpointError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_WAIT_S = 300.0
SHOWN_KEY = "[key]"
_SHORTEST_SECRET = 6
# A gateway gave up waiting: the model behind it may have worked on.
_LATE = (408, 504, 524)
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")


@dataclass(frozen=True)
class Endpoint:
    """A server and model. Prices are per million tokens in `currency` (0: free); 0 requests or
    tokens a minute: no limit.

    `api_key_env` names the environment variable that holds the key; the key itself is never a
    parameter. `max_tokens`: the longest answer; `parameters` are merged into every request (null
    leaves a default out) and belong to the key a reply is stored under. `batch` sends everything
    through the provider's batches at `batch_discount` of the price.
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
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_tokens: int = 2048
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = False
    batch_discount: float = 0.5
    client: openai.OpenAI = field(default=None, repr=False, compare=False)
    secret: str = field(default="", repr=False, compare=False)

    def cost(self, usage: Mapping[str, int]) -> float:
        """Price of one reply in `currency`, without a batch's discount."""
        return (
            usage.get("prompt_tokens", 0) * self.price_input
            + usage.get("completion_tokens", 0) * self.price_output
        ) / 1e6

    @property
    def server(self) -> str:
        """What a reply is stored under: the host, or the endpoint's name for a server on this
        machine (its port may change).
        """
        host = urlsplit(self.base_url).hostname or self.base_url
        return self.name if host in LOOPBACK else host

    @property
    def where(self) -> str:
        return f"{self.name} at {self.base_url}"

    def hide(self, text: str) -> str:
        """The text without the key, in whatever way JSON may have written it."""
        if len(self.secret) < _SHORTEST_SECRET:
            return text
        quoted = json.dumps(self.secret)[1:-1]
        for form in {self.secret, quoted, quoted.replace("/", "\\/")}:
            text = text.replace(form, SHOWN_KEY)
        return text


_KINDS = {str: "text (in quotes)", bool: "true or false", int: "int", float: "float"}
_LEAST = {"concurrency": 1, "max_tokens": 1, "timeout_s": 1e-3}
_OURS = {"messages", "model", "n", "response_format", "stream"}
FIELDS = tuple(one.name for one in fields(Endpoint) if one.name not in ("client", "secret"))


@dataclass(frozen=True)
class Raw:
    """What came back: HTTP status (None: no answer), the body without the key, and what is known of
    the money and the wait.

    `problem`: why there is no answer; `retry_after`: seconds the server asks for (0: none);
    `may_be_billed`: False only when it is certain that the server did not work for this request.
    """

    http_status: int | None
    body: str
    problem: str = ""
    retry_after: float = 0.0
    may_be_billed: bool = True
    seconds: float = 0.0


def connect(settings: Sequence[Mapping[str, Any]]) -> list[Endpoint]:
    """Endpoints ready to ask, from a list of {name, base_url, model, ...}; every field and key is
    checked first.

    Raises `EndpointError` for an unknown, missing or impossible field, or an environment variable
    that is not set.
    """
    made = [
        _endpoint(given, given.get("name") or f"number {number}")
        for number, given in enumerate(settings, start=1)
    ]
    names = [one.name for one in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EndpointError(
            f"two endpoints are called {twice[0]}; answers are stored by name, so give each its own"
        )
    return made


def send(endpoint: Endpoint, body: Mapping[str, Any]) -> Raw:
    """One chat request, sent exactly once; whatever happens comes back as a `Raw`."""
    started = time.monotonic()
    rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
    try:
        response = endpoint.client.chat.completions.with_raw_response.create(
            model=body["model"], messages=body["messages"], extra_body=rest
        )
        found = Raw(response.http_response.status_code, endpoint.hide(response.http_response.text))
    except openai.APIStatusError as error:
        found = Raw(
            error.status_code,
            endpoint.hide(error.response.text),
            retry_after=retry_after(error.response.headers),
            may_be_billed=error.status_code in _LATE,
        )
    except openai.APIConnectionError as error:
        cause = type(error.__cause__).__name__
        found = Raw(
            None,
            "",
            f"no answer ({type(error).__name__}: {cause})",
            may_be_billed=cause not in _NOT_SENT,
        )
    return Raw(
        found.http_status,
        found.body,
        found.problem,
        found.retry_after,
        found.may_be_billed,
        time.monotonic() - started,
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds from a Retry-After header (a number or an HTTP date), between 0 and LONGEST_WAIT_S."""
    given = headers.get("retry-after", "")
    try:
        seconds = float(given)
    except ValueError:
        seconds = _seconds_until(given)
    return min(LONGEST_WAIT_S, seconds) if seconds > 0 else 0.0


def _seconds_until(date: str) -> float:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0


def _endpoint(given: Mapping[str, Any], label: str) -> Endpoint:
    for name in given:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.6)
            raise EndpointError(
                f"endpoint {label}: unknown field {name!r}; "
                f"{f'did you mean {close[0]}?' if close else 'known are ' + ', '.join(FIELDS)}"
            )
    if missing := [name for name in ("name", "base_url", "model") if not given.get(name)]:
        raise EndpointError(f"endpoint {label}: {missing[0]} is missing")
    _check(given, label)
    secret = _secret(given.get("api_key_env", ""), label)
    return Endpoint(**given, client=_client(given, secret or "none"), secret=secret)


def _check(given: Mapping[str, Any], label: str) -> None:
    """Types and ranges, so that a slip in a params file is found before anything is sent."""
    for one in fields(Endpoint):
        if (
            one.name in given
            and one.type in _KINDS
            and not _fits(given[one.name], one.type, _LEAST.get(one.name, 0))
        ):
            least = f" of at least {_LEAST.get(one.name, 0)}" if one.type in (int, float) else ""
            raise EndpointError(
                f"endpoint {label}: {one.name} must be {_KINDS[one.type]}{least}, got "
                f"{given[one.name]!r}"
            )
    parameters = given.get("parameters", {})
    if not isinstance(parameters, Mapping) or _OURS & set(parameters):
        raise EndpointError(
            f"endpoint {label}: parameters must be a mapping without "
            f"{', '.join(sorted(_OURS))}, which are set by us; got {parameters!r}"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", given.get("api_key_env", "")):
        raise EndpointError(
            f"endpoint {label}: api_key_env must be the name of an environment variable that "
            "holds the key, such as OPENAI_API_KEY, never the key itself"
        )


def _fits(value: Any, kind: type, least: float) -> bool:
    if kind in (str, bool):
        return isinstance(value, kind)
    numbers = int if kind is int else (int, float)
    return (
        isinstance(value, numbers) and not isinstance(value, bool) and least <= value < float("inf")
    )


def _client(given: Mapping[str, Any], key: str) -> openai.OpenAI:
    """Never retries on its own (it would pay twice), and reaches a server on this machine past any
    proxy.
    """
    direct = (
        openai.DefaultHttpxClient(trust_env=False)
        if urlsplit(given["base_url"]).hostname in LOOPBACK
        else None
    )
    return openai.OpenAI(
        base_url=given["base_url"],
        api_key=key,
        max_retries=0,
        timeout=given.get("timeout_s", 60.0),
        http_client=direct,
    )


def _secret(variable: str, label: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EndpointError(
            f"endpoint {label}: the environment variable {variable} is not set; export it "
            "with your key, or take this server out of annotators (or endpoints): [] asks "
            "nobody"
        )
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(
            f"endpoint {label}: the environment variable {variable} holds characters that no "
            "key has; export it again"
        )
    return key
