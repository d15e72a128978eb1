"""One thread that runs the model: requests that wait are answered in one pass.

A photo takes a place in the queue before it is prepared. When the thread is free it takes every
photo that is ready, up to `max_batch`; while others are still being prepared it waits for them, at
most `max_wait_ms` from when the first was ready. A photo that is alone never waits. The dishes of a
tray count as photos, and go into one pass together.
"""

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from dishvl_lib.serving import errors
from dishvl_lib.serving.limits import Limits
from dishvl_lib.vlm.answers import Recognition
from dishvl_lib.vlm.photo_answers import PhotoAnswers

log = logging.getLogger("dishvl.serving")


@dataclass
class _Job:
    """Prepared photos that belong together, and what they were prepared for: another gallery may be
    open by now.
    """

    answers: PhotoAnswers
    prepared: Sequence[Any]
    future: "Future[list[Recognition]]" = field(default_factory=Future)
    ready_at: float = field(default_factory=time.monotonic)


class Place:
    """A place in the queue, taken with `Batcher.place`."""

    def __init__(self, batcher: "Batcher"):
        self._batcher = batcher
        self.is_used = False

    def submit(self, answers: PhotoAnswers, prepared: Sequence[Any]) -> "Future[list[Recognition]]":
        """The answers to photos that `answers` has prepared, once: one, or the dishes of a tray."""
        self.is_used = True
        return self._batcher._submit(_Job(answers, prepared))


class Batcher:
    """`on_pass(photos, seconds)` is called after each pass."""

    def __init__(self, limits: Limits, on_pass: Callable[[int, float], None] | None = None):
        self._limits = limits
        self._on_pass = on_pass
        self._changed = threading.Condition()
        self._ready: deque[_Job] = deque()
        self._n_ready = 0
        self._n_preparing = 0
        self._n_running = 0
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_taking(self) -> bool:
        """Whether photos are taken: the thread runs and nobody has closed the queue."""
        return self._thread.is_alive() and not self._is_closing

    @property
    def n_taken(self) -> int:
        """Places that are taken: photos being prepared, waiting and answered."""
        return self._n_preparing + self._n_ready + self._n_running

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """A place in the queue, for the preparation of a photo.

        Raises `ServiceError` 503 when there is none.
        """
        with self._changed:
            if not self.is_taking:
                raise errors.busy("the service is ending; ask again when it has started anew")
            if self.n_taken >= self._limits.queue:
                raise errors.busy(
                    f"{self._limits.queue} photos wait already; ask again in a moment"
                )
            self._n_preparing += 1
        place = Place(self)
        try:
            yield place
        finally:
            if not place.is_used:
                self._prepared()

    def close(self) -> None:
        """Take no more photos; returns when all that were taken are answered."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _prepared(self) -> None:
        """One photo less is being prepared."""
        with self._changed:
            self._n_preparing -= 1
            self._changed.notify_all()

    def _submit(self, job: _Job) -> "Future[list[Recognition]]":
        with self._changed:
            self._ready.append(job)
            self._n_ready += len(job.prepared)
            self._n_preparing -= 1
            self._changed.notify_all()
        return job.future

    def _work(self) -> None:
        while True:
            jobs = self._next_jobs()
            if not jobs:
                return
            try:
                self._run(jobs)
            finally:
                with self._changed:
                    self._n_running = 0

    def _next_jobs(self) -> list[_Job]:
        """The photos of the next pass; none when the queue is closed and empty. A tray that has more
        dishes than a pass holds comes alone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_done())
            if not self._ready:
                return []
            self._wait_for_company()
            jobs = [self._ready.popleft()]
            n_photos = len(jobs[0].prepared)
            while self._ready and self._ready[0].answers is jobs[0].answers:
                n_photos += len(self._ready[0].prepared)
                if n_photos > self._limits.max_batch:
                    break
                jobs.append(self._ready.popleft())
            self._n_running = sum(len(job.prepared) for job in jobs)
            self._n_ready -= self._n_running
            return jobs

    def _is_done(self) -> bool:
        return self._is_closing and not self._n_preparing

    def _wait_for_company(self) -> None:
        until = self._ready[0].ready_at + self._limits.max_wait_ms / 1000
        while self._n_preparing and self._n_ready < self._limits.max_batch:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _run(self, jobs: Sequence[_Job]) -> None:
        wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        if not wanted:
            return
        began_at = time.monotonic()
        prepared = list(itertools.chain.from_iterable(job.prepared for job in wanted))
        try:
            answers = iter(self._answers(wanted[0].answers, prepared))
        except Exception as error:
            self._run_apart(wanted, error)
        else:
            for job in wanted:
                job.future.set_result(list(itertools.islice(answers, len(job.prepared))))
        if self._on_pass:
            self._on_pass(len(prepared), time.monotonic() - began_at)

    def _answers(self, answers: PhotoAnswers, prepared: Sequence[Any]) -> list[Recognition]:
        """In one pass; in several where a tray has more dishes than one holds."""
        recognitions = []
        for start in range(0, len(prepared), self._limits.max_batch):
            batch = prepared[start : start + self._limits.max_batch]
            recognitions += answers.answer_prepared(batch)
        return recognitions

    def _run_apart(self, jobs: Sequence[_Job], error: Exception) -> None:
        """After a pass that failed: each photo alone, so that one fails no other."""
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        log.warning("a pass of %d photos failed (%s); each is asked alone", len(jobs), error)
        for job in jobs:
            try:
                recognitions = self._answers(job.answers, job.prepared)
            except Exception as own_error:
                job.future.set_exception(own_error)
            else:
                job.future.set_result(recognitions)
