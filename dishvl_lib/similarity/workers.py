"""Photos decoded and turned into features on all cores, in their order.

Paddle's engine keeps the interpreter to itself while it runs, so threads cannot decode meanwhile.
From `WORTH_PROCESSES` on every core has a process that decodes a batch and runs an engine of its
own on it, with one thread: engines that share a batch wait for each other, these never do. Below
that, starting them takes longer than it saves, and threads decode for one engine that uses all
cores.
"""

import ctypes
import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dishvl_lib.core import cores, images
from dishvl_lib.similarity.preprocess import Preprocess

WORTH_PROCESSES = 2000 * 224 * 224  # pixels that the net reads
BATCHES_AHEAD_PER_WORKER = 2
# as in glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
Row = tuple[str, str]  # path, sha256
Fault = tuple[str, str] | None  # reason and detail of a photo that cannot be used


@dataclass(frozen=True)
class Job:
    """What is done with a batch of (path below `root`, sha256): decode, and run an `engine`."""

    root: Path
    preprocess: Preprocess
    engine: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, rows: Sequence[Row]) -> tuple[np.ndarray, list[Fault]]:
        """(features (n, D) of the n readable rows, or pixels (n, S, S, 3); every row's fault)."""
        outcomes = [_decode(self.root / path, sha256, self.preprocess) for path, sha256 in rows]
        faults = [outcome if isinstance(outcome, tuple) else None for outcome in outcomes]
        whole = [outcome for outcome in outcomes if not isinstance(outcome, tuple)]
        pixels = (
            np.stack(whole)
            if whole
            else np.empty((0, self.preprocess.crop, self.preprocess.crop, 3), np.uint8)
        )
        return self.features(pixels) if self.engine and whole else pixels, faults

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) -> (n, D)."""
        assert self.engine is not None, "a job without an engine only decodes"
        return self.engine(self.preprocess.normalise(pixels))


def run(
    job: Job, rows: Sequence[Row], batch_size: int, processes: int = 0
) -> Iterator[tuple[Sequence[Row], np.ndarray, list[Fault]]]:
    """(rows of a batch, features (n, D) of its n readable photos, the fault or None of every row).

    In the order of the rows. `processes` 0: one per core when there are enough photos and cores, 1:
    none but this one. An engine that runs on a GPU, or is no `Engine`, stays in this process, and
    the others decode for it. Raises RuntimeError when one of them dies.
    """
    batches = _batches(rows, batch_size)
    worth_it = cores.available() if len(rows) * job.preprocess.crop**2 >= WORTH_PROCESSES else 1
    count = max(1, min(processes or worth_it, len(batches)))
    elsewhere = count > 1 and not getattr(job.engine, "on_gpu", True)
    remote = job if elsewhere else replace(job, engine=None)
    pool = _pool(remote, count)
    task = _in_worker if count > 1 else remote
    try:
        ahead = BATCHES_AHEAD_PER_WORKER * max(count, cores.available())
        for batch, (arrays, faults) in _ahead(pool, task, batches, ahead):
            computed = elsewhere or not len(arrays)
            yield batch, arrays if computed else job.features(arrays), faults
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(job: Job, processes: int) -> Executor:
    if processes == 1:
        return ThreadPoolExecutor(cores.available())
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start, (job,))


def _batches(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """At most `size` rows each, and at least one for each core."""
    size = max(1, min(size, -(-len(rows) // cores.available())))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _ahead(pool: Executor, task: Callable, batches: list, ahead: int) -> Iterator[tuple]:
    """(batch, result) in order, with at most `ahead` batches begun but not yet taken."""
    waiting: deque = deque()
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(task, batch)))
            if len(waiting) >= ahead:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    except BrokenProcessPool:
        raise RuntimeError(
            "a process that computes features could not start or died. What was computed is "
            "kept. If memory ran out, pass fewer "
            "`processes` (1: none); a script needs `if __name__ == '__main__':` around what it does"
        ) from None


def _first(waiting: deque) -> tuple:
    batch, future = waiting.popleft()
    return batch, future.result()


def keep_memory() -> None:
    """From now on this process keeps freed memory for itself.

    Where the C library is not glibc, nothing happens. The engine frees its maps after each batch,
    and glibc gives blocks of that size back to the system: asking for them again, page by page,
    took a third of the time. It costs some memory that stays taken, so only the workers do it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


_job: Job | None = None


def _start(job: Job) -> None:
    """In a new process: keeps the job, leaves interrupts to the parent, and ends with it."""
    global _job
    _job = job
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _in_worker(rows: Sequence[Row]) -> tuple[np.ndarray, list[Fault]]:
    assert _job is not None, "the pool starts its processes with a job"
    return _job(rows)


def _decode(path: Path, sha256: str, preprocess: Preprocess) -> np.ndarray | tuple[str, str]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return "changed", "its bytes are not those that were catalogued"
        return preprocess.pixels(data)
    except FileNotFoundError:
        return "missing", f"no such file: {path}"
    except OSError as error:
        return "unreadable", error.strerror or str(error)
    except images.ImageError as error:
        return error.reason, error.detail
