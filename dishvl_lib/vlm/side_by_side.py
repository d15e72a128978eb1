"""Work side by side in threads: passes of a model on a CPU, and photos that are decoded."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from dishvl_lib.core import cores

MOST_DECODERS = 8  # photos that are decoded at once: a large one takes 0.5 GB meanwhile

Part = TypeVar("Part")
Result = TypeVar("Result")


def passes(run: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`run` of each part, in order; torch's threads are shared out among those that run at once.

    A small operation gains next to nothing from a second core, and waits for it where another
    program has it; two passes gain nearly all of it.
    """
    threads = torch.get_num_threads()
    at_once = min(threads, len(parts))
    if at_once < 2:
        return [run(part) for part in parts]
    share = threads // at_once
    try:
        with ThreadPoolExecutor(at_once, "pass", torch.set_num_threads, (share,)) as pool:
            return list(pool.map(run, parts))
    finally:
        # What a thread sets counts for MKL in all of them, and for threads that begin later.
        torch.set_num_threads(threads)


def decoded(decode: Callable[[Part], Result], sources: Sequence[Part]) -> list[Result]:
    """`decode` of each source, in order. Raises what the first that fails raises."""
    at_once = min(MOST_DECODERS, cores.available(), len(sources))
    if at_once < 2:
        return [decode(source) for source in sources]
    with ThreadPoolExecutor(at_once, "decoder") as pool:
        return list(pool.map(decode, sources))
