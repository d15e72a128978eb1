"""Values of a dish card as language models write them, in the card's own types where that is
without doubt.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dishvl_lib.core import names
from dishvl_lib.core.types import RecordView
from dishvl_lib.endpoints import loose_json

# What is written where nothing is known.
_NOTHING = frozenset(
    "无 没有 暂无 未知 不详 不明 不确定 不清楚 看不出 看不清 无法判断 无法确定 不适用 空 "
    "none null nil na n/a unknown unclear not-applicable - -- / ?".split()
)
_YES = frozenset(
    "是 是的 对 素 素食 素菜 纯素 全素 蛋奶素 可以 yes y true t 1 √ ✓ ✔ vegetarian vegan".split()
)
_NO = frozenset(
    "否 不 不是 非 荤 荤菜 荤食 非素 非素食 非素菜 含肉 no n false f 0 × ✗ ✘ non-vegetarian "
    "nonvegetarian not-vegetarian".split()
)
# What a card's fields take.
_MOST_WORDS = 40
_MOST_CHARACTERS = 40
_KILOJOULES = 4.184
# Separators outside of brackets: 酱油(生抽,老抽) is one entry.
_SEPARATOR = re.compile(r"[、,，;；/|\n]+(?![^(（\[【]*[)）\]】])")
_CHINESE_WORDS = re.compile(r"[\u4e00-\u9fff]+(?:\s+[\u4e00-\u9fff]+)+")
_BULLET = re.compile(r"^\s*(?:[-*•·]|\d+[.、)）](?!\d))\s*")
_ET_CETERA = re.compile(r"(?:等等|等)$")
_OUTER_MARKS = " \t\"'“”‘’《》「」『』*`。.;；"
_NAME_LABEL = re.compile(r"^(?:菜名|菜品名称|菜品|名称|name)\s*[:：]\s*", re.IGNORECASE)
_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(
    rf"{_NUMBER}\s*(?:千卡|大卡|卡|kcal)?\s*(?:[-~–—至到]|to)\s*{_NUMBER}", re.IGNORECASE
)
_KCAL = re.compile(rf"{_NUMBER}\s*(?:千卡|大卡|卡路里|卡|kcal|cal)", re.IGNORECASE)
_KJ = re.compile(rf"{_NUMBER}\s*(?:千焦|kj)", re.IGNORECASE)
_UNITS = ((_KCAL, 1.0), (_KJ, 1 / _KILOJOULES))  # and how many kcal each is
_PER_100_G = re.compile(r"(?:每|/|per)?\s*100\s*(?:克|g\b|grams?\b|ml\b|毫升)", re.IGNORECASE)
_PER_PORTION = re.compile("每?一?[份盘碗人]|serving|portion|plate|bowl", re.IGNORECASE)
_UNBOUNDED = re.compile("[<>≤≥＜＞]|不到|不足|低于|超过|高于|以上|以下|[-−]\\s*\\d")
_KEYS_OF_A_WORD = ("name", "名称", "text", "value", "item", "ingredient", "食材")
_KEYS_OF_A_NUMBER = ("value", "amount", "calories", "kcal", "数值", "热量")
_KEYS_OF_A_UNIT = ("unit", "单位")
_KEYS_OF_A_NAME = ("zh", "cn", "chinese", "中文", "name", "名称")
_KEYS_OF_A_STEP = ("description", "text", "step", "content", "instruction", "内容", "步骤", "说明")


def name(value: Any) -> Any:
    """A dish's name without quotes and label; '' where nothing is known."""
    if value is None:
        return ""
    if _is_single(value):
        return name(value[0])
    if isinstance(value, Mapping):
        inner = _first(value, _KEYS_OF_A_NAME)
        return value if inner is None else name(inner)
    if not isinstance(value, str):
        return value
    labelled = value.strip(_OUTER_MARKS)
    text = _NAME_LABEL.sub("", labelled).strip(_OUTER_MARKS)
    return "" if is_nothing(text) else text


def line(value: Any) -> Any:
    """A text of one line: also of a list of texts, or a number."""
    if isinstance(value, list):
        return names.MENU_SEPARATOR.join(words(value))
    if isinstance(value, bool) or isinstance(value, Mapping):
        return value
    text = "" if value is None else " ".join(str(value).split())
    return "" if is_nothing(text) else text


def words(value: Any) -> Any:
    """A list of words: of a text with separators, of nested lists, of a mapping's keys; without
    entries that say nothing, are no text or too long.
    """
    if value is None or (isinstance(value, str) and is_nothing(value)):
        return []
    if not isinstance(value, str | list | Mapping):
        return value
    fitting: dict[str, None] = {}
    for entry in _entries(value):
        text = entry.strip(_OUTER_MARKS)
        is_known = bool(text) and not is_nothing(text)
        if is_known and len(text) <= _MOST_CHARACTERS:
            fitting[text] = None
    return list(fitting)[:_MOST_WORDS]


