"""Names as file systems give them: what one that was read in the wrong encoding should say, how one
that cannot be written down is shown, and the command that renames it.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

# How unpackers read the bytes of a name that is not marked as UTF-8; the first of equals counts.
SINGLE_BYTE = ("cp437", "latin-1", "cp1252", "cp850", "mac_roman")
LOST = ("\ufffd", "锟斤拷")  # what stands where bytes were thrown away
CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# A text in GBK is believed when so many of its characters are of GB2312, and most of these of its
# first level, which holds the 3755 common ones: letters with accents make rare characters.
LEAST_KNOWN = 2 / 3
LEAST_COMMON = 1 / 2
_FIRST_LEVEL = range(0xB0, 0xD8)
_BOX_DRAWING = re.compile("[\u2500-\u259f]")
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PERCENT = re.compile("(%[0-9a-fA-F]{2}){2}")
_ESCAPED = re.compile("#U([0-9a-fA-F]{4})")


@dataclass(frozen=True)
class Reading:
    """What a name should say: `text`, whose bytes are `written_as` one encoding and were `read_as`
    another. `whole` is False where some of them are lost.
    """

    text: str
    written_as: str
    read_as: str
    whole: bool = True

    def __str__(self) -> str:
        lost = "" if self.whole else ", its end is lost"
        return f"{self.written_as} read as {self.read_as}, it should say {self.text}{lost}"


def reading_of(name: str) -> Reading | None:
    """What a misread Chinese name should say; None for a name that seems to be as it was meant.

    Found are GBK and UTF-8 read as one of SINGLE_BYTE, UTF-8 read as GBK, bytes in GBK that the
    system hands on as surrogates, and names spelled in %XX or #UXXXX.
    """
    if any("\udc80" <= char <= "\udcff" for char in name):
        return _raw_gbk(name)
    text = unicodedata.normalize("NFC", name)
    if text.isascii():
        return _spelled(text)
    if CHINESE.search(text):
        return _utf8_as_gbk(text)
    readings = list(_single_byte_readings(text))
    return max(readings, key=lambda reading: _common_share(reading.text), default=None)


def is_writable(name: str) -> bool:
    """Whether a name can stand in tables and on terminals: UTF-8 without control characters."""
    return not _NOT_TEXT.search(name)


def printable(text: str) -> str:
    r"""The text with control characters and bytes that are no UTF-8 as escapes (\n, \x1b, \udcXX), so
    that it can be written.
    """
    return _NOT_TEXT.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def writable(name: str) -> str:
    """The name without what cannot stand in tables and on terminals."""
    return _NOT_TEXT.sub("", name).strip()


def rename_command(old: str, new: str) -> str:
    """The command that renames a file or folder, and does nothing where `new` is there already."""
    return f"mv -nT -- {_quoted(old)} {_quoted(new)}"


def _quoted(name: str) -> str:
    """A name as a shell takes it, whatever its bytes."""
    if is_writable(name):
        return shlex.quote(name)
    escaped = map(_escaped, name.encode("utf-8", "surrogateescape"))
    return f"$'{''.join(escaped)}'"


def _escaped(byte: int) -> str:
    """A byte as it stands between $' and '."""
    char = chr(byte)
    is_plain = char.isascii() and (char.isalnum() or char in " ./_-")
    return char if is_plain else f"\\x{byte:02x}"


def _raw_gbk(name: str) -> Reading | None:
    raw = name.encode("utf-8", "surrogateescape")
    text = _decoded(raw, "gb18030")
    return Reading(text, "GBK", "UTF-8") if text and _has_only_chinese(text) else None


def _spelled(text: str) -> Reading | None:
    """A name that a browser (%E9%B1%BC) or an unpacker (#U9c7c) has spelled in ASCII."""
    if _ESCAPED.search(text):
        plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
        if CHINESE.search(plain) and is_writable(plain):
            return Reading(plain, "Unicode", "#U escapes")
    if _PERCENT.search(text):
        raw = unquote_to_bytes(text)
        for encoding, title in (("utf-8", "UTF-8"), ("gb18030", "GBK")):
            decoded = _decoded(raw, encoding)
            if decoded and _is_meant(decoded, encoding):
                return Reading(decoded, title, "% escapes")
    return None


def _utf8_as_gbk(text: str) -> Reading | None:
    """Three bytes a character taken for two: an odd number of bytes has lost its last one."""
    # The code page that Windows calls GBK reads the byte 80 as a euro sign.
    pieces = text.rstrip("?\ufffd").split("€")
    raw = b"\x80".join(piece.encode("gb18030") for piece in pieces)
    whole = raw.decode("utf-8", "ignore")
    lost = len(raw) - len(whole.encode("utf-8"))
    is_whole = not lost and text[-1] not in "?\ufffd"
    characters = CHINESE.findall(whole)
    lost_inside = lost and not raw.startswith(whole.encode("utf-8"))
    too_little = len(characters) < 2 or lost_inside
    if too_little or lost > 2 or not _has_only_chinese(whole):
        return None
    if _common_share(whole) <= _common_share(text):
        return None
    return Reading(whole, "UTF-8", "GBK", is_whole)


def _single_byte_readings(text: str) -> Iterator[Reading]:
    for codec in SINGLE_BYTE:
        raw = _bytes(text, codec)
        if raw is None:
            continue
        for encoding, title in (("utf-8", "UTF-8"), ("gb18030", "GBK")):
            plain = _decoded(raw, encoding)
            # Two letters with accents are one character in GBK, and may be a word by themselves.
            certain = encoding == "utf-8" or _BOX_DRAWING.search(text) or len(text) > 2
            if plain and certain and _is_meant(plain, encoding):
                yield Reading(plain, title, codec)


def _bytes(text: str, codec: str) -> bytes | None:
    """The bytes that `codec` read as this text; bytes that it does not know stay as they are, as on
    Windows.
    """
    raw = bytearray()
    for char in text:
        try:
            raw += char.encode(codec)
        except UnicodeEncodeError:
            if not "\x80" <= char <= "\x9f":
                return None
            raw.append(ord(char))
    return bytes(raw)


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _has_only_chinese(text: str) -> bool:
    """Whether all that is not ASCII is Chinese: characters, punctuation, full-width forms."""
    foreign = [char for char in text if not char.isascii()]
    return bool(CHINESE.search(text)) and all(map(_is_chinese, foreign))


def _is_chinese(char: str) -> bool:
    is_punctuation = "\u3000" <= char <= "\u303f"
    is_full_width = "\uff00" <= char <= "\uffee"
    return bool(CHINESE.match(char)) or is_punctuation or is_full_width


def _is_meant(text: str, encoding: str) -> bool:
    """Whether a decoded text can be meant so: few bytes are UTF-8 by chance, most are GBK."""
    return _has_only_chinese(text) if encoding == "utf-8" else _is_believable(text)


def _is_believable(text: str) -> bool:
    """Whether a text decoded from GBK can be meant so."""
    characters = CHINESE.findall(text)
    known = [char for char in characters if _gb2312_row(char)]
    is_known = bool(known) and len(known) >= LEAST_KNOWN * len(characters)
    return is_known and _has_only_chinese(text) and _common_share(text) >= LEAST_COMMON


def _common_share(text: str) -> float:
    """The share of a text's Chinese characters that are of GB2312's first level."""
    characters = CHINESE.findall(text)
    common = [char for char in characters if _gb2312_row(char) in _FIRST_LEVEL]
    return len(common) / len(characters) if characters else 0.0


def _gb2312_row(char: str) -> int:
    """The first of a character's two bytes in GB2312; 0 where it is not in it."""
    return int.from_bytes(char.encode("gb2312", "ignore")[:1])
