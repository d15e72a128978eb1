"""Work side by side in threads: passes of a model on a CPU, and photos that are decoded."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from dishvl_lib.core import cores, images
from dishvl_lib.core.decoding_memory import DecodingMemory
from dishvl_lib.core.types import PhotoSource

MOST_DECODERS = 8  # photos that are decoded at once

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


def decoded(
    decode: Callable[[PhotoSource], Result], sources: Sequence[PhotoSource]
) -> list[Result]:
    """`decode` of each photo, in order, as many at once as `DecodingMemory` has room for. Raises what
    the first that fails raises.
    """
    at_once = min(MOST_DECODERS, cores.available(), len(sources))
    if at_once < 2:
        return [decode(source) for source in sources]
    memory = DecodingMemory()

    def in_its_turn(source: PhotoSource) -> Result:
        return memory.decode(images.loading_bytes(source), lambda: decode(source))

    try:
        with ThreadPoolExecutor(at_once, "decoder") as pool:
            return list(pool.map(in_its_turn, sources))
    finally:
        memory.close()
