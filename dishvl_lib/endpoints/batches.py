"""Batch mode: requests go to the provider as files and come back within a day at half the price.

Before a batch is created it is noted in the journal under a mark of its own, which the provider
keeps as metadata: a run that was killed in between finds its batch by the mark instead of paying
for a second one.
"""

import json
import math
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import openai

from dishvl_lib.core.types import Record, Records
from dishvl_lib.endpoints import outcomes, prices, requests
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.endpoints.journal import Intent, Journal, fits
from dishvl_lib.endpoints.limits import StopSignal
from dishvl_lib.endpoints.patience import CALL_TRIES, PASSING, Patience
from dishvl_lib.endpoints.requests import Capabilities, Ladder, Request

# What one file may hold.
MOST_REQUESTS = 50_000
MOST_BYTES = 100_000_000
ROUNDS = 4  # times that a request is submitted whose batch failed or expired
POLL_S = 30.0
UPLOAD_S = 900.0
MARK = "dishvl"
_ENDED = ("completed", "failed", "expired", "cancelled")


def collect(
    endpoint: Endpoint,
    all_requests: Sequence[Request],
    journal: Journal,
    ladder: Ladder,
    *,
    run: str,
    budget: Budget,
    pace: float = 1.0,
    halt: StopSignal | None = None,
    making: str = "",
) -> None:
    """Bring the answers to as many requests as batches will give into the journal; waits for the
    batches.

    Batches that an earlier, killed run left behind are collected first. What expired or failed is
    submitted again, at most ROUNDS times in all. Raises `EndpointError` before anything is sent
    when the provider has no batches.
    """
    halt = halt or StopSignal()
    by_key = {requests.key(endpoint, request): request for request in all_requests}
    runner = BatchRunner(
        endpoint,
        journal,
        ladder,
        run,
        budget,
        pace,
        halt,
        by_key,
        Patience(endpoint, pace, halt),
        making,
    )
    runner.api.call("list its batches", lambda api: api.batches.list(limit=1))
    runner.finish()
    for _ in range(ROUNDS):
        runner.one_round()
        if not runner.unanswered:
            return
    raise EndpointError(
        f"{endpoint.where}: {len(runner.unanswered)} requests were not answered in {ROUNDS} "
        f"rounds of batches ({runner.why}); "
        f"run again later, or set batch: false for this endpoint and pay the full price"
    )


