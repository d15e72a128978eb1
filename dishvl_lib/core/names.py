"""Names: what a folder or file name says (dish, site, date, frame), and when two dish names are the
same.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from dishvl_lib.core import file_names, folder_words, name_trimmings

KEPT_NAMES = 16_384  # whose forms are kept
FOLDER_PATTERN = r"^(?P<name>.*?\D|\d+)(?P<number>\d*)@(?P<site>[^@]+)_(?P<date>\d{8})$"
LONG_FILE_PATTERN = r"^(?P<time>\d{14})_(?P<device>[^_]+)_(?P<frame>[^$#]+)\$(?P<box>\d+_\d+_\d+_\d+)#(?P<counter>\d+)$"
SHORT_FILE_PATTERN = r"^(?P<time>\d{14})-(?P<crop>\d+)#(?P<counter>\d+)$"
# A crop of a frame of any name, as stage 00 and `dishvl crop` write it.
CROP_FILE_PATTERN = r"^(?P<frame>.+)\$(?P<box>\d+_\d+_\d+_\d+)#\d+$"
FILE_PATTERNS = (LONG_FILE_PATTERN, SHORT_FILE_PATTERN, CROP_FILE_PATTERN)
# Copies that Roboflow made of one photo, by augmenting too: the photo's name, its suffix, a hash.
ROBOFLOW_COPY = re.compile(r"(?P<name>.+?)([_-](jpe?g|png|webp|bmp))?\.rf\.[0-9A-Za-z]{6,}")
MENU_SEPARATOR = "、"
MAX_NAME_LENGTH = 60

# One thing's names, the first of which stands for all in comparisons. Only true synonyms: 粉丝 and
# 粉条, 青椒 and 甜椒, 汤圆 and 元宵, 百叶 (tofu sheets or tripe) and 蒜苗 (which means two plants) are left out
# on purpose. A word that stands alone only keeps a shorter one inside it from being replaced: 芹菜花生
# holds no 菜花.
SYNONYMS = (
    ("番茄", "西红柿", "蕃茄", "洋柿子"),
    ("土豆", "马铃薯", "洋芋"),
    ("包菜", "卷心菜", "圆白菜", "洋白菜", "莲花白", "高丽菜"),
    ("花菜", "菜花", "花椰菜"),
    ("西兰花", "西蓝花", "绿花菜", "青花菜"),
    ("菜花生", "菜花生米"),
    ("甜椒", "柿子椒"),
    ("茄子", "落苏"),
    ("黄瓜", "青瓜"),
    ("南瓜", "倭瓜"),
    ("西葫芦", "角瓜"),
    ("空心菜", "通菜", "蕹菜"),
    ("莴笋", "青笋"),
    ("山药", "淮山药", "淮山"),
    ("红薯", "番薯", "甘薯", "红苕", "地瓜"),
    ("玉米", "苞米", "苞谷", "包谷"),
    ("花生", "花生米"),
    ("银耳", "白木耳"),
    ("木耳", "黑木耳", "云耳"),
    ("香菜", "芫荽"),
    ("豇豆", "长豆角"),
    ("芥蓝", "芥兰"),
    ("上海青", "青江菜", "小油菜"),
    ("白菜", "大白菜"),
    ("藕", "莲藕"),
    ("荸荠", "马蹄"),
    ("板栗", "栗子"),
    ("茭白", "茭笋", "高笋"),
    ("洋葱", "圆葱", "葱头"),
    ("蒜苔", "蒜薹"),
    ("香菇", "冬菇"),
    ("蛋", "鸡蛋"),
    ("皮蛋", "松花蛋", "变蛋"),
    ("咸鸭蛋", "咸蛋"),
    ("千张结", "百叶结"),
    ("豆干", "豆腐干"),
    ("猪蹄", "猪手", "猪脚"),
    ("鸡爪", "凤爪"),
    ("鸡胗", "鸡肫", "鸡郡肝"),
    ("鸭胗", "鸭肫"),
    ("肥肠", "猪大肠"),
    ("里脊", "里脊肉"),
    ("排骨", "猪排骨"),
    ("鳜鱼", "桂鱼", "鳜花鱼"),
    ("草鱼", "鲩鱼"),
    ("黑鱼", "乌鱼"),
    ("花鲢", "胖头鱼", "鳙鱼"),
    ("鳝鱼", "黄鳝"),
    ("馄饨", "云吞"),
    ("米饭", "白米饭", "白饭"),
    ("酸奶", "酸牛奶"),
    ("馍", "馍馍"),
    ("面", "面条"),
    ("凉拌", "拌"),
    ("拌饭",),
    ("拌面", "拌面条"),
    ("拌粉",),
    ("炒", "清炒"),
    ("宫保", "宫爆", "公保"),
    ("木须", "木樨", "苜蓿"),
    ("蒜蓉", "蒜茸"),
    ("蚝油", "耗油"),
    ("锅包肉", "锅爆肉"),
)
# Words in front that praise a dish or say who made it, not what it is.
DECORATIONS = (
    "家常",
    "农家",
    "秘制",
    "招牌",
    "特色",
    "特制",
    "经典",
    "传统",
    "正宗",
    "自制",
    "美味",
    "私房",
    "本店",
    "食堂",
    "妈妈",
    "老式",
    "古法",
    "精品",
    "简易",
    "小份",
    "大份",
)
GENERIC = frozenset(
    "菜 菜品 菜肴 菜式 新菜 热菜 凉菜 素菜 荤菜 食物 食品 美食 餐 餐品 套餐 主食 小吃 "
    "图片 照片 图像 其他 其它 无 空 未命名 新建文件夹 测试 不知道 "
    "none null na nan unknown unclear other food dish meal image photo picture untitled test".split()
)
# General words under which menus number their entries: 套餐1 is no name, and still what one orders.
_NUMBERED_ENTRY = re.compile(
    r"(菜|套餐|餐|主食|小吃|热菜|凉菜|素菜|荤菜)[ _-]*\d+|\d+[ _-]*(套餐|餐)"
)
_DISCLAIMERS = re.compile(
    "未知|无法|识别|辨认|看不清|看不出|不确定|不清楚|不详|抱歉|这是|图中|图片中|照片中|不是菜|unknown|cannot|sorry|unable"
)
_WORDS = re.compile(r"[^\W\d_]+")
_JOINERS = re.compile(r"[,，;；/|+]|或者|或")
_CAMERA = frozenset(
    "img image dsc dscf dscn mvimg pic photo picture screenshot mmexport wechat dish class "
    "label folder cat category item id no new".split()
)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz")
_BRACKETS = re.compile(r"[(\[【〔「『<《][^)\]】〕」』>》]*[)\]】〕」』>》]")
_INVISIBLE = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\u061c\u180e\ufff9-\ufffb\ud800-\udfff]"
)
# What moves a terminal's cursor, colours or titles it, and every other control character but white
# space.
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_CANONICAL = {word: group[0] for group in SYNONYMS for word in group}
_SYNONYM = re.compile("|".join(sorted(_CANONICAL, key=len, reverse=True)))


@dataclass(frozen=True)
class FolderName:
    """What a class folder's name says; empty strings for what it does not."""

    name: str
    site: str = ""
    date: str = ""


