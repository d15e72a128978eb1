"""Locks that a process holds until it ends, however it ends: `flock` on a small file.

    locks.take(file, "03_dataset")     # again by the same process: nothing happens
    locks.release(file)

The file says who holds it, for the sentence that another process is refused with. The kernel frees
the lock with the process, so that a crash leaves nothing to clean up and a clock that is set
changes nothing.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# Whoever looks at a lock holds it for a moment: a refusal counts when it lasts.
_TRIES = 10
_PAUSE_S = 0.05
_held: dict[Path, int] = {}  # lock file -> open file descriptor, of this process
_reported: set[Path] = set()  # folders of which was said that locks do not work there


class LockedError(RuntimeError):
    """Another process holds the lock. `holder`: who."""

    def __init__(self, file: Path, holder: "Holder"):
        super().__init__(f"{file} is locked by {holder}")
        self.holder = holder


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `pid` 0: it has not said so yet. `since`: ISO time to the second."""

    pid: int = 0
    host: str = ""
    since: str = ""
    what: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"process {self.pid} on {self.host} since {self.since}"


def take(file: Path, what: str) -> None:
    """Hold the lock until `release` or the end of this process. Raises `LockedError` when another
    process holds it.
    """
    file = file.absolute()
    if file in _held:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _opened_and_locked(file)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = Holder(os.getpid(), socket.gethostname(), now, what)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(asdict(holder)).encode())
    _held[file] = descriptor


def release(file: Path) -> None:
    """Let go of the lock; nothing happens when this process does not hold it."""
    descriptor = _held.pop(file.absolute(), None)
    if descriptor is not None:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def remove(file: Path) -> None:
    """Delete a lock file that nobody holds; one that is held, by this process too, stays."""
    if mine(file):
        return
    try:
        take(file, "removing")
    except LockedError:
        return
    file.unlink(missing_ok=True)
    release(file)


@contextlib.contextmanager
def held(file: Path, what: str) -> Iterator[None]:
    """Hold the lock for a block; one that this process held before stays held after it."""
    mine_before = file.absolute() in _held
    take(file, what)
    try:
        yield
    finally:
        if not mine_before:
            release(file)


def mine(file: Path) -> bool:
    """Whether this process holds the lock."""
    return file.absolute() in _held


def holder(file: Path) -> Holder | None:
    """Who holds the lock, this process or another; None when nobody does."""
    file = file.absolute()
    if file in _held:
        return _read(file)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _alive(_read(file))
    finally:
        os.close(descriptor)
    return None


def _opened_and_locked(file: Path) -> int:
    """A descriptor that holds the lock of the file that lies at this path now, and was not removed
    meanwhile.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, file)
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, file: Path) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return _without_locks(file)
        else:
            return None if _excludes(file) else _without_locks(file)
    raise LockedError(file, _read(file))


def _excludes(file: Path) -> bool:
    """Whether a second opening of a file that is locked is refused: some shared file systems grant
    every lock.
    """
    second = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(second)
    return False


def _without_locks(file: Path) -> None:
    """Where the file system has no locks the file's own text must do, which a crash leaves
    behind.
    """
    before = _alive(_read(file))
    if before:
        raise LockedError(file, before)
    if file.parent not in _reported:
        _reported.add(file.parent)
        print(
            f"note: the file system of {file.parent} has no working locks (flock): a second run in "
            f"this folder from another machine would not be noticed. Never start one run twice, "
            f"or set DISHVL_OUTPUTS to a folder on a local disk"
        )


def _alive(there: Holder) -> Holder | None:
    """The holder, if a process of that number runs on this machine."""
    if not there.pid or there.host != socket.gethostname() or there.pid == os.getpid():
        return None
    try:
        os.kill(there.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it is there and belongs to somebody else
    return there


def _read(file: Path) -> Holder:
    try:
        return Holder(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Holder()


def _forget_after_fork() -> None:
    """A forked child (a data loader's worker) must not keep its parent's locks alive."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
