"""Menus: drawn before their answer, entries unique, and who may stand on one."""

import numpy as np
import pytest

from dishvl_lib.dataset import menus

DISHES = [f"d{i:02d}" for i in range(40)]
FAMILIES = {dish: [DISHES[i // 4 * 4 + j] for j in range(4) if i // 4 * 4 + j != i] for i, dish in enumerate(DISHES)}


def draw(seed, size=10, dishes=DISHES, similar=FAMILIES, per_seed=3):
    return menus.draw_menu(dishes, similar, size, per_seed, np.random.default_rng(seed))


@pytest.mark.parametrize("size, dishes, expected", [(10, 40, 10), (20, 40, 20), (40, 40, 40), (20, 7, 7), (3, 40, 3), (2, 2, 2)])
@pytest.mark.parametrize("per_seed", [0, 3, 9])
def test_entries_are_different_and_as_many_as_there_can_be(size, dishes, expected, per_seed):
    for seed in range(20):
        menu = draw(seed, size, DISHES[:dishes], per_seed=per_seed)
        assert len(menu) == len(set(menu)) == expected and set(menu) <= set(DISHES[:dishes])


def test_the_seed_decides():
    assert draw(1) == draw(1) != draw(2) and all(type(dish) is str for dish in draw(1))


def test_half_of_a_menu_is_families_of_look_alikes():
    def families(menu):
        return sum(any(other in menu for other in FAMILIES[dish]) for dish in menu)

    with_them = np.mean([families(draw(seed, 8)) for seed in range(200)])
    without = np.mean([families(draw(seed, 8, per_seed=0)) for seed in range(200)])
    assert with_them >= 4 and without < 4.5 and with_them > without + 1


def test_the_closest_look_alike_comes_first():
    for seed in range(100):
        menu = draw(seed, 4, per_seed=1)
        assert any(FAMILIES[dish][0] in menu for dish in menu)


def test_a_family_does_not_stand_together():
    """In random order the pair of a seed and its look-alike fills the first two of four places once in six."""
    together = sum(menu[1] in FAMILIES[menu[0]] for menu in (draw(seed, 4, per_seed=1) for seed in range(300)))
    assert 20 < together < 100


def test_look_alikes_that_may_not_stand_there_do_not():
    dishes = [dish for dish in DISHES if dish != "d01"]
    assert all("d01" not in draw(seed, 12, dishes) for seed in range(50))


def test_every_dish_is_drawn_and_stands_everywhere():
    drawn = np.array([[menu.index(dish) if dish in menu else -1 for dish in DISHES] for menu in map(draw, range(1500))])
    share = (drawn >= 0).mean(axis=0)
    assert np.abs(share - 0.25).max() < 0.06
    places = np.bincount(drawn[drawn >= 0], minlength=10) / (drawn >= 0).sum()
    assert np.abs(places - 0.1).max() < 0.015


def test_who_may_stand_on_a_menu_and_why_not():
    names = {"a": "红烧鱼", "b": "土豆丝", "c": "红烧 鱼", "d": "", "e": "鱼、肉", "f": "素鸡(豆制品)", "g": "素鸡", "h": "鱼" * 61}
    good, out = menus.askable(names)
    assert good == {"b": "土豆丝", "f": "素鸡(豆制品)", "g": "素鸡"}
    reasons = {one["dish_id"]: one["reason"] for one in out}
    assert set(reasons) == set("acdeh") and [one["name"] for one in out] == [names[one["dish_id"]] for one in out]
    assert reasons["a"] == "same name as c; decide in decisions/names.csv" and reasons["c"].startswith("same name as a;")
    assert "empty" in reasons["d"] and "separate menu entries" in reasons["e"] and "61 characters" in reasons["h"]


def test_the_order_of_dishes_does_not_matter():
    names = {"a": "红烧鱼", "b": "土豆丝", "c": "红烧鱼"}
    assert menus.askable(names) == menus.askable(dict(reversed(names.items()))) and menus.askable({}) == ({}, [])
