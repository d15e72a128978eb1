"""Files between stages: JSON, JSON lines, CSV and Parquet, written whole or not at all, with
checked columns.
"""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from dishvl_lib.core import spreadsheets
from dishvl_lib.core.types import AnyPath

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PART = re.compile(r"\..*\.[0-9a-f]{8}\.part(\..*)?")


class RecordError(ValueError):
    """A file between stages that is missing, malformed or lacks a column."""


@contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it is fsynced and renamed, otherwise
    removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:40]}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        with naming_full_disk(path):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming_full_disk(path: AnyPath) -> Iterator[None]:
    """Turn what the system says of a full disk (or quota) into an OSError that names the file, its
    disk and the remedy.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE or getattr(error, "named", False):
            raise
        named = OSError(error.errno, _no_space(Path(path), error))
        named.named = True  # type: ignore[attr-defined]  # an outer block must not name it again
        raise named from None


def sweep_parts(folder: Path) -> list[Path]:
    """Delete what killed writers left in a folder under the names that `atomic_path` gives; returns
    what was deleted.

    Only for a folder that nobody else writes to.
    """
    parts = [
        path for path in folder.glob(".*.part*") if PART.fullmatch(path.name) and path.is_file()
    ]
    for path in parts:
        path.unlink(missing_ok=True)
    return parts


def _no_space(path: Path, error: OSError) -> str:
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    return (
        f"no room for {path} ({error.strerror}): {disk.free / 2**30:.1f} of "
        f"{disk.total / 2**30:.0f} GiB are free on the disk of {folder}; "
        f"free space (or raise the quota) and run again, nothing finished is lost"
    )


def write_text(path: AnyPath, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: AnyPath, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: AnyPath) -> dict:
    """Raises `RecordError` naming the file when it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path} is missing") from None
    except ValueError as error:
        raise RecordError(f"{path} is not valid JSON ({error})") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror})") from None


def write_jsonl(path: AnyPath, rows: Iterable[dict]) -> None:
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def iter_jsonl(path: AnyPath) -> Iterator[dict]:
    """One dict a line; raises `RecordError` with file and line number."""
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        raise RecordError(f"{path} is missing") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror})") from None
    with file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line.decode("utf-8"))
            except ValueError as error:
                raise RecordError(f"{path}, line {number} is not valid JSON ({error})") from None
            if not isinstance(row, dict):
                raise RecordError(
                    f"{path}, line {number} must be a JSON object, it is {type(row).__name__}"
                )
            yield row


def read_jsonl(path: AnyPath) -> list[dict]:
    return list(iter_jsonl(path))


def write_table(path: AnyPath, table: pd.DataFrame) -> None:
    """Parquet or CSV, by the suffix; a CSV as spreadsheets need it (`core/spreadsheets.py`)."""
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
            return
        # The csv module leaves a bare carriage return unquoted, and readers take it for a line's
        # end.
        texts = (table[name].astype(str) for name in table.columns)
        returns = any(text.str.contains("\r").any() for text in texts)
        spreadsheets.guarded_table(table).to_csv(
            temporary,
            index=False,
            encoding=spreadsheets.ENCODING,
            quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL,
        )


def read_table(path: AnyPath, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A Parquet or CSV file of ours that must hold `columns`; ids stay strings, empty CSV fields
    become ''. A table that a person made is read by `given_tables.read`.
    """
    path = Path(path)
    if not path.exists():
        raise RecordError(f"{path} is missing")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            written = pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding=spreadsheets.ENCODING
            )
            table = spreadsheets.unguarded_table(written)
    except (ValueError, OSError, KeyError, NotImplementedError) as error:
        raise RecordError(
            f"{path} cannot be read as a table ({' '.join(str(error).split())})"
        ) from None
    return require_columns(table, columns, path)


def require_columns(table: pd.DataFrame, columns: Iterable[str], where: object) -> pd.DataFrame:
    """The table itself, or a `RecordError` that names the missing columns and the ones that are
    there.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise RecordError(
            f"{where}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
        )
    return table


def sha256_file(path: AnyPath) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: object) -> str:
    """sha256 (hex) of a JSON value, independent of the order of keys."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
