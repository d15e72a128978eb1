"""How fast one endpoint may be asked: its rates, as many requests at once as it bears, and a
breaker for when it is down.

All threads of an endpoint pass one `Gate`. Pauses are multiplied by `pace` (1.0: real time), rates
never are.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dishvl_lib.endpoints.errors import EndpointError, Stopped
from dishvl_lib.endpoints.outcomes import DOWN, FINE, TOO_FAST

# Credit that an idle second leaves behind, so that a short lull does not lower the rate of a
# minute.
BURST_S = 1.0
# Replies by which the number of requests at once is judged anew, and the share of "too fast" that
# halves or raises it.
JUDGED_REPLIES = 8
HALVE_AT = 0.3
RAISE_BELOW = 0.15
# A server that seems to be down: the first pause before a probe, after which pauses double, and the
# probes after which it is given up.
FIRST_PAUSE_S = 5.0
PROBES = 6
MAX_PROBES_NEVER_ANSWERED = 2


class StopSignal:
    """One stop for all threads of a stage; it remembers the first error."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self.failure: BaseException | None = None

    def fail(self, error: BaseException) -> BaseException:
        """Stops all threads; returns the first error, which may be another thread's."""
        with self._lock:
            first = self.failure or error
            self.failure = first
        self._event.set()
        return first

    def check(self) -> None:
        """Raises `Stopped` once any thread has failed."""
        if self._event.is_set():
            raise Stopped("not sent: another request met an error that stops all of them")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the stop; raises `Stopped` then."""
        if seconds > 0:
            self._event.wait(seconds)
        self.check()


@dataclass
class Rate:
    """So many units a minute, evenly: each request books its place in time (generic cell rate
    algorithm). 0: no limit.
    """

    per_minute: float
    free_at: float = 0.0

    def book(self, units: float, now: float) -> float:
        """Seconds to wait before sending `units`."""
        if not self.per_minute:
            return 0.0
        start = max(self.free_at, now - BURST_S)
        self.free_at = start + units * 60 / self.per_minute
        return max(0.0, start - now)

    def correct(self, units: float) -> None:
        """Give back (or, negative, take) units that were booked by estimate."""
        if self.per_minute:
            self.free_at -= units * 60 / self.per_minute


@dataclass
class AdaptiveConcurrency:
    """How many requests may be out at once: halved when many replies say "too fast", raised while
    few do.
    """

    most: int
    limit: int = 0
    seen: int = 0
    slow: int = 0

    def __post_init__(self) -> None:
        self.limit = self.most

    def note(self, pressure: str) -> None:
        self.seen = self.seen + 1
        self.slow = self.slow + (pressure != FINE)
        if self.seen < max(JUDGED_REPLIES, self.limit):
            return
        share = self.slow / self.seen
        if share >= HALVE_AT:
            self.limit = max(1, self.limit // 2)
        elif share < RAISE_BELOW:
            self.limit = min(self.most, self.limit + max(1, self.limit // 4))
        self.seen = self.slow = 0


@dataclass
class Breaker:
    """Opens after `threshold` failures in a row; then one request at a time probes, after pauses
    that double.

    Gives up after PROBES failed probes, or MAX_PROBES_NEVER_ANSWERED when the server has never
    answered at all.
    """

    threshold: int
    pace: float = 1.0
    in_a_row: int = 0
    failed_probes: int = 0
    answered: bool = False
    open_until: float | None = None
    probing: bool = False

    def may_pass(self, now: float) -> bool:
        return self.open_until is None or (now >= self.open_until and not self.probing)

    def passing(self) -> bool:
        """Call when a request passes; True when it is a probe."""
        self.probing = self.open_until is not None
        return self.probing

    def note(self, pressure: str, probe: bool, now: float) -> bool:
        """What a request met; True when it is time to give up."""
        if probe:
            self.probing = False
        if pressure != DOWN:
            self.in_a_row = 0
            self.failed_probes = 0
            self.answered = True
            self.open_until = None
            return False
        self.in_a_row = self.in_a_row + 1
        self.failed_probes = self.failed_probes + probe
        opens = self.open_until is None and self.in_a_row >= self.threshold
        if probe or opens:
            pause = FIRST_PAUSE_S * 2**self.failed_probes
            self.open_until = now + self.pace * pause
        most = PROBES if self.answered else MAX_PROBES_NEVER_ANSWERED
        return self.failed_probes >= most


@dataclass
class Gate:
    """Where every request of an endpoint waits for its turn. Safe for threads."""

    where: str
    concurrency: int
    threshold: int
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    pace: float = 1.0
    halt: StopSignal = field(default_factory=StopSignal)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.requests = Rate(self.requests_per_minute)
        self.tokens = Rate(self.tokens_per_minute)
        self.crowd = AdaptiveConcurrency(self.concurrency)
        self.breaker = Breaker(max(self.threshold, self.concurrency), self.pace)
        self.out = 0
        self._turn = threading.Condition()

    def enter(self, tokens: int) -> bool:
        """Wait until a request of about `tokens` may be sent; True when it probes a server that
        seems down. Raises `Stopped`.
        """
        with self._turn:
            while self.out >= self.crowd.limit or not self.breaker.may_pass(self.clock()):
                self.halt.check()
                self._turn.wait(0.05)
            probe = self.breaker.passing()
            self.out = self.out + 1
            now = self.clock()
            delay = max(self.requests.book(1, now), self.tokens.book(tokens, now))
        try:
            self.halt.wait(delay)
        except Stopped:
            self.leave(probe, 0, pressure="")
            raise
        return probe

    def leave_unsent(self, probe: bool, tokens: int) -> None:
        """The request was not sent after all: what was booked for it is free again."""
        with self._turn:
            self.requests.correct(1)
            self.tokens.correct(tokens)
            if probe:
                self.breaker.probing = False
        self.leave(probe, 0, pressure="")

    def leave(self, probe: bool, unused_tokens: int, pressure: str, problem: str = "") -> None:
        """What the request met, and the tokens it was booked for and did not use. Raises
        `EndpointError` with the last problem when the server is down for good.
        """
        with self._turn:
            self.out -= 1
            self._turn.notify()
            if not pressure:
                return
            self.tokens.correct(unused_tokens)
            self.crowd.note(TOO_FAST if pressure == DOWN else pressure)
            if self.breaker.note(pressure, probe, self.clock()):
                last = f", the last: {problem}" if problem else ""
                raise EndpointError(
                    f"{self.where}: the server is down ({self.breaker.in_a_row} failures in "
                    f"a row{last}); check base_url, and run again when it answers: nothing paid "
                    "is lost"
                )
