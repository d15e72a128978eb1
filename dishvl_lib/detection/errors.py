"""What a detector that cannot be used raises."""


class DetectorError(ValueError):
    """A file that no detector is in, or a parameter that does not go with it; the message says what
    to do.
    """