@lru_cache(maxsize=65_536)
def parse_folder(folder: str, pattern: str = FOLDER_PATTERN) -> FolderName:
    """`红烧鱼1@HGD_20211221` -> (红烧鱼, HGD, 20211221); any other name is cleaned, and numbering, prices
    and the like are taken off where that is certain.

    A misread name is taken for what it should say.
    """
    reading = file_names.reading_of(folder)
    if reading and reading.whole:
        folder = reading.text
    match = re.match(pattern, folder)
    if not match:
        return FolderName(name_trimmings.without(clean(name_trimmings.numbered(folder))))
    parts = match.groupdict()
    site = parts.get("site") or ""
    date = parts.get("date") or ""
    return FolderName(clean(parts["name"]), site, date)


def clean_folder_name(folder: str) -> str:
    """The dish name that a folder's name suggests: `红烧鱼1@HGD_20211221` -> `红烧鱼`."""
    return parse_folder(folder).name


# A run has a few thousand names, and every menu asks about its own again.
@lru_cache(KEPT_NAMES)
def clean(name: str) -> str:
    """NFKC, without invisible and control characters, outer white space, outer underscores and a
    trailing full stop.
    """
    plain = _CONTROL.sub("", _TERMINAL.sub("", name))
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", plain))
    return re.sub(r"\s+", " ", text).strip(" _.。")


@lru_cache(KEPT_NAMES)
def normalise(name: str) -> str:
    """The form in which two names are compared: cleaned, lower case, without white space and
    punctuation.

    Brackets count as punctuation, what stands in them does not: 素鸡(豆制品) and 素鸡 stay two names.
    """
    text = clean(name).casefold()
    return "".join(char for char in text if unicodedata.category(char)[0] in "LNM")


def matching(wanted: Iterable[str], there: Iterable[str]) -> dict[str, str]:
    """{wanted: there} of the folders (or names) that a table means: spelt alike, or the only one
    that is but for Unicode form, width, case and white space. What has no partner is not in it.
    """
    exact = set(there)
    alike: dict[str, list[str]] = {}
    for name in exact:
        alike.setdefault(spelling(name), []).append(name)
    partner_of = {}
    for name in wanted:
        partners = [name] if name in exact else alike.get(spelling(name), [])
        if len(partners) == 1:
            partner_of[name] = partners[0]
    return partner_of


def canonical(name: str) -> str:
    """The form in which two names that mean one dish are equal: 西红柿炒鸡蛋(大份) and 番茄炒蛋 are both 番茄炒蛋.

    Normalised, without remarks in brackets, each word of SYNONYMS replaced by the first of its
    group (longest word first). For finding suspects only: names are shown, stored and marked as
    they are.
    """
    without_remarks = _BRACKETS.sub("", clean(name))
    plain = normalise(without_remarks) or normalise(name)
    return _SYNONYM.sub(lambda match: _CANONICAL[match[0]], plain)


