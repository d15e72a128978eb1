"""The hard budget: reserved before, settled after, never exceeded by any number of threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.errors import BudgetError, Stopped
from dishvl_lib.endpoints.limits import Halt


def test_what_fits_is_held_and_what_does_not_is_refused_with_the_sums():
    budget = Budget({"USD": 1.0}, {"USD": 0.25})
    budget.reserve("USD", 0.5, Halt())
    assert not budget.try_reserve("USD", 0.5) and budget.try_reserve("USD", 0.25)
    budget.settle("USD", 0.5, 0.5)
    budget.settle("USD", 0.25, 0.2)
    with pytest.raises(BudgetError, match=r"0\.9500 of 1 USD are paid.* can cost up to 0\.1000; set budget: .USD: AMOUNT. to more"):
        budget.reserve("USD", 0.1, Halt())
    budget.reserve("USD", 0.05, Halt())


def test_currencies_are_apart_and_what_is_free_is_free():
    budget = Budget({"USD": 1.0})
    budget.reserve("CNY", 0.0, Halt())
    budget.reserve("USD", 1.0, Halt())
    with pytest.raises(BudgetError, match="of 0 CNY"):
        budget.reserve("CNY", 0.01, Halt())


def test_a_request_that_does_not_fit_waits_for_those_that_are_out():
    budget = Budget({"USD": 1.0})
    budget.reserve("USD", 1.0, Halt())
    threading.Timer(0.1, budget.settle, ("USD", 1.0, 0.1)).start()
    started = time.monotonic()
    budget.reserve("USD", 0.9, Halt())
    assert time.monotonic() - started > 0.05


def test_a_waiting_request_ends_with_the_others():
    budget, halt = Budget({"USD": 1.0}), Halt()
    budget.reserve("USD", 1.0, halt)
    threading.Timer(0.05, halt.fail, (ValueError(),)).start()
    with pytest.raises(Stopped):
        budget.reserve("USD", 0.5, halt)


def test_many_threads_never_pay_more_than_there_is():
    budget, paid = Budget({"USD": 1.0}), []

    def pay(number):
        try:
            budget.reserve("USD", 0.03, Halt())
        except BudgetError:
            return
        time.sleep(0.001)
        paid.append(0.01 + number % 3 * 0.01)
        budget.settle("USD", 0.03, paid[-1])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(pay, range(200)))
    assert 0.97 < sum(paid) <= 1.0 + 1e-9
