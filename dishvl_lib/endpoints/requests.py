"""A request, the key its reply is stored under, and the ladder of ways in which a model takes a
schema.
"""

import functools
import json
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from dishvl_lib.core import records
from dishvl_lib.core.types import Record, Records, RecordView
from dishvl_lib.endpoints.client import Endpoint
from dishvl_lib.endpoints.journal import Intent, Journal
from dishvl_lib.endpoints.server_errors import RESPONSE_FORMAT

MODES = ("json_schema", "json_object", "prompt")
JSON_ONLY = "只输出一个符合下面 JSON Schema 的 JSON 对象，不要输出任何别的内容：\n"
REPAIR = "上面的回答不能使用：{problem}。请改正后重新输出完整的 JSON，不要输出任何别的内容。"
# Fields that a model may refuse and that we can do without, and what takes a field's place.
OPTIONAL_FIELDS = ("temperature", "max_tokens")
OTHER_NAMES = {"max_tokens": "max_completion_tokens"}
# What pydantic writes and strict structured output refuses or ignores.
_NOT_SENT = {"title", "default", "minLength", "maxLength"}


@dataclass(frozen=True)
class Request:
    """What to ask. `identity` is a JSON value that stands for the messages in the key; `messages`
    builds them when they are sent.

    `schema`: the form of the answer, None for plain text. `messages` may raise ValueError: the
    request is then put aside with that text. `extra`: fields for this request's body alone, such as
    a server's own way to bind the answer; `identity` must tell them apart.
    """

    id: str
    identity: Any
    messages: Callable[[], Records]
    schema: type[BaseModel] | None = None
    extra: RecordView = field(default_factory=dict)


def key(endpoint: Endpoint, request: Request) -> str:
    """sha256 of identity, schema, server, model and parameters: the same however the model takes a
    schema.
    """
    return records.fingerprint(
        [
            request.identity,
            sent_schema(request.schema),
            endpoint.server,
            endpoint.model,
            parameters(endpoint),
        ]
    )


def parameters(endpoint: Endpoint) -> Record:
    """The request's parameters: greedy and bounded, unless the endpoint says otherwise."""
    given = {"temperature": 0, "max_tokens": endpoint.max_tokens, **endpoint.parameters}
    return {name: value for name, value in given.items() if value is not None}


def body(
    endpoint: Endpoint,
    messages: Records,
    request: Request,
    mode: str,
    without: Collection[str] = (),
) -> Record:
    """The JSON that is sent. `messages`: what `request.messages` built; `without`: fields that the
    model does not take.
    """
    schema = request.schema
    given = _accepted(parameters(endpoint), without)
    payload = {"model": endpoint.model, "messages": messages, **given, **request.extra}
    if schema is None:
        return payload
    if mode == "json_schema":
        named = {"name": schema_name(schema), "strict": True, "schema": sent_schema(schema)}
        return {**payload, "response_format": {"type": "json_schema", "json_schema": named}}
    instruction = {
        "role": "system",
        "content": JSON_ONLY + json.dumps(sent_schema(schema), ensure_ascii=False),
    }
    form = {"response_format": {"type": "json_object"}} if mode == "json_object" else {}
    return {**payload, "messages": [instruction, *messages], **form}


def intent(endpoint: Endpoint, key: str, reserved: float, *, run: str, making: str) -> Intent:
    """What the journal is told of a request before it is sent. `reserved`: the most it can cost, in
    the endpoint's currency; `making`: for what making of a stage.
    """
    return Intent(key, run, endpoint.name, endpoint.model, endpoint.currency, reserved, making)


def _accepted(given: RecordView, without: Collection[str]) -> Record:
    """The parameters without those that a model does not take. The longest answer stays bounded,
    under its other name, or a budget could not hold.
    """
    renamed = {OTHER_NAMES.get(name, name) if name in without else name: name for name in given}
    return {name: given[old] for name, old in renamed.items() if name not in without}


def repair(request: Request, text: str, problem: str) -> Request:
    """The one turn in which the model may correct an answer."""
    turns = [
        {"role": "assistant", "content": text},
        {"role": "user", "content": REPAIR.format(problem=problem)},
    ]
    return Request(
        request.id,
        [request.identity, "repair", text],
        lambda: [*request.messages(), *turns],
        request.schema,
    )


def schema_name(schema: type[BaseModel]) -> str:
    """DishCard -> dish_card."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", schema.__name__).lower()


def binding(request: Request) -> RecordView | None:
    """What a request sends besides its messages to bind the answer's form; it counts as tokens
    too.
    """
    return sent_schema(request.schema) or request.extra or None


@functools.cache
def sent_schema(schema: type[BaseModel] | None) -> Record | None:
    """The JSON schema in the strict form: every field required, nothing beyond them. pydantic still
    checks the rest.
    """
    return _strict(schema.model_json_schema()) if schema else None


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    strict = {
        name: _strict(value)
        for name, value in node.items()
        if name not in _NOT_SENT and name != "properties"
    }
    if "properties" in node:
        strict["properties"] = {name: _strict(value) for name, value in node["properties"].items()}
        strict |= {"required": list(node["properties"]), "additionalProperties": False}
    return strict


@dataclass(frozen=True)
class Capabilities:
    """How a model takes requests: its mode for schemas, one of MODES, and the fields that it
    refuses.
    """

    mode: str
    refused: frozenset[str] = frozenset()


class Ladder:
    """How a model is asked: json_schema, then json_object, then the prompt alone; with temperature,
    then without; the longest answer as max_tokens, then as max_completion_tokens. Found out once
    per server and model, kept in the journal.
    """

    def __init__(self, endpoint: Endpoint, journal: Journal):
        self._place = (endpoint.server, endpoint.model)
        self._where = endpoint.where
        self._journal = journal
        self._lock = threading.Lock()
        self._recorded = journal.mode(*self._place)
        self._refused = frozenset(journal.refused_fields(*self._place))
        self.mode = self._recorded or MODES[0]

    @property
    def capabilities(self) -> Capabilities:
        """What is known now: the way in which the next request is sent."""
        with self._lock:
            return Capabilities(self.mode, self._refused)

    def next_rung(self, field: str, used: Capabilities) -> bool:
        """The model refused `field` of a request that was sent as `used`: take the next way. False
        when there is none.
        """
        if field == RESPONSE_FORMAT:
            return self.step_down(used.mode)
        if field not in OPTIONAL_FIELDS or field in used.refused:
            return False
        with self._lock:
            is_new = field not in self._refused
            self._refused |= {field}
        if is_new:
            self._journal.refuse_field(*self._place, field)
            instead = OTHER_NAMES.get(field, "the model's own value")
            print(f"{self._where}: {field} is refused; {instead} from now on", flush=True)
        return True

    def step_down(self, used: str) -> bool:
        """The model refused `used`: take the next one. False when there is none."""
        with self._lock:
            if self.mode == used and used != MODES[-1]:
                self._set(MODES[MODES.index(used) + 1])
            return self.mode != used

    def works(self) -> None:
        """Record the present mode, once."""
        with self._lock:
            if not self._recorded:
                self._set(self.mode)

    def _set(self, mode: str) -> None:
        self.mode = self._recorded = mode
        self._journal.set_mode(*self._place, mode)
