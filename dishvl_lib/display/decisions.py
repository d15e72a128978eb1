"""What people decided about photos and names: CSV files to which rows are added and from which none
is removed.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dishvl_lib.core import records

COLUMNS = ("time", "image_id", "path", "dish_id", "decision", "answer", "predictor", "note")
DECISIONS = ("label wrong", "photo bad", "real confusion")
NAME_COLUMNS = ("time", "folder", "name", "action", "note")
ACTIONS = ("name", "keep_apart", "leave_out")


class AppendedFile:
    """The rows of a CSV file, read at the start and added to by `append`.

    `needed`: the columns that a file which is there must have (all by default). Columns that a
    hand-written file lacks are added to it, empty, before the first row is. Raises `RecordError`
    when a needed one is missing.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], needed: Sequence[str] | None = None
    ):
        self.path = Path(path)
        self.columns = tuple(columns)
        filled = self.path.exists() and self.path.stat().st_size > 0
        table = (
            records.read_table(self.path, columns if needed is None else needed).fillna("")
            if filled
            else None
        )
        self.lacking = (
            [] if table is None else [name for name in columns if name not in table.columns]
        )
        self.rows: list[dict] = (
            []
            if table is None
            else [dict.fromkeys(columns, "") | row for row in table.to_dict("records")]
        )

    def append(self, rows: Iterable[Mapping[str, object]]) -> list[dict]:
        """Adds rows in one write, on the disk when this returns; `time` is filled in."""
        now = {"time": datetime.now(UTC).isoformat(timespec="seconds")}
        added = [
            {
                name: "" if value is None else str(value)
                for name in self.columns
                for value in [(now | dict(row)).get(name)]
            }
            for row in rows
        ]
        if self.lacking:
            records.write_table(
                self.path, records.read_table(self.path).assign(**dict.fromkeys(self.lacking, ""))
            )
            self.lacking = []
        _append(self.path, self.columns, added)
        self.rows += added
        return added


class DecisionFile(AppendedFile):
    """Decisions about photos, with COLUMNS."""

    def __init__(self, path: str | Path):
        super().__init__(path, COLUMNS)

    def latest(self, image_id: str) -> dict | None:
        """The last decision about a photo, as a row, or None."""
        return next((row for row in reversed(self.rows) if row["image_id"] == image_id), None)

    def add(self, decision: str, **fields: object) -> dict:
        """Appends one row; fields are those of COLUMNS. Raises ValueError for an unknown decision."""
        if decision not in DECISIONS:
            raise ValueError(f"decision must be one of {', '.join(DECISIONS)}, got {decision!r}")
        return self.append([{"decision": decision, **fields}])[0]


class NameFile(AppendedFile):
    """Decisions about folders, with NAME_COLUMNS; a file written by hand needs folder and name
    only.
    """

    def __init__(self, path: str | Path):
        super().__init__(path, NAME_COLUMNS, ("folder", "name"))

    def latest(self, folder: str) -> dict | None:
        """The last decision about a folder, as a row, or None."""
        return next((row for row in reversed(self.rows) if row["folder"] == folder), None)

    def add(self, action: str, named: Mapping[str, str], note: str = "") -> list[dict]:
        """Appends a row for each of `named` {folder: name}. Raises ValueError for an unknown
        action, or a missing name unless the folders are left out.
        """
        if action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {action!r}")
        if nameless := [
            folder for folder, name in named.items() if action != "leave_out" and not name.strip()
        ]:
            raise ValueError(f"folder {nameless[0]} needs a name")
        return self.append(
            {"folder": folder, "name": name, "action": action, "note": note}
            for folder, name in named.items()
        )


def _append(path: Path, columns: Sequence[str], rows: Iterable[dict]) -> None:
    """One write at the file's end, after its header if it is new, and after a line break if the
    last row lacks one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        writer = csv.DictWriter(
            text, _columns(file) if end else columns, restval="", lineterminator="\n"
        )
        if end == 0:
            writer.writeheader()
        elif _last_byte(file, end) != b"\n":
            text.write("\n")
        writer.writerows(rows)
        file.write(text.getvalue().encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _columns(file: io.BufferedRandom) -> list[str]:
    """The file's own order of columns, which may hold more than ours."""
    file.seek(0)
    return next(csv.reader([file.readline().decode("utf-8-sig")]))


def _last_byte(file: io.BufferedRandom, end: int) -> bytes:
    file.seek(end - 1)
    return file.read(1)
