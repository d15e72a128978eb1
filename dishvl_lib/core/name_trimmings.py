"""What people write around a dish's name in folders and lists: numbering, prices, portions, camera
words, dates, notes, copies. What is certain is taken off, what is not is only pointed out.
"""

import re
from collections.abc import Sequence

from dishvl_lib.core import folder_words
from dishvl_lib.core.file_names import CHINESE

Patterns = Sequence[re.Pattern[str]]
_AMOUNT = r"\d+(\.\d{1,2})?"
_PER = r"(\s*[/每一]\s*[份个位例斤碗杯串只盘])?"
_PRICE = rf"(¥|rmb|cny)\s*{_AMOUNT}\s*(元|块)?{_PER}|{_AMOUNT}\s*(元|块钱?|rmb){_PER}"
_PRICE_WORD = "(单价|特价|售价|原价|价格|现价|仅售?)?"
_DAY = r"(19|20)\d\d[-_./年]?(0?[1-9]|1[0-2])[-_./月]?(3[01]|[12]\d|0?[1-9])日?([ _–—-]*\d{4,6})?"
_PORTION = "[大小中半整全单双一1]份"
_CAMERA = (
    "img|dsc[nf]?|mvimg|pxl|vid|pano|mmexport|wx_camera|wechatimg|screenshot|image|photo|pic|"
    "微信图片|微信截图|qq图片|截图|照片|图片"
)
_STATE = "已标注|未标注|待标注|已完成|已清洗|已处理|原图|补拍|重拍|照片|图片|最终版?|备份"
_IN_BRACKETS = (
    rf"新|新品|新菜|新款|new|推荐|热卖|招牌|特价|限时|final|{_STATE}|副本|copy|{_PORTION}|大|小|中|半|例|位|份|"
    rf"每份|\d{{1,3}}(\.\d\d?)?|\d+人份|\d+\s*(g|kg|ml|l|克|千克|毫升|升)|{_PRICE_WORD}\s*({_PRICE})|{_DAY}"
)
_BRACKETED = rf"[(\[【]\s*({_IN_BRACKETS})\s*[)\]】]"
# Numbers that belong to the word after them: 3 杯鸡, 8 宝饭, 2 号套餐.
_MEASURES = "杯宝味丝鲜色元块斤两份号人寸只个片串年度折种层款喜点分时小颗粒头"
# Each takes off what no dish's name begins or ends with. One that needs a Chinese character after
# it leaves 7-up, B52 and 3+2 alone.
_NOTES_BEFORE = (
    rf"({_CAMERA})([ _–—-]*\d[\d _–—-]*|[ _–—-]+)(?=[\u4e00-\u9fff])",
    rf"{_DAY}[ _.–—-]*(?=[\u4e00-\u9fff])",
    rf"{_BRACKETED}\s*",
    r"((复件|副本)[ _–—-]*(\(\d{1,3}\))?|copy( \(\d{1,3}\))? of )\s*(?=[\u4e00-\u9fff])",
)
_NUMBERING = (
    r"[(\[【](no\.?|编号|序号)?\s*\d{1,4}[)\]】]\s*",
    r"(no\.?|编号|序号)?\s*\d{1,4}\s*[.、,:;)_#·–—-]\s*(?=[^\W\d_])",
    r"(no\.?|编号|序号)\s*\d{1,4}\s*(?=[^\W\d_])",
    rf"\d{{1,4}} (?=[\u4e00-\u9fff])(?![{_MEASURES}])",
    rf"0\d{{1,3}}(?=[\u4e00-\u9fff])(?![{_MEASURES}])",
    r"第\d{1,4}[道款]\s*",
    r"[一二三四五六七八九十]{1,3}[、.)]\s*",
)
_PRICES_BEFORE = (
    rf"{_PRICE_WORD}¥\s*{_AMOUNT}{_PER}[ _–—-]*(?=[^\W\d_])",
    rf"{_PRICE_WORD}({_PRICE})[ _:,–—-]+(?=[^\W\d_])",
)
_PRICES_AFTER = (
    rf"[ _:,–—-]*{_PRICE_WORD}[ :]*({_PRICE})",
    rf"[ _–—-]*{_AMOUNT}\s*/\s*[份个位例斤碗杯串只盘]",
    r"\s*/\s*[份个位例斤碗杯串只盘]",
)
_NOTES_AFTER = (
    rf"\s*{_BRACKETED}",
    rf"(?<=[\u4e00-\u9fff]{{2}})[ _–—-]*{_PORTION}",
    r"[ _–—-]*(的?副本|拷贝)[ _–—-]*(\(?\d{1,3}\)?)?",
    r"[ _–—-]+copy[ _–—-]*(\(?\d{1,3}\)?)?",
    rf"[ _–—-]*({_STATE})",
    r"([ _–—-]+|(?<=[\u4e00-\u9fff]))(final|new|v\d{1,2}(\.\d)?|ok|done)",
    r"[ _–—-]+(old|新版?|photos?|images?|imgs?|pics?|(img|dsc)[ _–—-]?\d+)",
    rf"(?<=[\u4e00-\u9fff)])[ _–—-]*{_DAY}",
    r"\.(jpe?g|png)",
)
# On a menu a number at the end is a price, whatever it is separated by.
_MENU_PRICES_AFTER = (
    rf"(?<!\d)[\s.·…_:,|$¥–—-]+{_AMOUNT}",
    r"(?<=[^\W\d_])\d+\.\d{1,2}",
)


