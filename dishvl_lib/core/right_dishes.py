"""Which dish somebody means who says that a photo shows another one than its folder."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dishvl_lib.core import artefacts, names
from dishvl_lib.core.types import RecordViews

HELD_OUT_DISH = "is held out whole, and this photo is not: it would be known before it is new"


class RightDishes:
    """The dishes that a photo can be given, and the words that mean each.

    dishes: rows of dishes.jsonl. photos: the catalogue (dish_id, split). former: {dish_id before
    dishes were merged: after}. A word means a dish by its dish_id, then by a folder of it, then by
    its name, then by another name of it. The dishes of an outside site are its own: they are meant
    for its photos only, by dish_id or folder.
    """

    def __init__(
        self,
        dishes: RecordViews,
        photos: pd.DataFrame,
        former: Mapping[str, str] | None = None,
    ):
        at_site = artefacts.at_site(photos.split)
        home = photos[~at_site]
        is_held_out = home.split.eq(artefacts.HELD_OUT).groupby(home.dish_id).all()
        self.held_out = set(is_held_out.index[is_held_out])
        self.at_home = _levels_of(dishes, set(home.dish_id), former or {})
        self.of_site: dict[str, list[_Level]] = {}
        for split, part in photos[at_site].groupby("split"):
            self.of_site[str(split)] = _levels_of_site(str(split), sorted(set(part.dish_id)))

    def meant(self, text: str, dish_id: str, split: str) -> tuple[str, str]:
        """(dish_id, '') or ('', why there is none), for a photo of `dish_id` and `split`."""
        text = text.strip()
        if not text:
            return "", "no right dish is given"
        is_outside = split.startswith(artefacts.SITE_PREFIX)
        levels = self.of_site.get(split, []) if is_outside else self.at_home
        for level in levels:
            dish_ids = level.dishes(text)
            if len(dish_ids) == 1:
                return self._usable(dish_ids[0], dish_id, split)
            if dish_ids:
                return "", f"{text} may be {' or '.join(dish_ids)}: write the dish_id"
        where = f"of {split}" if is_outside else "in dishes.jsonl"
        return "", f"there is no dish {text} {where}"

    def _usable(self, right: str, dish_id: str, split: str) -> tuple[str, str]:
        """A photo that trains must not show a dish that the training must not know."""
        if right in self.held_out and right != dish_id and split != artefacts.HELD_OUT:
            return "", f"{right} {HELD_OUT_DISH}"
        return right, ""


class _Level:
    """Words of one kind and the dishes that they mean; exact spelling first."""

    def __init__(self) -> None:
        self.exact: dict[str, set[str]] = {}
        self.alike: dict[str, set[str]] = {}

    def add(self, word: str, dish_id: str) -> None:
        if word.strip():
            self.exact.setdefault(word, set()).add(dish_id)
            self.alike.setdefault(names.spelling(word), set()).add(dish_id)

    def dishes(self, word: str) -> list[str]:
        hits = self.exact.get(word) or self.alike.get(names.spelling(word), set())
        return sorted(hits)


def _levels_of(dishes: RecordViews, there: set[str], former: Mapping[str, str]) -> list[_Level]:
    by_id = _Level()
    by_folder = _Level()
    by_name = _Level()
    by_alias = _Level()
    for dish in dishes:
        dish_id = dish["dish_id"]
        if dish_id not in there:
            continue
        by_id.add(dish_id, dish_id)
        by_name.add(dish["name"], dish_id)
        for folder in dish["folders"]:
            by_folder.add(folder, dish_id)
        for alias in dish["aliases"]:
            by_alias.add(alias, dish_id)
    for before, after in former.items():
        if after in there and before not in by_id.exact:
            by_folder.add(before, after)
    return [by_id, by_folder, by_name, by_alias]


def _levels_of_site(split: str, dish_ids: Sequence[str]) -> list[_Level]:
    by_id = _Level()
    by_folder = _Level()
    prefix = f"{artefacts.site_of(split)}/"
    for dish_id in dish_ids:
        by_id.add(dish_id, dish_id)
        by_folder.add(dish_id.removeprefix(prefix), dish_id)
    return [by_id, by_folder]