def undecorated(name: str) -> str:
    """A canonical name without DECORATIONS in front, as long as two characters stay: 秘制红烧肉 ->
    红烧肉.
    """
    for word in DECORATIONS:
        rest = name.removeprefix(word).removeprefix("的")
        if rest != name and name.startswith(word) and len(rest) >= 2:
            return undecorated(rest)
    return name


def not_a_dish(name: str) -> str:
    """Why a text is no dish's name, in one clause; '' when it may be one.

    It says nothing (see `says_nothing`), is a general word with a number (套餐1), or joins several
    names (红烧鱼/米饭).
    """
    text = clean(name)
    if not _says_something(text):
        return "it names no dish"
    if MENU_SEPARATOR in text or "\n" in name or _JOINERS.search(_BRACKETS.sub("", text)):
        return "it joins several names"
    return says_nothing(name)


def says_nothing(name: str) -> str:
    """Why a text names no dish at all, in one clause; '' when it may name one.

    Empty, a general word (菜品, 食物, unknown), a refusal (无法识别), a code of letters and digits (GX4_6,
    IMG_1234), a date, a word of filing (批次1, 新建文件夹), a place (一食堂), letters typed at random, or
    what was read in the wrong encoding.
    """
    text = clean(name).casefold()
    if not _says_something(text) and not _NUMBERED_ENTRY.fullmatch(text):
        return "it names no dish"
    if _DISCLAIMERS.search(text):
        return "it is a remark, not a name"
    if _is_code(text):
        return "it is a code"
    if file_names.reading_of(name) or any(mark in name for mark in file_names.LOST):
        return "it was read in the wrong encoding"
    if folder_words.is_date(text):
        return "it is a date"
    if folder_words.is_place(text):
        return "it is a place"
    is_filed = folder_words.is_filing(text) or folder_words.split_of(text) or text in _CAMERA
    if is_filed or _is_typed_at_random(text):
        return "it names no dish"
    return ""


def _says_something(text: str) -> bool:
    """Whether a text has words beside GENERIC ones."""
    words = "".join(_WORDS.findall(text.casefold()))
    return bool(words) and words not in GENERIC


def _is_typed_at_random(text: str) -> bool:
    """Whether a text is one character over and over, or keys that lie side by side: aaa, asdf."""
    is_repeated = re.fullmatch(r"(.)\1{2,}", text)
    in_a_row = any(text in keys for keys in _KEYS)
    return bool(is_repeated) or (len(text) > 2 and in_a_row)


def _is_code(text: str) -> bool:
    """Whether a text in lower case is a code of letters and digits, or hardly a letter."""
    long_words = [word for word in _WORDS.findall(text) if len(word) > 3]
    spoken = [word for word in long_words if word not in _CAMERA]
    has_code = re.search(r"\d|^[a-z]{1,2}$", text)
    return text.isascii() and not spoken and bool(has_code)


def frame_of(stem: str, patterns: tuple[str, ...] = FILE_PATTERNS) -> tuple[str, str]:
    """(frame id, time) from a file name without suffix; ("", "") when it follows none of the
    patterns.

    Long form: device and frame id; short form: the time. Crops of one frame get the same frame id,
    and so do the copies that Roboflow made of one photo: its name, or its frame.
    """
    copy = ROBOFLOW_COPY.fullmatch(stem)
    if copy:
        frame, time = frame_of(copy["name"], patterns)
        return frame or copy["name"], time
    for pattern in patterns:
        match = re.match(pattern, stem)
        if match:
            parts = match.groupdict()
            frame = (
                f"{parts.get('device', '')}_{parts['frame']}"
                if parts.get("frame")
                else parts.get("time", "")
            )
            return frame, parts.get("time", "")
    return "", ""


@dataclass(frozen=True)
class NameFault:
    """Why a name cannot stand on a menu, and what to do about a dish that has it."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}"


def spelling(name: str) -> str:
    """A name without what programs change unseen: Unicode form, width, case, white space."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
    return "".join(text.casefold().split())


def fault_of(name: str) -> NameFault | None:
    """What keeps a name from standing on a menu; None when nothing does."""
    if not normalise(name):
        return NameFault("it is empty", "give the dish a name in names_csv")
    if MENU_SEPARATOR in name or "\n" in name:
        reason = f"it holds {MENU_SEPARATOR!r} or a line break, which separate menu entries"
        return NameFault(reason, "rename it in names_csv")
    if len(name) > MAX_NAME_LENGTH:
        reason = f"it has {len(name)} characters (at most {MAX_NAME_LENGTH})"
        return NameFault(reason, "shorten it in names_csv")
    if "<image>" in name or "<|" in name:
        reason = "it holds a mark that the model reads as a command (<image> or <|)"
        return NameFault(reason, "rename it in names_csv")
    return None


def problem_with(name: str) -> str:
    """Why a name cannot stand on a menu, in one clause with the remedy; '' when it can."""
    fault = fault_of(name)
    return str(fault) if fault else ""
