"""The hard budget: the most a request can cost is reserved before it is sent, and given back when
its real cost is known.

What a run has paid and reserved stands in the journal, so that the budget holds for all processes
of the run together.
"""

import time
from collections.abc import Mapping

from dishvl_lib.endpoints.errors import BudgetError
from dishvl_lib.endpoints.journal import Claim, Intent, Journal
from dishvl_lib.endpoints.limits import StopSignal

WAIT_S = 0.1
QUIET_S = 10.0  # how long it is waited for money to come back before that is said


class Budget:
    """{currency: the most that a run may pay}. What is free needs none."""

    def __init__(self, amounts: Mapping[str, float]):
        self.amounts = dict(amounts)

    def limit(self, currency: str) -> float:
        return self.amounts.get(currency, 0.0)

    def await_turn(self, journal: Journal, intent: Intent, halt: StopSignal) -> Claim:
        """Wait while requests that are out may still give money back; then what a look at the
        journal came to.

        Raises `BudgetError` when none is out and the request does not fit, `Stopped` when another
        thread failed.
        """
        began = time.monotonic()
        is_reported = False
        while True:
            claim = journal.look(intent, self.limit(intent.currency))
            if claim.attempt or claim.answered or claim.under_way:
                return claim
            halt.check()
            if not claim.held:
                raise self.refusal(intent, claim.spent)
            if not is_reported and time.monotonic() - began > QUIET_S:
                is_reported = True
                print(
                    f"{intent.endpoint}: the budget has no room now; {claim.held:.4f} "
                    f"{intent.currency} are reserved for requests of run "
                    f"{intent.run} that are out, and what they do not use is waited for",
                    flush=True,
                )
            halt.wait(WAIT_S)

    def refusal(self, intent: Intent, spent: float) -> BudgetError:
        """The error for a request that does not fit."""
        currency = intent.currency
        return BudgetError(
            f"budget: {spent:.4f} of {self.limit(currency):g} {currency} are paid or may "
            f"have been, and the next request can cost up to {intent.reserved:.4f}; "
            f"set budget: {{{currency}: AMOUNT}} to more and run again, nothing paid is lost"
        )
