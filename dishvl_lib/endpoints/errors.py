"""What stops an endpoint, as errors written for the person who must act."""

from collections.abc import Sequence
from typing import Any


class EndpointError(RuntimeError):
    """A server that cannot be used: missing key, wrong parameter, exhausted quota, or down."""


class BudgetError(EndpointError):
    """The money allowed by the parameter `budget` does not suffice; nothing was sent beyond it."""


class JournalError(RuntimeError):
    """The journal of paid replies cannot be read or written: nothing may be sent."""


class Stopped(EndpointError):
    """This request was not sent because another one met an error that stops all of them."""


class UselessError(EndpointError):
    """An endpoint that was asked no more, since its first answers were of no use; `answers` holds
    what came until then, and what was not asked.
    """

    def __init__(self, sentence: str, answers: Sequence[Any]):
        super().__init__(sentence)
        self.answers = list(answers)