@dataclass
class BatchRunner:
    endpoint: Endpoint
    journal: Journal
    ladder: Ladder
    run: str
    budget: Budget
    pace: float
    halt: StopSignal
    by_key: dict[str, Request]
    api: Patience
    making: str = ""
    refused: frozenset[str] = frozenset()  # what this round's requests are sent without
    unanswered: set[str] = field(default_factory=set)
    why: str = ""

    def one_round(self) -> None:
        """Submit what has no answer yet, in as many batches as it takes, and wait for them."""
        self.unanswered = set()
        self.refused = self.ladder.capabilities.refused
        left = {
            key: request
            for key, request in self.by_key.items()
            if self.journal.history(key).body is None
        }
        while left:
            dealt = self.submit(left)
            left = {key: request for key, request in left.items() if key not in dealt}
            if not dealt or not left:
                self.finish()

    def submit(self, left: dict[str, Request]) -> set[str]:
        """Create one batch of as many of these requests as a file and the budget hold; returns the
        keys that were dealt with.
        """
        dealt: set[str] = set()
        while True:
            with tempfile.TemporaryFile() as file:
                intents = self._write(file, left, dealt)
                if not intents:
                    return dealt
                taken = self._create(file, intents)
            if not taken:
                return dealt | {intent.key for intent in intents}
            # Another process took them between our look and our note: they are waited for, live, at
            # the end.
            dealt |= set(taken)

    def _write(self, file: Any, left: dict[str, Request], dealt: set[str]) -> list[Intent]:
        """Fill a batch's file with requests that are nobody else's and fit into the budget; notes
        in `dealt` those that cannot be in one.
        """
        intents: list[Intent] = []
        total = 0.0
        for key, intent, line in self._lines(left, dealt):
            # A first line of any length is taken: a batch of its own is all that it can be in.
            is_long = bool(intents) and file.tell() + len(line) > MOST_BYTES
            full = len(intents) == MOST_REQUESTS or is_long
            if full or not self._has_room(intent, total, first=not intents):
                break
            if self.journal.look(intent, math.inf).attempt == 0:
                dealt.add(key)
                continue
            file.write(line)
            intents.append(intent)
            total += intent.reserved
        return intents

    def _lines(
        self, left: dict[str, Request], dealt: set[str]
    ) -> Iterator[tuple[str, Intent, bytes]]:
        """Line by line, so that only one photo is in memory; a request that cannot be made is left
        to be reported by live asking.
        """
        for key, request in left.items():
            if key in dealt:
                continue
            try:
                messages = request.messages()
            except ValueError:
                dealt.add(key)
                continue
            body = requests.body(self.endpoint, messages, request, self.ladder.mode, self.refused)
            most = prices.most_usage(messages, requests.binding(request), self.endpoint.max_tokens)
            reserved = self.endpoint.cost(most) * self.endpoint.batch_discount
            line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            intent = requests.intent(self.endpoint, key, reserved, run=self.run, making=self.making)
            yield key, intent, json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def _has_room(self, intent: Intent, total: float, first: bool) -> bool:
        """Whether a line fits into the budget beside `total` of its batch. When it does not, what
        is out may give some back.

        Raises `BudgetError` for the first line when nothing is out.
        """
        limit = self.budget.limit(intent.currency)
        spent = self.journal.spent(self.run).get(intent.currency, 0.0)
        if fits(spent, total + intent.reserved, limit):
            return True
        if not first or self._open():
            return False
        return bool(self.budget.await_turn(self.journal, intent, self.halt))

    def _open(self) -> Records:
        return self.journal.open_batches(self.endpoint.server, self.endpoint.model)

    def _create(self, file: Any, intents: list[Intent]) -> list[str]:
        """Note the batch, upload its file and order it. Returns the keys that others took
        meanwhile: then nothing was done.
        """
        mark = uuid.uuid4().hex
        limit = self.budget.limit(self.endpoint.currency)
        taken = self.journal.begin_batch(
            mark, self.endpoint.server, self.endpoint.model, self.ladder.mode, intents, limit
        )
        if taken:
            return taken
        self.halt.check()
        uploaded = self.api.call(
            "upload a file",
            lambda api: api.files.create(
                file=(f"{mark}.jsonl", _rewound(file)), purpose="batch", timeout=UPLOAD_S
            ),
        )
        self.halt.check()
        self.journal.update_batch(mark, "submitted", self._order(mark, uploaded.id).id)
        return []

    def _order(self, mark: str, file_id: str) -> Any:
        """Create the batch. Never tried again blindly: after an answer that was lost on the way it
        is looked for first.
        """
        for number in range(CALL_TRIES):
            try:
                return self.endpoint.connection.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={MARK: mark},
                )
            except PASSING as error:
                self.api.wait_or_stop("create a batch", error, number)
                if existing := self._find(mark):
                    return existing
            except openai.APIStatusError as error:
                raise self.api.refused("create a batch", error) from None
        raise EndpointError(
            f"{self.endpoint.where}: no batch could be created in {CALL_TRIES} tries; "
            "nothing paid is lost, run again later"
        )

    def _find(self, mark: str) -> Any:
        """The provider's batch with this mark, or None."""
        return self.api.call("list its batches", lambda api: _marked(api, mark))

    def finish(self) -> None:
        """Wait for each batch that is out and store its results. What was reserved for one that was
        never created is given back.
        """
        refusals: list[str] = []
        reported: set[str] = set()
        while waiting := self._open():
            # Ours first: two processes that wait for each other's batches would otherwise wait for
            # ever.
            for order in sorted(waiting, key=lambda order: bool(order["waiting"])):
                if order["waiting"]:
                    self._await_other(order, reported)
                    break
                self._collect(order, refusals)
        if refusals:
            raise EndpointError(refusals[0])

    def _await_other(self, order: Record, reported: set[str]) -> None:
        """Pause while another process waits for a batch; it is named, since a provider may take a
        day.
        """
        if order["mark"] not in reported:
            reported.add(order["mark"])
            batch = f"batch {order['batch_id'] or '(being created)'} of run {order['run']}"
            print(
                f"{self.endpoint.where}: {batch} with {len(order['requests'])} requests is out, "
                f"and {order['waiting']} waits for it; its replies are shared, so this run goes "
                "on when it has ended",
                flush=True,
            )
        self.halt.wait(self.pace * POLL_S)

    def _collect(self, order: Record, refusals: list[str]) -> None:
        """Wait for a batch of our own, or of a process that is gone, and store its results."""
        self.journal.adopt_batch(order["mark"])
        batch_id = order["batch_id"] or getattr(self._find(order["mark"]), "id", "")
        batch = self._wait(batch_id) if batch_id else None
        if batch or not batch_id:
            missing = dict(order["requests"])
            if batch:
                self._store(batch, order, missing, refusals)
            self._give_back(missing)
        self.journal.update_batch(order["mark"], "collected" if batch else "abandoned", batch_id)

    def _wait(self, batch_id: str) -> Any:
        """The batch when it has ended; None when the provider does not know it (any more, or for
        this key): it may have been paid for.
        """
        while True:
            batch = self.api.call("show a batch", lambda api: _known(api, batch_id))
            if batch is None or batch.status in _ENDED:
                return batch
            self.halt.wait(self.pace * POLL_S)

    def _store(
        self, batch: Any, order: Record, missing: dict[str, int], refusals: list[str]
    ) -> None:
        """Every line of both result files into the journal; what stays in `missing` was not
        answered and not paid for.
        """
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            for line in self._lines_of(file_id):
                key, raw = self._read_line(line)
                if key in missing:
                    self._store_reply(key, missing.pop(key), raw, order["mode"], refusals)
        if missing:
            errors = (batch.errors.data or []) if batch.errors else []
            reasons = [error.message for error in errors if error.message]
            why = f": {reasons[0]}" if reasons else ""
            self.unanswered |= missing.keys() & self.by_key.keys()
            self.why = self.endpoint.hide(f"the last batch {batch.status}{why}")

    def _lines_of(self, file_id: str) -> list[str]:
        text = self.api.call("hand out a file", lambda api: api.files.content(file_id).text)
        return text.splitlines()

    def _read_line(self, line: str) -> tuple[str, Raw]:
        try:
            record = json.loads(line)
            response = record.get("response") or {}
            body = json.dumps(response.get("body") or {"error": record.get("error")})
            return record["custom_id"], Raw(
                int(response.get("status_code") or 400),
                self.endpoint.hide(body),
                may_be_billed=False,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return "", Raw(None, "")

    def _store_reply(
        self, key: str, attempt: int, raw: Raw, mode: str, refusals: list[str]
    ) -> None:
        usage = prices.usage_of(raw.body)
        request = self.by_key.get(key)
        cost = self.endpoint.cost(usage) * self.endpoint.batch_discount
        self.journal.keep(key, attempt, raw, usage, cost)
        outcome = outcomes.judge(self.endpoint, raw, request.schema if request else None)
        used = Capabilities(mode, self.refused)
        if outcome.next == outcomes.STEP_DOWN and self.ladder.next_rung(outcome.field, used):
            self.unanswered.add(key)
            self.why = outcome.problem
        if outcome.next == outcomes.STOP:
            refusals.append(outcome.problem)
        if request:
            self.journal.label(key, attempt, outcome.status, outcome.is_final)

    def _give_back(self, attempts: dict[str, int]) -> None:
        for key, attempt in attempts.items():
            self.journal.settle(
                key,
                attempt,
                status="failed",
                http_status=None,
                body="",
                usage={},
                cost=0.0,
                reserved=0.0,
                seconds=0.0,
            )


def _marked(api: openai.OpenAI, mark: str) -> Any:
    """The newest batch with this mark, or None."""
    for batch in api.batches.list(limit=100):
        if (batch.metadata or {}).get(MARK) == mark:
            return batch
    return None


def _rewound(file: Any) -> Any:
    file.seek(0)
    return file


def _known(api: openai.OpenAI, batch_id: str) -> Any:
    try:
        return api.batches.retrieve(batch_id)
    except openai.NotFoundError:
        return None
