"""Menus: drawn before their answer, so that the answer cannot be guessed from its look-alikes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dishvl_lib.core import names
from dishvl_lib.core.types import DishNames
from dishvl_lib.dataset.confused import ConfusedPairs

NAME_IT = "give it a name in decisions/names.csv or names_csv"
# Of a menu's entries, so many may come from pairs that a finished run confuses; look-alikes fill
# the rest of its first half, as they do without such pairs.
CONFUSED_SHARE = 0.25
FEW = 256  # dishes up to which a random order is drawn whole; of more, dishes are drawn one by one


@dataclass(frozen=True)
class Pool:
    """The dishes that may stand on menus together, by number: their look-alikes (closest first),
    their neighbours at a site, who may not stand beside whom, and the pairs that a finished run
    confuses.
    """

    dishes: list[str]
    similar: list[list[int]]
    same_site: list[np.ndarray]
    conflicts: list[frozenset[int]]
    confused: ConfusedPairs = ConfusedPairs([], [])


def pool(
    dishes: Sequence[str],
    similar: Mapping[str, Sequence[str]],
    dish_names: DishNames | None = None,
    aliases: Mapping[str, Iterable[str]] | None = None,
    sites: Mapping[str, Iterable[str]] | None = None,
    confused: pd.DataFrame | None = None,
) -> Pool:
    """A `Pool` of `dishes` (dish_ids). similar: closest first. aliases, sites: of each dish.
    confused: CONFUSED_COLUMNS, or None. Order and hash seed do not matter.

    Two dishes may not stand on one menu when their names mean the same (`core.names.canonical`) or
    one is called what the other is also called.
    """
    dishes = sorted(dishes)
    number = {dish: place for place, dish in enumerate(dishes)}
    alike = []
    for dish in dishes:
        others = [other for other in similar.get(dish, ()) if other != dish]
        alike.append([number[other] for other in others if other in number])
    same_site = _same_site(dishes, sites or {})
    conflicts = _conflicts(dishes, dish_names or {}, aliases or {})
    confused_pairs = _confused(number, confused)
    return Pool(dishes, alike, same_site, conflicts, confused_pairs)


def _confused(number: Mapping[str, int], confused: pd.DataFrame | None) -> ConfusedPairs:
    """The confused pairs of which both dishes are in the pool."""
    pairs = []
    counts = []
    rows = [] if confused is None else confused.itertuples()
    for row in rows:
        place = number.get(row.dish_id)
        other = number.get(row.other_id)
        if place is not None and other is not None:
            count = int(row.n)
            pairs.append((place, other))
            counts.append(count)
    return ConfusedPairs(pairs, counts)


def draw_menu(
    of: Pool,
    size: int,
    look_alikes_per_seed: int,
    rng: np.random.Generator,
    same_site_share: float = 0.5,
) -> list[str]:
    """`size` different dish_ids (fewer when there are not so many), in random order.

    Seed dishes are drawn one after another, each brings up to `look_alikes_per_seed` of its
    look-alikes; half of the menu is filled this way. Where the pool knows what a finished run
    confuses, such pairs are drawn first, the more confused the likelier, for CONFUSED_SHARE of the
    menu: at least one pair. Of the rest, `same_site_share` are dishes of the first seed's sites as
    far as there are any, and the others are drawn at random: all before anyone knows which entry
    will be asked for.
    """
    n_dishes = len(of.dishes)
    size = min(size, n_dishes)
    most_confused = CONFUSED_SHARE * size
    draft = _MenuDraft(of)
    for pair in of.confused.drawn(size, rng):
        if len(draft.menu) >= most_confused:
            break
        for dish in pair:
            draft.add(dish)
    half = size / 2
    for seed in at_random(n_dishes, rng):
        if len(draft.menu) >= half:
            break
        if draft.add(seed):
            look_alikes = of.similar[seed]
            for other in look_alikes[:look_alikes_per_seed]:
                draft.add(other)
    near = of.same_site[draft.menu[0]]
    n_drawn = len(draft.menu)
    free = size - n_drawn
    wanted = n_drawn + round(same_site_share * free)
    if len(near):
        near = near[rng.permutation(len(near))]
    draft.fill(near[: 4 * size].tolist(), wanted)
    draft.fill(at_random(n_dishes, rng), size)
    menu = draft.menu[:size]
    order = rng.permutation(len(menu))
    return [of.dishes[menu[place]] for place in order]


def askable(
    dish_names: DishNames, unnamed: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """({dish_id: name} that may stand on a menu, [{dish_id, name, reason}] that may not).

    Left out: dishes that nobody has named (`unnamed` {dish_id: why}), names that cannot be an
    entry, and dishes that share a name after normalisation, since one right answer would be two.
    """
    without_name = unnamed or {}
    by_name: dict[str, list[str]] = {}
    for dish, name in dish_names.items():
        normalised = names.normalise(name)
        namesakes = by_name.setdefault(normalised, [])
        namesakes.append(dish)
    good = {}
    out = []
    for dish, name in sorted(dish_names.items()):
        normalised = names.normalise(name)
        namesakes = by_name[normalised]
        twins = sorted(other for other in namesakes if other != dish)
        reason = names.problem_with(name)
        if dish in without_name:
            reason = f"nobody has named it: {without_name[dish]}; {NAME_IT}"
        elif twins and not reason:
            reason = f"same name as {', '.join(twins)}; decide in decisions/names.csv"
        if reason:
            out.append({"dish_id": dish, "name": name, "reason": reason})
        else:
            good[dish] = name
    return good, out


def sites_of(photos: pd.DataFrame) -> dict[str, list[str]]:
    """{dish_id: the sites its photos come from}, without photos of unknown site."""
    known = photos[photos.site != ""].drop_duplicates(["dish_id", "site"])
    return {dish: sorted(part) for dish, part in known.groupby("dish_id").site}


class _MenuDraft:
    """A menu while it is filled: no dish twice, none beside one that it may not stand beside."""

    def __init__(self, of: Pool):
        self.of = of
        self.menu: list[int] = []
        self.closed: set[int] = set()

    def add(self, dish: int) -> bool:
        if dish in self.closed:
            return False
        self.menu.append(dish)
        self.closed.add(dish)
        self.closed |= self.of.conflicts[dish]
        return True

    def fill(self, dishes: Iterable[int], most: int) -> None:
        """Adds dishes in their order until the menu has `most`."""
        for dish in dishes:
            if len(self.menu) >= most:
                return
            self.add(dish)


def at_random(n: int, rng: np.random.Generator) -> Iterator[int]:
    """All numbers below `n` in random order; of many numbers the first come with repeats, which is
    quicker.
    """
    if n > FEW:
        yield from rng.integers(n, size=FEW).tolist()
    yield from rng.permutation(n).tolist()


def _same_site(dishes: Sequence[str], sites: Mapping[str, Iterable[str]]) -> list[np.ndarray]:
    at: dict[str, list[int]] = {}
    for place, dish in enumerate(dishes):
        for site in sites.get(dish, ()):
            at.setdefault(site, []).append(place)
    arrays = {site: np.array(places) for site, places in at.items()}
    # Many dishes are sold at the same sites: each set of sites is put together once.
    together: dict[tuple[str, ...], np.ndarray] = {(): np.zeros(0, int)}
    neighbours = []
    for dish in dishes:
        sites_of_dish = sites.get(dish, ())
        key = tuple(sorted(sites_of_dish))
        if key not in together:
            of_sites = [arrays[site] for site in key]
            together[key] = np.unique(np.concatenate(of_sites))
        neighbours.append(together[key])
    return neighbours


def _conflicts(
    dishes: Sequence[str], dish_names: DishNames, aliases: Mapping[str, Iterable[str]]
) -> list[frozenset[int]]:
    called: dict[str, set[int]] = {}
    for place, dish in enumerate(dishes):
        name_of_dish = dish_names.get(dish, "")
        aliases_of_dish = aliases.get(dish, ())
        for name in {name_of_dish, *aliases_of_dish}:
            for form in _forms(name):
                bearers = called.setdefault(form, set())
                bearers.add(place)
    conflicts: list[set[int]] = [set() for _ in dishes]
    for place, dish in enumerate(dishes):
        name_of_dish = dish_names.get(dish, "")
        for form in _forms(name_of_dish):
            for other in called[form] - {place}:
                conflicts[place].add(other)
                conflicts[other].add(place)
    return [frozenset(others) for others in conflicts]


def _forms(name: str) -> set[str]:
    """The forms in which a name is compared with others."""
    return {names.normalise(name), names.canonical(name)} - {""}
