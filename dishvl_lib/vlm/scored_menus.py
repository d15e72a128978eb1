"""Menus about many photos, scored a few photos at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dishvl_lib.core import images
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import PhotoSource
from dishvl_lib.vlm import choose, inputs, side_by_side
from dishvl_lib.vlm.qwen import Qwen

BATCH = 8  # photos in a forward pass, each with its menus


class PhotoMenus(NamedTuple):
    """A photo's file, and the (question, entries) that are asked about it."""

    file: Path
    menus: Sequence[tuple[str, Sequence[str]]]


def score(loaded: Qwen, asked: Sequence[PhotoMenus], label: str) -> list[list[np.ndarray] | None]:
    """Per photo the log-probabilities (entries,) float64 of each of its menus; None for a photo
    that cannot be read. All menus about a photo share its forward pass. `label`: of the progress that is
    shown.
    """
    scored: list[list[np.ndarray] | None] = []
    with Progress(label, len(asked)) as progress:
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            scored += _score_batch(loaded, batch)
            progress.advance(len(batch))
    return scored


def _score_batch(loaded: Qwen, batch: Sequence[PhotoMenus]) -> list[list[np.ndarray] | None]:
    queries = []
    readable = []
    photos = side_by_side.decoded(
        lambda file: _photo(loaded, file), [asked.file for asked in batch]
    )
    for number, (photo, asked) in enumerate(zip(photos, batch, strict=True)):
        if photo is not None:
            readable.append(number)
            queries.append(choose.PhotoQuery(photo, menus=asked.menus))
    scored: list[list[np.ndarray] | None] = [None] * len(batch)
    for number, answer in zip(readable, choose.answer_together(loaded, queries), strict=True):
        scored[number] = [scores.double().cpu().numpy() for scores in answer.scores]
    return scored


def _photo(loaded: Qwen, file: PhotoSource) -> inputs.Photo | None:
    """None for one that cannot be read."""
    try:
        return inputs.photo_inputs(loaded, images.load_rgb(file))
    except images.ImageError:
        return None
