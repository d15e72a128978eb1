"""Asking one endpoint many questions: each is paid for once, tried again when that helps, repaired
once, or put aside.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from dishvl_lib.core.progress import Progress
from dishvl_lib.endpoints import batches, outcomes, requests
from dishvl_lib.endpoints.attempts import MOST_BOUGHT, Sender
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.errors import EndpointError, UselessError
from dishvl_lib.endpoints.journal import History, Journal, total_usage
from dishvl_lib.endpoints.limits import StopSignal
from dishvl_lib.endpoints.outcomes import Outcome
from dishvl_lib.endpoints.requests import Request
from dishvl_lib.endpoints.trial import Usefulness


@dataclass(frozen=True)
class Answer:
    """What came of one request. `value`: the parsed answer, None unless status is `ok`; `text`:
    what the model wrote.

    `problem`: why there is no value; `cost`: what this run paid for it, repair and failed attempts
    included; `usage` and `seconds`: of all its attempts; `from_journal`: nothing was sent now;
    `rejected`: the server does not take such requests, whatever they are about; `removed`: what
    stood around a plain answer.
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
    removed: str = ""

    @property
    def was_asked(self) -> bool:
        return self.status != outcomes.NOT_ASKED.status


def ask_all(
    endpoint: Endpoint,
    all_requests: Iterable[Request],
    journal: Journal,
    *,
    run: str,
    budget: Budget,
    pace: float = 1.0,
    halt: StopSignal | None = None,
    label: str = "",
    making: str = "",
    trial: Usefulness | None = None,
) -> list[Answer]:
    """The answers to all requests, in their order; photos are only read when their request is sent.

    What the journal holds is not sent again. `run` names who pays; `budget` is shared by all who
    pay together; `pace` multiplies every pause (tests); `halt` stops several calls at once. With
    `endpoint.batch` the provider's batches answer first, and only what they could not is sent one
    by one. `making`: which making of its stage this is; what another one has put aside is bought
    anew. `trial` gives this endpoint up when its first answers are of no use.

    Raises `EndpointError` (also `BudgetError`) when going on is of no use, `UselessError` with what
    came until then when the trial gave it up; everything received is in the journal.
    """
    sender = Sender(endpoint, journal, run, budget, pace, halt or StopSignal(), making, trial)
    asker = _Asker(sender)
    todo = list(all_requests)
    for request in todo:
        asker.forget_put_aside(request)
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
            making=making,
        )
    with (
        ThreadPoolExecutor(endpoint.concurrency) as pool,
        Progress(label or endpoint.name, len(todo), "requests") as progress,
    ):
        futures = [pool.submit(asker.ask, request) for request in todo]
        answers = []
        try:
            for future in futures:
                answers.append(future.result())
                progress.advance()
        except BaseException as error:
            first = asker.halt.fail(error)
            for future in futures:
                future.cancel()
            raise first from None
    if trial and trial.given_up:
        raise UselessError(_given_up(endpoint, trial, answers), answers)
    return answers


def _given_up(endpoint: Endpoint, trial: Usefulness, answers: list[Answer]) -> str:
    paid = sum(answer.cost for answer in answers)
    n_asked = sum(answer.was_asked for answer in answers)
    return (
        f"{endpoint.where} is asked no more after {n_asked} of {len(answers)} requests, for which "
        f"{paid:.4f} {endpoint.currency} were paid: {trial.sentence}"
    )