def _before(*expressions: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(expression, re.IGNORECASE) for expression in expressions)


def _after(*expressions: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(f"({expression})$", re.IGNORECASE) for expression in expressions)


_BEFORE = _before(*_NOTES_BEFORE, *_NUMBERING, *_PRICES_BEFORE)
_AFTER = _after(*_PRICES_AFTER, *_NOTES_AFTER)
_MENU_BEFORE = _before(*_NUMBERING, *_PRICES_BEFORE)
_MENU_AFTER = _after(*_PRICES_AFTER, *_MENU_PRICES_AFTER)
# General words that a number or price makes a name: 2号套餐, 15元套餐, 3荤自助.
_NOT_ALONE = frozenset(
    "套餐 餐 菜 饭 汤 面 菜品 例汤 盒饭 份饭 自助 自助餐 快餐 简餐 便当 新菜".split()
)
_LEFTOVERS = re.compile(
    rf"^\d+(?=[\u4e00-\u9fff])(?![{_MEASURES}])|(?<=[\u4e00-\u9fff])[ _–—-]*[\d.]+$|^[大小中半]份|{_PRICE}|¥|"
    rf"(?<![a-z])({_CAMERA})[ _–—-]?\d+|[a-z]{{1,3}}\d+[ _–—-]+(?=[\u4e00-\u9fff])|{_DAY}|副本|新建",
    re.IGNORECASE,
)
_CIRCLED = re.compile(r"^\s*([\u2460-\u2473\u2776-\u277f])")


def numbered(name: str) -> str:
    """The name with a full stop after a circled number in front: ①鱼 reads 1鱼 once it is cleaned."""
    return _CIRCLED.sub(r"\1.", name)


def without(name: str) -> str:
    """A cleaned name without trimmings: `18.鱼香茄子(大份)12元` -> `鱼香茄子`.

    As it is where nothing that can be a name would be left, and where it holds an @, which has a
    form of its own.
    """
    return name if "@" in name else _without(name, _BEFORE, _AFTER)


def of_menu(entry: str) -> str:
    """A cleaned menu entry without numbering and prices: `3、红烧肉(大份) ¥12` -> `红烧肉(大份)`."""
    return _without(entry, _MENU_BEFORE, _MENU_AFTER)


def leftover(name: str) -> str:
    """What a name still holds that is perhaps no part of it: 15元 of 15元套餐; '' for nothing."""
    match = _LEFTOVERS.search(name)
    return match[0].strip(" _-–—") if match else ""


def _without(name: str, before: Patterns, after: Patterns) -> str:
    while shorter := _trimmed_once(name, before, after):
        name = shorter
    return name


def _trimmed_once(name: str, before: Patterns, after: Patterns) -> str:
    """The name without one trimming; '' when there is none that can be taken off."""
    for pattern in before:
        match = pattern.match(name)
        if match:
            rest = name[match.end() :].strip(" _-.–—")
            if _is_enough(rest):
                return rest
    for pattern in after:
        match = pattern.search(name)
        if match and match[0]:
            rest = name[: match.start()].strip(" _-.,:–—")
            if _is_enough(rest):
                return rest
    return ""


def _is_enough(rest: str) -> bool:
    if rest in _NOT_ALONE or folder_words.is_filing(rest) or folder_words.is_date(rest):
        return False
    letters = re.findall(r"[^\W\d_]", rest)
    return len(letters) > 2 or bool(CHINESE.search(rest))
