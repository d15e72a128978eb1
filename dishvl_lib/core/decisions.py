"""What people decided about photos and names: CSV files to which rows are added and from which none
is removed, and the questions about names that they answer.
"""

import codecs
import csv
import io
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dishvl_lib.core import given_tables, locks, records, spreadsheets
from dishvl_lib.core.rules import suggestion
from dishvl_lib.core.types import AnyPath

PHOTO_COLUMNS = (
    "time",
    "image_id",
    "path",
    "dish_id",
    "decision",
    "answer",
    "predictor",
    "note",
    "right_dish",
)
# What a file of photo decisions that somebody wrote by hand must have.
PHOTO_COLUMNS_NEEDED = ("image_id", "decision")
LABEL_WRONG = "label wrong"
PHOTO_BAD = "photo bad"
OTHER_DISH = "other dish"  # the label is wrong, and `right_dish` says which one is right
PHOTO_DECISIONS = (LABEL_WRONG, PHOTO_BAD, "real confusion", OTHER_DISH)
TAKEN_BACK = ""  # the decision of a row after which the photo counts as undecided
NAME_COLUMNS = ("time", "folder", "name", "action", "note")
LEAVE_OUT = "leave_out"  # the folder is no dish
NAME_ACTIONS = ("name", "keep_apart", LEAVE_OUT)
# Of name_review.csv: a row is a question about one dish or two.
REVIEW_COLUMNS = ("dish_id", "name", "suspicion", "other_dish", "evidence", "n_images")
LOCK_PATIENCE = 20.0  # seconds; another process adds its rows in milliseconds
# Of this process: a file lock keeps out other processes only.
_one_writer = threading.RLock()
Row = Mapping[str, str]


def question(suspicion: str, other_dish: str = "") -> str:
    """What a decision notes as the question that it answers."""
    return f"{suspicion}: {other_dish}" if other_dish else suspicion


def latest(rows: Iterable[Row]) -> Row:
    """The row that counts of those about one thing: the last by time, of one time the last in the
    file.

    A spreadsheet may have sorted the file. Where a row has no time that can be read, as by hand,
    the order of the file counts.
    """
    ordered = list(rows)
    times = [moment(row.get("time", "")) for row in ordered]
    if None in times:
        return ordered[-1]
    place = max(range(len(ordered)), key=lambda number: (times[number], number))
    return ordered[place]


