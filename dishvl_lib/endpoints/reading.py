"""The answer in what a model wrote, taken out of whatever stands around it: thinking, special
tokens, talk, fences, a key or a list.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dishvl_lib.core import names, plain_text
from dishvl_lib.core.types import RecordView
from dishvl_lib.endpoints import loose_json

_THINKING = (
    r"(?:[\w-]+:)?(?:\w+_)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis"
    r"|scratch_?pad|思考过程|思考|推理)"
)
_LEFT = "(?:<|&lt;)"
_RIGHT = "(?:>|&gt;)"
_THOUGHT_BEGINS = re.compile(
    rf"{_LEFT}{_THINKING}(?:\s[^<>]*)?{_RIGHT}|\[(?:THINK|思考)\]|◁think▷"
    r"|<\|(?:begin_of_|start_)?(?:thought|thinking|think)\|>|<unused94>(?:thought)?"
    r"|<\|channel>thought|<\|channel\|>(?:analysis|commentary)<\|message\|>",
    re.IGNORECASE,
)
_THOUGHT_ENDS = re.compile(
    rf"{_LEFT}/{_THINKING}{_RIGHT}|\[/(?:THINK|思考)\]|◁/think▷"
    r"|<\|(?:end_of_|end_|/)(?:thought|thinking|think)\|>|<unused95>|<channel\|>"
    r"|<\|channel\|>final<\|message\|>|(?<![a-z])assistantfinal",
    re.IGNORECASE,
)
_BOXES = tuple(
    re.compile(rf"{begin}(.*?)(?:{end}|$)", re.DOTALL | re.IGNORECASE)
    for begin, end in (
        (r"<\|begin_of_box\|>", r"<\|end_of_box\|>"),
        (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
        (r"<\|start_response\|>", r"<\|end_response\|>"),
        (r"<(?:final_)?answer>", r"</(?:final_)?answer>"),
        (r"<response>", r"</response>"),
        (r"<output>", r"</output>"),
        (r"\\boxed\{", r"\}"),
    )
)
# Who speaks, in a model's own template, and the end of its turn: what follows is no answer.
_TURN_BEGINS = re.compile(
    r"^\s*(?:<\|im_start\|>|<start_of_turn>|<\|start_header_id\|>|<\|turn>)?\s*"
    r"(?:assistant|model)\s*(?:<\|end_header_id\|>|\n)|^\s*<[|｜]Assistant[|｜]>",
    re.IGNORECASE,
)
_TURN_ENDS = re.compile(
    r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<turn\|>|<\|endoftext\|>|<\|end\|>|<\|return\|>"
    r"|<[|｜]end[▁_]of[▁_]sentence[|｜]>|<\|end_of_text\|>|</s>|<eos>",
    re.IGNORECASE,
)
_FENCE = re.compile(r"(?:```|~~~)[^\n`~]*\n(.*?)(?:```|~~~|$)", re.DOTALL)
_FENCE_IN_LINE = re.compile(r"```(?:json\b)?([^`\n]*)```", re.IGNORECASE)
_LINE_MARK = re.compile(r"(?:#{1,6}|[-*•>])\s+(?=[^\n]*$)")
_MARKUP = re.compile(r"(\*\*|__|\*|`)(.+)\1", re.DOTALL)
_KEYS_OF_TEXT = ("answer", "name", "dish", "dish_name", "result", "菜名", "菜品", "答案", "名称")


@dataclass(frozen=True)
class Reading:
    """text: an answer; removed: what stood around it, '' for nothing."""

    text: str
    removed: str = ""


def written(message: RecordView) -> Reading | None:
    """What a message says: its content, or a list of parts without those that are thoughts; with
    empty content the arguments of a tool call. None when its content is nothing that can be read.
    """
    content = message.get("content")
    is_blank = isinstance(content, str) and not content.strip()
    if content is None or content == [] or is_blank:
        return Reading(_arguments(message))
    if isinstance(content, str):
        return Reading(writable(content))
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return None
    if not all(isinstance(part, Mapping) for part in content):
        return None
    spoken: list[str] = []
    thoughts: list[str] = []
    for part in content:
        texts = thoughts if _is_thought(part) else spoken
        texts.append(_part_text(part))
    answer = writable("".join(spoken))
    thinking = writable("\n".join(thoughts))
    return Reading(answer, thinking)


def thoughts_of(message: RecordView) -> str:
    """What a message holds beside its content: the field for a model's reasoning."""
    for field in ("reasoning_content", "reasoning", "thinking"):
        thoughts = message.get(field)
        if isinstance(thoughts, str) and thoughts.strip():
            return writable(thoughts)
    return ""


def refusal_of(message: RecordView) -> str:
    """The words in which a model refuses, in the field or the part that is made for them."""
    refusal = message.get("refusal")
    content = message.get("content")
    if not refusal and isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        refusal = next((part["refusal"] for part in parts if part.get("refusal")), "")
    return writable(str(refusal)) if refusal else ""


