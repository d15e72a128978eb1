"""Names: what a folder or file name says (dish, site, date, frame), and when two dish names are the same."""

import re
import unicodedata
from dataclasses import dataclass

FOLDER_PATTERN = r"^(?P<name>.*?\D|\d+)(?P<number>\d*)@(?P<site>[^@]+)_(?P<date>\d{8})$"
LONG_FILE_PATTERN = r"^(?P<time>\d{14})_(?P<device>[^_]+)_(?P<frame>[^$#]+)\$(?P<box>\d+_\d+_\d+_\d+)#(?P<counter>\d+)$"
SHORT_FILE_PATTERN = r"^(?P<time>\d{14})-(?P<crop>\d+)#(?P<counter>\d+)$"
FILE_PATTERNS = (LONG_FILE_PATTERN, SHORT_FILE_PATTERN)
MENU_SEPARATOR = "、"
MAX_NAME_LENGTH = 60

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")


@dataclass(frozen=True)
class FolderName:
    """What a class folder's name says; empty strings for what it does not."""

    name: str
    site: str = ""
    date: str = ""


def parse_folder(folder: str, pattern: str = FOLDER_PATTERN) -> FolderName:
    """`红烧鱼1@HGD_20211221` -> (红烧鱼, HGD, 20211221); any other name is cleaned and taken as it is."""
    found = re.match(pattern, folder)
    if not found:
        return FolderName(clean(folder))
    parts = found.groupdict()
    return FolderName(clean(parts["name"]), parts.get("site") or "", parts.get("date") or "")


def clean_folder_name(folder: str) -> str:
    """The dish name that a folder's name suggests: `红烧鱼1@HGD_20211221` -> `红烧鱼`."""
    return parse_folder(folder).name


def clean(name: str) -> str:
    """NFKC, without invisible characters, outer white space, outer underscores and a trailing full stop."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
    return re.sub(r"\s+", " ", text).strip(" _.。")


def normalise(name: str) -> str:
    """The form in which two names are compared: cleaned, lower case, without white space and punctuation.

    Brackets count as punctuation, what stands in them does not: 素鸡(豆制品) and 素鸡 stay two names.
    """
    text = clean(name).casefold()
    return "".join(char for char in text if unicodedata.category(char)[0] in "LNM")


def frame_of(stem: str, patterns: tuple[str, ...] = FILE_PATTERNS) -> tuple[str, str]:
    """(frame id, time) from a file name without suffix; ("", "") when it follows none of the patterns.

    Long form: device and frame id; short form: the time. Crops of one frame get the same frame id.
    """
    for pattern in patterns:
        found = re.match(pattern, stem)
        if found:
            parts = found.groupdict()
            frame = f"{parts.get('device', '')}_{parts['frame']}" if parts.get("frame") else parts.get("time", "")
            return frame, parts.get("time", "")
    return "", ""


def problem_with(name: str) -> str:
    """Why a name cannot stand on a menu, in one clause with the remedy; '' when it can."""
    if not normalise(name):
        return "it is empty; give the dish a name in names_csv"
    if MENU_SEPARATOR in name or "\n" in name:
        return f"it holds {MENU_SEPARATOR!r} or a line break, which separate menu entries; rename it in names_csv"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters (at most {MAX_NAME_LENGTH}); shorten it in names_csv"
    if "<image>" in name or "<|" in name:
        return "it holds a mark that the model reads as a command (<image> or <|); rename it in names_csv"
    return ""
