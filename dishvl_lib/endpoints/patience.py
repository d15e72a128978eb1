"""Calls beside the chat requests (files, batches): repeated while a failure may pass, with the
remedy when it does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

from dishvl_lib.endpoints import outcomes
from dishvl_lib.endpoints.client import Endpoint, Raw
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.endpoints.limits import StopSignal

# About three minutes in all: a batch that takes a day should survive a short break of the line.
CALL_TRIES = 8
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 60.0
_NO_BATCHES = (404, 405, 501)
PASSING = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError)


@dataclass(frozen=True)
class Patience:
    """An endpoint that is called until it answers; pauses are multiplied by `pace`."""

    endpoint: Endpoint
    pace: float
    halt: StopSignal

    def call(self, what: str, function: Callable[[openai.OpenAI], Any]) -> Any:
        """A call that may safely be repeated, until the server answers it."""
        for number in range(CALL_TRIES):
            try:
                return function(self.endpoint.connection)
            except PASSING as error:
                self.wait_or_stop(what, error, number)
            except openai.APIStatusError as error:
                raise self.refused(what, error) from None
        raise EndpointError(
            f"{self.endpoint.where}: it did not {what} in {CALL_TRIES} tries; nothing paid "
            "is lost, run again when it answers"
        )

    def wait_or_stop(self, what: str, error: openai.APIError, number: int) -> None:
        """Pause before the next try, longer each time. An exhausted quota comes as the same error
        as a short rush, and "not implemented" as a server error: these do not pass.
        """
        if isinstance(error, openai.APIStatusError):
            judged = outcomes.judge(
                self.endpoint, Raw(error.status_code, error.response.text), None
            )
            if error.status_code in _NO_BATCHES or judged.next == outcomes.STOP:
                raise self.refused(what, error) from None
        self.halt.wait(self.pace * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))

    def refused(self, what: str, error: openai.APIStatusError) -> EndpointError:
        """The error to raise for a call that will not succeed, without the key."""
        if error.status_code in _NO_BATCHES:
            return EndpointError(
                f"{self.endpoint.where}: this provider has no batches (HTTP "
                f"{error.status_code} when asked to {what}); set batch: false for this "
                "endpoint"
            )
        judged = outcomes.judge(
            self.endpoint, Raw(error.status_code, self.endpoint.hide(error.response.text)), None
        )
        return EndpointError(
            judged.problem
            if judged.next == outcomes.STOP
            else f"{self.endpoint.where}: it refused to {what}: {judged.problem}"
        )
