"""Dishes that the training never saw: menu questions about them, the photos by which they are added
to a gallery, and what adding them costs the others.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from dishvl_lib.core import artefacts, names, questions
from dishvl_lib.core.types import DishNames, Records, RecordView
from dishvl_lib.dataset import conversations, menus


def rows(
    photos: pd.DataFrame,
    dish_names: DishNames,
    similar: pd.DataFrame,
    *,
    menu_size: int,
    look_alikes_per_seed: int = 3,
    same_site_share: float = 0.5,
    aliases: Mapping[str, Iterable[str]] | None = None,
    seed: int = 0,
) -> Records:
    """As many menu questions as there are photos of new dishes: dishes that may be asked about,
    with photos held out and none trained on.

    Menus are drawn from known and new dishes alike, as in training, and one that holds no new dish
    is drawn again; then every new dish on it is equally likely to be asked for. [] without new
    dishes. photos: catalogue rows; dish_names: the dishes that may be asked about; similar:
    dish_id, similar_id, rank; aliases: names that never stand beside a dish.
    """
    known = photos[(photos.split == "train") & photos.dish_id.isin(dish_names.keys())]
    part = _of_new(photos, dish_names)
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
    question_rows: Records = []
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


def registered(
    photos: pd.DataFrame, dish_names: DishNames, per_dish: int, seed: int = 0
) -> pd.DataFrame:
    """The photos by which new dishes are added to a gallery: `per_dish` of each, of different
    groups as far as there are, and never of all groups, so that others are left to ask about.

    photos, dish_names: as for `rows`. A dish with one group only is not added.
    """
    part = _of_new(photos, dish_names).sample(frac=1, random_state=seed)
    chosen = []
    for _, dish in part.groupby("dish_id", sort=True):
        groups = dish.group_id.unique()
        to_register = dish[dish.group_id.isin(groups[: min(per_dish, len(groups) - 1)])]
        first = to_register.drop_duplicates("group_id")
        ordered = pd.concat([first, to_register.drop(first.index)])
        chosen.append(ordered.head(per_dish))
    return pd.concat([part.head(0), *chosen])


def left_to_ask(photos: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    """The photos without those that were added and their near-duplicates (one group_id)."""
    of_groups = photos.group_id.isin(added.group_id) & photos.dish_id.isin(added.dish_id)
    return photos[~of_groups]


def among_known(test: Iterable[RecordView], new_names: Iterable[str], seed: int = 0) -> Records:
    """Test questions as they are after the new dishes were added: naming as it was, and menus on
    which the new dishes have taken the place of others, drawn at random, never of the answer.

    A new dish whose name means the same as the answer's takes no place.
    """
    added = sorted(set(new_names))
    rng = conversations.seeded(seed, "among_known")
    question_rows = []
    for row in test:
        if not added or row["kind"] not in ("naming", "menu"):
            continue
        menu = list(row["menu"])
        truth = artefacts.answer_of(row)
        same = names.canonical(truth)
        newcomers = [name for name in added if names.canonical(name) != same]
        places = [place for place, entry in enumerate(menu) if entry != truth]
        for place, name in zip(rng.permutation(places), newcomers, strict=False):
            menu[place] = name
        human = questions.human_turn(row["template"], menu)
        turns = artefacts.conversation(human, truth)
        changed = {"id": f"{row['id']}-with_new", "menu": menu, "conversations": turns}
        question_rows.append({**row, **changed})
    return question_rows


def _of_new(photos: pd.DataFrame, dish_names: DishNames) -> pd.DataFrame:
    """The photos held out of dishes that may be asked about and were not trained on."""
    trained = photos.dish_id[photos.split == "train"]
    is_new = photos.dish_id.isin(dish_names.keys()) & ~photos.dish_id.isin(trained)
    held_out = photos[(photos.split == artefacts.HELD_OUT) & is_new]
    return held_out.sort_values("image_id")
