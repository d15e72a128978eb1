"""How fast an endpoint is asked: even rates, a crowd that shrinks and grows, a breaker that probes
and gives up.
"""

import threading
import time

import pytest

from dishvl_lib.endpoints.errors import EndpointError, Stopped
from dishvl_lib.endpoints.limits import (
    BURST_S,
    DOWN,
    FINE,
    FIRST_PAUSE_S,
    JUDGED_REPLIES,
    MAX_PROBES_NEVER_ANSWERED,
    PROBES,
    TOO_FAST,
    AdaptiveConcurrency,
    Breaker,
    Gate,
    Rate,
    StopSignal,
)


def test_a_rate_spaces_requests_evenly_after_a_short_burst():
    rate = Rate(600)
    waits = [rate.book(1, now=100.0) for _ in range(30)]
    free = round(BURST_S * 10)
    assert waits[: free + 1] == [0.0] * (free + 1)
    assert waits[free + 1 :] == pytest.approx([0.1 * i for i in range(1, 30 - free)])
    assert rate.book(1, now=200.0) == 0.0
    assert Rate(0).book(1e9, now=0.0) == 0.0


def test_a_rate_gives_back_what_was_booked_too_much():
    rate = Rate(60_000)
    assert rate.book(6000, now=10.0) == 0.0
    assert rate.book(1000, now=10.0) == pytest.approx(6.0 - BURST_S)
    rate.correct(5000)
    assert rate.book(1000, now=10.0) == pytest.approx(7.0 - 5.0 - BURST_S)


def test_a_crowd_halves_when_many_are_too_fast_ignores_a_few_and_grows_again():
    crowd = AdaptiveConcurrency(32)
    for _ in range(32):
        crowd.note(TOO_FAST)
    assert crowd.limit == 16
    for number in range(160):
        crowd.note(TOO_FAST if number % 20 == 0 else FINE)
    assert crowd.limit == 32, (
        "one in twenty is no reason to slow down, and success raises it to what is allowed, "
        "no further"
    )
    for _ in range(2000):
        crowd.note(TOO_FAST)
    assert crowd.limit == 1
    crowd.seen = crowd.slow = 0
    for _ in range(JUDGED_REPLIES):
        crowd.note(FINE)
    assert crowd.limit == 2


def test_a_breaker_opens_probes_one_at_a_time_and_closes():
    breaker = Breaker(3)
    assert not any(breaker.note(DOWN, False, now=0.0) for _ in range(3))
    assert not breaker.may_pass(FIRST_PAUSE_S - 0.1)
    assert breaker.may_pass(FIRST_PAUSE_S), "one probe"
    assert breaker.passing(), "one probe"
    assert not breaker.may_pass(FIRST_PAUSE_S), "one probe"
    breaker.note(DOWN, True, now=10.0)
    assert not breaker.may_pass(10 + 2 * FIRST_PAUSE_S - 0.1), "the pause doubles"
    assert breaker.may_pass(10 + 2 * FIRST_PAUSE_S), "the pause doubles"
    assert breaker.passing()
    breaker.note(FINE, True, now=30.0)
    assert breaker.may_pass(30.0)
    assert not breaker.passing()
    assert breaker.in_a_row == 0


def test_a_breaker_is_not_opened_by_failures_among_successes_or_by_too_fast():
    breaker = Breaker(3)
    for pressure in (DOWN, DOWN, FINE, DOWN, DOWN, TOO_FAST, DOWN):
        breaker.note(pressure, False, now=0.0)
    assert breaker.may_pass(0.0)


@pytest.mark.parametrize("answered, probes", [(True, PROBES), (False, MAX_PROBES_NEVER_ANSWERED)])
def test_a_breaker_gives_up_sooner_on_a_server_that_never_answered(answered, probes):
    breaker = Breaker(1)
    if answered:
        breaker.note(FINE, False, now=0.0)
    breaker.note(DOWN, False, now=0.0)
    assert [breaker.note(DOWN, True, now=0.0) for _ in range(probes)] == [False] * (probes - 1) + [
        True
    ]


def test_a_gate_lets_as_many_in_as_it_may_and_the_next_when_one_leaves():
    gate = Gate("toy", 2, threshold=4)
    inside = []

    def visit():
        gate.enter(10)
        inside.append(1)

    threads = [threading.Thread(target=visit, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    assert len(inside) == 2
    gate.leave(False, 0, FINE)
    threads[-1].join(2)
    time.sleep(0.1)
    assert len(inside) == 3


def test_a_gate_holds_requests_and_tokens_to_their_rates():
    started = time.monotonic()
    gate = Gate("toy", 8, threshold=4, requests_per_minute=600, tokens_per_minute=60_000)
    for _ in range(13):
        gate.enter(100)
        gate.leave(False, 0, FINE)
    assert 0.15 < time.monotonic() - started < 1.0
    for _ in range(2):
        gate.enter(1000)
        gate.leave(False, 0, FINE)
    assert time.monotonic() - started > 0.9, "a thousand tokens take a second of the limit"
    gate.enter(10**6)
    gate.leave(False, 10**6, FINE)


def test_tokens_that_were_not_used_are_given_back():
    gate = Gate("toy", 8, threshold=4, tokens_per_minute=60_000)
    started = time.monotonic()
    for _ in range(50):
        gate.enter(900)
        gate.leave(False, 890, FINE)
    assert time.monotonic() - started < 1.0


def test_a_gate_says_that_the_server_is_down():
    gate = Gate("toy at http://x", 1, threshold=1, pace=1e-4)
    gate.enter(1)
    gate.leave(False, 0, DOWN)
    with pytest.raises(
        EndpointError,
        match="toy at http://x: the server is down .3 failures in a row.; check base_url, and run "
        "again",
    ):
        for _ in range(MAX_PROBES_NEVER_ANSWERED):
            assert gate.enter(1), "a probe"
            gate.leave(True, 0, DOWN)


def test_a_halt_wakes_sleepers_keeps_the_first_error_and_frees_the_gate():
    halt = StopSignal()
    ended = []
    gate = Gate("toy", 1, threshold=4, requests_per_minute=1, halt=halt)
    gate.enter(1)
    gate.leave(False, 0, FINE)
    gate.requests.free_at += 1000

    def visit():
        try:
            gate.enter(1)
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=visit, daemon=True)
    thread.start()
    time.sleep(0.05)
    halt.fail(ValueError("first"))
    halt.fail(ValueError("second"))
    thread.join(2)
    assert len(ended) == 1
    assert str(halt.failure) == "first"
    assert gate.out == 0
    with pytest.raises(Stopped):
        halt.check()
