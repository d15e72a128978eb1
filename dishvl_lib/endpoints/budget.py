"""The hard budget: the most a request can cost is reserved before it is sent, and given back when its real cost is known."""

import threading
from collections.abc import Mapping

from dishvl_lib.endpoints.errors import BudgetError
from dishvl_lib.endpoints.limits import Halt

_ROUNDING = 1e-9


class Budget:
    """{currency: the most that may be paid}, shared by all threads and endpoints of a run. What is free needs none."""

    def __init__(self, amounts: Mapping[str, float], spent: Mapping[str, float] | None = None):
        """`spent`: what this run has paid or may have paid before, by currency."""
        self.amounts, self.spent = dict(amounts), dict(spent or {})
        self._held: dict[str, float] = {}
        self._change = threading.Condition()

    def reserve(self, currency: str, amount: float, halt: Halt) -> None:
        """Hold `amount`; waits while requests that are out may still give something back.

        Raises `BudgetError` when none is out and it does not fit, `Stopped` when another thread failed.
        """
        with self._change:
            while not self._fits(currency, amount):
                halt.check()
                if not self._held.get(currency):
                    raise self._refusal(currency, amount)
                self._change.wait(0.1)
            self._hold(currency, amount)

    def try_reserve(self, currency: str, amount: float) -> bool:
        """Hold `amount` if it fits now."""
        with self._change:
            fits = self._fits(currency, amount)
            if fits:
                self._hold(currency, amount)
            return fits

    def settle(self, currency: str, reserved: float, paid: float) -> None:
        """Give a reservation back, and count what was paid or may have been."""
        with self._change:
            held = self._held.get(currency, 0.0) - reserved
            self._held[currency] = held if held > _ROUNDING else 0.0
            self.spent[currency] = self.spent.get(currency, 0.0) + paid
            self._change.notify_all()

    def _fits(self, currency: str, amount: float) -> bool:
        taken = self.spent.get(currency, 0.0) + self._held.get(currency, 0.0)
        return amount <= 0 or taken + amount <= self.amounts.get(currency, 0.0) + _ROUNDING

    def _hold(self, currency: str, amount: float) -> None:
        self._held[currency] = self._held.get(currency, 0.0) + amount

    def _refusal(self, currency: str, amount: float) -> BudgetError:
        limit, spent = self.amounts.get(currency, 0.0), self.spent.get(currency, 0.0)
        return BudgetError(
            f"budget: {spent:.4f} of {limit:g} {currency} are paid or may have been, and the next request can cost up to {amount:.4f}; "
            f"set budget: {{{currency}: AMOUNT}} to more and run again, nothing paid is lost"
        )
