"""The guesser without eyes finds shortcuts that are planted, each of its kind, and none in our
menus.
"""

import numpy as np
import pytest
from toys import neighbours, photo_rows

from dishvl_lib.dataset import conversations, shortcuts

DISHES = [f"d{i:03d}" for i in range(60)]
NAMES = {dish: f"{'鱼肉鸡虾豆'[i % 5]}菜{i}{'块' * (i % 3)}" for i, dish in enumerate(DISHES)}
SIMILAR = neighbours(
    {
        dish: [DISHES[i // 4 * 4 + j] for j in range(4) if i // 4 * 4 + j != i]
        for i, dish in enumerate(DISHES)
    }
)
RANKS = shortcuts.ranks_by_name(SIMILAR, NAMES)
PHOTOS = photo_rows({dish: {"train": 2 + i % 9, "test": 4} for i, dish in enumerate(DISHES)})


def rows(split, n, size):
    question_rows = conversations.rows(
        PHOTOS,
        split,
        NAMES,
        SIMILAR,
        menu_size=size,
        naming_per_photo=0,
        menus_per_photo=-(-n // int((PHOTOS.split == split).sum())),
    )
    return question_rows[:n]


def planted(choose, n=1500, size=10, seed=0):
    """Menus whose answer `choose(menu, rng)` picks."""
    rng = np.random.default_rng(seed)
    question_rows = rows("test", n, size)
    return [
        {
            "menu": row["menu"],
            "conversations": [{}, {"value": row["menu"][choose(row["menu"], rng)]}],
        }
        for row in question_rows
    ]


def alone(menu, rng):
    """An entry with the fewest look-alikes beside it."""
    counts = np.array([sum((a, b) in RANKS for b in menu) for a in menu])
    return int(rng.choice(np.flatnonzero(counts == counts.min())))


PLANTED = {
    "last place": lambda menu, rng: len(menu) - 1,
    "few look-alikes": alone,
    "longest name": lambda menu, rng: int(np.argmax([len(name) for name in menu])),
    "few dishes are ever right": lambda menu, rng: int(
        np.argmin([int("".join(filter(str.isdigit, name))) for name in menu])
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_shortcut_is_found(kind):
    guesser = shortcuts.fit(planted(PLANTED[kind], seed=0)[:1000], RANKS)
    measured = shortcuts.measure(guesser, planted(PLANTED[kind], seed=1)[1000:])
    assert measured["n"] == 500, measured
    assert measured["excess"] > 0.1, measured
    assert measured["ci95"][0] > measured["chance"], measured


def test_our_menus_give_nothing_away():
    guesser = shortcuts.fit(rows("train", 3000, 10), RANKS)
    measured = shortcuts.measure(guesser, rows("test", 10_000, 20))
    assert measured["n"] == 10_000, measured
    assert measured["chance"] == 0.05, measured
    assert measured["excess"] <= shortcuts.POINT, measured
    assert measured["correct"] == round(measured["accuracy"] * 10_000)
    assert set(measured["weights"]) == set(shortcuts.FEATURES)


def test_the_gradient_is_the_losss():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(size, len(shortcuts.FEATURES))) for size in (3, 5, 4)]
    places = np.array([2, 0, 3])
    weights = rng.normal(size=len(shortcuts.FEATURES))
    data = shortcuts._padded(parts)
    loss, gradient = shortcuts._loss(weights, data, places)
    for k in range(len(weights)):
        step = np.eye(len(weights))[k] * 1e-6
        slope = (
            shortcuts._loss(weights + step, data, places)[0]
            - shortcuts._loss(weights - step, data, places)[0]
        ) / 2e-6
        assert slope == pytest.approx(gradient[k], abs=1e-6)
    assert loss > 0


def test_without_questions_nothing_is_claimed():
    guesser = shortcuts.fit(rows("train", 50, 10), RANKS)
    assert shortcuts.measure(guesser, [])["n"] == 0


def test_as_many_menus_are_tried_as_are_asked_for():
    def more(per_photo):
        return conversations.rows(
            PHOTOS,
            "test",
            NAMES,
            SIMILAR,
            menu_size=20,
            naming_per_photo=0,
            menus_per_photo=per_photo,
            seed=1,
        )

    measured = shortcuts.try_out(rows("train", 500, 10), RANKS, more, 9000)
    assert measured["n"] == 9000
    assert measured["excess"] <= shortcuts.POINT


def test_small_menus_are_tried_until_a_point_means_something():
    """Of menus of two half are guessed by chance; 10,000 of them scatter by half a point."""

    def more(per_photo):
        return conversations.rows(
            PHOTOS,
            "test",
            NAMES,
            SIMILAR,
            menu_size=2,
            naming_per_photo=0,
            menus_per_photo=per_photo,
            seed=1,
        )

    measured = shortcuts.try_out([], RANKS, more, 100)
    assert measured["n"] == 40_000
    assert abs(measured["accuracy"] - 0.5) <= shortcuts.POINT
