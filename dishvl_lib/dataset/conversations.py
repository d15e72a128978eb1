"""Conversations: one question about one photo per row, in the format of Qwen's fine-tuning scripts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import questions
from dishvl_lib.dataset.menus import draw_menu


class DatasetError(ValueError):
    """A data set that cannot be made: too few dishes or photos; the message says which split and what to change."""


def rows(
    photos: pd.DataFrame,
    split: str,
    dish_names: Mapping[str, str],
    similar: pd.DataFrame,
    *,
    menu_size: int,
    look_alikes_per_seed: int = 3,
    naming_per_photo: int = 1,
    menus_per_photo: int = 1,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """All questions of one split, naming questions first, in an order and with contents that the seed decides alone.

    `photos`: catalogue rows; `dish_names`: the dishes that may be asked about; `similar`: dish_id, similar_id, rank.
    Menu questions are `menus_per_photo` times the split's photos in number: the menu is drawn first, then its answer
    uniformly among its entries, then the next of that dish's photos, so that rare dishes are asked for as often as
    others. Raises `DatasetError` for a `menu_size` below 2 and when fewer than two dishes have photos in this split.
    """
    if menu_size < 2:
        raise DatasetError(f"menu_size is {menu_size}, a menu needs at least two entries; set menu_size and test_menu_size to 2 or more")
    part = photos[(photos.split == split) & photos.dish_id.isin(dish_names.keys())].sort_values("image_id")
    if part.dish_id.nunique() < 2:
        raise DatasetError(
            f"split {split} has photos of {part.dish_id.nunique()} dish(es) with a usable name, a menu needs at least two; give more photos or change test_share and validation_share"
        )
    rng = np.random.default_rng(int(hashlib.sha256(f"{seed}|{split}".encode()).hexdigest()[:16], 16))
    naming = [_naming(row, dish_names, rng) for _ in range(naming_per_photo) for row in part.itertuples()]
    menus = _menu_rows(part, dish_names, _by_dish(similar), menu_size, look_alikes_per_seed, menus_per_photo * len(part), rng)
    for number, row in enumerate(naming + menus):
        row["id"] = f"{split.replace(':', '_')}-{row['kind']}-{number:06d}"
    return naming + menus


def _by_dish(similar: pd.DataFrame) -> dict[str, list[str]]:
    ordered = similar.assign(rank=similar["rank"].astype(int)).sort_values(["dish_id", "rank"])
    return {dish: list(group.similar_id) for dish, group in ordered.groupby("dish_id")}


def _naming(photo: Any, dish_names: Mapping[str, str], rng: np.random.Generator) -> dict[str, Any]:
    options = questions.templates("naming")
    return _row(photo, options[rng.integers(len(options))].id, [], dish_names[photo.dish_id])


def _menu_rows(
    part: pd.DataFrame, dish_names: Mapping[str, str], similar: Mapping[str, Sequence[str]], size: int, per_seed: int, n: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    by_dish = {
        dish: [group[i] for i in rng.permutation(len(group))] for dish, group in ((d, list(g.itertuples())) for d, g in part.groupby("dish_id", sort=True))
    }
    dishes, used, options, made = list(by_dish), dict.fromkeys(by_dish, 0), questions.templates("menu"), []
    for _ in range(n):
        menu = draw_menu(dishes, similar, size, per_seed, rng)
        answer = menu[rng.integers(len(menu))]
        photo = by_dish[answer][used[answer] % len(by_dish[answer])]
        used[answer] += 1
        made.append(_row(photo, options[rng.integers(len(options))].id, [dish_names[dish] for dish in menu], dish_names[answer]))
    return made


def _row(photo: Any, template: str, menu: list[str], answer: str) -> dict[str, Any]:
    return {
        "id": "",
        "image": photo.path,
        "conversations": [{"from": "human", "value": questions.human_turn(template, menu)}, {"from": "gpt", "value": answer}],
        "image_id": photo.image_id,
        "dish_id": photo.dish_id,
        "kind": "menu" if menu else "naming",
        "menu": menu,
        "template": template,
    }
