"""Asking one endpoint many questions: each is paid for once, tried again when that helps, repaired
once, or put aside.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from dishvl_lib.endpoints import batches, outcomes, requests
from dishvl_lib.endpoints.attempts import Sender
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.journal import Journal, total_usage
from dishvl_lib.endpoints.limits import StopSignal
from dishvl_lib.endpoints.outcomes import Outcome
from dishvl_lib.endpoints.requests import Request


@dataclass(frozen=True)
class Answer:
    """What came of one request. `value`: the parsed answer, None unless status is `ok`; `text`:
    what the model wrote.

    `problem`: why there is no value; `cost`: what this run paid for it, repair and failed attempts
    included; `usage` and `seconds`: of all its attempts; `from_journal`: nothing was sent now;
    `rejected`: the server does not take such requests, whatever they are about.
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
    rejected: bool = False


def ask_all(
    endpoint: Endpoint,
    asked: Iterable[Request],
    journal: Journal,
    *,
    run: str,
    budget: Budget,
    pace: float = 1.0,
    halt: StopSignal | None = None,
    label: str = "",
) -> list[Answer]:
    """The answers to all requests, in their order; photos are only read when their request is sent.

    What the journal holds is not sent again. `run` names who pays; `budget` is shared by all who
    pay together; `pace` multiplies every pause (tests); `halt` stops several calls at once. With
    `endpoint.batch` the provider's batches answer first, and only what they could not is sent one
    by one. Raises `EndpointError` (also `BudgetError`) when going on is of no use; everything
    received until then is in the journal.
    """
    sender = Sender(endpoint, journal, run, budget, pace, halt or StopSignal())
    asker = _Asker(sender)
    todo = list(asked)
    if endpoint.batch and todo:
        batches.collect(
            endpoint,
            todo,
            journal,
            asker.sender.ladder,
            run=run,
            budget=budget,
            pace=pace,
            halt=asker.halt,
        )
    with (
        ThreadPoolExecutor(endpoint.concurrency) as pool,
        tqdm(
            total=len(todo), desc=label or endpoint.name, mininterval=10, disable=len(todo) < 200
        ) as bar,
    ):
        futures = [pool.submit(asker.ask, request) for request in todo]
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            first = asker.halt.fail(error)
            for future in futures:
                future.cancel()
            raise first from None


@dataclass
class _Settled:
    key: str
    outcome: Outcome
    from_journal: bool


class _Asker:
    """One endpoint in one run: what its threads share."""

    def __init__(self, sender: Sender):
        self.sender = sender
        self.endpoint = sender.endpoint
        self.journal = sender.journal
        self.run = sender.run
        self.halt = sender.halt
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._charged: set[str] = set()

    def ask(self, request: Request) -> Answer:
        """The answer, after one repair turn where it can help. Any error that stops the endpoint
        stops all threads.
        """
        try:
            settled = [self._settle_once(request)]
            if settled[0].outcome.next == outcomes.REPAIR:
                settled.append(
                    self._settle_once(
                        requests.repair(
                            request, settled[0].outcome.text, settled[0].outcome.problem
                        )
                    )
                )
        except Exception as error:
            self.halt.fail(error)
            raise
        return self._answer(request, settled)

    def _settle_once(self, request: Request) -> _Settled:
        """Of equal requests (two dishes with one card, say) one is sent and the others wait for its
        reply.
        """
        key = requests.key(self.endpoint, request)
        with self._lock:
            lock = self._locks[key]
        with lock:
            return self._settle(request, key)

    def _answer(self, request: Request, settled: list[_Settled]) -> Answer:
        last = settled[-1].outcome
        taken = [self.journal.history(one.key, self.run) for one in settled]
        with self._lock:
            cost = sum(
                one.cost
                for one, its in zip(taken, settled, strict=True)
                if its.key not in self._charged
            )
            self._charged |= {one.key for one in settled}
        return Answer(
            id=request.id,
            status=last.status,
            value=last.value if last.status == "ok" else None,
            text=last.text,
            problem=last.problem and f"{last.status}: {last.problem}",
            cost=cost,
            currency=self.endpoint.currency,
            usage=total_usage([attempts.usage for attempts in taken]),
            seconds=sum(one.seconds for one in taken),
            from_journal=all(one.from_journal for one in settled),
            rejected=last.rejected,
        )

    def _settle(self, request: Request, key: str) -> _Settled:
        while True:
            stored = self._stored(request, key)
            if stored:
                return stored
            self.halt.check()
            try:
                messages = request.messages()
            except ValueError as error:
                return _Settled(
                    key,
                    Outcome(
                        "failed", outcomes.DONE, problem=f"the request cannot be made ({error})"
                    ),
                    False,
                )
            outcome = self.sender.until_settled(request, key, messages)
            if outcome:
                return _Settled(key, outcome, False)

    def _stored(self, request: Request, key: str) -> _Settled | None:
        """The reply that the journal has, judged; None when there is none that counts."""
        stored = self.journal.history(key)
        if stored.body is None:
            return None
        outcome = outcomes.judge(
            self.endpoint, Raw(stored.http_status, stored.body), request.schema
        )
        if not stored.final:
            self.journal.label(key, stored.attempt, outcome.status, outcome.next != outcomes.RETRY)
        if stored.final or outcome.next != outcomes.RETRY:
            return _Settled(key, outcome, True)
        return None
