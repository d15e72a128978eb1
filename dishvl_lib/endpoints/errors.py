"""What stops an endpoint, as errors written for the person who must act."""


class EndpointError(RuntimeError):
    """A server that cannot be used: missing key, wrong parameter, exhausted quota, or down."""


class BudgetError(EndpointError):
    """The money allowed by the parameter `budget` does not suffice; nothing was sent beyond it."""


class JournalError(RuntimeError):
    """The journal of paid replies cannot be read or written: nothing may be sent."""


class Stopped(EndpointError):
    """This request was not sent because another one met an error that stops all of them."""
