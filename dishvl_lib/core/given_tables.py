"""Tables that people made: CSV as any spreadsheet or editor saves it, and .xlsx.

Encoding (UTF-8 with or without a byte order mark, UTF-16, GB18030), separator (comma, semicolon,
tab) and the language of the headings are recognised; what comes out is a table of text under our
headings, whose index is the line of each row as an editor counts them.
"""

import codecs
import csv
import datetime
import io
import math
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.core import names, spreadsheets
from dishvl_lib.core.records import RecordError, require_columns
from dishvl_lib.core.types import AnyPath

# What people write over the columns that we read. Compared without case, spaces, - and _.
HEADINGS = {
    "folder": ("文件夹", "文件夹名", "文件夹名称", "目录", "目录名", "directory", "dir"),
    "name": ("菜名", "菜品", "菜品名", "菜品名称", "品名", "名称", "名字", "dish name"),
    "path": (
        *("路径", "图片路径", "照片路径", "文件路径", "图片", "照片", "文件", "文件名"),
        *("file", "filename", "file path", "image", "image path", "photo"),
    ),
    "label": ("标签", "类别", "分类", "class", "category", "菜名", "菜品", "菜品名称", "dish"),
    "split": ("划分", "数据集", "数据集划分", "子集", "set", "subset"),
    "action": ("操作", "动作", "处理"),
    "decision": ("决定", "判断"),
    "right_dish": ("正确的菜", "正确菜名", "正确菜品"),
    "note": ("备注", "说明"),
    "price": ("价格", "单价", "售价"),
}
SEPARATORS = (",", ";", "\t", "，", "；")
SEPARATOR_LINE = "sep="
XLSX_MAGIC = b"PK\x03\x04"
OLD_EXCEL_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
EXCEL_EXTRA = "pip install 'dishvl[excel]' (or openpyxl) reads it, or save it as CSV UTF-8"
MOST_SHOWN = 5
Row = tuple[int, list[str]]  # line (from 1) and cells


