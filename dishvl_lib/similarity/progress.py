"""Progress of a long loop: one line that updates in a terminal.

Elsewhere at most one line every ten seconds.
"""

import sys
import time


class Progress:
    """`advance(n)` after each piece of work of `total`; prints count, rate and the time left."""

    def __init__(self, label: str, total: int, unit: str = "photos", every_seconds: float = 10.0):
        self.label = label
        self.total = total
        self.unit = unit
        self.interactive = sys.stdout.isatty()
        self.every = 0.2 if self.interactive else every_seconds
        self.done = 0
        self.start = time.monotonic()
        self.printed = self.start

    def advance(self, n: int, note: str = "") -> None:
        self.done += n
        now = time.monotonic()
        if now - self.printed >= self.every:
            self.printed = now
            self._show(now, note)

    def close(self, note: str = "") -> None:
        """The last line, with the seconds it took."""
        if self.interactive or self.printed != self.start:
            self._show(time.monotonic(), note)
            print(flush=True, end="\n" if self.interactive else "")

    def _show(self, now: float, note: str) -> None:
        rate = self.done / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate if rate else float("inf")
        count = f"{self.done:,} of {self.total:,} {self.unit}"
        line = f"{self.label}: {count}, {rate:,.0f}/s, {left:,.0f} s left {note}".rstrip()
        print(
            f"\r{line}\x1b[K" if self.interactive else line,
            end="" if self.interactive else "\n",
            flush=True,
        )
