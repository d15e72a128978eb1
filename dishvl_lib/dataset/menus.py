"""Menus: drawn before their answer, so that the answer cannot be guessed from its look-alikes."""

from collections.abc import Mapping, Sequence

import numpy as np

from dishvl_lib.core import names


def draw_menu(dishes: Sequence[str], similar: Mapping[str, Sequence[str]], size: int, look_alikes_per_seed: int, rng: np.random.Generator) -> list[str]:
    """`size` different dish_ids out of `dishes` (all of them when there are fewer), in random order.

    Seed dishes are drawn one after another, each brings up to `look_alikes_per_seed` of its look-alikes (`similar`:
    closest first); half of the menu is filled this way and the rest with random dishes, all before anyone knows which
    entry will be asked for.
    """
    size = min(size, len(dishes))
    allowed, chosen = set(dishes), []
    for seed in rng.permutation(np.array(dishes, dtype=object)):
        if len(chosen) >= size / 2:
            break
        family = [seed, *[other for other in similar.get(seed, ()) if other in allowed][:look_alikes_per_seed]]
        chosen += [dish for dish in family if dish not in chosen]
    others = [dish for dish in rng.permutation(np.array(dishes, dtype=object)) if dish not in set(chosen)]
    menu = (chosen + others)[:size]
    return [menu[place] for place in rng.permutation(size)]


def askable(dish_names: Mapping[str, str]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """({dish_id: name} that may stand on a menu, [{dish_id, name, reason}] that may not).

    Left out: names that cannot be an entry, and dishes that share a name after normalisation, since one right answer
    would be two.
    """
    by_name: dict[str, list[str]] = {}
    for dish, name in dish_names.items():
        by_name.setdefault(names.normalise(name), []).append(dish)
    good, out = {}, []
    for dish, name in sorted(dish_names.items()):
        twins = [other for other in by_name[names.normalise(name)] if other != dish]
        reason = names.problem_with(name) or (f"same name as {', '.join(twins)}; decide in decisions/names.csv" if twins else "")
        if reason:
            out.append({"dish_id": dish, "name": name, "reason": reason})
        else:
            good[dish] = name
    return good, out
