"""Folders for local sockets, whose paths the system limits to about 100 bytes, whatever TMPDIR
is.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from dishvl_lib.core import locks

# sun_path holds 108 bytes (unix(7)); a kernel adds names such as "/kernel-12", Python's listeners
# about 40 bytes.
LONGEST_FOLDER = 60
PREFIX = "dishvl-"
LOCK = "lock"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder of one's own for sockets, removed at the end; those that killed commands left behind
    are removed too.
    """
    base = short_temporary_folder()
    sweep(base)
    folder_path = base / f"{PREFIX}{uuid.uuid4().hex[:8]}"
    folder_path.mkdir(mode=0o700)
    locks.take(folder_path / LOCK, "sockets")
    try:
        yield folder_path
    finally:
        locks.release(folder_path / LOCK)
        shutil.rmtree(folder_path, ignore_errors=True)


def short_temporary_folder() -> Path:
    """TMPDIR, or where its path is too long the first usable folder whose path is not. Raises
    OSError when there is none.
    """
    user_folder = f"/run/user/{os.getuid()}"
    for candidate in (tempfile.gettempdir(), user_folder, "/tmp", "/var/tmp", "/dev/shm"):
        is_short = len(os.fsencode(candidate)) <= LONGEST_FOLDER
        if is_short and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    raise OSError(
        f"no folder for sockets: TMPDIR is {tempfile.gettempdir()}, whose path is over "
        f"{LONGEST_FOLDER} bytes long, and /tmp cannot be written to; set TMPDIR to a short "
        "path"
    )


def sweep(base: Path) -> None:
    """Remove the socket folders of this user's commands that are gone."""
    for left_behind in base.glob(f"{PREFIX}*"):
        lock = left_behind / LOCK
        with contextlib.suppress(OSError):
            if (
                lock.exists()
                and left_behind.stat().st_uid == os.getuid()
                and not locks.holder(lock)
            ):
                shutil.rmtree(left_behind, ignore_errors=True)
