"""The names that people give: `names_csv` (folder, name) and the decisions file of a run,
decisions/names.csv.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dishvl_lib.core import names, records
from dishvl_lib.core.decisions import NAME_ACTIONS

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


def read(names_csv: str | Path = "", decisions: str | Path | None = None) -> Given:
    """Both files; a decisions file that is not there yet is empty. Raises `RecordError` for a
    names_csv that is missing, a missing column or an unknown action.
    """
    rows = _decisions(decisions)
    last = {row["folder"]: row for row in rows}
    decided = {
        folder: row["name"]
        for folder, row in last.items()
        if row["name"] and row["action"] != "leave_out"
    }
    apart = {folder: row["note"] for folder, row in last.items() if row["action"] == "keep_apart"}
    return Given(
        read_names(names_csv),
        decided,
        apart,
        frozenset((row["folder"], row["note"]) for row in rows),
    )


def read_names(path: str | Path | None) -> dict[str, str]:
    """{folder: name} from a CSV with these two columns; {} for no file given. The last row of a
    folder counts, an empty name is none.
    """
    if not path:
        return {}
    table = records.read_table(path, ["folder", "name"])
    last = {
        folder: names.clean(name)
        for folder, name in zip(table["folder"], table["name"], strict=True)
    }
    return {folder: name for folder, name in last.items() if name}


def _decisions(path: str | Path | None) -> list[dict[str, str]]:
    if not path or not Path(path).exists():
        return []
    table = records.read_table(path, ["folder", "name"])
    rows = [
        {"action": "", "note": "", **row, "name": names.clean(row["name"])}
        for row in table.to_dict("records")
    ]
    for number, row in enumerate(rows, start=1):
        if row["action"] not in ACTIONS:
            raise records.RecordError(
                f"{path}, row {number} ({row['folder']}): action {row['action']!r} is "
                "unknown; use name, keep_apart, leave_out or nothing"
            )
    return rows
