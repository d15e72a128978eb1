"""What a reply means: its status, the value in it, and what to do next. Total: no reply makes these
functions raise.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from dishvl_lib.core.types import RecordView
from dishvl_lib.endpoints import forms, reading, server_errors
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.reading import Reading
from dishvl_lib.endpoints.server_errors import ServerError

DONE = "done"
RETRY = "retry"
# A whole completion of no use: bought once more, not as often as a failure is tried.
AGAIN = "again"
REPAIR = "repair"
STEP_DOWN = "step down"
STOP = "stop"
# What a failure says of the server: nothing, that it is asked too fast, or that it may be down.
FINE = "fine"
TOO_FAST = "too fast"
DOWN = "down"
FAILED = "failed"
FILTERED = "content_filter"
_SHOWN = 300
_MOST_FAULTS = 8
# OpenAI's words for the end of an answer, and Zhipu's and Gemini's.
_STOPPED_BY_FILTER = ("content_filter", "sensitive", "safety", "prohibited_content", "blocklist")
_CUT = ("length", "max_tokens", "model_context_window_exceeded")
_BROKEN_OFF = ("error", "network_error")
_NOT_A_COMPLETION = "the reply is not a chat completion"


@dataclass(frozen=True)
class Outcome:
    """status: `ok`, `refusal`, `content_filter`, `length`, `empty`, `malformed`, `schema_violation`
    or `failed`. rejected: the server does not take the request as it is, whatever it is about;
    field: what of it, where that is a field of ours. removed: what stood around a plain answer.
    """

    status: str
    next: str
    value: Any = None
    text: str = ""
    problem: str = ""
    pressure: str = FINE
    rejected: bool = False
    field: str = ""
    removed: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the reply counts, so that the request is not sent again."""
        return self.next in (DONE, REPAIR) and self.status != FAILED


NOT_ASKED = Outcome(
    "not_asked", DONE, problem="not asked: this endpoint's first answers were of no use"
)


def judge(endpoint: Endpoint, raw: Raw, schema: type[BaseModel] | None) -> Outcome:
    """The outcome of one attempt. `schema` None: any text is an answer."""
    if raw.http_status is None:
        return Outcome(FAILED, RETRY, problem=raw.problem, pressure=DOWN)
    if raw.http_status >= 400:
        error = server_errors.read(raw.body)
        return _judge_error(endpoint, raw.http_status, raw.body, error)
    return _judge_reply(endpoint, raw.body, schema)


def _judge_reply(endpoint: Endpoint, body: str, schema: type[BaseModel] | None) -> Outcome:
    """The outcome of a reply with status 200: a chat completion, or what a broken server or proxy
    sent in its place.
    """
    if server_errors.is_event_stream(body):
        problem = "the reply is an event stream, which was not asked for: the server or a gateway"
        return _unread(body, f"{problem} streams by itself; turn that off there")
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return _unread(body, _NOT_A_COMPLETION)
    choice = _first_choice(reply)
    error = server_errors.envelope(reply if choice is None else {"error": choice.get("error")})
    if error:
        return _judge_error_inside(endpoint, body, error)
    if choice is None:
        return _unread(body, _NOT_A_COMPLETION)
    try:
        return _judge_choice(choice, body, schema)
    except RecursionError:
        return _unread(body, _NOT_A_COMPLETION)


