"""Menus: drawn before their answer, entries unique, and who may stand on one."""

import numpy as np
import pytest

from dishvl_lib.dataset import menus

DISHES = [f"d{i:02d}" for i in range(40)]
FAMILIES = {
    dish: [DISHES[i // 4 * 4 + j] for j in range(4) if i // 4 * 4 + j != i]
    for i, dish in enumerate(DISHES)
}


def draw(seed, size=10, dishes=DISHES, similar=FAMILIES, per_seed=3):
    return menus.draw_menu(menus.pool(dishes, similar), size, per_seed, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "size, dishes, expected",
    [(10, 40, 10), (20, 40, 20), (40, 40, 40), (20, 7, 7), (3, 40, 3), (2, 2, 2)],
)
@pytest.mark.parametrize("per_seed", [0, 3, 9])
def test_entries_are_different_and_as_many_as_there_can_be(size, dishes, expected, per_seed):
    for seed in range(20):
        menu = draw(seed, size, DISHES[:dishes], per_seed=per_seed)
        assert len(menu) == len(set(menu)) == expected
        assert set(menu) <= set(DISHES[:dishes])


def test_the_seed_decides():
    assert draw(1) == draw(1) != draw(2)
    assert all(type(dish) is str for dish in draw(1))


def test_half_of_a_menu_is_families_of_look_alikes():
    def families(menu):
        return sum(any(other in menu for other in FAMILIES[dish]) for dish in menu)

    with_them = np.mean([families(draw(seed, 8)) for seed in range(200)])
    without = np.mean([families(draw(seed, 8, per_seed=0)) for seed in range(200)])
    assert with_them >= 4
    assert without < 4.5
    assert with_them > without + 1


def test_the_closest_look_alike_comes_first():
    for seed in range(100):
        menu = draw(seed, 4, per_seed=1)
        assert any(FAMILIES[dish][0] in menu for dish in menu)


def test_a_family_does_not_stand_together():
    """In random order the pair of a seed and its look-alike fills the first two of four places once
    in six.
    """
    together = sum(
        menu[1] in FAMILIES[menu[0]] for menu in (draw(seed, 4, per_seed=1) for seed in range(300))
    )
    assert 20 < together < 100


def test_look_alikes_that_may_not_stand_there_do_not():
    dishes = [dish for dish in DISHES if dish != "d01"]
    assert all("d01" not in draw(seed, 12, dishes) for seed in range(50))


def test_every_dish_is_drawn_and_stands_everywhere():
    drawn = np.array(
        [
            [menu.index(dish) if dish in menu else -1 for dish in DISHES]
            for menu in map(draw, range(1500))
        ]
    )
    share = (drawn >= 0).mean(axis=0)
    assert np.abs(share - 0.25).max() < 0.06
    places = np.bincount(drawn[drawn >= 0], minlength=10) / (drawn >= 0).sum()
    assert np.abs(places - 0.1).max() < 0.015


def test_who_may_stand_on_a_menu_and_why_not():
    names = {
        "a": "红烧鱼",
        "b": "土豆丝",
        "c": "红烧 鱼",
        "d": "",
        "e": "鱼、肉",
        "f": "素鸡(豆制品)",
        "g": "素鸡",
        "h": "鱼" * 61,
    }
    good, out = menus.askable(names)
    assert good == {"b": "土豆丝", "f": "素鸡(豆制品)", "g": "素鸡"}
    reasons = {dish["dish_id"]: dish["reason"] for dish in out}
    assert set(reasons) == set("acdeh")
    assert [dish["name"] for dish in out] == [names[dish["dish_id"]] for dish in out]
    assert reasons["a"] == "same name as c; decide in decisions/names.csv"
    assert reasons["c"].startswith("same name as a;")
    assert "empty" in reasons["d"]
    assert "separate menu entries" in reasons["e"]
    assert "61 characters" in reasons["h"]


def test_a_dish_that_nobody_has_named_is_not_asked_about():
    good, out = menus.askable({"a": "红烧鱼", "GX4_6": "GX4_6"}, {"GX4_6": "it is a code"})
    assert good == {"a": "红烧鱼"}
    assert out[0]["reason"].startswith("nobody has named it: it is a code; give it a name in")


def test_the_order_of_dishes_does_not_matter():
    names = {"a": "红烧鱼", "b": "土豆丝", "c": "红烧鱼"}
    assert menus.askable(names) == menus.askable(dict(reversed(names.items())))
    assert menus.askable({}) == ({}, [])


def test_nobody_stands_beside_an_alias_a_synonym_or_a_namesake():
    """200 pairs that are one dish under two names: by synonym, by alias, by normalised name."""
    dishes = [f"{side}{i:03d}" for i in range(200) for side in "ab"]
    parts = "鱼肉鸡鸭虾蟹豆笋瓜菇"
    plain = {f"a{i:03d}": f"番茄炒{parts[i % 10]}{parts[i // 10 % 10]}{i}号" for i in range(200)}
    other = {
        f"b{i:03d}": (
            lambda name, i=i: [
                name.replace("番茄", "西红柿"),
                f"别名{i}",
                name.replace("炒", " 炒"),
            ][i % 3]
        )(plain[f"a{i:03d}"])
        for i in range(200)
    }
    aliases = {f"b{i:03d}": [plain[f"a{i:03d}"]] for i in range(200) if i % 3 == 1}
    pool = menus.pool(dishes, {}, plain | other, aliases)
    assert sum(map(len, pool.conflicts)) == 400
    seen = [set(menus.draw_menu(pool, 20, 3, np.random.default_rng(seed))) for seed in range(2000)]
    assert not [dish for menu in seen for dish in menu if dish[0] == "a" and "b" + dish[1:] in menu]
    assert {len(menu) for menu in seen} == {20}
    assert set().union(*seen) == set(dishes), "each of the two is drawn, on different menus"


def test_a_menu_is_shorter_when_the_rest_may_not_stand_there():
    pool = menus.pool(["a", "b", "c"], {}, {"a": "番茄炒蛋", "b": "西红柿炒蛋", "c": "红烧鱼"})
    assert {
        len(menus.draw_menu(pool, 3, 1, np.random.default_rng(seed))) for seed in range(20)
    } == {2}


def test_part_of_the_rest_comes_from_the_first_seeds_sites():
    sites = {dish: ["HGD" if i % 10 == 0 else f"S{i}"] for i, dish in enumerate(DISHES)}
    pool = menus.pool(DISHES, {}, sites=sites)
    home = {dish for dish in DISHES if sites[dish] == ["HGD"]}

    def together(share):
        drawn = [
            menus.draw_menu(pool, 8, 0, np.random.default_rng(seed), share) for seed in range(800)
        ]
        return np.mean([len(home & set(menu)) == len(home) for menu in drawn])

    assert together(1.0) > 2 * together(0.0)


@pytest.mark.parametrize("n", [3, 256, 257, 3600])
def test_numbers_at_random_are_all_there(n):
    drawn = list(menus.at_random(n, np.random.default_rng(0)))
    assert set(drawn) == set(range(n))
    assert drawn[-n:] != sorted(drawn[-n:])


def test_menus_of_many_dishes_are_as_good_as_of_few():
    dishes = [f"{i:04d}" for i in range(3000)]
    pool = menus.pool(dishes, {})
    drawn = [menus.draw_menu(pool, 20, 3, np.random.default_rng(seed)) for seed in range(300)]
    assert all(len(set(menu)) == 20 for menu in drawn)
    assert len(set().union(*drawn)) > 2400
