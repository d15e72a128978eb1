"""Many photos drawn side by side, in processes of their own."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from dishvl_lib.core.progress import Progress

LARGE_BLOCK = 2**24  # bytes; never written to, so it takes no memory
Job = TypeVar("Job")
Drawn = TypeVar("Drawn")


def run(
    draw: Callable[[Job, Path], Drawn],
    jobs: Sequence[Job],
    counts: Sequence[int],
    root: Path,
    *,
    unit: str,
    processes: int,
) -> list[Drawn]:
    """What `draw(job, root)` returns for each job, in their order.

    `counts`: how many of `unit` each job draws. `draw` must be a function of a module: with more
    than one process it is spawned.
    """
    with Progress("drawing", sum(counts), unit) as progress:
        if processes <= 1:
            return _counted((draw(job, root) for job in jobs), counts, progress)
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, spawning, _keep_freed_memory) as pool:
            return _counted(pool.map(draw, jobs, [root] * len(jobs)), counts, progress)


def _keep_freed_memory() -> None:
    """Makes the C library keep what this process frees for what it allocates next.

    glibc gives free memory back to the system from twice the size of the largest block freed so
    far, and a photo frees a little more than that: every photo would have its pages mapped anew.
    """
    np.empty(LARGE_BLOCK, np.uint8)


def _counted(parts: Iterable[Drawn], counts: Sequence[int], progress: Progress) -> list[Drawn]:
    drawn = []
    for count, part in zip(counts, parts, strict=True):
        drawn.append(part)
        progress.advance(count)
    return drawn
