"""Conversations: one question about one photo per row, in the format of Qwen's fine-tuning
scripts.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.types import DishNames, Record, Records
from dishvl_lib.dataset import menus


class DatasetError(ValueError):
    """A data set that cannot be made: too few dishes or photos; the message says which split and
    what to change.
    """


def rows(
    photos: pd.DataFrame,
    split: str,
    dish_names: DishNames,
    similar: pd.DataFrame,
    *,
    menu_size: int,
    menu_size_to: int = 0,
    look_alikes_per_seed: int = 3,
    same_site_share: float = 0.5,
    naming_per_photo: int = 1,
    menus_per_photo: int = 1,
    absent_share: float = 0.0,
    photos_per_dish: int = 0,
    balance: bool = False,
    aliases: Mapping[str, Iterable[str]] | None = None,
    trained: bool = True,
    confused: pd.DataFrame | None = None,
    seed: int = 0,
) -> Records:
    """All questions of one split, naming questions first, in an order and with contents that the
    seed decides alone.

    photos: catalogue rows; dish_names: the dishes that may be asked about; similar: dish_id,
    similar_id, rank; aliases: other names of each dish, which never stand beside it. Menu questions
    are `menus_per_photo` times the split's photos in number: the menu is drawn first (of
    `menu_size` entries, or of any number up to `menu_size_to`), then its answer uniformly among its
    entries, then the next of that dish's photos, so that rare dishes are asked for as often as
    others. `absent_share` of as many more ask about a dish that is not on the menu.
    photos_per_dish: at most so many photos of each dish (0: all). balance: naming questions too are
    dealt so that all dishes have the same number. confused: pairs that a finished run confuses
    (CONFUSED_COLUMNS), which lead menus. trained: False takes the wordings that are kept
    for testing. Raises `DatasetError` for sizes that cannot be and when fewer than two dishes have
    photos in this split.
    """
    if menu_size < 2 or (menu_size_to and menu_size_to < menu_size):
        raise DatasetError(
            f"menu_size is {menu_size} and menu_size_to {menu_size_to}: a menu needs at "
            "least two entries, and menu_size_to is 0 or at least menu_size; change "
            "menu_size, test_menu_size or menu_size_to"
        )
    part = photos[(photos.split == split) & photos.dish_id.isin(dish_names.keys())].sort_values(
        "image_id"
    )
    part = _capped(part, photos_per_dish, seed)
    if part.dish_id.nunique() < 2:
        raise DatasetError(
            f"split {split} has photos of {part.dish_id.nunique()} dish(es) with a usable name, "
            "a menu needs at least two; give more photos, change test_share and validation_share, "
            "or, where moved.csv holds photos of different plates, set max_hamming lower or "
            "min_cosine higher"
        )
    pool = menus.pool(
        part.dish_id.unique(),
        by_dish(similar),
        dish_names,
        aliases,
        menus.sites_of(part) if "site" in part else {},
        confused,
    )
    maker = _Maker(
        part, pool, dish_names, trained, seeded(seed, split, "" if trained else "unseen")
    )
    drawing = {
        "sizes": (menu_size, max(menu_size, menu_size_to)),
        "per_seed": look_alikes_per_seed,
        "same_site_share": same_site_share,
    }
    question_rows = maker.naming(naming_per_photo, balance)
    question_rows += [maker.menu(**drawing) for _ in range(menus_per_photo * len(part))]
    n_absent = round(absent_share * menus_per_photo * len(part))
    absent = [maker.absent(**drawing) for _ in range(n_absent)]
    question_rows += [row for row in absent if row]
    return numbered(question_rows, split if trained else f"{split}_unseen")


def site_rows(
    photos: pd.DataFrame,
    site: str,
    folder_names: Mapping[str, str],
    register_per_dish: int,
    seed: int = 0,
) -> Records:
    """The naming questions about an outside site's photos, for stage 05's site protocol: rows as
    `rows` makes them, and `role`.

    role: `register` for `register_per_dish` photos of each of its dishes, from which a model names
    the dish, `query` for the others, which are judged. The answer is the name that `folder_names`
    ({dish_id: name}) has, '' where a poor folder name says nothing.
    """
    part = photos[photos.split == f"site:{site}"].sort_values("image_id")
    rng = seeded(seed, f"site:{site}")
    question_rows = []
    for dish, rows_ in part.groupby("dish_id", sort=True):
        mixed = rows_.iloc[rng.permutation(len(rows_))]
        first = mixed.drop_duplicates("group_id")
        ordered = pd.concat([first, mixed.drop(first.index)])
        for place, photo in enumerate(ordered.itertuples()):
            row = _row(photo, _wording("naming", True, rng), [], folder_names.get(dish, ""))
            question_rows.append(
                {**row, "role": "register" if place < register_per_dish else "query"}
            )
    return numbered(question_rows, f"site_{site}")


def numbered(question_rows: Records, prefix: str) -> Records:
    """The rows with their ids: prefix, kind, running number."""
    for number, row in enumerate(question_rows):
        row["id"] = f"{prefix.replace(':', '_')}-{row['kind']}-{number:06d}"
    return question_rows


def question(
    photo: Any, kind: str, menu: Sequence[str], answer: str, rng: np.random.Generator
) -> Record:
    """A row about a catalogue row's photo, in one of the trained wordings of `kind`; `numbered`
    gives it its id.
    """
    return _row(photo, _wording(kind, True, rng), menu, answer, kind)


class PhotoDeck:
    """The photos of each dish in a random order, of which the next is asked about."""

    def __init__(self, part: pd.DataFrame, rng: np.random.Generator):
        self.by_dish = {}
        for dish, rows in part.groupby("dish_id", sort=True):
            photos = list(rows.itertuples())
            self.by_dish[dish] = [photos[place] for place in rng.permutation(len(photos))]
        self.used = dict.fromkeys(self.by_dish, 0)

    def next(self, dish: str) -> Any:
        photos = self.by_dish[dish]
        self.used[dish] = self.used[dish] + 1
        return photos[(self.used[dish] - 1) % len(photos)]


def by_dish(similar: pd.DataFrame) -> dict[str, list[str]]:
    """{dish_id: its look-alikes, closest first}."""
    ordered = similar.assign(rank=similar["rank"].astype(int)).sort_values(["dish_id", "rank"])
    return {dish: list(group.similar_id) for dish, group in ordered.groupby("dish_id")}


def _capped(part: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most `most` photos of each dish, of different groups first, in an order that only the seed
    and the ids decide.
    """
    if not most:
        return part
    texts = [f"{seed}|{image_id}" for image_id in part.image_id]
    turns = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    order = part.assign(_turn=turns).sort_values("_turn")
    order["_again"] = 0
    if "group_id" in order:
        order["_again"] = order.groupby(["dish_id", "group_id"]).cumcount()
    order = order.sort_values(["_again", "_turn"])
    kept = order.groupby("dish_id").head(most).index
    return part.loc[part.index.isin(kept)]


