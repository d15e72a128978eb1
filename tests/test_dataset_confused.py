"""Pairs that a finished run confuses: how they are counted, how they lead menus, and that they give
no answer away.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from test_dataset_shortcuts import DISHES, NAMES, PHOTOS, RANKS, SIMILAR

from dishvl_lib.core import artefacts, records
from dishvl_lib.dataset import confused, conversations, menus, shortcuts

PAIRS = pd.DataFrame(
    [("d000", "d031", 9), ("d010", "d051", 3), ("d005", "d006", 1)],
    columns=list(artefacts.CONFUSED_COLUMNS),
)
TIMES = confused.by_name(PAIRS, NAMES)


def answers(*rows):
    """Rows (image_id, dish_id, answer_id)."""
    numbered = [(f"validation-menu-{number}", *row) for number, row in enumerate(rows)]
    return pd.DataFrame(numbered, columns=list(artefacts.VALIDATION_ANSWER_COLUMNS))


def photos(**splits):
    return pd.DataFrame({"image_id": splits.keys(), "split": splits.values()})


def test_pairs_are_counted_both_ways_and_right_answers_are_none():
    table = confused.pairs(
        answers(("p", "a", "b"), ("p", "b", "a"), ("p", "a", "a"), ("p", "c", "a")),
        photos(p="validation"),
        {"a": "A", "b": "B", "c": "C"},
    )
    assert tuple(table.columns) == artefacts.CONFUSED_COLUMNS
    assert table.values.tolist() == [["a", "b", 2], ["a", "c", 1]]
    assert confused.by_name(table, {"a": "A", "b": "B", "c": "C"})["B", "A"] == 2


def test_answers_about_photos_that_are_tested_here_and_about_unknown_dishes_are_not_used():
    rows = answers(
        ("tested", "a", "b"),
        ("held", "a", "b"),
        ("outside", "a", "b"),
        ("gone", "a", "b"),
        ("p", "a", "x"),
        ("p", "x", "a"),
        ("trained", "b", "a"),
    )
    there = photos(
        tested="test", held="held_out", outside="site:b", p="validation", trained="train"
    )
    assert confused.usable(rows, there, {"a": "A", "b": "B"}).image_id.tolist() == ["trained"]
    assert confused.pairs(rows, there, {"a": "A", "b": "B"}).n.tolist() == [1]


def test_no_answers_are_no_pairs_and_a_missing_column_is_named():
    nothing = confused.pairs(answers(), photos(p="validation"), {"a": "A"})
    assert nothing.empty
    assert tuple(nothing.columns) == artefacts.CONFUSED_COLUMNS
    with pytest.raises(records.RecordError, match="answer_id"):
        confused.pairs(answers().drop(columns="answer_id"), photos(), {})


def drawn(table, n=2000, size=10):
    pool = menus.pool(DISHES, conversations.by_dish(SIMILAR), NAMES, confused=table)
    return [menus.draw_menu(pool, size, 3, np.random.default_rng(seed)) for seed in range(n)]


def test_confused_pairs_lead_menus_the_more_often_the_more_they_are_confused():
    together = Counter()
    for menu in drawn(PAIRS):
        for row in PAIRS.itertuples():
            together[row.dish_id] += {row.dish_id, row.other_id} <= set(menu)
    assert together["d000"] > 1.1 * together["d010"] > 1.1 * together["d005"]
    assert together["d000"] > 1000
    without = sum({"d000", "d031"} <= set(menu) for menu in drawn(None))
    assert without < 200


def test_look_alikes_stand_beside_them_and_every_dish_is_still_drawn():
    with_pairs = drawn(PAIRS)
    alike = sum(
        any((NAMES[a], NAMES[b]) in RANKS for b in menu) for menu in with_pairs for a in menu
    )
    assert alike / sum(map(len, with_pairs)) > 0.3
    assert set().union(*with_pairs) == set(DISHES)
    assert {len(set(menu)) for menu in with_pairs} == {10}


def test_without_pairs_menus_are_what_they_were():
    nothing = PAIRS[:0]
    elsewhere = PAIRS.assign(dish_id="x")
    assert drawn(nothing, 50) == drawn(None, 50)
    assert drawn(elsewhere, 50) == drawn(None, 50)


def rows(split, n, size, pairs=PAIRS):
    per_photo = -(-n // int((PHOTOS.split == split).sum()))
    made = conversations.rows(
        PHOTOS,
        split,
        NAMES,
        SIMILAR,
        menu_size=size,
        naming_per_photo=0,
        menus_per_photo=per_photo,
        confused=pairs,
    )
    return made[:n]


@pytest.mark.parametrize("tried", [PAIRS, None], ids=["seeded menus", "plain menus"])
def test_a_guesser_that_knows_the_confusions_stays_at_chance(tried):
    guesser = shortcuts.fit(rows("train", 3000, 10), RANKS, TIMES)
    measured = shortcuts.measure(guesser, rows("test", 10_000, 20, tried))
    assert measured["n"] == 10_000
    assert measured["excess"] <= shortcuts.POINT, measured


def test_a_guesser_would_find_answers_that_follow_the_confusions():
    def planted(split, n):
        made = []
        for row in rows(split, n, 10):
            times = [
                sum(TIMES.get((name, other), 0) for other in row["menu"]) for name in row["menu"]
            ]
            answer = row["menu"][int(np.argmax(times))]
            made.append({"menu": row["menu"], "conversations": [{}, {"value": answer}]})
        return made

    guesser = shortcuts.fit(planted("train", 1000), RANKS, TIMES)
    measured = shortcuts.measure(guesser, planted("test", 500))
    assert measured["accuracy"] > 0.4, measured
    assert measured["weights"]["confused_on_menu"] > 0
