"""The weights that a detector of one's own may start from: where they lie, and whether they are
whole.

`detector.safetensors` holds the net in float16, as `python -m dishvl_lib.pretrain_detector`
made it from trays of random recipes, and as metadata how. `detector.sha256` beside it is what the
file is checked against.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from dishvl_lib.core import records

FILE = Path(__file__).with_name("detector.safetensors")
REMEDY = "install DishVL again, or make it: python -m dishvl_lib.pretrain_detector"


class StartError(RuntimeError):
    """The shipped weights are missing or not those that were made; the message says what to do."""


def check(file: Path = FILE) -> str:
    """The file's sha256, compared with the one written when it was made. Raises `StartError`."""
    try:
        expected = checksum_file(file).read_text("ascii").strip()
        actual = records.sha256_file(file)
    except OSError as error:
        raise StartError(f"{error.filename} cannot be read ({error.strerror}); {REMEDY}") from None
    if actual != expected:
        differing = f"its sha256 is {actual[:12]}..., not {expected[:12]}..."
        raise StartError(f"{file} is damaged: {differing}; {REMEDY}")
    return actual


def write(file: Path, weights: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes the weights, and the checksum beside them."""
    with records.atomic_path(file) as part:
        save_file(weights, part, metadata)
    file.chmod(0o644)
    records.write_text(checksum_file(file), records.sha256_file(file) + "\n")


def metadata(file: Path = FILE) -> dict[str, str]:
    """How the weights were made. Raises as `check` does."""
    check(file)
    with safe_open(file, framework="numpy") as stored:
        return stored.metadata()


def checksum_file(file: Path) -> Path:
    """Where the sha256 of the weights' file stands."""
    return file.with_suffix(".sha256")