def _first_choice(reply: Any) -> RecordView | None:
    """The first choice of a chat completion; None when it is none."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    is_whole = isinstance(choice, Mapping) and isinstance(choice.get("message"), Mapping)
    return choice if is_whole else None


def _judge_choice(choice: RecordView, body: str, schema: type[BaseModel] | None) -> Outcome:
    message = choice["message"]
    reason = str(choice.get("finish_reason") or "").casefold()
    refusal = reading.refusal_of(message)
    written = reading.written(message)
    text = written.text if written else ""
    if refusal:
        return Outcome(
            "refusal", DONE, text=refusal, problem=f"the model refused: {_short(refusal)}"
        )
    if any(word in reason for word in _STOPPED_BY_FILTER):
        return Outcome(
            FILTERED, DONE, text=text, problem="the provider's filter stopped the answer"
        )
    if reason in _CUT:
        problem = "the answer was cut at max_tokens; raise this endpoint's max_tokens"
        return Outcome("length", DONE, text=text, problem=problem)
    if reason in _BROKEN_OFF:
        return _unread(body, "the server broke the answer off")
    if written is None:
        return _unread(body, "the reply holds no text")
    thoughts = reading.thoughts_of(message)
    return _judge_text(written, thoughts, schema) or Outcome(
        "empty", AGAIN, text=body, problem="the reply is empty"
    )


def _judge_text(written: Reading, thoughts: str, schema: type[BaseModel] | None) -> Outcome | None:
    """The outcome of what a message says, or, where it says nothing, of the thoughts beside it;
    None when neither holds an answer.
    """
    if schema is None:
        return _plain_answer(written, thoughts)
    if written.text.strip():
        return _parse(written.text, schema)
    in_thoughts = _parse(thoughts, schema)
    return in_thoughts if in_thoughts.status == "ok" else None


def _plain_answer(written: Reading, thoughts: str) -> Outcome | None:
    answer = reading.answer(written.text)
    if not answer.text:
        answer = reading.answer_in_thoughts(thoughts)
    if not answer.text:
        return None
    removed = "\n".join(filter(None, (written.removed, answer.removed)))
    return Outcome("ok", DONE, value=answer.text, text=written.text, removed=removed)


def _parse(text: str, schema: type[BaseModel]) -> Outcome:
    try:
        return Outcome("ok", DONE, value=forms.of_text(text, schema), text=text)
    except ValidationError as error:
        problem = f"the answer does not fit the schema ({_faults(error)})"
        return Outcome("schema_violation", REPAIR, text=text, problem=problem)
    except forms.SeveralError as error:
        problem = f"the answer does not fit the schema ({error})"
        return Outcome("schema_violation", REPAIR, text=text, problem=problem)
    except (ValueError, RecursionError) as error:
        problem = f"the answer is not JSON ({_short(str(error))})"
        return Outcome("malformed", REPAIR, text=text, problem=problem)


def _unread(body: str, problem: str) -> Outcome:
    return Outcome("malformed", RETRY, text=body, problem=problem)


def _judge_error_inside(endpoint: Endpoint, body: str, error: ServerError) -> Outcome:
    """An error in a reply with status 200: what it says of itself counts, and else it may pass."""
    status = error.http_status or 200
    outcome = _judge_error(endpoint, status, body, error)
    if outcome.rejected and not outcome.field and status == 200:
        return _unread(
            body, f"the reply holds an error in place of an answer ({_sentence_of(200, error)})"
        )
    return outcome


def _judge_error(endpoint: Endpoint, status: int, body: str, error: ServerError) -> Outcome:
    kind = error.kind
    sentence = _sentence_of(status, error)
    if kind == server_errors.FILTERED or status == 451:
        problem = f"the provider's filter refused the request ({sentence})"
        return Outcome(FILTERED, DONE, text=body, problem=problem)
    why = _why_stop(endpoint, status, kind, sentence)
    if why:
        return Outcome(FAILED, STOP, problem=f"{endpoint.where}: {why}")
    refused = _refused_field(body, error, sentence)
    if refused and status in (200, 400, 422, 500, 501):
        return refused
    if status == 429 or kind == server_errors.TOO_FAST:
        return Outcome(FAILED, RETRY, problem=sentence, pressure=TOO_FAST)
    if status in (408, 409, 425) or status >= 500:
        return Outcome(FAILED, RETRY, problem=f"{sentence}{endpoint.proxy_note}", pressure=DOWN)
    problem = f"the request was refused ({sentence})"
    return Outcome(FAILED, DONE, text=body, problem=problem, rejected=True)


def _why_stop(endpoint: Endpoint, status: int, kind: str, sentence: str) -> str:
    """Why asking on is of no use, with the remedy; '' when it may be."""
    if kind == server_errors.NO_MONEY or status == 402:
        return (
            f"the account's quota is used up ({sentence}); top it up and run again, nothing paid "
            "is lost"
        )
    if kind == server_errors.NO_MODEL or status == 404:
        return (
            f"there is no model {endpoint.model!r} at this address ({sentence}); change this "
            "endpoint's model or base_url"
        )
    if status == 407:
        return f"the proxy did not let the request through ({sentence}){endpoint.proxy_note}"
    is_refused = status in (401, 403) and kind != server_errors.TOO_FAST
    if is_refused or kind == server_errors.BAD_KEY:
        variable = endpoint.api_key_env or "api_key_env (not set)"
        return f"the key in {variable} was refused ({sentence})"
    return ""


def _refused_field(body: str, error: ServerError, sentence: str) -> Outcome | None:
    """The outcome where a server does not take a field of ours; None when it is about no field."""
    if error.kind == server_errors.TOO_LONG:
        problem = f"the request was refused ({sentence}); lower this endpoint's max_tokens"
        return Outcome(FAILED, DONE, text=body, problem=problem, rejected=True)
    if error.kind != server_errors.REFUSED_FIELD:
        return None
    refused = Outcome(FAILED, STEP_DOWN, text=body, rejected=True)
    problem = f"the request was refused ({sentence})"
    return replace(refused, problem=problem, field=error.field)


def _sentence_of(status: int, error: ServerError) -> str:
    code = f" {error.code}" if error.code else ""
    sentence = f": {_short(error.sentence)}" if error.sentence else ""
    return f"HTTP {status}{code}{sentence}"


def _faults(error: ValidationError) -> str:
    """All that does not fit, so that one repair turn can mend all of it."""
    faults = []
    for fault in error.errors():
        place = ".".join(map(str, fault["loc"]))
        faults.append(f"{place}: {fault['msg']}")
    more = len(faults) - _MOST_FAULTS
    if more > 0:
        faults = [*faults[:_MOST_FAULTS], f"and {more} more"]
    return "; ".join(faults)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
