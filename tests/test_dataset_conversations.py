"""Conversations: the exact row, menus that do not give their answer away, and the same rows for the
same seed everywhere.
"""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from toys import neighbours, photo_rows

from dishvl_lib.core import questions
from dishvl_lib.dataset import conversations

DISHES = [f"d{i:02d}" for i in range(24)]
NAMES = {dish: f"菜{i}" for i, dish in enumerate(DISHES)}
PHOTOS = photo_rows(
    {dish: {"train": 2 + i % 5, "test": 3} for i, dish in enumerate(DISHES)}
    | {"only_train": {"train": 4}}
)
SIMILAR = neighbours(
    {
        dish: [DISHES[i // 4 * 4 + j] for j in range(4) if i // 4 * 4 + j != i]
        for i, dish in enumerate(DISHES)
    }
)


def rows(split="train", photos=PHOTOS, names=NAMES, similar=SIMILAR, **options):
    return conversations.rows(
        photos, split, names, similar, **{"menu_size": 10, "seed": 0, **options}
    )


def answers(question_rows):
    return [row["conversations"][1]["value"] for row in question_rows]


def menu_rows(question_rows):
    return [row for row in question_rows if row["kind"] == "menu"]


def test_a_row_is_exactly_what_qwens_scripts_read():
    photos = photo_rows({"a": {"test": 1}, "b": {"test": 1}})
    names = {"a": "红烧鱼", "b": "素鸡(豆制品)"}
    for row in rows("test", photos, names, neighbours({"a": ["b"]}), seed=3):
        menu = row["kind"] == "menu"
        assert list(row) == [
            "id",
            "image",
            "conversations",
            "image_id",
            "dish_id",
            "kind",
            "menu",
            "template",
        ]
        assert row["image"] == f"{row['dish_id']}/test0.jpg"
        assert row["image_id"] == f"{row['dish_id']}-test-0"
        assert row["conversations"] == [
            {"from": "human", "value": "<image>\n" + questions.ask(row["template"], row["menu"])},
            {"from": "gpt", "value": names[row["dish_id"]]},
        ]
        assert sorted(row["menu"]) == (sorted(names.values()) if menu else [])
        assert row["template"].startswith("menu-" if menu else "naming-")
        assert not menu or "（" + "、".join(row["menu"]) + "）" in row["conversations"][0]["value"]
        assert json.loads(json.dumps(row)) == row


def test_ids_are_unique_and_say_split_and_kind():
    ids = [row["id"] for row in rows()] + [row["id"] for row in rows("test")]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "train-naming-000000"
    site = rows(
        "site:b", photo_rows({"a": {"site:b": 1}, "b": {"site:b": 1}}), {"a": "1鱼", "b": "2鱼"}
    )
    assert site[0]["id"] == "site_b-naming-000000"


@pytest.mark.parametrize("naming, menus", [(1, 1), (0, 2), (3, 0)])
def test_how_many_questions(naming, menus):
    n = int(((PHOTOS.split == "train") & (PHOTOS.dish_id != "only_train")).sum())
    question_rows = rows(naming_per_photo=naming, menus_per_photo=menus)
    kinds = Counter(row["kind"] for row in question_rows)
    assert (kinds["naming"], kinds["menu"]) == (naming * n, menus * n)
    assert [row["kind"] for row in question_rows] == sorted(
        (row["kind"] for row in question_rows), reverse=True
    ), "naming first"
    assert set(
        Counter(row["image_id"] for row in question_rows if row["kind"] == "naming").values()
    ) <= {naming}


def test_menus_hold_only_dishes_with_photos_in_this_split():
    names = NAMES | {"only_train": "只训练"}
    assert "只训练" in {entry for row in rows(names=names) for entry in row["menu"]}
    assert "只训练" not in {
        entry for row in rows("test", names=names, menu_size=24) for entry in row["menu"]
    }
    assert {row["dish_id"] for row in rows(names={key: NAMES[key] for key in DISHES[:5]})} == set(
        DISHES[:5]
    )


@pytest.mark.parametrize("size, true_size", [(10, 10), (20, 20), (50, 24), (2, 2)])
def test_menus_have_different_entries_one_of_them_the_answer(size, true_size):
    for row in menu_rows(rows(menu_size=size)):
        assert len(row["menu"]) == len(set(row["menu"])) == true_size
        assert row["conversations"][1]["value"] in row["menu"]


@pytest.fixture(scope="module")
def many():
    """1500 menu questions about the test split, for statistics."""
    return menu_rows(rows("test", naming_per_photo=0, menus_per_photo=21, menu_size=10))


def test_a_guesser_who_counts_look_alikes_is_at_chance(many):
    """Drawn around its answer, a menu gives it away: the entry with the most look-alikes beside
    it.
    """
    alike = {
        NAMES[dish]: {NAMES[other] for other in group.similar_id}
        for dish, group in SIMILAR.groupby("dish_id")
    }
    rng = np.random.default_rng(0)
    right = {"most": 0, "fewest": 0}
    for row in many:
        counts = np.array([len(alike[entry] & set(row["menu"])) for entry in row["menu"]])
        for way, best in (("most", counts.max()), ("fewest", counts.min())):
            right[way] += (
                row["menu"][rng.choice(np.flatnonzero(counts == best))]
                == row["conversations"][1]["value"]
            )
    n = len(many)
    assert n >= 1500, right
    assert all(abs(count / n - 0.1) < 4 * (0.09 / n) ** 0.5 for count in right.values()), right


def test_answers_stand_anywhere_and_every_dish_is_asked_for_about_as_often(many):
    places = Counter(row["menu"].index(row["conversations"][1]["value"]) for row in many)
    expected = len(many) / 10
    assert (
        sum((places[place] - expected) ** 2 / expected for place in range(10)) < 27.9
    )  # chi-square, 9 degrees of freedom, p = 0.001
    times = Counter(answers(many))
    assert set(times) == set(NAMES.values())
    assert max(times.values()) < 2 * min(times.values())


def test_rare_dishes_are_asked_for_as_often_as_others_with_their_photos_in_turn():
    photos = photo_rows({"rare": {"train": 2}, "common": {"train": 60}, "third": {"train": 38}})
    question_rows = menu_rows(
        rows(
            photos=photos,
            names={"rare": "甲", "common": "乙", "third": "丙"},
            similar=SIMILAR.iloc[:0],
            menus_per_photo=6,
        )
    )
    times = Counter(answers(question_rows))
    assert len(question_rows) == 600
    assert min(times.values()) > 150
    for dish in ("rare", "common"):
        used = Counter(row["image_id"] for row in question_rows if row["dish_id"] == dish)
        assert max(used.values()) - min(used.values()) <= 1
        assert len(used) == {"rare": 2, "common": 60}[dish]


def test_entries_stand_in_no_order(many):
    first = Counter(row["menu"].index(min(row["menu"])) for row in many)
    assert set(first) == set(range(10))
    assert max(first.values()) < 1.5 * len(many) / 10


def test_only_wordings_for_training_are_used_and_all_of_them(many):
    assert {row["template"] for row in many} == {
        wording.id for wording in questions.templates("menu")
    }
    assert {row["template"] for row in rows() if row["kind"] == "naming"} == {
        wording.id for wording in questions.templates("naming")
    }


def test_the_seed_and_the_split_decide_alone():
    first = rows()
    assert first == rows(
        photos=PHOTOS.sample(frac=1, random_state=1),
        similar=SIMILAR.sample(frac=1, random_state=2),
        names=dict(reversed(NAMES.items())),
    )
    assert first != rows(seed=1)
    assert [row["template"] for row in first][:20] != [row["template"] for row in rows("test")][:20]


def test_another_process_with_another_hash_seed_makes_the_same_rows():
    code = "import json, test_dataset_conversations as t; print(json.dumps(t.rows('test')[::7]))"
    here = os.path.dirname(__file__)
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=here,
            env=os.environ
            | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{here}{os.pathsep}{os.path.dirname(here)}"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0]) == rows("test")[::7]


@pytest.mark.parametrize("names", [{}, {"d00": "菜0"}, {"d00": "菜0", "only_train": "只训练"}])
def test_fewer_than_two_dishes_in_a_split_is_one_clear_sentence(names):
    with pytest.raises(
        conversations.DatasetError,
        match=f"split test has photos of {min(1, len(names))} dish.* at least two; give more "
        "photos, change test_share",
    ):
        rows("test", names=names)


@pytest.mark.parametrize("size", [1, 0, -3])
def test_a_menu_of_one_is_refused(size):
    with pytest.raises(conversations.DatasetError, match=f"menu_size is {size} .* test_menu_size"):
        rows(menu_size=size)


def test_without_look_alikes_menus_are_random():
    question_rows = menu_rows(rows(similar=pd.DataFrame(columns=["dish_id", "similar_id", "rank"])))
    assert len(question_rows) > 0
    assert all(len(row["menu"]) == 10 for row in question_rows)


def test_sizes_in_a_range():
    sizes = Counter(
        len(row["menu"]) for row in menu_rows(rows(menu_size=3, menu_size_to=6, menus_per_photo=4))
    )
    assert set(sizes) == {3, 4, 5, 6}
    assert max(sizes.values()) < 2 * min(sizes.values())
    with pytest.raises(conversations.DatasetError, match="menu_size_to 2"):
        rows(menu_size=3, menu_size_to=2)


def test_wordings_kept_for_testing_make_a_file_of_their_own():
    question_rows = rows("test", trained=False)
    assert {row["template"] for row in question_rows} == {
        wording.id
        for kind in ("naming", "menu")
        for wording in questions.templates(kind, trained=False)
    }
    assert question_rows[0]["id"] == "test_unseen-naming-000000"
    assert len(question_rows) == len(rows("test"))


def test_questions_whose_dish_is_not_on_the_menu():
    question_rows = [row for row in rows(absent_share=0.5) if row["kind"] == "menu_absent"]
    assert len(question_rows) == round(0.5 * len(menu_rows(rows())))
    assert all(NAMES[row["dish_id"]] not in row["menu"] for row in question_rows)
    assert set(answers(question_rows)) == {questions.NOT_ON_MENU}
    assert {row["template"] for row in question_rows} == {
        wording.id for wording in questions.templates("menu_absent")
    }
    assert all(questions.NOT_ON_MENU in row["conversations"][0]["value"] for row in question_rows)
    assert len({row["dish_id"] for row in question_rows}) > 15
    assert not [
        row for row in rows(absent_share=1.0, menu_size=24) if row["kind"] == "menu_absent"
    ], "every dish is on every menu"


def test_a_dish_that_is_an_entrys_alias_is_not_absent():
    photos = photo_rows({"a": {"train": 2}, "b": {"train": 2}, "c": {"train": 2}})
    names = {"a": "番茄炒蛋", "b": "西红柿炒蛋", "c": "红烧鱼"}
    question_rows = rows(
        photos=photos, names=names, similar=SIMILAR.iloc[:0], menu_size=2, absent_share=3.0
    )
    assert all({*row["menu"]} != {"番茄炒蛋", "西红柿炒蛋"} for row in menu_rows(question_rows))
    assert not [row for row in question_rows if row["kind"] == "menu_absent"], (
        "of c and one of the twins nothing is absent but the other twin"
    )


def test_a_cap_on_photos_takes_different_groups_first():
    photos = photo_rows({"a": {"train": 6}, "b": {"train": 2}}).assign(
        group_id=lambda table: [f"g{i // 2}" for i in range(len(table))]
    )
    question_rows = rows(
        photos=photos,
        names={"a": "甲", "b": "乙"},
        similar=SIMILAR.iloc[:0],
        menu_size=2,
        photos_per_dish=3,
    )
    used = {row["image_id"] for row in question_rows if row["dish_id"] == "a"}
    assert len(used) == 3
    assert photos[photos.image_id.isin(used)].group_id.nunique() == 3
    assert used == {
        row["image_id"]
        for row in rows(
            photos=photos.sample(frac=1, random_state=1),
            names={"a": "甲", "b": "乙"},
            similar=SIMILAR.iloc[:0],
            menu_size=2,
            photos_per_dish=3,
        )
        if row["dish_id"] == "a"
    }


def test_balance_names_every_dish_equally_often():
    photos = photo_rows({"rare": {"train": 2}, "common": {"train": 28}})
    question_rows = [
        row
        for row in rows(
            photos=photos,
            names={"rare": "甲", "common": "乙"},
            similar=SIMILAR.iloc[:0],
            menu_size=2,
            balance=True,
        )
        if row["kind"] == "naming"
    ]
    assert Counter(row["dish_id"] for row in question_rows) == {"rare": 15, "common": 15}
    assert len({row["image_id"] for row in question_rows}) == 17


def test_a_sites_photos_are_registered_or_asked_about():
    photos = photo_rows({"b/x": {"site:b": 5}, "b/GX4": {"site:b": 1}, "a": {"train": 3}})
    question_rows = conversations.site_rows(photos, "b", {"b/x": "红烧鱼"}, 2)
    assert Counter((row["dish_id"], row["role"]) for row in question_rows) == {
        ("b/x", "register"): 2,
        ("b/x", "query"): 3,
        ("b/GX4", "register"): 1,
    }
    assert {row["dish_id"]: row["conversations"][1]["value"] for row in question_rows} == {
        "b/x": "红烧鱼",
        "b/GX4": "",
    }
    assert question_rows[0]["id"] == "site_b-naming-000000"
    assert question_rows == conversations.site_rows(
        photos.sample(frac=1, random_state=1), "b", {"b/x": "红烧鱼"}, 2
    )