def calories(value: Any) -> Any:
    """kcal per 100 g: of a number with a unit, of a range its middle, of kilojoules. What is meant
    of a portion, or bounded on one side only, is no number.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, list):
        ends = map(str, value[:2])
        return calories(" - ".join(ends))
    if isinstance(value, Mapping):
        amount = _first(value, _KEYS_OF_A_NUMBER)
        unit = _first(value, _KEYS_OF_A_UNIT, "")
        return calories(f"{amount} {unit}")
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFKC", value).replace(",", "")
    return None if is_nothing(text) else _energy(text)


def yes_or_no(value: Any) -> Any:
    """是 or 否, '' where neither is clear."""
    if value in (0, 1):
        return "是" if value else "否"
    if _is_single(value):
        return yes_or_no(value[0])
    if value is None or isinstance(value, list | Mapping):
        return ""
    normalised = unicodedata.normalize("NFKC", str(value))
    text = normalised.strip(_OUTER_MARKS).casefold()
    first, *_ = re.split(r"[\s,，。(（:：;；]", text, maxsplit=1)
    for word in (text.replace(" ", "-"), first):
        if word in _YES:
            return "是"
        if word in _NO:
            return "否"
    return ""


def passage(value: Any) -> Any:
    """A text of several lines: also of a list or a mapping of lines."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "" if is_nothing(value) else value
    if isinstance(value, list | Mapping):
        return "\n".join(_lines(value))
    return value


def steps(value: Any) -> Any:
    """A recipe of numbered lines, also of a list or a mapping of steps."""
    if not isinstance(value, list | Mapping):
        return passage(value)
    bare = [_BULLET.sub("", entry) for entry in _lines(value)]
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(bare, start=1))


def is_nothing(value: str) -> bool:
    """Whether a text only says that nothing is known."""
    text = value.strip(_OUTER_MARKS).casefold()
    return text.replace(" ", "-") in _NOTHING


def _energy(text: str) -> float | None:
    without_ranges = _RANGE.sub("", text)
    is_of_portion = _PER_PORTION.search(text) and not _PER_100_G.search(text)
    if _UNBOUNDED.search(without_ranges) or is_of_portion:
        return None
    rest = _PER_100_G.sub(" ", text)
    amount = _RANGE.sub(_middle, rest)
    for unit, factor in _UNITS:
        stated = unit.search(amount)
        if stated:
            return round(float(stated[1]) * factor, 1)
    numbers = re.findall(_NUMBER, amount)
    return float(numbers[0]) if len(numbers) == 1 else None


def _middle(ends: re.Match[str]) -> str:
    low, high = map(float, ends.groups())
    middle = (low + high) / 2
    return f"{middle:g}"


def _entries(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _entries_of_text(value)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries_of_one(inner)
    elif isinstance(value, Mapping):
        yield from map(str, value)


def _entries_of_one(value: Any) -> Iterator[str]:
    """The entries of what stands in a list: there a comma belongs to the text, a 、 does not."""
    if isinstance(value, str):
        yield from value.split(names.MENU_SEPARATOR)
    elif isinstance(value, Mapping):
        named = _first(value, _KEYS_OF_A_WORD)
        yield from [named] if isinstance(named, str) else _entries(value)
    elif isinstance(value, list):
        yield from _entries(value)


def _entries_of_text(value: str) -> Iterator[str]:
    if value.lstrip()[:1] in ("[", "{"):
        try:
            yield from _entries(loose_json.parse(value))
            return
        except (ValueError, RecursionError):
            pass
    whole = value.strip(_OUTER_MARKS)
    parts = [_BULLET.sub("", part) for part in _SEPARATOR.split(whole)]
    # 土豆 青椒 are two words, sweet and sour is one.
    if len(parts) == 1 and _CHINESE_WORDS.fullmatch(whole):
        parts = whole.split()
    if len(parts) > 1:
        parts[-1] = _ET_CETERA.sub("", parts[-1])
    yield from parts


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        inner = _first(value, _KEYS_OF_A_STEP)
        lines = inner if isinstance(inner, str) else list(value.values())
        yield from _lines(lines)
    elif isinstance(value, list):
        for entry in value:
            yield from _lines(entry)
    elif isinstance(value, str) and value.strip():
        yield value.strip()


def _is_single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _first(value: RecordView, keys: Iterable[str], otherwise: Any = None) -> Any:
    """The value of the first key that is there."""
    for key in keys:
        if key in value:
            return value[key]
    return otherwise
