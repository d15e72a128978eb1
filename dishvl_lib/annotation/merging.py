"""Which dishes are one, and which folders of one dish are two: what becomes of records and of the
catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dishvl_lib.core import artefacts, names
from dishvl_lib.core.types import Records

TRUST = ("decision", "names_csv", "annotators", "annotator", "folder")


class MergeError(ValueError):
    """Dishes that cannot be merged without spoiling the test; the message names the photos."""


@dataclass(frozen=True)
class Member:
    """A dish before merging: its record, and whether people keep it apart from all others."""

    record: artefacts.Dish
    apart: bool


def split(photos: pd.DataFrame, at_home: pd.Series, decided: Mapping[str, str]) -> pd.DataFrame:
    """The photos, of which those in folders that decisions call otherwise than the rest of their
    dish are dishes of their own.

    `at_home`: bool, the photos that are ours. The dish_id, and the folders that nobody named, stay
    with the folder of that name, or else with the decision of that name or of the most photos; the
    others get their first folder's name as dish_id.
    """
    named = photos.folder[at_home].map(decided).dropna().map(names.normalise)
    n_names = named.groupby(photos.dish_id[named.index]).nunique()
    photos = photos.copy()
    for dish_id in n_names.index[n_names > 1]:
        part = named[photos.dish_id[named.index] == dish_id]
        of_folder = part[photos.folder[part.index] == dish_id]
        of_decision = part[part == names.normalise(dish_id)]
        kept = [*of_folder, *of_decision, *part.mode()][0]
        for _, rows in part[part != kept].groupby(part):
            photos.loc[rows.index, "dish_id"] = photos.folder[rows.index].min()
    return photos


def groups(members: Sequence[Member], *, merge_all: bool) -> list[list[Member]]:
    """The dishes that are one: called the same by decision, or (`merge_all`) by anybody. The one
    with the most photos comes first.
    """
    by_name: dict[tuple[str, str], list[Member]] = {}
    for member in sorted(members, key=_most_photos_first):
        dish = member.record
        name = names.normalise(dish["name"])
        decided = dish["name_source"] == "decision"
        joins = name and not member.apart and (decided or merge_all)
        key = ("name", name) if joins else ("dish", dish["dish_id"])
        by_name.setdefault(key, []).append(member)
    return list(by_name.values())


def _most_photos_first(member: Member) -> tuple[int, str]:
    return -member.record["n_images"], member.record["dish_id"]


def joined(group: Sequence[Member]) -> artefacts.Dish:
    """One record of a group: the first's dish_id, the most trusted name, the facts of the first
    that has a card.
    """
    dishes = [member.record for member in group]
    first = dishes[0]
    named = min(dishes, key=lambda dish: TRUST.index(dish["name_source"]))
    name = named["name"]
    carded = next((dish for dish in dishes if dish["card"]), first)
    folders: set[str] = set()
    other_names: set[str] = set()
    source: Records = []
    n_images = 0
    for dish in dishes:
        folders.update(dish["folders"])
        other_names.update(dish["aliases"], [dish["name"]])
        source += dish["source"]
        n_images += dish["n_images"]
    return {
        "dish_id": first["dish_id"],
        "folders": sorted(folders),
        "name": name,
        "name_source": named["name_source"],
        "aliases": sorted(other_names - {name, ""}),
        "n_images": n_images,
        "card": carded["card"],
        "introduction": carded["introduction"],
        "recipe": carded["recipe"],
        "source": source,
        "review": first["review"],
    }


def relabelled(
    photos: pd.DataFrame, at_home: pd.Series, grouped: Sequence[Sequence[Member]]
) -> pd.DataFrame:
    """The photos under their dish's id after merging. Raises `MergeError` when a test photo would
    also be trained on.
    """
    new_ids: dict[str, str] = {}
    for first, *others in grouped:
        for member in others:
            new_ids[member.record["dish_id"]] = first.record["dish_id"]
    renamed = photos.dish_id.map(lambda dish_id: new_ids.get(dish_id, dish_id))
    photos = photos.assign(dish_id=photos.dish_id.where(~at_home, renamed))
    ours = photos[at_home]
    for column in ("group_id", "sha256"):
        n_splits = ours.groupby(column).split.transform("nunique")
        torn = ours[n_splits > 1].sort_values([column, "path"])
        if len(torn):
            where = ", ".join(f"{row.path} ({row.split})" for row in torn.head(4).itertuples())
            raise MergeError(
                f"photos with one {column} would lie in two splits: {where}; mark all but "
                "one as 'photo bad' in decisions/photos.csv, "
                "or keep their dishes apart (action keep_apart) in decisions/names.csv"
            )
    return photos
