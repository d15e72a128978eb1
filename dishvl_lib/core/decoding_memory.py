"""How much memory photos may take that are decoded side by side."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LIMIT = 1_000_000_000  # bytes that photos under way may take together
LARGE = 200_000_000  # bytes from which a photo is decoded by one thread for all of them
Result = TypeVar("Result")


class DecodingMemory:
    """Lets threads decode as long as what they need together stays below a limit in bytes.

    Large photos are decoded by one thread: the C library keeps what each thread has freed, so that
    four threads would hold four large photos. One that needs more than the limit is decoded alone.
    """

    def __init__(self, limit: int = LIMIT, large: int = LARGE):
        self.limit = limit
        self.large = large
        self.in_use = 0
        self._changed = threading.Condition()
        self._one_thread = ThreadPoolExecutor(1)

    def decode(self, n_bytes: int, function: Callable[[], Result]) -> Result:
        """What `function` returns, which takes `n_bytes`, once these are free."""
        with self._changed:
            self._changed.wait_for(lambda: self.in_use == 0 or self.in_use + n_bytes <= self.limit)
            self.in_use += n_bytes
        try:
            if n_bytes >= self.large:
                return self._one_thread.submit(function).result()
            return function()
        finally:
            with self._changed:
                self.in_use -= n_bytes
                self._changed.notify_all()

    def close(self) -> None:
        """Let go of the thread."""
        self._one_thread.shutdown()
