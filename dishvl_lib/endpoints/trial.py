"""The first answers of an endpoint, by which it is judged whether asking on is of any use."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dishvl_lib.endpoints.outcomes import FAILED, FILTERED, FINE, Outcome

# So many useless answers at the start, or so many of so many, and an endpoint is asked no more.
ALL_OF_FIRST = 5
MOST_USELESS = 10
OF_FIRST = 20
# So many refusals before any answer: the parameters are wrong, not the requests.
REFUSED_WITHOUT_ANSWER = 10
_SHOWN = 120
# What to change, by what the useless answers were.
_REMEDIES = {
    "empty": "turn the model's thinking off in parameters, raise max_tokens, or take another model",
    "malformed": "take another model, or turn its thinking off in parameters",
    "schema_violation": "take another model",
    "refusal": "take another model",
    "length": "raise max_tokens, or turn the model's thinking off in parameters",
    FAILED: "change parameters or model as the server says",
    "ok": "take a model that knows dishes by sight",
}


@dataclass
class Refusals:
    """Stops everything when the first requests of an endpoint were all refused as they are."""

    count: int = 0
    answered: bool = False
    given_up: bool = False

    def note(self, outcome: Outcome) -> str:
        """Why all requests must be stopped now; '' for no reason."""
        if not outcome.rejected:
            self.answered = self.answered or outcome.status not in (FAILED, FILTERED)
            return ""
        self.count += 1
        if self.answered or self.count < REFUSED_WITHOUT_ANSWER:
            return ""
        return (
            f"the first {self.count} requests were all refused; check parameters and model. The "
            f"last: {outcome.problem}"
        )


@dataclass
class Usefulness:
    """Gives an endpoint up, and it alone, when its first answers hold nothing that can be used.

    is_useful: whether an answer's value can be used. A server that is too slow or down has its own
    patience, and a dish that a filter stops says nothing of the others: these do not count.
    """

    is_useful: Callable[[Any], bool]
    given_up: bool = False
    judged: int = 0
    useless: Counter[str] = field(default_factory=Counter)
    last: Outcome | None = None

    def note(self, outcome: Outcome) -> str:
        """Take an outcome into account; never stops others, so always ''."""
        if self.given_up or not _says_something(outcome):
            return ""
        self.judged += 1
        if outcome.status != "ok" or not self.is_useful(outcome.value):
            self.useless[outcome.status] += 1
            self.last = outcome
        count = self.useless.total()
        none_of_first = self.judged == count >= ALL_OF_FIRST
        few_of_first = self.judged <= OF_FIRST and count >= MOST_USELESS
        self.given_up = none_of_first or few_of_first
        return ""

    @property
    def sentence(self) -> str:
        """What came instead of answers that can be used, and what to change."""
        ranked = self.useless.most_common()
        kinds = ", ".join(f"{count} {status}" for status, count in ranked)
        return (
            f"{self.useless.total()} of the first {self.judged} answers hold nothing that can be "
            f"used ({kinds}). {self._last_answer()}. What to change: {_REMEDIES[ranked[0][0]]}"
        )

    def _last_answer(self) -> str:
        if self.last is None:
            return ""
        text = excerpt(self.last.status, self.last.text)
        problem = self.last.problem or "nothing is known of the dish"
        return f"The last: {problem}{f', in {text!r}' if text else ''}"


def excerpt(status: str, text: str) -> str:
    """The beginning of an answer on one line; '' of a request that failed, for which there is
    none.
    """
    return "" if status == FAILED else " ".join(text.split())[:_SHOWN]


def _says_something(outcome: Outcome) -> bool:
    is_passing = outcome.pressure != FINE
    was_not_sent = outcome.status == FAILED and not outcome.rejected
    return not (is_passing or was_not_sent or outcome.status == FILTERED)