def read(path: AnyPath, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A table of text that must hold `columns`; other columns keep their own headings.

    The index is the line in the file (of a workbook: the row of its first sheet with these
    headings). Rows without any text are passed over. Raises `RecordError` for a file that is
    missing or no table, a missing column, and a row with more values than there are headings.
    """
    path = Path(path)
    columns = tuple(columns)
    stored = content(path)
    if stored.startswith(XLSX_MAGIC):
        sheets = _sheets(stored, path)
    else:
        text = decoded(stored, path)
        separator = _separator(text, columns)
        sheets = [_rows(text, separator, path)]
    if not any(sheets):
        raise RecordError(f"{path} cannot be read as a table (it is empty)")
    tables = [_table(rows, columns, path) for rows in sheets if rows]
    needed = set(columns)
    fitting = (table for table in tables if needed <= set(table.columns))
    table = next(fitting, tables[0])
    what = _with_words(path, columns)
    return require_columns(table, columns, what)


def unmatched(table: pd.DataFrame, column: str, there: Iterable[str]) -> str:
    """A clause about the rows whose `column` names nothing of `there`: how many, and the first; ''
    when there are none. Names are matched as `names.matching` does; empty ones name nothing.
    """
    is_written = table[column].str.strip() != ""
    written = table.loc[is_written, column]
    is_there = written.isin(names.matching(written, there))
    lost = written[~is_there]
    n = len(lost)
    if n == 0:
        return ""
    first = lost.head(MOST_SHOWN)
    shown = [f"line {line} {name!r}" for line, name in first.items()]
    rest = ", ..." if n > MOST_SHOWN else ""
    what = "rows name" if n > 1 else "row names"
    return f"{n} {what} no {column} that is there: {', '.join(shown)}{rest}"


def prices(path: AnyPath) -> dict[str, float]:
    """{name: price} of a table with the columns name and price; a dish without a price is not in it.

    Raises `RecordError` as `read`, and for a price that is no number or two of one dish.
    """
    price_of: dict[str, float] = {}
    for line, row in read(path, ("name", "price")).iterrows():
        name = names.clean(row["name"])
        written = row["price"].strip()
        if not name or not written:
            continue
        price = _price(written)
        if not 0 <= price < math.inf:
            raise RecordError(f"{path}, line {line}: {written!r} is no price; write a number")
        if price_of.setdefault(name, price) != price:
            raise RecordError(f"{path}, line {line}: {name} has another price above; take one out")
    return price_of


def _price(written: str) -> float:
    """NaN for what is no number."""
    try:
        return float(written)
    except ValueError:
        return math.nan


def decoded(content: bytes, path: Path) -> str:
    """Text in whatever encoding a spreadsheet or editor saved it. Raises `RecordError`."""
    if content.startswith(OLD_EXCEL_MAGIC):
        raise RecordError(f"{path} is an Excel workbook of the old kind; save it as CSV UTF-8")
    encoding = _encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8-sig" or _mostly_utf8(content):
            raise RecordError(f"{path} {_bad_line(content, encoding)}") from None
    try:
        return content.decode("gb18030")
    except UnicodeDecodeError:
        raise RecordError(f"{path} {_bad_line(content, encoding)}") from None


def is_ours(path: AnyPath, columns: Sequence[str]) -> bool:
    """Whether a CSV is in the form that we write, so that rows can be added to its end."""
    try:
        with open(path, encoding=spreadsheets.ENCODING, newline="") as file:
            heading = next(csv.reader([file.readline()]), [])
            file.read()
    except (UnicodeDecodeError, csv.Error):
        return False
    return set(columns) <= set(heading)


def is_workbook(path: Path) -> bool:
    """Whether a file is one of Excel's, of any kind."""
    return content(path).startswith((XLSX_MAGIC, OLD_EXCEL_MAGIC))


def content(path: Path) -> bytes:
    """The bytes of a file. Raises `RecordError` where there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{path} is missing") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read as a table ({error.strerror})") from None


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    beginning = content[:4000]
    if b"\0" not in beginning:
        return "utf-8-sig"
    # Latin characters, which separators and line ends are, have one zero byte each in UTF-16.
    high_bytes = beginning[0::2]
    low_bytes = beginning[1::2]
    return "utf-16-be" if high_bytes.count(0) > low_bytes.count(0) else "utf-16-le"


def _mostly_utf8(content: bytes) -> bool:
    """Whether a file that is not UTF-8 throughout was meant to be: then GB18030 would read
    noise.
    """
    lines = [line for line in content.splitlines() if not line.isascii()]
    valid = sum(_is_utf8(line) for line in lines)
    return valid > len(lines) - valid


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _bad_line(content: bytes, encoding: str) -> str:
    remedy = "save it as CSV UTF-8"
    if encoding.startswith("utf-16"):
        return f"cannot be read as a table (its UTF-16 is damaged); {remedy}"
    lines = enumerate(content.splitlines(), start=1)
    bad = next(number for number, line in lines if not _is_utf8(line))
    return f"cannot be read as a table (line {bad} is neither UTF-8 nor GB18030); {remedy}"


def _separator(text: str, columns: Sequence[str]) -> str:
    """The separator under which the heading holds most of what we look for, then most cells."""
    lines = [line for line in text.splitlines() if line.strip()]
    heading = lines[0] if lines else ""
    if _names_separator(heading):
        separator = heading[len(SEPARATOR_LINE) :].strip("\r\n")
        return separator or "\t"

    def fit(separator: str) -> tuple[int, int]:
        reader = csv.reader([heading], delimiter=separator)
        cells = next(reader, [])
        named = {_column(cell, columns) for cell in cells}
        known = named & {*columns, *HEADINGS}
        return len(known), len(cells)

    return max(SEPARATORS, key=fit)


def _rows(text: str, separator: str, path: Path) -> list[Row]:
    """The rows that hold text, with the line that each begins on."""
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=separator)
    rows = []
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise RecordError(
            f"{path}, line {begins} cannot be read as a table ({error}); save it as CSV UTF-8"
        ) from None
    first_cell = rows[0][1][0] if rows else ""
    return rows[1:] if _names_separator(first_cell) else rows


def _names_separator(text: str) -> bool:
    """Whether a first line is Excel's own, sep=;."""
    return text.lower().startswith(SEPARATOR_LINE)


def _sheets(content: bytes, path: Path) -> list[list[Row]]:
    """The rows of each sheet of a workbook."""
    try:
        import openpyxl
    except ImportError:
        raise RecordError(f"{path} is an Excel workbook; {EXCEL_EXTRA}") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = []
        for sheet in book.worksheets:
            values = sheet.iter_rows(values_only=True)
            sheets.append(_sheet_rows(values))
        return sheets
    # openpyxl lets many kinds of error out of a damaged workbook.
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(
            f"{path} cannot be read as an Excel workbook ({reason}); save it as CSV UTF-8"
        ) from None


def _sheet_rows(rows: Iterable[Sequence[Any]]) -> list[Row]:
    texts: list[Row] = []
    for number, row in enumerate(rows, start=1):
        cells = [_cell(value) for value in row]
        if any(cell.strip() for cell in cells):
            texts.append((number, cells))
    return texts


def _cell(value: Any) -> str:
    """A workbook's cell as text: whole numbers without the .0 that spreadsheets store."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        # Excel stores a day as its midnight.
        is_day = value.time() == datetime.time()
        return value.date().isoformat() if is_day else value.isoformat()
    return str(value)


def _table(rows: Sequence[Row], columns: Sequence[str], path: Path) -> pd.DataFrame:
    _, heading = rows[0]
    written = list(map(spreadsheets.unguarded, heading))
    headings = _named(written, columns)
    counts = Counter(filter(None, headings))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise RecordError(f"{path} has two columns headed {twice[0]!r}; take one out")
    body = []
    width = len(headings)
    lines = []
    for line, cells in rows[1:]:
        beyond = cells[width:]
        if any(cell.strip() for cell in beyond):
            raise RecordError(
                f"{path}, line {line} has {len(cells)} values under {width} headings; put a "
                "value that holds the separator in quotes"
            )
        n_lacking = width - len(cells)
        blanks = [""] * n_lacking
        texts = list(map(spreadsheets.unguarded, cells[:width]))
        body.append(texts + blanks)
        lines.append(line)
    index = pd.Index(lines, name="line")
    table = pd.DataFrame(body, columns=headings, index=index, dtype=str)
    # Spreadsheets write separators after the last column that was ever used: headings of nothing.
    is_headed = list(map(bool, headings))
    return table.loc[:, is_headed]


def _named(heading: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Our column for each heading, or the heading itself; each of ours once, an exact one first."""
    taken = {cell.strip() for cell in heading} & set(HEADINGS)
    headings = []
    for cell in heading:
        name = cell.strip()
        if name not in HEADINGS:
            name = _column(cell, columns, taken)
        taken.add(name)
        headings.append(name)
    return headings


def _column(heading: str, columns: Sequence[str], taken: Iterable[str] = ()) -> str:
    """The column that a heading means and that is not taken yet, of the needed ones first;
    otherwise the heading.
    """
    plain = _plain(heading)
    for column in dict.fromkeys((*columns, *HEADINGS)):
        spellings = (column, *HEADINGS.get(column, ()))
        if column not in taken and plain in map(_plain, spellings):
            return column
    return heading.strip()


def _plain(heading: str) -> str:
    text = unicodedata.normalize("NFKC", heading).casefold()
    return "".join(char for char in text if char not in " _-\ufeff\u3000\t")


def _with_words(path: Path, columns: Iterable[str]) -> str:
    """The file, with the Chinese headings that do as well, for a message about a missing one."""
    words = [f"{column} ({HEADINGS[column][0]})" for column in columns if column in HEADINGS]
    return f"{path} needs the headings {', '.join(words)}" if words else str(path)
