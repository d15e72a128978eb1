"""The names that people give: `names_csv` (folder, name) and the decisions file of a run,
decisions/names.csv.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dishvl_lib.core import given_tables, names, records
from dishvl_lib.core.decisions import LEAVE_OUT, NAME_ACTIONS
from dishvl_lib.core.types import AnyPath

ACTIONS = ("", *NAME_ACTIONS)


@dataclass(frozen=True)
class Given:
    """What people said about folders.

    `listed`, `decided`: {folder: name} of names_csv and of the decisions; `apart`: {folder: note}
    where the last decision keeps the folder's dish apart; `answered`: (folder, note) of all
    decisions, whose notes are the questions they answered.
    """

    listed: dict[str, str] = field(default_factory=dict)
    decided: dict[str, str] = field(default_factory=dict)
    apart: dict[str, str] = field(default_factory=dict)
    answered: frozenset[tuple[str, str]] = frozenset()

    def has_answer(self, folders: Iterable[str], question: str) -> bool:
        """True when a decision about one of the folders notes `question`."""
        return any((folder, question) in self.answered for folder in folders)


def read(
    names_csv: AnyPath = "",
    decisions: AnyPath | None = None,
    folders: Iterable[str] | None = None,
) -> Given:
    """Both files; a decisions file that is not there yet is empty.

    `folders`: those of the catalogue, by which rows are understood that spell one otherwise
    (`names.matching`); None takes all rows as they are. Raises `RecordError` for a names_csv that
    is missing, a missing column or an unknown action.
    """
    folders = None if folders is None else set(folders)
    rows = _meant(_decisions(decisions), folders)
    decided = {}
    apart = {}
    for row in rows.drop_duplicates("folder", keep="last").itertuples():
        if row.name and row.action != LEAVE_OUT:
            decided[row.folder] = row.name
        if row.action == "keep_apart":
            apart[row.folder] = row.note
    listed = _last_names(_meant(_names(names_csv), folders))
    answered = frozenset(zip(rows.folder, rows.note, strict=True))
    return Given(listed, decided, apart, answered)


def read_names(path: AnyPath | None) -> dict[str, str]:
    """{folder: name} from a table with these two columns; {} for no file given. The last row of a
    folder counts, an empty name is none.
    """
    return _last_names(_names(path))


def left_out(decisions: AnyPath, folders: Iterable[str]) -> set[str]:
    """The folders whose last decision is that they are no dish."""
    rows = _meant(_decisions(decisions), folders)
    last = rows.drop_duplicates("folder", keep="last")
    return set(last.folder[last.action == LEAVE_OUT])


def unmatched(
    folders: Iterable[str], names_csv: AnyPath = "", decisions: AnyPath | None = None
) -> list[str]:
    """A sentence for each of the two files that has rows about folders which are not there."""
    there = set(folders)
    sentences = []
    decided = _decisions(decisions)
    # The photos of a folder that was decided to be no dish are gone for a reason.
    kept = decided[decided.action != LEAVE_OUT]
    for what, table in ((f"names_csv {names_csv}", _names(names_csv)), (f"{decisions}", kept)):
        if clause := given_tables.unmatched(table, "folder", there):
            sentences.append(f"{what}: {clause}")
    return sentences


def _meant(table: pd.DataFrame, folders: Iterable[str] | None) -> pd.DataFrame:
    """The rows under the folders that they mean."""
    if folders is None:
        return table
    meant = names.matching(table.folder, folders)
    renamed = [meant.get(folder, folder) for folder in table.folder]
    return table.assign(folder=renamed)


def _last_names(table: pd.DataFrame) -> dict[str, str]:
    last = dict(zip(table.folder, table.name, strict=True))
    return {folder: name for folder, name in last.items() if name}


def _names(path: AnyPath | None) -> pd.DataFrame:
    if not path:
        return pd.DataFrame(columns=["folder", "name"])
    table = given_tables.read(path, ["folder", "name"])
    return table.assign(name=table["name"].map(names.clean))


def _decisions(path: AnyPath | None) -> pd.DataFrame:
    if not path or not Path(path).exists():
        return pd.DataFrame(columns=["folder", "name", "action", "note"])
    written = given_tables.read(path, ["folder", "name"])
    # A file that people wrote by hand may do without these two.
    table = pd.DataFrame({"action": "", "note": ""}, index=written.index)
    table = table.assign(**dict(written.items()))
    table["action"] = table["action"].str.strip()
    for line, row in table.iterrows():
        if row["action"] not in ACTIONS:
            raise records.RecordError(
                f"{path}, line {line} ({row['folder']}): action {row['action']!r} is "
                "unknown; use name, keep_apart, leave_out or nothing"
            )
    return table.assign(name=table["name"].map(names.clean))
