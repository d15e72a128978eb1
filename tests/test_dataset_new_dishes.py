"""Questions about dishes that the training never saw: their menus hold known dishes too, and give
nothing away.
"""

from collections import Counter

import pandas as pd
from toys import neighbours, photo_rows

from dishvl_lib.core import artefacts
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


ADDED = new_dishes.registered(PHOTOS, NAMES, 5, seed=1)


def in_groups_of(size):
    """The photos with `size` of each dish's to a group."""
    numbers = PHOTOS.groupby("dish_id").cumcount() // size
    return PHOTOS.assign(group_id=PHOTOS.dish_id + "-" + numbers.astype(str))


def test_each_new_dish_is_added_by_so_many_photos():
    assert ADDED.dish_id.value_counts().to_dict() == dict.fromkeys(NEW, 5)


def test_the_photos_by_which_a_dish_is_added_are_of_different_groups_as_far_as_there_are():
    photos = in_groups_of(10)
    added = new_dishes.registered(photos, NAMES, 5, seed=1)
    assert added.groupby("dish_id").group_id.nunique().min() == 5


def test_photos_are_left_to_ask_about_and_none_is_of_a_group_that_was_added():
    photos = in_groups_of(20)
    added = new_dishes.registered(photos, NAMES, 5, seed=1)
    left = new_dishes.left_to_ask(photos, added)
    asked = left[left.split == "held_out"]
    assert set(asked.dish_id) == set(NEW)
    assert not set(asked.group_id) & set(added.group_id)


def test_a_dish_of_one_group_is_asked_about_and_not_added():
    photos = PHOTOS.assign(group_id=PHOTOS.dish_id)
    assert new_dishes.registered(photos, NAMES, 5).empty
    assert len(new_dishes.left_to_ask(photos, ADDED.head(0))) == len(photos)


def test_without_new_dishes_nothing_is_added():
    photos = PHOTOS[PHOTOS.split != "held_out"]
    assert new_dishes.registered(photos, NAMES, 5).empty


def question_of(menu=("甲", "乙", "丙"), truth="乙", kind="menu"):
    return {
        "id": f"test-{kind}-0",
        "kind": kind,
        "menu": list(menu),
        "template": "menu-1" if menu else "naming-1",
        "conversations": artefacts.conversation("?", truth),
    }


def test_new_dishes_take_the_place_of_others_on_a_menu_and_never_of_the_answer():
    (row,) = new_dishes.among_known([question_of()], ["新一", "新二"])
    assert sorted(row["menu"]) == sorted(["新一", "新二", "乙"])
    assert row["menu"].index("乙") == 1
    assert artefacts.answer_of(row) == "乙"
    assert all(name in artefacts.text_of(row) for name in row["menu"])


def test_more_new_dishes_than_places_leave_the_answer():
    (row,) = new_dishes.among_known([question_of()], [f"新{number}" for number in range(9)])
    assert len(set(row["menu"])) == 3
    assert "乙" in row["menu"]


def test_a_new_dish_that_means_the_same_as_the_answer_takes_no_place():
    (row,) = new_dishes.among_known(
        [question_of(truth="番茄炒蛋", menu=["番茄炒蛋", "米饭"])], ["西红柿炒鸡蛋"]
    )
    assert row["menu"] == ["番茄炒蛋", "米饭"]


def test_naming_is_asked_again_and_absent_dishes_are_not():
    test = [question_of(menu=(), kind="naming"), question_of(kind="menu_absent")]
    (row,) = new_dishes.among_known(test, ["新一"])
    assert (row["kind"], row["menu"]) == ("naming", [])
    assert row["id"] == "test-naming-0-with_new"


def test_without_new_dishes_no_question_is_asked_again():
    assert new_dishes.among_known([question_of()], []) == []
