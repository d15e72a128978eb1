"""What a person decided about photos: a CSV file to which one row is added at a time and from which none is removed."""

import csv
import io
import os
from datetime import UTC, datetime
from pathlib import Path

from dishvl_lib.core import records

COLUMNS = ("time", "image_id", "path", "dish_id", "decision", "answer", "predictor", "note")
DECISIONS = ("label wrong", "photo bad", "real confusion")


class DecisionFile:
    """The rows of one decisions file with COLUMNS, read at the start and added to by `add`.

    Raises `RecordError` when the file is there but lacks one of the columns.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        filled = self.path.exists() and self.path.stat().st_size > 0
        self.rows: list[dict] = records.read_table(self.path, COLUMNS).fillna("").to_dict("records") if filled else []

    def latest(self, image_id: str) -> dict | None:
        """The last decision about a photo, as a row, or None."""
        return next((row for row in reversed(self.rows) if row["image_id"] == image_id), None)

    def add(self, decision: str, **fields: object) -> dict:
        """Appends one row, on the disk when this returns; fields are those of COLUMNS. Raises ValueError for an unknown decision."""
        if decision not in DECISIONS:
            raise ValueError(f"decision must be one of {', '.join(DECISIONS)}, got {decision!r}")
        fields = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "decision": decision, **fields}
        row = {name: "" if fields.get(name) is None else str(fields[name]) for name in COLUMNS}
        _append(self.path, row)
        self.rows.append(row)
        return row


def _append(path: Path, row: dict) -> None:
    """One write at the file's end, after its header if it is new, and after a line break if the last row lacks one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        writer = csv.DictWriter(text, _columns(file) if end else COLUMNS, restval="", lineterminator="\n")
        if end == 0:
            writer.writeheader()
        elif _last_byte(file, end) != b"\n":
            text.write("\n")
        writer.writerow(row)
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