class _Maker:
    """The questions of one split, one after another from one random generator."""

    def __init__(
        self,
        part: pd.DataFrame,
        pool: menus.Pool,
        dish_names: DishNames,
        trained: bool,
        rng: np.random.Generator,
    ):
        self.part = part
        self.pool = pool
        self.names = dish_names
        self.trained = trained
        self.rng = rng
        self.deck = PhotoDeck(part, rng)

    def naming(self, per_photo: int, balance: bool) -> Records:
        photos = [photo for _ in range(per_photo) for photo in self.part.itertuples()]
        if balance and per_photo:
            each = max(1, round(len(photos) / len(self.deck.by_dish)))
            photos = [self.deck.next(dish) for dish in self.deck.by_dish for _ in range(each)]
        return [
            _row(photo, _wording("naming", self.trained, self.rng), [], self.names[photo.dish_id])
            for photo in photos
        ]

    def menu(self, **drawing: Any) -> Record:
        menu = self._draw(**drawing)
        answer = menu[self.rng.integers(len(menu))]
        return self._row(answer, "menu", menu, self.names[answer])

    def absent(self, **drawing: Any) -> Record | None:
        """A question about a dish that neither stands on the menu nor is called like an entry; None
        when every dish is.
        """
        menu = self._draw(**drawing)
        for place in menus.at_random(len(self.pool.dishes), self.rng):
            dish = self.pool.dishes[place]
            near = {self.pool.dishes[other] for other in self.pool.conflicts[place]}
            if not {dish, *near} & set(menu):
                return self._row(dish, "menu_absent", menu, questions.NOT_ON_MENU)
        return None

    def _draw(self, sizes: tuple[int, int], per_seed: int, same_site_share: float) -> list[str]:
        size = int(self.rng.integers(sizes[0], sizes[1] + 1))
        return menus.draw_menu(self.pool, size, per_seed, self.rng, same_site_share)

    def _row(self, dish: str, kind: str, menu: list[str], answer: str) -> Record:
        return _row(
            self.deck.next(dish),
            _wording(kind, self.trained, self.rng),
            [self.names[entry] for entry in menu],
            answer,
            kind,
        )


def seeded(seed: int, *what: str) -> np.random.Generator:
    """A generator of its own for each purpose, the same on every machine."""
    text = "|".join((str(seed), *what))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return np.random.default_rng(int(digest[:16], 16))


def _wording(kind: str, trained: bool, rng: np.random.Generator) -> str:
    options = questions.templates(kind, trained)
    return options[rng.integers(len(options))].id


def _row(
    photo: Any, template: str, menu: Sequence[str], answer: str, kind: str = "naming"
) -> Record:
    return {
        "id": "",
        "image": photo.path,
        "conversations": artefacts.conversation(questions.human_turn(template, menu), answer),
        "image_id": photo.image_id,
        "dish_id": photo.dish_id,
        "kind": kind,
        "menu": list(menu),
        "template": template,
    }
