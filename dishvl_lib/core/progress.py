"""How far a long loop has come: count, rate and the time left, said where somebody reads it.

    with Progress("photo features", total=len(rows)) as progress:
        for row in rows:
            ...
            progress.advance()

In JupyterLab one display is updated, on a terminal one line. Elsewhere (a batch run, a log file) a
line comes after ten seconds and then once a minute: a notebook keeps every line for good. What is
over sooner says nothing.
"""

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from dishvl_lib.core import kernel

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

BATCH_LEAST_S = 10.0  # before the first line, and between any two
BATCH_EVERY_S = 60.0
# Where a line is updated in place: loops of a second say nothing.
FIRST_S = 1.0
EVERY_S = 0.25
MINUTE_S = 60
HOUR_S = 3600


class Line:
    """One line of text that changes as work goes on."""

    def __init__(self) -> None:
        self._in_cell = kernel.in_jupyter() and kernel.in_notebook()
        self.in_place = self._in_cell or sys.stdout.isatty()
        self.was_shown = False
        self._shown_at = time.monotonic()
        self._due = self._shown_at + (FIRST_S if self.in_place else BATCH_LEAST_S)
        self._handle: DisplayHandle | None = None

    def is_due(self) -> bool:
        """Whether it is time to show something again."""
        return time.monotonic() >= self._due

    def show_last(self, text: str) -> None:
        """Show how it ended, where something was shown before and in batch not just now."""
        is_soon = time.monotonic() - self._shown_at < BATCH_LEAST_S
        if self.was_shown and (self.in_place or not is_soon):
            self.show(text)

    def show(self, text: str) -> None:
        """Show the text in place of what was shown before; in batch below it."""
        self._shown_at = time.monotonic()
        self._due = self._shown_at + (EVERY_S if self.in_place else BATCH_EVERY_S)
        self.was_shown = True
        if self._in_cell:
            self._display(text)
        elif self.in_place:
            print(f"\r{text}\x1b[K", end="", flush=True)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """What is printed next begins a line of its own."""
        if self.was_shown and self.in_place and not self._in_cell:
            print(flush=True)

    def _display(self, text: str) -> None:
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = kernel.show_forms(content)
        else:
            self._handle.update(content, raw=True)


class Progress:
    """`advance(n)` after each piece of the `total` pieces of work.

    done: pieces that an earlier run has done, which say nothing of the speed.
    """

    def __init__(self, label: str, total: int, unit: str = "photos", done: int = 0):
        self.label = label
        self.total = total
        self.unit = unit
        self.done = done
        self._done_before = done
        self._start = time.monotonic()
        self._line = Line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: Any, error: Any, trace: Any) -> None:
        if error_type is None:
            self.close()
        else:
            self._line.close()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more pieces. note: what else to say, a loss for instance."""
        self.done += n
        if self._line.is_due():
            self._line.show(_joined(f"{self._counted()}, {self._speed()}", note))

    def close(self, note: str = "") -> None:
        """Say how long it took, where something was said before."""
        seconds = duration(time.monotonic() - self._start)
        self._line.show_last(_joined(f"{self._counted()} in {seconds}", note))
        self._line.close()

    def _counted(self) -> str:
        return f"{self.label}: {self.done:,} of {self.total:,} {self.unit}"

    def _speed(self) -> str:
        seconds = time.monotonic() - self._start
        rate = (self.done - self._done_before) / max(seconds, 1e-9)
        if rate == 0:
            return "time left unknown"
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        left = duration((self.total - self.done) / rate)
        return f"{shown}/s, {left} left"


def _joined(text: str, note: str) -> str:
    return f"{text}; {note}" if note else text


def duration(seconds: float) -> str:
    """`35 s`, `4 min 05 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02d} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} min"
