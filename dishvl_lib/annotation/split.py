"""The split, made once for all later stages: by group, per dish, seeded."""

import hashlib

import pandas as pd

SPLITS = ("train", "validation", "test")


def assign(photos: pd.DataFrame, *, test_share: float, validation_share: float, seed: int) -> pd.Series:
    """`train`, `validation` or `test` for photos without a split; those of outside sites keep theirs.

    Whole groups are dealt, dish by dish: first to test until it has its share of the dish's photos, then to
    validation. Groups larger than the test share come last, the largest to training. The rule for small dishes: 1 group trains only; 2 groups give one to test; from 3 on all three splits
    get at least one (a split with share 0 gets none). Raises ValueError for shares that leave nothing to train on.
    """
    if test_share < 0 or validation_share < 0 or test_share + validation_share >= 0.9:
        raise ValueError(f"test_share {test_share} and validation_share {validation_share} must be >= 0 and together below 0.9")
    split = photos.split.copy()
    for _, dish in photos[photos.split == ""].groupby("dish_id", sort=True):
        sizes = dish.groupby("group_id").size()
        order = _order(sizes, max(1, round(test_share * len(dish))), seed)
        dealt = _deal([int(sizes[group]) for group in order], test_share, validation_share)
        split.loc[dish.index] = dish.group_id.map(dict(zip(order, dealt, strict=True)))
    return split


def small_dishes(photos: pd.DataFrame) -> pd.DataFrame:
    """The dishes that lack photos in a split, with what they have: photos per split."""
    own = photos[photos.split.isin(SPLITS)]
    table = own.pivot_table(index="dish_id", columns="split", values="image_id", aggfunc="count", fill_value=0).reindex(columns=list(SPLITS), fill_value=0)
    return table[(table == 0).any(axis=1)]


def _order(sizes: pd.Series, limit: int, seed: int) -> list[str]:
    """Group ids in seeded order; those with more than `limit` photos last, by size, so that none of them fills the test."""
    return sorted(sizes.index, key=lambda group: (sizes[group] if sizes[group] > limit else 0, hashlib.sha256(f"{seed}|{group}".encode()).digest()))


def _deal(sizes: list[int], test_share: float, validation_share: float) -> list[str]:
    total, dealt = sum(sizes), []
    counts, kept_back = dict.fromkeys(SPLITS, 0), 2 if validation_share and len(sizes) > 2 else 1
    for place, size in enumerate(sizes):
        left = len(sizes) - place
        if test_share and counts["test"] < max(1, round(test_share * total)) and left > kept_back:
            choice = "test"
        elif validation_share and counts["validation"] < max(1, round(validation_share * total)) and left > 1 and len(sizes) > 2:
            choice = "validation"
        else:
            choice = "train"
        counts[choice] += size
        dealt.append(choice)
    return dealt
