"""Frames: photos of whole trays, each in one split with everything on it.

Dishes that are dealt one by one tear trays apart: a tray's light, table and neighbours would be
known from training. So a frame is dealt, and frames that show the same tray are dealt together.
"""

import hashlib
import math

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dishvl_lib.core import artefacts, photo_hashes

# Frames of one camera share table and light, so that only nearly equal ones show the same tray.
MAX_HAMMING = photo_hashes.MAX_HAMMING // 2
MOST_BEYOND = 1.2  # of the frames that a split should have
ROWS_AT_ONCE = 1024


def dealt(
    frames: pd.DataFrame, *, test_share: float, validation_share: float, seed: int
) -> pd.Series:
    """The split of each frame: train, validation or test.

    `frames`: frame_id, phash (hex), split (as given by labels, '' without). Frames of one tray get
    one split. Where labels give splits, frames without one train, and a share of a split that was
    given counts for nothing.
    """
    group = _same_trays(frames.phash)
    given = set(frames.split) & set(artefacts.SPLITS)
    shares = {"test": test_share, "validation": validation_share}
    open_splits = {name: share for name, share in shares.items() if name not in given}
    split = frames.split.mask(frames.split.eq(""), "train")
    order = _shuffled(frames.frame_id[split.eq("train")], group, seed)
    n_trained = len(split[split.eq("train")])
    for name, share in open_splits.items():
        taken, order = _taken(order, round(share * n_trained))
        split.loc[taken] = name
    return _joined(split, group)


def _taken(order: list[list[int]], wanted: int) -> tuple[list[int], list[list[int]]]:
    """(rows of the first groups that make about `wanted` frames, the groups that are left). A group
    that goes far beyond what is wanted, such as a film of one tray, is left to train, and so is the
    last one.
    """
    most = max([math.ceil(MOST_BEYOND * wanted), *sorted(map(len, order))[:1]])
    taken: list[int] = []
    left: list[list[int]] = []
    for place, rows in enumerate(order):
        is_last = place == len(order) - 1 and not left
        if len(taken) < wanted and len(taken) + len(rows) <= most and not is_last:
            taken += rows
        else:
            left.append(rows)
    return taken, left


def _same_trays(hashes: pd.Series) -> pd.Series:
    """A number for each frame, the same for frames that show the same tray."""
    numbers = photo_hashes.numbers(hashes)
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        rows = numbers[start : start + ROWS_AT_ONCE]
        differing = np.bitwise_count(rows[:, None] ^ numbers[None, :])
        near, others = np.nonzero(differing <= MAX_HAMMING)
        first.append(near + start)
        second.append(others)
    if not first:
        return pd.Series(dtype=int, index=hashes.index)
    places = (np.concatenate(first), np.concatenate(second))
    links = coo_array((np.ones(len(places[0])), places), shape=(len(numbers), len(numbers)))
    _, group = connected_components(links, directed=False)
    return pd.Series(group, index=hashes.index)


def _shuffled(frame_ids: pd.Series, group: pd.Series, seed: int) -> list[list[int]]:
    """The rows of each group of frames, in an order that new frames do not change."""
    rows_of: dict[int, list[int]] = {}
    for row in frame_ids.sort_values().index:
        rows_of.setdefault(int(group[row]), []).append(row)
    key_of = {}
    for number, rows in rows_of.items():
        text = f"{seed}:{frame_ids[rows[0]]}"
        key_of[number] = hashlib.sha256(text.encode()).hexdigest()
    return [rows_of[number] for number in sorted(rows_of, key=key_of.__getitem__)]


def _joined(split: pd.Series, group: pd.Series) -> pd.Series:
    """One split for the frames of one tray: training's where one of them trains, then test's."""
    order = {"train": 0, "test": 1, "validation": 2}
    rank = split.map(order)
    first = rank.groupby(group).transform("min")
    return first.map({place: name for name, place in order.items()})
