"""The demo's pretrained vision tower: where it lies, what it fits, and reading it.

`tower.safetensors` holds the vision tower and merger in float16, as `python -m
dishvl_lib.demo.pretrain` made them, and as metadata how. `tower.sha256` beside it is what the file
is checked against before its weights are used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from dishvl_lib.demo import shipped_weights

FILE = Path(__file__).with_name("tower.safetensors")
HIDDEN_SIZE = 128
VISION_LAYERS = 4
IMAGE_SIDE = 112  # px; the photos it was trained on
REMEDY = "install DishVL again, or make the tower: python -m dishvl_lib.demo.pretrain"


class TowerError(RuntimeError):
    """The tower's file is missing or not the one that was made; the message says what to do."""


def read(file: Path = FILE) -> dict[str, np.ndarray]:
    """The weights, by their names in the vision tower; TowerError for a missing or damaged file."""
    check(file)
    try:
        with safe_open(file, framework="numpy") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}
    except SafetensorError as error:
        raise TowerError(f"{file} is no safetensors file ({error}); {REMEDY}") from None


def metadata(file: Path = FILE) -> dict[str, str]:
    """How the tower was made: seeds, sizes, seconds, held-out figures. Raises as `read` does."""
    check(file)
    return shipped_weights.metadata(file)


def check(file: Path = FILE) -> str:
    """The file's sha256, compared with the one written when it was made. Raises TowerError."""
    return shipped_weights.check(file, TowerError, REMEDY)


def misfit(hidden_size: int, vision_layers: int) -> str | None:
    """Why the tower does not fit a model of these sizes, in words, or None when it does.

    Photos may be of any size: the tower's positions are rotary.
    """
    wanted = {"widths": hidden_size, "vision layers": vision_layers}
    built = {"widths": HIDDEN_SIZE, "vision layers": VISION_LAYERS}
    differing = [what for what in wanted if wanted[what] != built[what]]
    sentences = [f"{what} {wanted[what]} instead of {built[what]}" for what in differing]
    return ", ".join(sentences) or None
