"""Asking one endpoint many questions: each is paid for once, tried again when that helps, repaired once, or put aside."""

import random
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from dishvl_lib.endpoints import batches, client, outcomes, prices, requests
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.endpoints.journal import Intent, Journal
from dishvl_lib.endpoints.limits import TOO_FAST, Gate, Halt
from dishvl_lib.endpoints.outcomes import Outcome
from dishvl_lib.endpoints.requests import Ladder, Request

MAX_ATTEMPTS = 5
# Being told "too fast" costs nothing: it is waited out longer.
MAX_TOO_FAST = 30
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
# So many refusals before any answer: the parameters are wrong, not the requests.
REFUSED_WITHOUT_ANSWER = 10


@dataclass(frozen=True)
class Answer:
    """What came of one request. `value`: the parsed answer, None unless status is `ok`; `text`: what the model wrote.

    `problem`: why there is no value; `cost`: what this run paid for it, repair and failed attempts included; `usage`
    and `seconds`: of all its attempts; `from_journal`: nothing was sent now.
    """

    id: str
    status: str
    value: Any
    text: str
    problem: str
    cost: float
    currency: str
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    from_journal: bool = False


def ask_all(
    endpoint: Endpoint,
    asked: Iterable[Request],
    journal: Journal,
    *,
    run: str,
    budget: Budget,
    pace: float = 1.0,
    halt: Halt | None = None,
    label: str = "",
) -> list[Answer]:
    """The answers to all requests, in their order; photos are only read when their request is sent.

    What the journal holds is not sent again. `run` names who pays; `budget` is shared by all who pay together; `pace`
    multiplies every pause (tests); `halt` stops several calls at once. With `endpoint.batch` the provider's batches
    answer first, and only what they could not is sent one by one. Raises `EndpointError` (also `BudgetError`) when
    going on is of no use; everything received until then is in the journal.
    """
    asker, todo = _Asker(endpoint, journal, run, budget, pace, halt or Halt()), list(asked)
    if endpoint.batch and todo:
        batches.collect(endpoint, todo, journal, asker.ladder, run=run, budget=budget, pace=pace, halt=asker.halt)
    with ThreadPoolExecutor(endpoint.concurrency) as pool, tqdm(total=len(todo), desc=label or endpoint.name, mininterval=10, disable=len(todo) < 200) as bar:
        futures = [pool.submit(asker.ask, one) for one in todo]
        for one in futures:
            one.add_done_callback(lambda _: bar.update())
        try:
            return [one.result() for one in futures]
        except BaseException as error:
            asker.halt.fail(error)
            for one in futures:
                one.cancel()
            raise asker.halt.failure from None


@dataclass
class _Settled:
    key: str
    outcome: Outcome
    from_journal: bool


@dataclass
class _Turn:
    """One attempt: what was held for it, and what it turned out to cost, use and say of the server."""

    reserved: float
    paid: float = 0.0
    used: int = 0
    pressure: str = ""


