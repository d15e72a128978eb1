"""A server and model from a params list, and one request to it: sent once, never raised about,
never showing the key.
"""

import email.utils
import json
import os
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import openai

from dishvl_lib.core import params
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.endpoints.errors import EndpointError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_WAIT_S = 300.0
SHOWN_KEY = "[key]"
# A shorter one may stand in a reply by chance.
_SHORTEST_SECRET = 6
# A gateway gave up waiting: the model behind it may have worked on.
_LATE = (408, 504, 524)
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")


_USUAL = {field.name: field.default for field in params.SERVER_FIELDS}


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
    api_key_env: str = _USUAL["api_key_env"]
    price_input: float = _USUAL["price_input"]
    price_output: float = _USUAL["price_output"]
    currency: str = _USUAL["currency"]
    concurrency: int = _USUAL["concurrency"]
    timeout_s: float = _USUAL["timeout_s"]
    requests_per_minute: int = _USUAL["requests_per_minute"]
    tokens_per_minute: int = _USUAL["tokens_per_minute"]
    max_tokens: int = _USUAL["max_tokens"]
    parameters: RecordView = field(default_factory=dict)
    batch: bool = _USUAL["batch"]
    batch_discount: float = _USUAL["batch_discount"]
    client: openai.OpenAI | None = field(default=None, repr=False, compare=False)
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
        return self.name if self.host in LOOPBACK else self.host

    @property
    def connection(self) -> openai.OpenAI:
        """What an endpoint of `connect` sends through."""
        assert self.client is not None, "only connect() makes endpoints that can be asked"
        return self.client

    @property
    def where(self) -> str:
        return f"{self.name} at {self.base_url}"

    @property
    def proxy_note(self) -> str:
        """Which proxy stands between, to be said where this endpoint cannot be reached; '' for
        none.
        """
        variable = _proxy_variable(self.base_url)
        if not variable:
            return ""
        return (
            f"; the environment variable {variable} sends requests to {self.host} through a proxy: "
            f"unset it, or put {self.host} into NO_PROXY"
        )

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or self.base_url

    def hide(self, text: str) -> str:
        """The text without the key, in whatever way JSON may have written it."""
        if len(self.secret) < _SHORTEST_SECRET:
            return text
        quoted = json.dumps(self.secret)[1:-1]
        for form in {self.secret, quoted, quoted.replace("/", "\\/")}:
            text = text.replace(form, SHOWN_KEY)
        return text


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


def connect(settings: RecordViews) -> list[Endpoint]:
    """Endpoints ready to ask, from a list of {name, base_url, model, ...}; every field and key is
    checked first.

    Raises `EndpointError` for an unknown, missing or impossible field, or an environment variable
    that is not set.
    """
    faults = params.SERVERS.problems(settings) or params.SERVERS.absences(settings)
    if faults:
        raise EndpointError("; ".join(faults))
    return [_connected(given) for given in settings]


def send(endpoint: Endpoint, body: RecordView) -> Raw:
    """One chat request, sent exactly once; whatever happens comes back as a `Raw`."""
    started = time.monotonic()
    rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
    try:
        response = endpoint.connection.chat.completions.with_raw_response.create(
            model=body["model"], messages=body["messages"], extra_body=rest
        )
        raw = Raw(response.http_response.status_code, endpoint.hide(response.http_response.text))
    except openai.APIStatusError as error:
        raw = Raw(
            error.status_code,
            endpoint.hide(error.response.text),
            retry_after=retry_after(error.response.headers),
            may_be_billed=error.status_code in _LATE,
        )
    except openai.APIConnectionError as error:
        cause = type(error.__cause__).__name__
        raw = Raw(
            None,
            "",
            f"no answer ({type(error).__name__}: {cause}){endpoint.proxy_note}",
            may_be_billed=cause not in _NOT_SENT,
        )
    return Raw(
        raw.http_status,
        raw.body,
        raw.problem,
        raw.retry_after,
        raw.may_be_billed,
        time.monotonic() - started,
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds from a Retry-After header (a number or an HTTP date), between 0 and
    LONGEST_WAIT_S.
    """
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


def _connected(given: RecordView) -> Endpoint:
    variable = given.get("api_key_env", "")
    secret = os.environ[variable].strip() if variable else ""
    return Endpoint(**given, client=_client(given, secret or "none"), secret=secret)


def _client(given: RecordView, key: str) -> openai.OpenAI:
    """Never retries on its own (it would pay twice), and reaches a server on this machine past any
    proxy. Raises `EndpointError` for a proxy variable that cannot be used.
    """
    is_here = urlsplit(given["base_url"]).hostname in LOOPBACK
    try:
        return openai.OpenAI(
            base_url=given["base_url"],
            api_key=key,
            max_retries=0,
            timeout=given.get("timeout_s", 60.0),
            http_client=openai.DefaultHttpxClient(trust_env=False) if is_here else None,
        )
    except Exception as error:  # what a proxy's address may break is of many classes
        variables = _proxy_variables()
        if is_here or not variables:
            raise
        raise EndpointError(
            f"endpoint {given['name']}: the proxy that {', '.join(variables)} name cannot be used "
            f"({type(error).__name__}); unset what you do not need, for SOCKS install httpx[socks], "
            "and write NO_PROXY as host names with commas between them"
        ) from None


def _proxy_variables() -> list[str]:
    """The environment variables about proxies that are set."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    spelt = [form for name in names for form in (name, name.lower())]
    return [name for name in spelt if os.environ.get(name)]


def _proxy_variable(base_url: str) -> str:
    """The environment variable by which an address is reached through a proxy; '' for none."""
    address = urlsplit(base_url)
    host = address.hostname or ""
    if host in LOOPBACK or urllib.request.proxy_bypass(host):
        return ""
    names = (f"{address.scheme}_proxy", "all_proxy")
    spelt = [form for name in names for form in (name, name.upper())]
    return next((name for name in spelt if os.environ.get(name)), "")
