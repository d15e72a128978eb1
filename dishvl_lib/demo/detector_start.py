"""The weights that a detector of one's own may start from: where they lie, and whether they are
whole.

`detector.safetensors` holds the net in float16, as `python -m dishvl_lib.pretrain_detector`
made it from trays of random recipes, and as metadata how. `detector.sha256` beside it is what the
file is checked against.
"""

from __future__ import annotations

from pathlib import Path

from dishvl_lib.demo import shipped_weights

FILE = Path(__file__).with_name("detector.safetensors")
REMEDY = "install DishVL again, or make it: python -m dishvl_lib.pretrain_detector"


class StartError(RuntimeError):
    """The shipped weights are missing or not those that were made; the message says what to do."""


def check(file: Path = FILE) -> str:
    """The file's sha256, compared with the one written when it was made. Raises `StartError`."""
    return shipped_weights.check(file, StartError, REMEDY)


def metadata(file: Path = FILE) -> dict[str, str]:
    """How the weights were made. Raises as `check` does."""
    check(file)
    return shipped_weights.metadata(file)