class _Asker:
    """One endpoint in one run: what its threads share."""

    def __init__(self, endpoint: Endpoint, journal: Journal, run: str, budget: Budget, pace: float, halt: Halt):
        self.endpoint, self.journal, self.run, self.budget, self.pace, self.halt = endpoint, journal, run, budget, pace, halt
        limits = {"requests_per_minute": endpoint.requests_per_minute, "tokens_per_minute": endpoint.tokens_per_minute}
        self.gate = Gate(endpoint.where, endpoint.concurrency, threshold=MAX_ATTEMPTS - 1, pace=pace, halt=halt, **limits)
        self.ladder = Ladder(endpoint, journal)
        self._lock, self._answered, self._refused = threading.Lock(), False, 0
        self._locks, self._charged = defaultdict(threading.Lock), set()
        self._dearer = 1.0  # by how much this server counts more than our upper bound

    def ask(self, request: Request) -> Answer:
        """The answer, after one repair turn where it can help. Any error that stops the endpoint stops all threads."""
        try:
            settled = [self._settle_once(request)]
            if settled[0].outcome.next == outcomes.REPAIR:
                settled.append(self._settle_once(requests.repair(request, settled[0].outcome.text, settled[0].outcome.problem)))
        except Exception as error:
            self.halt.fail(error)
            raise
        return self._answer(request, settled)

    def _settle_once(self, request: Request) -> _Settled:
        """Of equal requests (two dishes with one card, say) one is sent and the others wait for its reply."""
        key = requests.key(self.endpoint, request)
        with self._lock:
            lock = self._locks[key]
        with lock:
            return self._settle(request, key)

    def _answer(self, request: Request, settled: list[_Settled]) -> Answer:
        last, taken = settled[-1].outcome, [self.journal.history(one.key, self.run) for one in settled]
        with self._lock:
            cost = sum(one.cost for one, its in zip(taken, settled, strict=True) if its.key not in self._charged)
            self._charged |= {one.key for one in settled}
        return Answer(
            id=request.id,
            status=last.status,
            value=last.value if last.status == "ok" else None,
            text=last.text,
            problem=last.problem and f"{last.status}: {last.problem}",
            cost=cost,
            currency=self.endpoint.currency,
            usage={name: sum(one.usage.get(name, 0) for one in taken) for name in ("prompt_tokens", "completion_tokens")},
            seconds=sum(one.seconds for one in taken),
            from_journal=all(one.from_journal for one in settled),
        )

    def _settle(self, request: Request, key: str) -> _Settled:
        stored = self.journal.history(key)
        if stored.body is not None:
            outcome = outcomes.judge(self.endpoint, Raw(stored.http_status, stored.body), request.schema)
            if not stored.final:
                self.journal.label(key, stored.attempt, outcome.status, outcome.next != outcomes.RETRY)
            if stored.final or outcome.next != outcomes.RETRY:
                return _Settled(key, outcome, True)
        self.halt.check()
        try:
            messages = request.messages()
        except ValueError as error:
            return _Settled(key, Outcome("failed", outcomes.DONE, problem=f"the request cannot be made ({error})"), False)
        return _Settled(key, self._until_settled(request, key, messages), False)

    def _until_settled(self, request: Request, key: str, messages: list[dict[str, Any]]) -> Outcome:
        tries = too_fast = 0
        while True:
            mode = self.ladder.mode
            outcome, wait = self._attempt(request, key, messages, mode, last=tries == MAX_ATTEMPTS - 1)
            if outcome.next == outcomes.STOP:
                raise EndpointError(outcome.problem)
            if outcome.next == outcomes.STEP_DOWN and self.ladder.step_down(mode):
                continue
            if outcome.next != outcomes.RETRY:
                return outcome
            tries, too_fast = tries + (outcome.pressure != TOO_FAST), too_fast + (outcome.pressure == TOO_FAST)
            if tries >= MAX_ATTEMPTS or too_fast >= MAX_TOO_FAST:
                return outcome
            self.halt.wait(self.pace * (wait or _back_off(tries + too_fast)))

    def _attempt(self, request: Request, key: str, messages: list[dict[str, Any]], mode: str, last: bool) -> tuple[Outcome, float]:
        """One request, from its reservation to its entry in the journal; with the pause that the server asked for."""
        most = prices.most_usage(messages, requests.sent_schema(request.schema), self.endpoint.max_tokens)
        with self._turn(most) as turn:
            number = self.journal.intend(Intent(key, self.run, self.endpoint.name, self.endpoint.model, self.endpoint.currency, turn.reserved))
            turn.paid = turn.reserved
            raw = client.send(self.endpoint, requests.body(self.endpoint, messages, request.schema, mode))
            usage = prices.usage_of(raw.body)
            turn.paid, turn.used = self._store(key, number, raw, usage, turn.reserved), sum(usage.values())
            outcome = outcomes.judge(self.endpoint, raw, request.schema)
            turn.pressure = outcome.pressure
            self._label(key, number, raw, outcome, last)
        self._note_refusals(raw, outcome)
        return outcome, raw.retry_after

    @contextmanager
    def _turn(self, most: dict[str, int]) -> Iterator[_Turn]:
        """The money and the place in the queue for one attempt; both are given back whatever happens."""
        price, currency, tokens = self.endpoint.cost(most), self.endpoint.currency, sum(most.values())
        turn = _Turn(reserved=price * self._dearer)
        self.budget.reserve(currency, turn.reserved, self.halt)
        try:
            probe = self.gate.enter(tokens)
            try:
                yield turn
            finally:
                self.gate.leave(probe, tokens - turn.used, turn.pressure)
        finally:
            self.budget.settle(currency, turn.reserved, turn.paid)
            self._dearer = max(self._dearer, turn.paid / price if price else 1.0)

    def _store(self, key: str, number: int, raw: Raw, usage: dict[str, int], reserved: float) -> float:
        """The raw body into the journal, before anything is read in it; returns what was paid or may have been."""
        cost = self.endpoint.cost(usage)
        doubt = reserved if not usage and raw.may_be_billed else 0.0
        status = "received" if raw.http_status == 200 else "failed"
        self.journal.settle(key, number, status=status, http_status=raw.http_status, body=raw.body, usage=usage, cost=cost, reserved=doubt, seconds=raw.seconds)
        return cost + doubt

    def _label(self, key: str, number: int, raw: Raw, outcome: Outcome, last: bool) -> None:
        paid_for_nothing = last and raw.http_status == 200 and outcome.next == outcomes.RETRY
        final = outcome.next in (outcomes.DONE, outcomes.REPAIR) and outcome.status != "failed"
        self.journal.label(key, number, outcome.status, final or paid_for_nothing)

    def _note_refusals(self, raw: Raw, outcome: Outcome) -> None:
        if raw.http_status == 200:
            self._answered = True
            if outcome.status == "ok":
                self.ladder.works()
        elif outcome.status == "failed" and outcome.next == outcomes.DONE and not self._answered:
            with self._lock:
                self._refused += 1
            if self._refused >= REFUSED_WITHOUT_ANSWER:
                raise EndpointError(
                    f"{self.endpoint.where}: the first {self._refused} requests were all refused; check parameters and model. The last: {outcome.problem}"
                )


def _back_off(tries: int) -> float:
    """Seconds before the next try: doubling, with jitter so that many threads do not come back together."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
