"""Menu questions about dishes that the training never saw: stage 05 asks them of photos that stage
01 held out.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from dishvl_lib.core import artefacts
from dishvl_lib.dataset import conversations, menus


def rows(
    photos: pd.DataFrame,
    dish_names: Mapping[str, str],
    similar: pd.DataFrame,
    *,
    menu_size: int,
    look_alikes_per_seed: int = 3,
    same_site_share: float = 0.5,
    aliases: Mapping[str, Iterable[str]] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """As many menu questions as there are photos of new dishes: dishes that may be asked about,
    with photos held out and none trained on.

    Menus are drawn from known and new dishes alike, as in training, and one that holds no new dish
    is drawn again; then every new dish on it is equally likely to be asked for. [] without new
    dishes. photos: catalogue rows; dish_names: the dishes that may be asked about; similar:
    dish_id, similar_id, rank; aliases: names that never stand beside a dish.
    """
    known = photos[(photos.split == "train") & photos.dish_id.isin(dish_names.keys())]
    trained = photos.dish_id[photos.split == "train"]
    is_new = photos.dish_id.isin(dish_names.keys()) & ~photos.dish_id.isin(trained)
    held_out = photos[(photos.split == artefacts.HELD_OUT) & is_new]
    part = held_out.sort_values("image_id")
    if part.empty:
        return []
    both = pd.concat([known, part])
    pool = menus.pool(
        both.dish_id.unique(),
        conversations.by_dish(similar),
        dish_names,
        aliases,
        menus.sites_of(both) if "site" in both else {},
    )
    rng = conversations.seeded(seed, "new_dishes")
    new = set(part.dish_id)
    deck = conversations.PhotoDeck(part, rng)
    question_rows: list[dict[str, Any]] = []
    while len(question_rows) < len(part):
        menu = menus.draw_menu(pool, menu_size, look_alikes_per_seed, rng, same_site_share)
        if there := [dish for dish in menu if dish in new]:
            answer = there[rng.integers(len(there))]
            question_rows.append(
                conversations.question(
                    deck.next(answer),
                    "menu",
                    [dish_names[dish] for dish in menu],
                    dish_names[answer],
                    rng,
                )
            )
    return conversations.numbered(question_rows, "new_dishes")
