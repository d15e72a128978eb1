"""The split that photos have in a finished run whose model is trained on from: it is kept, and
near-duplicates follow it, so that nothing that model has learned from is ever tested.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pandas as pd

from dishvl_lib.annotation.layout import CatalogError
from dishvl_lib.core import artefacts, names

TRAINED_BEFORE = "trained on before"
TORN = "in two splits"
# Photos of the earlier run that are gone from the folders: this stands before their ids, behind
# every image_id in the order of text.
GONE = "~"
COMPARED = ("image_id", "path", "dish_id", "frame", "sha256", "phash", "phash_mirrored", "split")
# The split that decides where photos of one group were in several: what was trained on stays so.
RANK = {"train": 0, "test": 1, "validation": 2}
SPLIT_OF_RANK = {rank: split for split, rank in RANK.items()}
UNKNOWN = len(RANK)


class Placed(NamedTuple):
    """The photos with the splits that are kept, which photos these are (image_ids), and rejected
    rows.
    """

    photos: pd.DataFrame
    kept: list[str]
    rejected: pd.DataFrame


def with_gone(photos: pd.DataFrame, known: pd.DataFrame, folder_pattern: str) -> pd.DataFrame:
    """COMPARED of the photos, and below them of the known ones whose bytes are not at home now:
    what resembles them resembles what was trained on.

    known: EARLIER_COLUMNS; folder_pattern: by which a folder's name becomes a dish.
    """
    at_home = photos.sha256[~artefacts.at_site(photos.split)]
    gone = known[~known.sha256.isin(at_home)].drop_duplicates("sha256")
    dishes = [names.parse_folder(folder, folder_pattern).name or folder for folder in gone.folder]
    gone = gone.assign(image_id=GONE + gone.image_id, dish_id=dishes)
    # An id may have been given to two photos by two runs.
    gone = gone.drop_duplicates("image_id")
    return pd.concat([photos[list(COMPARED)], gone[list(COMPARED)]], ignore_index=True)


def features_of_gone(compared: pd.DataFrame, features: dict[str, Any]) -> dict[str, Any]:
    """{image_id: vector} with those of photos that are gone under the ids that they have here."""
    gone = compared.image_id[compared.image_id.str.startswith(GONE)]
    vectors = {}
    for image_id in gone:
        before = image_id.removeprefix(GONE)
        if before in features:
            vectors[image_id] = features[before]
    return {**features, **vectors}


def place(
    photos: pd.DataFrame, compared: pd.DataFrame, across: pd.DataFrame, known: pd.DataFrame
) -> Placed:
    """Give every photo that the earlier run knows its split of then, and every new one that of the
    known ones in its group.

    compared: of `with_gone`, with group_id; across: near-duplicates across dishes among them. What
    resembles a trained photo of another dish trains too. At outside sites photos that were trained
    on, and what resembles them, are left out.
    """
    before = _rank_by_bytes(known)
    own = photos.sha256.map(before).fillna(UNKNOWN).astype(int)
    of_group = _rank_by_group(photos, compared, before)
    is_near = photos.image_id.isin(_near_trained(compared, across, before))
    at_site = artefacts.at_site(photos.split)
    learned = at_site & ((of_group == RANK["train"]) | is_near)
    torn = ~at_site & (own != UNKNOWN) & (of_group < own)
    followed = of_group.mask(is_near, RANK["train"])
    rank = own.where(own != UNKNOWN, followed)
    is_kept = ~at_site & (rank != UNKNOWN) & ~torn
    splits = photos.split.mask(is_kept, rank.map(SPLIT_OF_RANK))
    rejected = [
        *_rows(photos[learned], TRAINED_BEFORE, "its model has learned from this picture"),
        *_rows(photos[torn], TORN, "a near-duplicate is in another split of the earlier run"),
    ]
    left = ~(learned | torn)
    return Placed(
        photos.assign(split=splits)[left].reset_index(drop=True),
        photos.image_id[is_kept].tolist(),
        pd.DataFrame(rejected, columns=artefacts.LEFT_OUT_COLUMNS),
    )


def refuse_held_out(photos: pd.DataFrame, kept: Sequence[str], dishes: Sequence[str]) -> None:
    """Raise `CatalogError` for an entry of hold_out_dishes whose dish was trained on: it is no new
    dish to that model.
    """
    trained = photos[photos.image_id.isin(kept) & (photos.split == "train")]
    for entry in dishes:
        known = [dish for dish in sorted(set(trained.dish_id)) if fnmatchcase(dish, entry)]
        if known:
            raise CatalogError(
                f"hold_out_dishes: the run in base_model was trained on {known[0]}, which is no new "
                f"dish to its model; take {entry!r} out, or train from another base_model"
            )


def summary(photos: pd.DataFrame, known: pd.DataFrame) -> str:
    """A sentence: how many photos keep their split, and how the new ones are split."""
    at_home = photos[photos.split.isin(artefacts.SPLITS)]
    is_known = at_home.sha256.isin(known.sha256)
    run_name = known.run.iloc[0] if len(known) else "the earlier run"
    gone = (~known.sha256.isin(photos.sha256)).sum()
    return (
        f"{is_known.sum()} photos keep the split that they have in {run_name} "
        f"({_counts(at_home[is_known])}); {(~is_known).sum()} are new "
        f"({_counts(at_home[~is_known])}); {gone} of its photos are not here any more"
    )


def _counts(photos: pd.DataFrame) -> str:
    return ", ".join(f"{split} {(photos.split == split).sum()}" for split in artefacts.SPLITS)


def _rank_by_bytes(known: pd.DataFrame) -> pd.Series:
    """{sha256: rank of its split}; the lowest where copies were in several."""
    return known.split.map(RANK).groupby(known.sha256).min()


def _rank_by_group(photos: pd.DataFrame, compared: pd.DataFrame, before: pd.Series) -> pd.Series:
    """The lowest rank among the known photos of each photo's group, aligned with `photos`."""
    ranks = compared.sha256.map(before).fillna(UNKNOWN).astype(int)
    lowest = ranks.groupby(compared.group_id).min()
    return photos.group_id.map(lowest)


def _near_trained(compared: pd.DataFrame, across: pd.DataFrame, before: pd.Series) -> set[str]:
    """image_ids of photos that resemble a trained one of another dish, or of home at a site."""
    is_trained = compared.sha256.map(before) == RANK["train"]
    trained = set(compared.image_id[is_trained])
    near = set()
    for first, second in zip(across.image_id_a, across.image_id_b, strict=True):
        if first in trained:
            near.add(second)
        if second in trained:
            near.add(first)
    return near


def _rows(photos: pd.DataFrame, reason: str, detail: str) -> list[tuple[str, str, str]]:
    return [(path, reason, detail) for path in photos.path]
