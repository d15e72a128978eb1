"""Random recipes: no demo dish, no table or plate of the outside site, no random number of the
demo.
"""

import numpy as np
import pytest

from dishvl_lib.demo import dishes, recipes
from dishvl_lib.demo.ingredients import BUILDERS
from dishvl_lib.demo.plating import (
    CANTEEN,
    OUTSIDE,
    PLATINGS,
    LaidTable,
    Plating,
    draw_plating,
    draw_scene,
)

NUMBERS = range(600)  # more than the shipped tower saw


@pytest.fixture(scope="module")
def book() -> list[Plating]:
    return [recipes.random_recipe(number) for number in NUMBERS]


def lit(table: LaidTable) -> np.ndarray:
    return table.light(table.canvas.whole)


def test_no_recipe_has_the_ingredients_of_a_demo_dish(book):
    of_the_demo = [set(plating.pieces) for plating in PLATINGS.values()]
    for recipe in book:
        assert set(recipe.pieces) not in of_the_demo
        assert set(recipe.pieces) | set(recipe.garnish) <= set(BUILDERS)


def test_recipes_differ_and_are_the_same_each_time(book):
    assert len({str(recipe) for recipe in book}) == len(book)
    assert recipes.random_recipe(7) == book[7]


def test_recipes_are_as_varied_as_they_promise(book):
    assert {len(recipe.pieces) for recipe in book} == {1, 2, 3, 4}
    used = {name for recipe in book for name in recipe.pieces}
    assert used == set(recipes.MAIN)
    stained = [recipe for recipe in book if recipe.dyes]
    assert 0.2 < len(stained) / len(book) < 0.6
    assert any(recipe.soup for recipe in book)


def test_no_dining_room_has_a_table_or_plate_of_the_outside_site():
    rng = np.random.default_rng(0)
    outside_tables = np.array([rgb for rgb, _ in OUTSIDE.tables])
    outside_rims = np.array([rgb for rgb, _ in OUTSIDE.plates])
    for _ in range(500):
        place = recipes.random_place(rng)
        ((table, _),) = place.tables
        ((rim, _),) = place.plates
        rounding = 3**0.5
        from_tables = np.linalg.norm(outside_tables - np.array(table), axis=1)
        from_rims = np.linalg.norm(outside_rims - np.array(rim), axis=1)
        assert from_tables.min() >= recipes.MIN_DISTANCE - rounding
        assert from_rims.min() >= recipes.MIN_DISTANCE - rounding


def test_scenes_are_drawn_in_random_dining_rooms_only(monkeypatch):
    places = []

    def remember(plating, rng, place):
        places.append(place)
        return draw_plating(plating, rng, place)

    monkeypatch.setattr(recipes, "draw_plating", remember)
    recipes.draw_recipe(3, 2, 56)
    assert len(places) == 2
    assert OUTSIDE not in places
    assert CANTEEN not in places


def test_random_numbers_are_none_of_the_demos():
    demo = {job.seed[0] for job in dishes._jobs(list(dishes.DISHES), 80, 0)}
    assert recipes.SEED not in demo
    first_numbers = [recipes.photo_rng(0, photo).integers(2**63) for photo in range(20)]
    for job in dishes._jobs(list(dishes.DISHES), 80, 0):
        assert np.random.default_rng([*job.seed, 0]).integers(2**63) not in first_numbers


def test_photos_are_the_same_in_one_or_two_processes():
    alone = recipes.draw_recipes(2, 2, 56, processes=1)
    together = recipes.draw_recipes(2, 2, 56, processes=2)
    assert alone.shape == (2, 2, 56, 56, 3)
    assert alone.dtype == np.uint8
    assert np.array_equal(alone, together)
    assert not np.array_equal(alone[0, 0], alone[0, 1])


def test_a_dye_stains_its_ingredient_only():
    plain = Plating({"peanut": 60}, {}, None, mound=0)
    stained = Plating({"peanut": 60}, {}, None, mound=0, dyes={"peanut": (0.3, 1.0, 1.0)})
    other = Plating({"peanut": 60}, {}, None, mound=0, dyes={"egg": (0.3, 1.0, 1.0)})
    plain_scene = lit(draw_plating(plain, np.random.default_rng(1), CANTEEN))
    stained_scene = lit(draw_plating(stained, np.random.default_rng(1), CANTEEN))
    other_scene = lit(draw_plating(other, np.random.default_rng(1), CANTEEN))
    assert stained_scene[..., 0].sum() < plain_scene[..., 0].sum()
    assert np.array_equal(plain_scene, other_scene)


def test_a_dish_is_drawn_from_its_plating():
    by_name = draw_scene("米饭", np.random.default_rng(2), CANTEEN)
    by_plating = draw_plating(PLATINGS["米饭"], np.random.default_rng(2), CANTEEN)
    assert np.array_equal(lit(by_name), lit(by_plating))


def test_a_part_of_a_table_is_lit_as_it_is_within_the_whole():
    table = draw_scene("番茄蛋汤", np.random.default_rng(3), OUTSIDE)
    whole = lit(table)
    inside = (slice(101, 250), slice(83, 302))
    in_a_corner = (slice(0, 150), slice(200, 384))
    assert whole.shape == (384, 384, 3)
    assert np.array_equal(table.light(inside), whole[inside])
    assert np.array_equal(table.light(in_a_corner), whole[in_a_corner])
