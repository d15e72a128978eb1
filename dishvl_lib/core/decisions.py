"""What people decided about photos and names: CSV files to which rows are added and from which none
is removed, and the questions about names that they answer.
"""

import codecs
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dishvl_lib.core import given_tables, records, spreadsheets

PHOTO_COLUMNS = ("time", "image_id", "path", "dish_id", "decision", "answer", "predictor", "note")
PHOTO_DECISIONS = ("label wrong", "photo bad", "real confusion")
NAME_COLUMNS = ("time", "folder", "name", "action", "note")
LEAVE_OUT = "leave_out"  # the folder is no dish
NAME_ACTIONS = ("name", "keep_apart", LEAVE_OUT)
# Of name_review.csv: a row is a question about one dish or two.
REVIEW_COLUMNS = ("dish_id", "name", "suspicion", "other_dish", "evidence", "n_images")


def question(suspicion: str, other_dish: str = "") -> str:
    """What a decision notes as the question that it answers."""
    return f"{suspicion}: {other_dish}" if other_dish else suspicion


class AppendedFile:
    """The rows of a CSV file, read at the start and added to by `append`.

    `needed`: the columns that a file which is there must have (all by default). A file that a
    person wrote, or a spreadsheet saved in its own way, is brought into our form before the first
    row is added: its rows stay, columns that it lacks are added, empty. Raises `RecordError` when a
    needed one is missing.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], needed: Sequence[str] | None = None
    ):
        self.path = Path(path)
        self.columns = tuple(columns)
        self.is_ours = True
        self.rows: list[dict[str, str]] = []
        if self.path.exists() and self.path.stat().st_size > 0:
            self._read(columns if needed is None else needed)

    def append(self, rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
        """Adds rows in one write, on the disk when this returns; `time` is filled in."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        added = [self._as_text({"time": time, **row}) for row in rows]
        if not self.is_ours:
            table = given_tables.read(self.path)
            lacking = [name for name in self.columns if name not in table.columns]
            records.write_table(self.path, table.assign(**dict.fromkeys(lacking, "")))
            self.is_ours = True
        _append(self.path, self.columns, added)
        self.rows += added
        return added

    def last(self, column: str, value: str) -> dict[str, str] | None:
        """The last row with this value in a column, or None."""
        return next((row for row in reversed(self.rows) if row[column] == value), None)

    def _read(self, needed: Sequence[str]) -> None:
        table = given_tables.read(self.path, needed)
        self.is_ours = given_tables.is_ours(self.path, self.columns)
        blank = dict.fromkeys(self.columns, "")
        self.rows = [blank | row for row in table.to_dict("records")]

    def _as_text(self, row: Mapping[str, object]) -> dict[str, str]:
        values = {name: row.get(name) for name in self.columns}
        return {name: "" if value is None else str(value) for name, value in values.items()}


class PhotoDecisions(AppendedFile):
    """Decisions about photos, with PHOTO_COLUMNS."""

    def __init__(self, path: str | Path):
        super().__init__(path, PHOTO_COLUMNS)

    def latest(self, image_id: str) -> dict[str, str] | None:
        """The last decision about a photo, as a row, or None."""
        return self.last("image_id", image_id)

    def add(self, decision: str, **fields: object) -> dict[str, str]:
        """Appends one row; fields are those of PHOTO_COLUMNS. Raises ValueError for an unknown
        decision.
        """
        if decision not in PHOTO_DECISIONS:
            raise ValueError(
                f"decision must be one of {', '.join(PHOTO_DECISIONS)}, got {decision!r}"
            )
        return self.append([{"decision": decision, **fields}])[0]


class NameDecisions(AppendedFile):
    """Decisions about folders, with NAME_COLUMNS; a file written by hand needs folder and name
    only.
    """

    def __init__(self, path: str | Path):
        super().__init__(path, NAME_COLUMNS, ("folder", "name"))

    def latest(self, folder: str) -> dict[str, str] | None:
        """The last decision about a folder, as a row, or None."""
        return self.last("folder", folder)

    def add(self, action: str, named: Mapping[str, str], note: str = "") -> list[dict[str, str]]:
        """Appends a row for each of `named` {folder: name}. Raises ValueError for an unknown
        action, or a missing name unless the folders are left out.
        """
        if action not in NAME_ACTIONS:
            raise ValueError(f"action must be one of {', '.join(NAME_ACTIONS)}, got {action!r}")
        nameless = [folder for folder, name in named.items() if not name.strip()]
        if nameless and action != LEAVE_OUT:
            raise ValueError(f"folder {nameless[0]} needs a name")
        return self.append(
            {"folder": folder, "name": name, "action": action, "note": note}
            for folder, name in named.items()
        )


def _append(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """One write at the file's end, after its header if it is new, and after a line break if the
    last row lacks one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        columns = _columns(file) if end else columns
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        if end == 0:
            file.write(codecs.BOM_UTF8)
            writer.writeheader()
        elif _last_byte(file, end) != b"\n":
            text.write("\n")
        for row in rows:
            writer.writerow({name: spreadsheets.guarded(value) for name, value in row.items()})
        file.write(text.getvalue().encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _columns(file: io.BufferedRandom) -> list[str]:
    """The file's own order of columns, which may hold more than ours."""
    file.seek(0)
    return next(csv.reader([file.readline().decode(spreadsheets.ENCODING)]))


def _last_byte(file: io.BufferedRandom, end: int) -> bytes:
    file.seek(end - 1)
    return file.read(1)
