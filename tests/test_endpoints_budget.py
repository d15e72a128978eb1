"""The hard budget: reserved before, settled after, never exceeded by any number of threads,
journals and processes.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dishvl_lib.endpoints import budget as budgets
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.errors import BudgetError, Stopped
from dishvl_lib.endpoints.journal import Intent, Journal
from dishvl_lib.endpoints.limits import StopSignal


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def intent(key, reserved, currency="USD", run="r"):
    return Intent(key, run, "server", "model", currency, reserved)


def settle(journal, key, cost, attempt=1):
    journal.settle(
        key,
        attempt,
        status="received",
        http_status=200,
        body="{}",
        usage={},
        cost=cost,
        reserved=0.0,
        seconds=0.1,
    )


def test_what_fits_is_held_and_what_does_not_is_refused_with_the_sums(journal):
    budget = Budget({"USD": 1.0})
    halt = StopSignal()
    assert journal.claim(intent("a", 0.25), 1.0).attempt == 1
    settle(journal, "a", 0.25)
    assert journal.claim(intent("b", 0.5), 1.0).attempt == 1
    refused = journal.claim(intent("c", 0.5), 1.0)
    assert (refused.attempt, refused.spent, refused.held) == (0, 0.75, 0.5)
    settle(journal, "b", 0.7)
    with pytest.raises(
        BudgetError,
        match=r"0\.9500 of 1 USD are paid.* can cost up to 0\.1000; set budget: .USD: AMOUNT. to more",
    ):
        budget.await_turn(journal, intent("c", 0.1), halt)
    assert budget.await_turn(journal, intent("c", 0.05), halt).attempt == 1


def test_currencies_and_runs_are_apart_and_what_is_free_is_free(journal):
    budget = Budget({"USD": 1.0})
    halt = StopSignal()
    assert budget.await_turn(journal, intent("a", 0.0, "CNY"), halt).attempt
    assert journal.claim(intent("b", 1.0), 1.0).attempt
    assert journal.claim(intent("c", 1.0, run="other"), 1.0).attempt, "two runs have two budgets"
    with pytest.raises(BudgetError, match="of 0 CNY"):
        budget.await_turn(journal, intent("d", 0.01, "CNY"), halt)


def test_a_request_that_does_not_fit_waits_for_those_that_are_out_and_says_so(
    journal, monkeypatch, capsys
):
    monkeypatch.setattr(budgets, "QUIET_S", 0.05)
    journal.claim(intent("a", 1.0), 1.0)
    threading.Timer(0.4, settle, (journal, "a", 0.1)).start()
    started = time.monotonic()
    assert Budget({"USD": 1.0}).await_turn(journal, intent("b", 0.9), StopSignal()).attempt
    assert time.monotonic() - started > 0.3
    assert "1.0000 USD are reserved for requests of run r that are out" in capsys.readouterr().out


def test_a_waiting_request_ends_with_the_others(journal):
    halt = StopSignal()
    journal.claim(intent("a", 1.0), 1.0)
    threading.Timer(0.05, halt.fail, (ValueError(),)).start()
    with pytest.raises(Stopped):
        Budget({"USD": 1.0}).await_turn(journal, intent("b", 0.5), halt)


def test_many_threads_on_two_journals_never_pay_more_than_there_is(tmp_path):
    """Two journals on one file are what two processes have."""
    journals = [Journal(tmp_path / "j.sqlite") for _ in range(2)]
    budget = Budget({"USD": 1.0})
    paid = []

    def pay(number):
        journal = journals[number % 2]
        wish = intent(str(number), 0.03)
        try:
            while not (claim := journal.claim(wish, 1.0)).attempt:
                budget.await_turn(journal, wish, StopSignal())
        except BudgetError:
            return
        time.sleep(0.001)
        paid.append(0.01 + number % 3 * 0.01)
        settle(journal, str(number), paid[-1], claim.attempt)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(pay, range(200)))
    assert 0.97 < sum(paid) <= 1.0 + 1e-9
    assert journals[0].spent("r")["USD"] == pytest.approx(sum(paid))
    for journal in journals:
        journal.close()


def test_what_a_process_that_is_gone_may_have_paid_counts_and_is_not_waited_for(tmp_path):
    gone = Journal(tmp_path / "j.sqlite")
    gone.claim(intent("a", 0.9), 1.0)
    gone.close()
    journal = Journal(tmp_path / "j.sqlite")
    with pytest.raises(BudgetError, match=r"0\.9000 of 1 USD are paid or may have been"):
        Budget({"USD": 1.0}).await_turn(journal, intent("b", 0.5), StopSignal())
    journal.close()