def moment(text: str) -> datetime | None:
    """The time that a row gives; None where it gives none that can be read."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


class AppendedFile:
    """The rows of a CSV file, and `append`, which adds to them.

    `needed`: the columns that a file which is there must have (all by default). A file that a
    person wrote, an earlier version began or a spreadsheet saved in its own way is brought into our
    form before the next row is added: its rows stay, columns that it lacks are added last, empty.
    Several processes may add at once: each waits for the other, and none overwrites what another
    has added. Raises `RecordError` when a needed column is missing.
    """

    def __init__(self, path: AnyPath, columns: Sequence[str], needed: Sequence[str] | None = None):
        self.path = Path(path)
        self.columns = tuple(columns)
        self.needed = self.columns if needed is None else tuple(needed)
        self._rows: list[dict[str, str]] = []
        self._read_at: tuple[int, int, int] | None = None
        self._read()

    @property
    def rows(self) -> list[dict[str, str]]:
        """The file's rows as it is now: other processes, and people, add to it too."""
        if self._state() != self._read_at:
            self._read()
        return self._rows

    def append(self, rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
        """Adds rows in one write, on the disk when this returns; `time` is filled in.

        Raises `RecordError` when the file cannot be read, or another process keeps it.
        """
        with _alone(self.path):
            time_now = self._time()
            added = [self._as_text({"time": time_now, **row}) for row in rows]
            self._bring_into_form()
            _append(self.path, self.columns, added)
        return added

    def last(self, column: str, value: str) -> dict[str, str] | None:
        """The last row with this value in a column, or None."""
        return next((row for row in reversed(self.rows) if row[column] == value), None)

    def _time(self) -> str:
        """Now, but never before a row that is there: clocks differ, and the last row counts."""
        times = [datetime.now(UTC)]
        times += filter(None, (moment(row["time"]) for row in self.rows))
        return max(times).astimezone(UTC).isoformat(timespec="seconds")

    def _bring_into_form(self) -> None:
        """The file is looked at anew each time: it may have been saved by something else since."""
        if self._state() is None or given_tables.is_ours(self.path, self.columns):
            return
        table = given_tables.read(self.path, self.needed)
        lacking = [name for name in self.columns if name not in table.columns]
        records.write_table(self.path, table.assign(**dict.fromkeys(lacking, "")))

    def _state(self) -> tuple[int, int, int] | None:
        """What differs after any change of the file; None without a file that holds something."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None

    def _read(self) -> None:
        self._rows = []
        self._read_at = self._state()
        if self._read_at is not None:
            table = given_tables.read(self.path, self.needed)
            blank = dict.fromkeys(self.columns, "")
            self._rows = [blank | row for row in table.to_dict("records")]

    def _as_text(self, row: Mapping[str, object]) -> dict[str, str]:
        values = {name: row.get(name) for name in self.columns}
        return {name: "" if value is None else str(value) for name, value in values.items()}


class PhotoDecisions(AppendedFile):
    """Decisions about photos, with PHOTO_COLUMNS; a file written by hand needs image_id and
    decision only.
    """

    def __init__(self, path: AnyPath):
        super().__init__(path, PHOTO_COLUMNS, PHOTO_COLUMNS_NEEDED)

    def latest(self, image_id: str) -> dict[str, str] | None:
        """The decision about a photo that counts, as a row; None where there is none, or it was
        taken back.
        """
        about_photo = [row for row in self.rows if row["image_id"] == image_id]
        row = latest(about_photo) if about_photo else None
        return dict(row) if row and row["decision"] != TAKEN_BACK else None

    def add(self, decision: str, **fields: object) -> dict[str, str]:
        """Appends one row; fields are those of PHOTO_COLUMNS. Errors as in `add_all`."""
        return self.add_all(decision, [fields])[0]

    def add_all(
        self, decision: str, photos: Iterable[Mapping[str, object]]
    ) -> list[dict[str, str]]:
        """Appends a row for each of some photos, all of them in one write. Raises ValueError for an
        unknown decision, and for `other dish` without a right_dish.
        """
        if decision not in PHOTO_DECISIONS:
            raise ValueError(
                f"decision must be one of {', '.join(PHOTO_DECISIONS)}, got {decision!r}"
            )
        rows = [{"decision": decision, **fields} for fields in photos]
        for row in rows:
            if decision == OTHER_DISH and not str(row.get("right_dish") or "").strip():
                raise ValueError(f"{OTHER_DISH} needs a right_dish: the dish that the photo shows")
        return self.append(rows)

    def take_back(self, **fields: object) -> dict[str, str]:
        """Appends a row after which a photo counts as undecided; what was decided stays in the
        file.
        """
        return self.append([{**fields, "decision": TAKEN_BACK}])[0]


class NameDecisions(AppendedFile):
    """Decisions about folders, with NAME_COLUMNS; a file written by hand needs folder and name
    only.

    folders: those that there are, of which alone something is decided; None for any.
    """

    def __init__(self, path: AnyPath, folders: Collection[str] | None = None):
        super().__init__(path, NAME_COLUMNS, ("folder", "name"))
        self.folders = folders

    def latest(self, folder: str) -> dict[str, str] | None:
        """The last decision about a folder, as a row, or None."""
        return self.last("folder", folder)

    def add(self, action: str, named: Mapping[str, str], note: str = "") -> list[dict[str, str]]:
        """Appends a row for each of `named` {folder: name}. Raises ValueError for an unknown
        action, a folder that is not there, or a missing name unless the folders are left out.
        """
        if action not in NAME_ACTIONS:
            raise ValueError(f"action must be one of {', '.join(NAME_ACTIONS)}, got {action!r}")
        for folder in named:
            if self.folders is not None and folder not in self.folders:
                raise ValueError(f"there is no folder {folder!r}{suggestion(folder, self.folders)}")
        nameless = [folder for folder, name in named.items() if not name.strip()]
        if nameless and action != LEAVE_OUT:
            raise ValueError(f"folder {nameless[0]} needs a name")
        return self.append(
            {"folder": folder, "name": name, "action": action, "note": note}
            for folder, name in named.items()
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other thread or process that keeps to this brings into form or adds to the file."""
    lock = path.with_name(f".{path.name}.lock")
    end = time.monotonic() + LOCK_PATIENCE
    with _one_writer:
        while not _taken(lock):
            if time.monotonic() > end:
                holder = locks.holder(lock) or "another process"
                raise records.RecordError(
                    f"{path} is kept by {holder}; nothing was written, decide again when it has "
                    "ended"
                )
        try:
            yield
        finally:
            locks.release(lock)


def _taken(lock: Path) -> bool:
    try:
        locks.take(lock, "decisions")
    except locks.LockedError:
        return False
    return True


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
