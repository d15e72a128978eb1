"""One request to one endpoint, attempt after attempt, until it is settled; every attempt is paid
for and journaled.
"""

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dishvl_lib.core.types import Records
from dishvl_lib.endpoints import client, outcomes, prices, requests
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.endpoints.journal import Intent, Journal
from dishvl_lib.endpoints.limits import TOO_FAST, Gate, StopSignal
from dishvl_lib.endpoints.outcomes import Outcome
from dishvl_lib.endpoints.requests import Capabilities, Ladder, Request
from dishvl_lib.endpoints.server_errors import RESPONSE_FORMAT
from dishvl_lib.endpoints.trial import Refusals, Usefulness

MAX_ATTEMPTS = 5
# A whole completion of no use is paid for each time: so many of one dish, the repair included.
MOST_BOUGHT = 2
# Being told "too fast" costs nothing: it is waited out longer, and then it is a limit that putting
# dishes aside would hide.
MAX_TOO_FAST = 30
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


# How often it is looked whether a reply that another process waits for has come, and when that is
# said.
ELSEWHERE_S = 0.2
BATCH_ELSEWHERE_S = 10.0


@dataclass
class _Turn:
    """One place in the queue, and what the attempt made in it used and says of the server; '' when
    none was sent.
    """

    used: int = 0
    pressure: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Settlement:
    """The outcome that counts, and how many completions of no use were paid for on the way."""

    outcome: Outcome
    bought: int = 0


