"""How many processor cores there are to work on."""

import os


def available() -> int:
    """The cores that this process may use: in a container or under taskset fewer than the
    machine's.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
