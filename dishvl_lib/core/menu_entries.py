"""Menus as people write them: what the model reads of an entry, beside the entry as it is
written.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dishvl_lib.core import given_tables, name_trimmings, names
from dishvl_lib.core.records import RecordError
from dishvl_lib.core.types import AnyPath

_ONE_LINE = re.compile(r"[、，,;；\t]")


def dish_names(entries: Sequence[str]) -> list[str]:
    """What the model reads of each entry: cleaned, without numbering and price.

    Entries that differ in their numbers alone (酸奶 200, 酸奶 400) keep them. Nothing is checked.
    """
    cleaned = [names.clean(name_trimmings.numbered(entry)) for entry in entries]
    trimmed = [name_trimmings.of_menu(entry) for entry in cleaned]
    written: dict[str, set[str]] = {name: set() for name in trimmed}
    for name, entry in zip(trimmed, cleaned, strict=True):
        written[name].add(entry)
    names_of_entries = []
    for name, entry in zip(trimmed, cleaned, strict=True):
        is_shared = len(written[name]) > 1
        names_of_entries.append(entry if is_shared else name)
    return names_of_entries


def read(file: AnyPath) -> list[str]:
    """The entries of a menu as they are written: a table with a column of names, an entry a line,
    or one line of entries.

    Raises `RecordError` for what is no text and no table.
    """
    file = Path(file)
    try:
        column = given_tables.read(file, ["name"])["name"]
        return [entry for entry in column if entry.strip()]
    except RecordError:
        if given_tables.is_workbook(file):
            raise
    return of_text(given_tables.decoded(given_tables.content(file), file))


def of_text(text: str) -> list[str]:
    """The entries of a menu that is text, as they are written: an entry a line, or one line of
    entries.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return lines
    entries = [entry.strip() for entry in _ONE_LINE.split(lines[0])]
    return [entry for entry in entries if entry]
