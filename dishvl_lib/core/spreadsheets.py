"""What a CSV file needs so that a spreadsheet opens it right and hands every value back: a byte
order mark, and a guard before text that would become a formula.
"""

import re
from typing import Any

import pandas as pd

# Without the mark, Excel reads UTF-8 as the system's own code page: Chinese becomes noise.
ENCODING = "utf-8-sig"
GUARD = "'"
# What spreadsheets take for a formula's beginning, half and full width. Apostrophes before it are
# doubled by the guard, so that a value which begins with one comes back too.
_FORMULA = re.compile("'*[=+@＝＋＠－-]")
_GUARDED = re.compile("'+[=+@＝＋＠－-]")


def guarded(value: Any) -> Any:
    """The value as it is written: text that looks like a formula behind an apostrophe; numbers
    never.
    """
    if isinstance(value, str) and _FORMULA.match(value):
        return GUARD + value
    return value


def unguarded(text: str) -> str:
    """The value that was written: `guarded` undone."""
    return text[len(GUARD) :] if _GUARDED.match(text) else text


def guarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """A copy whose text cells are guarded, in its headings too."""
    safe = table.rename(columns=guarded)
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(guarded)
    return safe


def unguarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table of text as it was before `guarded_table`."""
    return table.rename(columns=unguarded).map(unguarded)