def answer(text: str) -> Reading:
    """The answer to a question that wants plain text; '' when nothing but thoughts is there, and
    these are more than a name.
    """
    inner, thoughts = without_thoughts(text)
    if not inner.strip() and is_name_like(thoughts):
        inner = thoughts
    for step in (boxed, _own_turn, plain_text.plain, _unfenced, _without_markup, _unwrapped):
        inner = step(inner.strip())
    stripped = inner.strip()
    removed = _around(text, stripped)
    return Reading(stripped, removed)


def answer_in_thoughts(thoughts: str) -> Reading:
    """The answer in the thoughts beside an empty content: what stands behind their end, or all of
    them where they are short.
    """
    outside, inner = without_thoughts(thoughts)
    if inner.strip():
        return answer(thoughts)
    return answer(outside) if is_name_like(outside) else Reading("", outside.strip())


def is_name_like(text: str) -> bool:
    """Whether a text is short enough to be the answer itself."""
    line = text.strip()
    return 0 < len(line) <= names.MAX_NAME_LENGTH and "\n" not in line


def writable(text: str) -> str:
    """Text without the half characters that JSON can spell and no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _arguments(message: RecordView) -> str:
    """The arguments of the first tool call, in which some servers put an object; '' without one."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else message
    if not isinstance(call, dict):
        return ""
    function = call.get("function") or call.get("function_call")
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    return writable(arguments) if isinstance(arguments, str) else ""


def _part_text(part: RecordView) -> str:
    """The text of a part of a message; a part of no known form is an answer that came as JSON."""
    for key in ("text", "thinking", "reasoning", "content", "value"):
        inner = part.get(key)
        if isinstance(inner, str):
            return inner
        if isinstance(inner, Mapping):
            return _part_text(inner)
        if isinstance(inner, list) and all(isinstance(piece, Mapping) for piece in inner):
            return "".join(map(_part_text, inner))
    return "" if "type" in part else json.dumps(part, ensure_ascii=False)


def _is_thought(part: RecordView) -> bool:
    kind = str(part.get("type", "")).casefold()
    is_called_so = "think" in kind or "reason" in kind
    return is_called_so or part.get("thought") is True


def without_thoughts(text: str) -> tuple[str, str]:
    """(what stands outside of thoughts, thoughts). An end without a beginning makes a thought of
    all before it, a beginning without an end of all behind it.
    """
    marks = [*_THOUGHT_BEGINS.finditer(text), *_THOUGHT_ENDS.finditer(text)]
    outside: list[str] = []
    thoughts: list[str] = []
    place = 0
    thinking = False
    for mark in sorted(marks, key=lambda mark: mark.start()):
        if mark.start() < place:
            continue
        before = text[place : mark.start()]
        begins = _THOUGHT_BEGINS.fullmatch(mark[0]) is not None
        if thinking or begins:
            (thoughts if thinking else outside).append(before)
        else:
            thoughts += [*outside, before]
            outside = []
        thinking = begins
        place = mark.end()
    (thoughts if thinking else outside).append(text[place:])
    return "".join(outside), "\n".join(piece for piece in thoughts if piece.strip())


def boxed(text: str) -> str:
    """What a model has put into a box as its answer; the text itself without one."""
    for box in _BOXES:
        contents = [inside for inside in box.findall(text) if inside.strip()]
        if contents:
            return contents[-1]
    return text


def _own_turn(text: str) -> str:
    """A model's own turn, out of the marks of its chat template."""
    begins = _TURN_BEGINS.match(text)
    start = begins.end() if begins else 0
    for end in _TURN_ENDS.finditer(text, start):
        turn = text[start : end.start()]
        if turn.strip():
            return turn
    return text[start:]


def _unfenced(text: str) -> str:
    contents = [inside for inside in fenced(text) if inside.strip()]
    return contents[0] if len(contents) == 1 else text


def fenced(text: str) -> list[str]:
    """What stands in Markdown's fences."""
    return [*_FENCE.findall(text), *_FENCE_IN_LINE.findall(text)]


def _without_markup(text: str) -> str:
    if _LINE_MARK.match(text):
        text = _LINE_MARK.sub("", text, count=1)
    marked = _MARKUP.fullmatch(text)
    return marked[2] if marked else text


def _unwrapped(text: str) -> str:
    """The one text in an object, a list or quotes."""
    if text[:1] not in ("{", "[", '"'):
        return text
    try:
        return _text_in(loose_json.parse(text)) or text
    except (ValueError, RecursionError):
        return text


def _text_in(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1:
        return _text_in(value[0])
    if isinstance(value, Mapping) and len(value) == 1:
        return _text_in(next(iter(value.values())))
    if isinstance(value, Mapping):
        return next((_text_in(value[key]) for key in _KEYS_OF_TEXT if key in value), "")
    return ""


def _around(text: str, inside: str) -> str:
    """What stands before and behind a piece of a text; all of the text where it is no piece."""
    if not inside or inside not in text:
        return text.strip()
    before, _, behind = text.rpartition(inside)
    return f"{before.strip()} {behind.strip()}".strip()
