"""The object in an answer: found in its talk, fences, keys and lists, and read as a form."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError

from dishvl_lib.core import plain_text
from dishvl_lib.core.types import Record, RecordView
from dishvl_lib.endpoints import loose_json, reading

_MOST_DEPTH = 5  # at which objects are looked for inside others
_MOST_NESTED_TEXTS = 3  # JSON written into a text, again and again


class Form(BaseModel):
    """The form of an answer that is read kindly: by other words for its fields, without fields
    that it does not know, and without optional ones whose values do not fit.
    """

    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def from_answer(cls, reply: RecordView) -> Self:
        """The form that an object of a model's answer comes to. Raises ValidationError, with the
        faults of all fields, when one that must be there is at fault or none is left.
        """
        known = _known_fields(cls)
        given: Record = {}
        for key in sorted(reply, key=lambda key: key not in cls.model_fields):
            field = known.get(_bare_key(key))
            if field and field not in given:
                given[field] = cls.coerced(field, _plain(reply[key]))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faulty = {fault["loc"][0] for fault in error.errors()}
            sound = {key: value for key, value in given.items() if key not in faulty}
            if faulty & _required(cls) or not sound:
                raise
            return cls.model_validate(sound)

    @classmethod
    def coerced(cls, field: str, value: Any) -> Any:
        """A field's value in the form's own type, where that is without doubt."""
        return value


def entry(text: str, key: str) -> str | None:
    """The text under a key of the object in an answer; None when it holds no such object."""
    for candidate in _objects(_values(text)):
        if isinstance(candidate.get(key), str):
            return candidate[key]
    return None


def of_text(text: str, schema: type[BaseModel]) -> BaseModel:
    """The object of a schema in an answer. Raises ValidationError when the object does not fit,
    `SeveralError` when there are several, any other ValueError when there is nothing like JSON.
    """
    values = _values(text)
    if not values:
        raise ValueError("it holds no whole JSON object")
    known = _known_fields(schema)
    best: RecordView = {}
    best_score = 0
    for value in values:
        candidate = _best_object(value, schema)
        score = _score(candidate, known)
        if score and score >= best_score:
            best = candidate
            best_score = score
    if not best_score:
        return schema.model_validate(values[0])
    if issubclass(schema, Form):
        return schema.from_answer(best)
    return schema.model_validate(best)


class SeveralError(ValueError):
    """An answer holds several objects where one was asked for."""


def _values(text: str) -> list[Any]:
    """The JSON values of an answer: the whole of it, or those outside its thoughts, or, when there
    is nothing outside, those in them.
    """
    whole = _whole(text)
    if whole is not None:
        return [whole]
    outside, thoughts = reading.without_thoughts(text)
    where = outside if outside.strip() else thoughts
    for inner in (reading.boxed(where), where):
        candidates = _values_in(inner)
        if candidates:
            return candidates
    return []


def _values_in(text: str) -> list[Any]:
    text = plain_text.without_special_tokens(text)
    for part in (*reading.fenced(text), text):
        whole = _whole(part)
        candidates = [whole] if whole is not None else list(loose_json.values(part))
        if candidates:
            return candidates
    return []


def _whole(text: str) -> Any:
    """The value that a text holds and nothing else, out of the text that holds it as a text again;
    None when it is none.
    """
    value: Any = text.strip()
    for _ in range(_MOST_NESTED_TEXTS):
        try:
            value = loose_json.parse(value)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, str):
            return value
    return None


def _objects(value: Any, depth: int = 0) -> Iterator[RecordView]:
    """All objects in a value, outer ones first; also those that stand in it as text."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        value = _whole(value)
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)


def _best_object(value: Any, schema: type[BaseModel]) -> RecordView:
    """The object in a value that knows most of a schema's fields, the outer one of equals. Raises
    `SeveralError` for a list of objects that differ in what must be there.
    """
    known = _known_fields(schema)
    if _required(schema):
        _refuse_several(value, _required(schema), known)
    return max(_objects(value), key=lambda candidate: _score(candidate, known), default={})


def _refuse_several(value: Any, required: set[str], known: Mapping[str, str]) -> None:
    """Raises `SeveralError` where whole objects that differ stand side by side; lists inside of a
    whole object are its own affair.
    """
    if isinstance(value, Mapping):
        if required <= _fields_of(value, known).keys():
            return
        value = list(value.values())
        side_by_side = []
    elif isinstance(value, list):
        side_by_side = [inner for inner in value if isinstance(inner, Mapping)]
    else:
        return
    fields = [_fields_of(inner, known) for inner in side_by_side]
    whole = [given for given in fields if required <= given.keys()]
    kinds = {str([given[field] for field in sorted(required)]) for given in whole}
    if len(kinds) > 1:
        raise SeveralError(f"it holds {len(kinds)} objects, give one")
    for inner in value:
        _refuse_several(inner, required, known)


def _fields_of(candidate: RecordView, known: Mapping[str, str]) -> Record:
    """{field: value} of the keys of an object that mean a field."""
    fields = {}
    for key, value in candidate.items():
        field = known.get(_bare_key(key))
        if field is not None:
            fields[field] = value
    return fields


def _score(candidate: RecordView, known: Mapping[str, str]) -> int:
    return len(_fields_of(candidate, known))


def _known_fields(schema: type[BaseModel]) -> dict[str, str]:
    """{a key without case, blanks and remarks: the field that it means}."""
    known: dict[str, str] = {}
    if issubclass(schema, Form):
        for field, words in schema.synonyms.items():
            known |= {_bare_key(word): field for word in words}
    return known | {_bare_key(field): field for field in schema.model_fields}


def _required(schema: type[BaseModel]) -> set[str]:
    return {name for name, field in schema.model_fields.items() if field.is_required()}


def _bare_key(key: Any) -> str:
    """calories, Calories, "calories (kcal/100g)" and 热量（千卡）: what two spellings share."""
    without_remark = re.split(r"[(（\[【:：]", str(key), maxsplit=1)[0]
    return re.sub(r"[\W_]", "", without_remark).casefold()


def _plain(value: Any) -> Any:
    """A value whose texts hold neither control characters nor special tokens."""
    if isinstance(value, str):
        return plain_text.plain(reading.writable(value))
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
