"""The split, made once for all later stages: by group, per dish, seeded; held-out and given photos
keep their place.
"""

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pandas as pd

from dishvl_lib.core import artefacts


def assign(
    photos: pd.DataFrame,
    *,
    test_share: float,
    validation_share: float,
    seed: int,
    train_only: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> pd.Series:
    """`train`, `validation` or `test` for photos without a split; the others (sites, held out,
    given) keep theirs.

    Whole groups are dealt, dish by dish: first to test until it has its share of the dish's photos,
    then to validation. Groups larger than the test share come last, the largest to training. The
    rule for small dishes: 1 group trains only; 2 groups give one to test; from 3 on all three
    splits get at least one (a split with share 0 gets none). A split that was given (by folders
    train/ val/ test/) gets nothing more but the rest of the groups that were given to it in part,
    as `photos_csv` may. `train_only`: image_ids whose groups train in any case. `kept`: image_ids
    of photos whose split is an earlier run's: it stays, and counts towards their dish's shares.
    Raises ValueError for shares that leave nothing to train on.
    """
    if test_share < 0 or validation_share < 0 or test_share + validation_share >= 0.9:
        raise ValueError(
            f"test_share {test_share} and validation_share {validation_share} must be >= 0 "
            "and together below 0.9"
        )
    split = _with_their_groups(photos)
    is_kept = photos.image_id.isin(kept)
    given = set(split[~is_kept]) & set(artefacts.SPLITS)
    if "test" in given:
        test_share = 0.0
    if "validation" in given:
        validation_share = 0.0
    groups_to_train = photos.group_id[photos.image_id.isin(train_only)]
    # A label in doubt tests nothing, not even where it did before.
    split = split.mask(is_kept & photos.group_id.isin(groups_to_train), "train")
    already = _counts_by_dish(photos.dish_id[is_kept], split[is_kept])
    for dish_id, dish in photos[_to_deal(split, given) & ~is_kept].groupby("dish_id", sort=True):
        free = dish[~dish.group_id.isin(groups_to_train)]
        sizes = free.groupby("group_id").size()
        counts = already.get(dish_id, dict.fromkeys(artefacts.SPLITS, 0))
        test_photos = max(1, round(test_share * (len(dish) + sum(counts.values()))))
        order = _order(sizes, test_photos, seed)
        counts["train"] += len(dish) - len(free)
        dealt = _deal(sizes[order].tolist(), test_share, validation_share, counts)
        split_of = dict(zip(order, dealt, strict=True))
        split.loc[dish.index] = dish.group_id.map(split_of).fillna("train")
    return split


def hold_out(
    photos: pd.DataFrame,
    *,
    sites: Sequence[str] = (),
    dates: Sequence[str] = (),
    dishes: Sequence[str] = (),
) -> pd.Series:
    """The split column with `held_out` for whole groups that hold a photo of one of these sites,
    dates or dishes.

    `sites`: as folder names give them (HGD); `dates`: beginnings of YYYY-MM-DD (2022-06 is a
    month); `dishes`: names, with * and ?. Raises ValueError naming an entry that no photo has: a
    misspelt hold-out would train on what it keeps.
    """
    free = photos.split.eq("")
    hit = pd.Series(False, index=photos.index)
    for key, wanted, column, matches in (
        ("hold_out_sites", sites, photos.site, str.__eq__),
        ("hold_out_dates", dates, photos.taken_on, str.startswith),
        ("hold_out_dishes", dishes, photos.dish_id, fnmatchcase),
    ):
        values = sorted(set(column[free]) - {""})
        for entry in wanted:
            meant = [value for value in values if matches(value, entry)]
            if not meant and any(matches(value, entry) for value in set(column)):
                raise ValueError(
                    f"{key}: the photos of {entry!r} have their split already, by photos_csv or by "
                    f"their frames in stage 00; take the entry out of {key}"
                )
            if not meant:
                known = ", ".join(values[:8]) or "none"
                raise ValueError(f"{key}: no photo of {entry!r}; the photos have {known}")
            hit |= free & column.isin(meant)
    in_held_out_group = photos.group_id.isin(photos.group_id[hit])
    return photos.split.mask(free & in_held_out_group, artefacts.HELD_OUT)


def check_given(photos: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows) where given splits share a group: the photo outside training goes, of
    validation and test that of validation.
    """
    at_home = photos[photos.split.isin(artefacts.SPLITS)]
    keeper = {"train": 0, "test": 1, "validation": 2}
    rank = at_home.split.map(keeper)
    best = rank.groupby(at_home.group_id).transform("min")
    out = at_home[rank > best]
    twins = at_home[rank == best].drop_duplicates("group_id").set_index("group_id")
    rows = []
    for row in out.itertuples():
        twin = twins.loc[row.group_id]
        detail = f"the same picture (or frame) as {twin.path}, which is given as {twin.split}"
        rows.append((row.path, "in two splits", detail))
    rejected = pd.DataFrame(rows, columns=artefacts.LEFT_OUT_COLUMNS)
    return photos.drop(out.index).reset_index(drop=True), rejected


def small_dishes(photos: pd.DataFrame) -> pd.DataFrame:
    """The dishes that lack photos in a split, with what they have: photos per split."""
    at_home = photos[photos.split.isin(artefacts.SPLITS)]
    counts = at_home.pivot_table(
        index="dish_id", columns="split", values="image_id", aggfunc="count", fill_value=0
    )
    table = counts.reindex(columns=list(artefacts.SPLITS), fill_value=0)
    return table[(table == 0).any(axis=1)]


def _with_their_groups(photos: pd.DataFrame) -> pd.Series:
    """The split column; photos without a split have the one given to others of their group."""
    placed = photos[photos.split.isin(artefacts.SPLITS)]
    given = dict(zip(placed.group_id, placed.split, strict=True))
    of_group = [given.get(group, "") for group in photos.group_id]
    return photos.split.mask(photos.split.eq(""), of_group)


def _to_deal(split: pd.Series, given: set[str]) -> pd.Series:
    """Photos without a split, and with given ones the training photos from which a missing split is
    taken.
    """
    missing = given and set(artefacts.SPLITS) - given
    return split.eq("") | (split.eq("train") if missing else False)


def _order(sizes: pd.Series, limit: int, seed: int) -> list[str]:
    """Group ids in seeded order; those with more than `limit` photos last, by size, so that none of
    them fills the test.
    """

    def place(group: str) -> tuple[int, bytes]:
        size = sizes[group]
        shuffled = hashlib.sha256(f"{seed}|{group}".encode()).digest()
        return size if size > limit else 0, shuffled

    return sorted(sizes.index, key=place)


def _photos_for(share: float, total: int) -> int:
    """How many photos a split wants: at least one, but for a share of 0."""
    return max(1, round(share * total)) if share else 0


def _counts_by_dish(dishes: pd.Series, split: pd.Series) -> dict[str, dict[str, int]]:
    """{dish_id: {split: photos}}."""
    counts: dict[str, dict[str, int]] = {}
    for dish_id, name in zip(dishes, split, strict=True):
        of_dish = counts.setdefault(dish_id, dict.fromkeys(artefacts.SPLITS, 0))
        of_dish[name] += 1
    return counts


def _deal(
    sizes: list[int], test_share: float, validation_share: float, already: dict[str, int]
) -> list[str]:
    """A split per group, in order; `already`: the dish's photos that have a split, by split."""
    total = sum(sizes) + sum(already.values())
    dealt = []
    counts = dict(already)
    n_training_groups = int(already["train"] > 0)
    n_validation_groups = int(already["validation"] > 0)
    groups = len(sizes) + sum(count > 0 for count in already.values())
    # Test takes none of the groups without which training, and validation, would have nothing.
    kept_back = 1 - n_training_groups
    if validation_share and groups > 2:
        kept_back += 1 - n_validation_groups
    test_photos = _photos_for(test_share, total)
    validation_photos = _photos_for(validation_share, total)
    if groups <= 2:
        validation_photos = 0
    for place, size in enumerate(sizes):
        left = len(sizes) - place
        if counts["test"] < test_photos and left > kept_back:
            choice = "test"
        elif counts["validation"] < validation_photos and left + n_training_groups > 1:
            choice = "validation"
        else:
            choice = "train"
        counts[choice] += size
        dealt.append(choice)
    return dealt
