"""What a reply means: its status, the value in it, and what to do next. Total: no reply makes these
functions raise.
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from dishvl_lib.endpoints.client import Endpoint, Raw

DONE = "done"
RETRY = "retry"
REPAIR = "repair"
STEP_DOWN = "step down"
STOP = "stop"
# What a failure says of the server: nothing, that it is asked too fast, or that it may be down.
FINE = "fine"
TOO_FAST = "too fast"
DOWN = "down"
_SHOWN = 300
_FILTERED = ("content_filter", "content_policy", "sensitive", "safety")
_ABOUT_FORMAT = ("response_format", "json_schema", "json_object", "structured output", "json mode")
_NO_MONEY = ("insufficient_quota", "billing_hard_limit", "insufficient_balance", "accountoverdue")


@dataclass(frozen=True)
class Outcome:
    """status: `ok`, `refusal`, `content_filter`, `length`, `empty`, `malformed`, `schema_violation`
    or `failed`. rejected: the server does not take the request as it is, whatever it is about.
    """

    status: str
    next: str
    value: Any = None
    text: str = ""
    problem: str = ""
    pressure: str = FINE
    rejected: bool = False


def judge(endpoint: Endpoint, raw: Raw, schema: type[BaseModel] | None) -> Outcome:
    """The outcome of one attempt. `schema` None: any text is an answer."""
    if raw.http_status is None:
        return Outcome("failed", RETRY, problem=raw.problem, pressure=DOWN)
    if raw.http_status >= 400:
        return _judge_error(endpoint, raw.http_status, raw.body)
    return read(raw.body, schema)


def read(body: str, schema: type[BaseModel] | None) -> Outcome:
    """The outcome of a reply with status 200: a chat completion, or what a broken server or proxy
    sent in its place.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        reason = choice.get("finish_reason")
        text = _writable(message.get("content"))
        refusal = _writable(message.get("refusal"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Outcome("malformed", RETRY, text=body, problem="the reply is not a chat completion")
    if refusal:
        return Outcome(
            "refusal", DONE, text=str(refusal), problem=f"the model refused: {_short(str(refusal))}"
        )
    if reason == "content_filter":
        return Outcome(
            "content_filter",
            DONE,
            text=str(text or ""),
            problem="the provider's filter stopped the answer",
        )
    if reason == "length":
        return Outcome(
            "length",
            DONE,
            text=str(text or ""),
            problem="the answer was cut at max_tokens; raise this endpoint's max_tokens",
        )
    if text is not None and not isinstance(text, str):
        return Outcome("malformed", RETRY, text=body, problem="the reply holds no text")
    if not text or not text.strip():
        return Outcome("empty", RETRY, text=body, problem="the reply is empty")
    return Outcome("ok", DONE, value=text, text=text) if schema is None else _parse(text, schema)


def _writable(text: Any) -> Any:
    """Text without the half characters that JSON can spell and no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else text


def _parse(text: str, schema: type[BaseModel]) -> Outcome:
    try:
        found = json.loads(without_fence(text))
    except (ValueError, RecursionError) as error:
        return Outcome(
            "malformed", REPAIR, text=text, problem=f"the answer is not JSON ({_short(str(error))})"
        )
    try:
        return Outcome("ok", DONE, value=schema.model_validate(found), text=text)
    except ValidationError as error:
        return Outcome(
            "schema_violation",
            REPAIR,
            text=text,
            problem=f"the answer does not fit the schema ({_first(error)})",
        )


def without_fence(text: str) -> str:
    """The text inside a Markdown code fence, or the text itself."""
    body = text.strip()
    if not body.startswith("```"):
        return body
    return (
        body.partition("\n")[2].rpartition("```")[0].strip()
        if "\n" in body
        else body.strip("`").removeprefix("json").strip()
    )


def _judge_error(endpoint: Endpoint, status: int, body: str) -> Outcome:
    code, message = _error_of(body)
    said = f"HTTP {status}{f' {code}' if code else ''}{f': {_short(message)}' if message else ''}"
    about = f"{code} {message}".casefold()
    code = code.casefold()
    if status == 402 or any(word in code for word in _NO_MONEY):
        return _stop(
            endpoint,
            f"the account's quota is used up ({said}); top it up and run again, nothing paid "
            "is lost",
        )
    if status in (401, 403):
        return _stop(
            endpoint,
            f"the key in {endpoint.api_key_env or 'api_key_env (not set)'} was refused ({said})",
        )
    if status == 404:
        return _stop(
            endpoint,
            f"there is no model {endpoint.model!r} at this address ({said}); change this "
            "endpoint's model or base_url",
        )
    if status == 429:
        return Outcome("failed", RETRY, problem=said, pressure=TOO_FAST)
    if status in (408, 409, 425) or status >= 500:
        return Outcome("failed", RETRY, problem=said, pressure=DOWN)
    if any(word in code for word in _FILTERED):
        return Outcome(
            "content_filter",
            DONE,
            text=body,
            problem=f"the provider's filter refused the request ({said})",
        )
    about_format = any(word in about for word in _ABOUT_FORMAT)
    return Outcome(
        "failed",
        STEP_DOWN if about_format else DONE,
        text=body,
        problem=f"the request was refused ({said})",
        rejected=True,
    )


def _stop(endpoint: Endpoint, why: str) -> Outcome:
    return Outcome("failed", STOP, problem=f"{endpoint.where}: {why}")


def _error_of(body: str) -> tuple[str, str]:
    """(code, message) of an error body; empty where it does not say."""
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", ""


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
