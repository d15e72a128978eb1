"""Folders in `outputs/cache` that are made once, by one process at a time, and made again when they
are damaged.
"""

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dishvl_lib.core import locks, records

SEAL = "_seal.json"  # {file: sha256} of everything else in the folder, written last
WAIT_S = 0.5  # between two looks at what another process makes


def folder(place: Path, make: Callable[[Path], object], what: str) -> Path:
    """`place`, filled by `make(folder)` unless it is there whole; another process that makes it is
    waited for.

    The folder appears under its name only when it is complete. One whose files are not what was
    made is made again, and that is said. `what`: what it holds, for these sentences.
    """
    lock = place.with_name(f".{place.name}.lock")
    _take(lock, what)
    try:
        problem = damage(place)
        if not problem:
            return place
        if place.exists():
            print(f"{what} in {place} cannot be used ({problem}); it is made again", flush=True)
            shutil.rmtree(place)
        _make(place, make)
        return place
    finally:
        locks.release(lock)


def damage(place: Path) -> str:
    """Why a folder is not what was made; '' when it is."""
    if not place.is_dir():
        return "it is not there"
    try:
        sealed = records.read_json(place / SEAL)
    except records.RecordError:
        return "it was not completed"
    if not isinstance(sealed, dict):
        return "its seal is damaged"
    for name, sha256 in sealed.items():
        file = place / name
        if not file.is_file():
            return f"{name} is gone"
        if records.sha256_file(file) != sha256:
            return f"{name} is damaged"
    return ""


def _make(place: Path, make: Callable[[Path], object]) -> None:
    for left_behind in place.parent.glob(f".{place.name}.*.part*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    part = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.part")
    make(part)
    seal = {}
    for path in sorted(part.rglob("*")):
        if path.is_file():
            seal[str(path.relative_to(part))] = records.sha256_file(path)
    # Last of all: a folder with its seal is whole.
    records.write_json(part / SEAL, seal)
    part.rename(place)


def _take(lock: Path, what: str) -> None:
    is_reported = False
    while True:
        try:
            locks.take(lock, what)
            return
        except locks.LockedError as error:
            if not is_reported:
                print(f"waiting for {error.holder}, which makes {what}", flush=True)
            is_reported = True
            time.sleep(WAIT_S)
