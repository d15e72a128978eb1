"""JSON as language models write it: in single or Chinese quotes, with comments, trailing commas,
full-width punctuation, Python's words, raw line breaks and unescaped quotes.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from dishvl_lib.core.types import Record

# The quotes that may end a text, by the one that began it.
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "＂": "＂", "＇": "＇", "「": "」"}
_OPENERS = {"{": "}", "｛": "}", "[": "]", "［": "]", "【": "]"}
_CLOSERS = {"}": "}", "｝": "}", "]": "]", "］": "]", "】": "]"}
_COMMAS = ",，、"
_COLONS = ":：="
_BLANK = re.compile(r"(?:\s|\ufeff|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=\s*(?:[,，、}｝\]］】/#\n]|$))")
_BARE = re.compile(r"[^,，{}｛｝\[\]［］【】\n\"“”]+")
_BARE_KEY = re.compile(r"[\w .()（）-]+")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nan": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CODE = re.compile(r"[0-9a-fA-F]{4}")
_START = re.compile(r"[{｛\[［]")
# What no closing quote stands before, in text with quotes that should have been escaped.
_AFTER_TEXT = re.compile(r"\s*(?:[,，、:：=}｝\]］】]|//|#|/\*|$)|[^\S\n]*\n\s*[\"'“‘]")
_MOST_DEPTH = 60
_MOST_STARTS = 200  # places where a value is looked for in a text


def values(text: str) -> Iterator[Any]:
    """The objects and lists that stand in a text, in their order, whatever stands around them."""
    place = 0
    for _ in range(_MOST_STARTS):
        start = _START.search(text, place)
        if start is None:
            return
        try:
            value, place = _value_at(text, start.start())
        except (ValueError, RecursionError):
            place = start.end()
            continue
        yield value


def parse(text: str) -> Any:
    """The value that a text holds and nothing else. Raises ValueError when it is none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        value, end = _value_at(text, _behind_blanks(text, 0))
    if _behind_blanks(text, end) < len(text):
        raise ValueError(f"something stands behind the value, at character {end}")
    return value


def _behind_blanks(text: str, place: int) -> int:
    """The next place that holds neither white space nor a comment."""
    blanks = _BLANK.match(text, place)
    return blanks.end() if blanks else place


def _value_at(text: str, place: int) -> tuple[Any, int]:
    """(value, where it ends), strictly if that is possible."""
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, place)
    except ValueError:
        return _Parser(text).value(place, 0)


class _Parser:
    """A parser by descent; every function takes a place and returns (value, next place)."""

    def __init__(self, text: str):
        self.text = text

    def _character(self, place: int) -> str:
        """The character at a place; '' behind the last one."""
        return self.text[place : place + 1]

    def value(self, place: int, depth: int) -> tuple[Any, int]:
        if depth > _MOST_DEPTH:
            raise ValueError("nested too deep")
        first = self._character(place)
        if first in _QUOTES:
            return self._quoted(place)
        closing = _OPENERS.get(first)
        if closing == "}":
            return self._object(place + 1, depth)
        if closing == "]":
            return self._list(place + 1, depth)
        number = _NUMBER.match(self.text, place)
        if number:
            return float(number[0]), number.end()
        return self._bare(place)

    def _object(self, place: int, depth: int) -> tuple[Record, int]:
        mapping: Record = {}
        while True:
            place = self._skip(place, _COMMAS)
            if self._closer(place) == "}":
                return mapping, place + 1
            name, place = self._key(place)
            place = self._blank(place)
            if self._character(place) not in tuple(_COLONS):
                raise ValueError(f"no colon behind a key, at character {place}")
            place = self._blank(place + 1)
            mapping[name], place = self.value(place, depth + 1)

    def _list(self, place: int, depth: int) -> tuple[list[Any], int]:
        entries: list[Any] = []
        while True:
            place = self._skip(place, _COMMAS)
            if self._closer(place) == "]":
                return entries, place + 1
            value, place = self.value(place, depth + 1)
            entries.append(value)

    def _key(self, place: int) -> tuple[str, int]:
        if self._character(place) in _QUOTES:
            return self._quoted(place)
        bare = _BARE_KEY.match(self.text, place)
        if bare is None:
            raise ValueError(f"no key at character {place}")
        return bare[0].strip(), bare.end()

    def _quoted(self, place: int) -> tuple[str, int]:
        """A quote ends a text only before what may follow a text: others should have been
        escaped.
        """
        closing = _QUOTES[self.text[place]]
        characters: list[str] = []
        place += 1
        while place < len(self.text):
            character = self.text[place]
            if character == "\\":
                character, place = self._escaped(place + 1)
            elif character == closing and _AFTER_TEXT.match(self.text, place + 1):
                return "".join(characters), place + 1
            else:
                place += 1
            characters.append(character)
        raise ValueError("a text does not end")

    def _escaped(self, place: int) -> tuple[str, int]:
        name = self._character(place)
        code = _CODE.match(self.text, place + 1) if name == "u" else None
        if code:
            return chr(int(code[0], 16)), code.end()
        return _ESCAPES.get(name, name), place + 1

    def _bare(self, place: int) -> tuple[Any, int]:
        bare = _BARE.match(self.text, place)
        if bare is None:
            raise ValueError(f"no value at character {place}")
        end = bare.end()
        is_closed = self._closer(self._blank(end)) is not None
        is_at_comma = self._character(end) in ("\n", *_COMMAS)
        if not is_closed and not is_at_comma:
            raise ValueError(f"a word without an end, at character {place}")
        word, _, _ = bare[0].partition("//")
        word = word.strip()
        return _WORDS.get(word.casefold(), word), end

    def _closer(self, place: int) -> str | None:
        return _CLOSERS.get(self._character(place))

    def _skip(self, place: int, separators: str) -> int:
        """Behind blanks, comments and any number of separators."""
        place = self._blank(place)
        while self._character(place) in tuple(separators):
            place = self._blank(place + 1)
        return place

    def _blank(self, place: int) -> int:
        return _behind_blanks(self.text, place)
