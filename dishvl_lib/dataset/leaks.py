"""Nothing that is trained on may be tested: groups, equal files and near-duplicates stay on one
side of the split.
"""

from collections.abc import Collection

import pandas as pd

from dishvl_lib.core.types import Records

SPLITS = ("train", "validation", "test")
MOVED = "moved_out"
MOVED_COLUMNS = ("image_id", "path", "dish_id", "split", "twin", "twin_split", "by", "distance")
LOST_COLUMNS = ("dish_id", "split", "photos")


def find(photos: pd.DataFrame) -> Records:
    """Groups and identical bytes that lie in more than one of train, validation and test; [] is
    what must hold.
    """
    at_home = photos[photos.split.isin(SPLITS)]
    leaks = []
    for column in ("group_id", "sha256"):
        n_splits = at_home.groupby(column).split.transform("nunique")
        for value, split in at_home[n_splits > 1].groupby(column).split:
            leaks.append({"by": column, "value": value, "splits": sorted(set(split))})
    return leaks


def without_unreadable(photos: pd.DataFrame, unreadable: pd.DataFrame) -> pd.DataFrame:
    """The photos, of which those that stage 02 could not read (its skipped.csv) are given the split
    `moved_out`.
    """
    gone = photos.path.isin(unreadable.path)
    return photos.assign(split=photos.split.mask(gone, MOVED))


def without(photos: pd.DataFrame, image_ids: Collection[str]) -> pd.DataFrame:
    """The photos, of which these are given the split `moved_out`."""
    gone = photos.image_id.isin(image_ids)
    return photos.assign(split=photos.split.mask(gone, MOVED))


def without_twins(photos: pd.DataFrame, torn: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, moved): of every pair of near-duplicates in two splits the one outside training is
    given the split `moved_out`.

    torn: image_id_a, image_id_b, split_a, split_b, by, distance. Of validation and test the
    validation photo goes: nothing ever moves into test. moved: MOVED_COLUMNS, a photo a row with
    its closest twin.
    """
    order = {"train": 0, "test": 1, "validation": 2}
    path = dict(zip(photos.image_id, photos.path, strict=True))
    rows = []
    for pair in torn.itertuples():
        a = (order[pair.split_a], pair.image_id_a, pair.split_a)
        b = (order[pair.split_b], pair.image_id_b, pair.split_b)
        (_, twin, twin_split), (_, goes, _) = sorted((a, b))
        rows.append((goes, path[twin], twin_split, pair.by, float(pair.distance)))
    twins = pd.DataFrame(rows, columns=["image_id", "twin", "twin_split", "by", "distance"])
    twins = twins.sort_values(["image_id", "twin_split", "distance", "twin"])
    closest = twins.drop_duplicates("image_id")
    moved = photos[["image_id", "path", "dish_id", "split"]].merge(closest, on="image_id")
    moved = moved.sort_values("path", ignore_index=True)
    split = photos.split.mask(photos.image_id.isin(moved.image_id), MOVED)
    return photos.assign(split=split), moved[list(MOVED_COLUMNS)]


def lost_splits(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """LOST_COLUMNS: splits of a dish whose photos were all left out, and how many they were.

    `before`, `after`: the same photos (dish_id, split) before and after the leaving out. Such a
    dish is trained on, but nothing says how well it is known.
    """
    at_home = before[before.split.isin(SPLITS)]
    had = at_home.groupby(["dish_id", "split"]).size().rename("photos").reset_index()
    kept = set(zip(after.dish_id, after.split, strict=True))
    lost = [(row.dish_id, row.split) not in kept for row in had.itertuples()]
    return had[lost].reset_index(drop=True)[list(LOST_COLUMNS)]