class Sender:
    """What the threads of one endpoint in one run share: its gate, its ladder, the journal and the
    money.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        run: str,
        budget: Budget,
        pace: float,
        halt: StopSignal,
        making: str = "",
        trial: Refusals | Usefulness | None = None,
    ):
        self.endpoint = endpoint
        self.journal = journal
        self.run = run
        self.budget = budget
        self.pace = pace
        self.halt = halt
        self.making = making
        self.trial = trial or Refusals()
        self.gate = Gate(
            endpoint.where,
            endpoint.concurrency,
            threshold=MAX_ATTEMPTS - 1,
            requests_per_minute=endpoint.requests_per_minute,
            tokens_per_minute=endpoint.tokens_per_minute,
            pace=pace,
            halt=halt,
        )
        self.ladder = Ladder(endpoint, journal)
        self._lock = threading.Lock()
        self._dearer = 1.0  # by how much this server counts more than our upper bound
        self._reported: set[str] = set()

    def until_settled(
        self, request: Request, key: str, messages: Records, bought: int = 0
    ) -> Settlement | None:
        """The outcome that counts: of the first attempt that need not be repeated, or of the last
        one allowed. `bought`: completions of no use that were paid for in this matter before.

        None when the reply has come into the journal otherwise: another process had sent the same
        request. Raises `EndpointError` when the endpoint cannot be used, `BudgetError`, or
        `Stopped`.
        """
        tries = 0
        too_fast = 0
        while True:
            way = self.ladder.capabilities
            last = {
                outcomes.RETRY: tries == MAX_ATTEMPTS - 1,
                outcomes.AGAIN: bought >= MOST_BOUGHT - 1,
            }
            attempt = self._attempt(request, key, messages, way, last)
            if attempt is None:
                return None
            outcome, wait = attempt
            if outcome.next == outcomes.STOP:
                raise EndpointError(outcome.problem)
            if outcome.next == outcomes.STEP_DOWN and self._next_rung(request, outcome, way):
                continue
            if outcome.next == outcomes.AGAIN and not last[outcomes.AGAIN]:
                bought += 1
                continue
            if outcome.next != outcomes.RETRY:
                return Settlement(outcome, bought)
            if outcome.pressure == TOO_FAST:
                too_fast += 1
            else:
                tries += 1
            if too_fast >= MAX_TOO_FAST:
                raise EndpointError(
                    f"{self.endpoint.where}: one request was told {too_fast} times that it "
                    f"comes too fast ({outcome.problem}); "
                    "lower requests_per_minute or tokens_per_minute, or run again when the "
                    "limit of the day has passed: nothing paid is lost"
                )
            if tries >= MAX_ATTEMPTS:
                return Settlement(outcome, bought)
            self.halt.wait(self.pace * (wait or _back_off(tries + too_fast)))

    def _next_rung(self, request: Request, outcome: Outcome, way: Capabilities) -> bool:
        """Whether there is another way to send a request whose field is refused. What the request
        itself brings along is not ours to leave out.
        """
        is_ours = request.schema is not None or outcome.field != RESPONSE_FORMAT
        return is_ours and self.ladder.next_rung(outcome.field, way)

    def _attempt(
        self,
        request: Request,
        key: str,
        messages: Records,
        way: Capabilities,
        last: Mapping[str, bool],
    ) -> tuple[Outcome, float] | None:
        """One request, from its reservation to its entry in the journal; with the pause that the
        server asked for.

        None when a reply is in the journal: it has come, or another process that had the request
        has received it.
        """
        most = prices.most_usage(messages, requests.binding(request), self.endpoint.max_tokens)
        while True:
            intent = self._intent(key, most)
            with self._turn(sum(most.values())) as turn:
                if self.trial.given_up:
                    return outcomes.NOT_ASKED, 0.0
                # Only now, in front of the server, is it noted as sent: a kill leaves as few in
                # doubt as may be.
                claim = self.journal.claim(intent, self.budget.limit(intent.currency))
                if claim.attempt:
                    raw, outcome = self._send(request, intent, claim.attempt, messages, way, turn)
                    self._label(key, claim.attempt, raw, outcome, last)
                    break
            if claim.answered or self._answered_elsewhere(intent):
                return None
        if outcome.status == "ok":
            self.ladder.works()
        return outcome, raw.retry_after

    def _intent(self, key: str, most: dict[str, int]) -> Intent:
        reserved = self.endpoint.cost(most) * self._dearer
        return requests.intent(self.endpoint, key, reserved, run=self.run, making=self.making)

    def _answered_elsewhere(self, intent: Intent) -> bool:
        """Wait until this request may be sent by us (False), or has its reply (True)."""
        while True:
            claim = self.budget.await_turn(self.journal, intent, self.halt)
            if not claim.under_way:
                return claim.answered
            self._tell(claim.under_way)
            # A batch takes minutes or hours, another process's reply seconds.
            self.halt.wait(BATCH_ELSEWHERE_S * self.pace if claim.in_batch else ELSEWHERE_S)

    def _tell(self, who: str) -> None:
        """Say once whose replies are waited for."""
        with self._lock:
            known = who in self._reported
            self._reported.add(who)
        if not known:
            print(
                f"{self.endpoint.where}: requests of ours are under way in {who}; its "
                "replies are waited for, not paid twice",
                flush=True,
            )

    def _send(
        self,
        request: Request,
        intent: Intent,
        number: int,
        messages: Records,
        way: Capabilities,
        turn: _Turn,
    ) -> tuple[Raw, Outcome]:
        """Send a request that was noted as attempt `number`, store what comes back, and judge
        it.
        """
        body = requests.body(self.endpoint, messages, request, way.mode, way.refused)
        raw = client.send(self.endpoint, body)
        usage = prices.usage_of(raw.body)
        paid = self._store(intent.key, number, raw, usage, intent.reserved)
        if intent.reserved:
            self._dearer = max(self._dearer, self._dearer * paid / intent.reserved)
        outcome = outcomes.judge(self.endpoint, raw, request.schema)
        turn.used = sum(usage.values())
        turn.pressure = outcome.pressure
        turn.problem = outcome.problem
        return raw, outcome

    @contextmanager
    def _turn(self, tokens: int) -> Iterator[_Turn]:
        """A place in the queue for one attempt, given back whatever happens."""
        turn = _Turn()
        probe = self.gate.enter(tokens)
        try:
            yield turn
        finally:
            if turn.pressure:
                self.gate.leave(probe, tokens - turn.used, turn.pressure, turn.problem)
            else:
                self.gate.leave_unsent(probe, tokens)

    def _store(
        self, key: str, number: int, raw: Raw, usage: dict[str, int], reserved: float
    ) -> float:
        """The raw body into the journal, before anything is read in it; returns what was paid or
        may have been.
        """
        cost = self.endpoint.cost(usage)
        doubt = reserved if not usage and raw.may_be_billed else 0.0
        self.journal.keep(key, number, raw, usage, cost, doubt)
        return cost + doubt

    def _label(
        self, key: str, number: int, raw: Raw, outcome: Outcome, last: Mapping[str, bool]
    ) -> None:
        paid_for_nothing = raw.http_status == 200 and last.get(outcome.next, False)
        self.journal.label(key, number, outcome.status, outcome.is_final or paid_for_nothing)


def _back_off(tries: int) -> float:
    """Seconds before the next try: doubling, with jitter so that many threads do not come back
    together.
    """
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (tries - 1))
    return wait * random.uniform(0.5, 1.0)
