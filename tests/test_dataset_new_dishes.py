"""Questions about dishes that the training never saw: their menus hold known dishes too, and give
nothing away.
"""

from collections import Counter

import pandas as pd
from toys import neighbours, photo_rows

from dishvl_lib.dataset import new_dishes

DISHES = [f"d{number:02d}" for number in range(40)]
NAMES = {dish: f"菜{dish}" for dish in DISHES}
NEW = {"d03": 60, "d17": 60, "d29": 60}
PHOTOS = photo_rows(
    {
        **{dish: {"train": 4, "test": 2} for dish in DISHES if dish not in NEW},
        **{dish: {"held_out": count} for dish, count in NEW.items()},
    }
)
SIMILAR = neighbours({"d00": ["d01", "d02"]})


def rows(photos=PHOTOS, names=NAMES, **changed):
    return new_dishes.rows(photos, names, SIMILAR, **{"menu_size": 10, "seed": 1} | changed)


def test_only_new_dishes_are_asked_for_on_menus_that_hold_them_among_known_ones():
    question_rows = rows()
    assert len(question_rows) == 180
    assert {row["dish_id"] for row in question_rows} == set(NEW)
    assert {row["kind"] for row in question_rows} == {"menu"}
    assert all(
        row["conversations"][1]["value"] == NAMES[row["dish_id"]] in row["menu"]
        and len(set(row["menu"])) == 10
        for row in question_rows
    )
    assert {entry for row in question_rows for entry in row["menu"]} == set(NAMES.values())
    assert all(row["image"].startswith(row["dish_id"]) for row in question_rows)
    assert len({row["id"] for row in question_rows}) == 180


def test_a_new_dish_has_no_place_of_its_own_and_every_photo_its_turn():
    question_rows = rows()
    places = Counter(row["menu"].index(row["conversations"][1]["value"]) for row in question_rows)
    assert len(places) == 10
    assert max(places.values()) < 40
    turns = Counter(row["image_id"] for row in question_rows if row["dish_id"] == "d03")
    assert max(turns.values()) - min(turns.values()) <= 1


def test_the_seed_decides():
    assert rows() == rows(photos=PHOTOS.sample(frac=1, random_state=3))
    assert rows() != rows(seed=2)


def test_dishes_of_which_some_photos_were_trained_on_are_not_new():
    """Held-out dates and sites leave photos of known dishes."""
    known = photo_rows({"d00": {"held_out": 5}})
    assert {
        row["dish_id"] for row in rows(photos=pd.concat([PHOTOS, known], ignore_index=True))
    } == set(NEW)


def test_without_new_dishes_or_with_unaskable_ones_there_is_no_question():
    assert rows(photos=PHOTOS[PHOTOS.split != "held_out"]) == []
    assert rows(names={dish: name for dish, name in NAMES.items() if dish not in NEW}) == []


def test_aliases_never_stand_beside_the_dish():
    question_rows = rows(aliases={"d03": [NAMES["d04"]]})
    assert not any({NAMES["d03"], NAMES["d04"]} <= set(row["menu"]) for row in question_rows)