@dataclass
class _Settled:
    """`bought`: completions of no use that were paid for before this outcome."""

    key: str
    outcome: Outcome
    from_journal: bool
    bought: int = 0


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
            settled = self._settle_with_repair(request)
            with self._lock:
                stop = self.sender.trial.note(settled[-1].outcome)
            if stop:
                raise EndpointError(f"{self.endpoint.where}: {stop}")
        except Exception as error:
            self.halt.fail(error)
            raise
        return self._answer(request, settled)

    def forget_put_aside(self, request: Request) -> None:
        """Let a request be sent anew that another making of the stage has put aside, with its
        repair turn; what can be read by now is kept.
        """
        turns = [request]
        while True:
            key = requests.key(self.endpoint, turns[-1])
            stored = self.journal.history(key)
            if stored.body is None:
                return
            outcome = self._judge(stored, request)
            if outcome.next != outcomes.REPAIR or len(turns) == MOST_BOUGHT:
                break
            turns.append(requests.repair(request, outcome.text, outcome.problem))
        is_put_aside = stored.final and outcome.next != outcomes.DONE
        if is_put_aside and stored.making != self.sender.making:
            for turn in turns:
                self.journal.reopen(requests.key(self.endpoint, turn))

    def _settle_with_repair(self, request: Request) -> list[_Settled]:
        first = self._settle_once(request)
        bought = first.bought + 1
        if first.outcome.next != outcomes.REPAIR or bought >= MOST_BOUGHT:
            return [first]
        turn = requests.repair(request, first.outcome.text, first.outcome.problem)
        second = self._settle_once(turn, bought)
        return [first, second] if second.outcome != outcomes.NOT_ASKED else [first]

    def _settle_once(self, request: Request, bought: int = 0) -> _Settled:
        """Of equal requests (two dishes with one card, say) one is sent and the others wait for its
        reply.
        """
        key = requests.key(self.endpoint, request)
        with self._lock:
            lock = self._locks[key]
        with lock:
            return self._settle(request, key, bought)

    def _answer(self, request: Request, settled: list[_Settled]) -> Answer:
        last = settled[-1].outcome
        taken = [self.journal.history(record.key, self.run) for record in settled]
        with self._lock:
            # Equal requests share a reply, which only the first of them has paid for.
            costs = {its.key: record.cost for record, its in zip(taken, settled, strict=True)}
            cost = sum(costs[key] for key in costs if key not in self._charged)
            self._charged |= costs.keys()
        return Answer(
            id=request.id,
            status=last.status,
            value=last.value if last.status == "ok" else None,
            text=last.text,
            problem=last.problem and f"{last.status}: {last.problem}",
            cost=cost,
            currency=self.endpoint.currency,
            usage=total_usage([attempts.usage for attempts in taken]),
            seconds=sum(record.seconds for record in taken),
            from_journal=all(its.from_journal for its in settled),
            rejected=last.rejected,
            removed=last.removed,
        )

    def _settle(self, request: Request, key: str, bought: int) -> _Settled:
        """`bought`: completions of no use that were paid for in this matter before."""
        while True:
            stored = self._stored(request, key)
            if stored:
                return stored
            self.halt.check()
            if self.sender.trial.given_up:
                return _Settled(key, outcomes.NOT_ASKED, False)
            try:
                messages = request.messages()
            except ValueError as error:
                problem = f"the request cannot be made ({error})"
                return _Settled(
                    key, Outcome(outcomes.FAILED, outcomes.DONE, problem=problem), False
                )
            empty = self.journal.history(key, making=self.sender.making).empty
            settled = self.sender.until_settled(request, key, messages, bought + empty)
            if settled:
                return _Settled(key, settled.outcome, False, settled.bought)

    def _stored(self, request: Request, key: str) -> _Settled | None:
        """The reply that the journal has, judged; None when there is none that counts."""
        stored = self.journal.history(key, making=self.sender.making)
        if stored.body is None:
            return None
        outcome = self._judge(stored, request)
        counts = outcome.next in (outcomes.DONE, outcomes.REPAIR)
        is_put_aside = stored.final and outcome.next in (outcomes.RETRY, outcomes.AGAIN)
        if counts or is_put_aside:
            settled = _Settled(key, outcome, True, stored.empty)
        else:
            settled = None
        if not stored.final or settled is None:
            self.journal.label(key, stored.attempt, outcome.status, settled is not None)
        return settled

    def _judge(self, stored: History, request: Request) -> Outcome:
        raw = Raw(stored.http_status, stored.body or "")
        return outcomes.judge(self.endpoint, raw, request.schema)
