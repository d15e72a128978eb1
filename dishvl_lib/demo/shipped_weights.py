"""Weights that come with the demo: a safetensors file with how it was made as metadata, and beside it
the sha256 that it is checked against before it is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from dishvl_lib.core import records


def write(file: Path, weights: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes the weights, and the checksum beside them."""
    with records.atomic_path(file) as part:
        save_file(weights, part, metadata)
    file.chmod(0o644)
    records.write_text(checksum_file(file), records.sha256_file(file) + "\n")


def check(file: Path, error: type[Exception], remedy: str) -> str:
    """The file's sha256, compared with the one written when it was made. Raises `error`, with the
    remedy, for a file that is missing or another.
    """
    try:
        expected = checksum_file(file).read_text("ascii").strip()
        actual = records.sha256_file(file)
    except OSError as fault:
        raise error(f"{fault.filename} cannot be read ({fault.strerror}); {remedy}") from None
    if actual != expected:
        differing = f"its sha256 is {actual[:12]}..., not {expected[:12]}..."
        raise error(f"{file} is damaged: {differing}; {remedy}")
    return actual


def metadata(file: Path) -> dict[str, str]:
    """How the weights of a file that was checked were made."""
    with safe_open(file, framework="numpy") as stored:
        return stored.metadata()


def checksum_file(file: Path) -> Path:
    """Where the sha256 of the weights' file stands."""
    return file.with_suffix(".sha256")
