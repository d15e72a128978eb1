"""The audit: a planted leak is found, an answer that always stands last is noticed, and counts are
counts.
"""

import math

import numpy as np
import pandas as pd
import pytest
from toys import neighbours, photo_rows

from dishvl_lib.dataset import audit, conversations

NAMES = {f"d{i}": f"菜{i}" for i in range(12)}
PHOTOS = photo_rows({dish: {"train": 4, "validation": 2, "test": 3} for dish in NAMES})


def rows_of(split, size=10, **options):
    return conversations.rows(
        PHOTOS, split, NAMES, neighbours({"d0": ["d1"]}), menu_size=size, **options
    )


def question(place, size, kind="menu", image="i"):
    menu = [f"菜{i}" for i in range(size)]
    return {
        "kind": kind,
        "menu": menu if kind == "menu" else [],
        "image_id": image,
        "dish_id": "d",
        "conversations": [{"value": "q"}, {"value": f"菜{place}"}],
    }


@pytest.mark.parametrize("size", [10, 20, 3, 4])
def test_answers_that_always_stand_last_or_first_are_noticed(size):
    assert audit.positions([question(size - 1, size)] * 60)["p"] < 1e-6
    assert audit.positions([question(0, size)] * 60)["p"] < 1e-6
    assert audit.positions([question(i % size, size) for i in range(10 * size)])[
        "p"
    ] == pytest.approx(1.0)


def test_the_p_value_is_a_p_value():
    """Uniform answers give uniform p: also for menus of two, which have no middle."""
    rng = np.random.default_rng(0)
    for size in (2, 10):
        p = np.array(
            [
                audit.positions([question(rng.integers(size), size) for _ in range(60)])["p"]
                for _ in range(200)
            ]
        )
        assert abs((p < 0.1).mean() - 0.1) < 0.07
        assert abs((p < 0.5).mean() - 0.5) < 0.12
    test = audit.positions([question(i, 2) for i in [0] * 60 + [1] * 40])
    assert test["chi2"] == 4.0
    assert test["p"] == pytest.approx(math.erfc(math.sqrt(2)))
    assert audit.positions([question(0, 1)])["p"] == 1.0


def test_positions_by_hand():
    test = audit.positions(
        [question(i, 3) for i in [0] * 6 + [1] * 2 + [2]] + [question(0, 3, kind="naming")]
    )
    assert test == {
        "n": 9,
        "off_menu": 0,
        "thirds": [6, 2, 1],
        "expected": [3, 3, 3],
        "chi2": round(14 / 3, 3),
        "p": pytest.approx(math.exp(-7 / 3)),
    }
    assert audit.positions([]) == {"n": 0, "off_menu": 0}


def test_an_answer_that_is_not_on_its_menu_is_counted_not_stumbled_over():
    assert audit.positions([question(50, 10), question(1, 10)])["off_menu"] == 1
    assert audit.positions([question(50, 10)]) == {"n": 0, "off_menu": 1}


def test_our_own_menus_pass():
    assert audit.positions(rows_of("train", menus_per_photo=20))["p"] > 0.001


def test_the_whole_report():
    left_out = [{"dish_id": "x", "name": "", "reason": "it is empty"}]
    questions = {split: rows_of(split) for split in ("train", "validation", "test")}
    report = audit.audit(PHOTOS, questions, left_out, {"train": [10, 20, 30], "test": []})
    assert report["leaks"] == []
    assert report["dishes_left_out"] == left_out
    assert set(report["answer_positions"]) == {"train", "validation", "test"}
    counts = report["counts"]["test"]
    assert (counts["naming"], counts["menu"], counts["photos"], counts["dishes"]) == (
        36,
        36,
        36,
        12,
    )
    assert (counts["menu_size"], counts["menu_chance"]) == (
        10,
        0.1,
    )
    assert sum(counts["by_dish"].values()) == 72
    assert set(counts["by_dish"]) == set(NAMES)
    assert report["token_lengths"] == {
        "train": {"n": 3, "median": 20, "p99": 29, "max": 30},
        "test": {"n": 0},
    }
    table = audit.count_table(report)
    assert table.index.tolist() == ["train", "validation", "test"]
    assert table.loc["train", "menu_size"] == 10
    assert "by_dish" not in table


def test_chance_is_the_mean_over_the_true_sizes():
    report = audit.audit(
        PHOTOS, {"test": [question(0, 2), question(0, 4), question(0, 4, kind="naming")]}, []
    )
    assert report["counts"]["test"]["menu_size"] == 3
    assert report["counts"]["test"]["menu_chance"] == 0.375


def test_repeated_questions_are_counted():
    rows = [question(0, 2), question(0, 2), question(0, 2, image="j")]
    assert audit.audit(PHOTOS, {"test": rows}, [])["repeated_questions"] == {"test": 1}


def test_the_table_of_dishes_left_out_has_its_columns_even_when_empty():
    assert audit.left_out_table([]).columns.tolist() == ["dish_id", "name", "reason"]
    assert audit.left_out_table([{"dish_id": "x", "name": "鱼", "reason": "r"}]).to_dict(
        "records"
    ) == [{"dish_id": "x", "name": "鱼", "reason": "r"}]


def test_the_share_of_entries_with_a_look_alike_beside_them():
    ranks = {("菜0", "菜1"): 1, ("菜1", "菜0"): 1, ("菜2", "菜9"): 1}
    rows = [question(0, 4), question(0, 2)]
    assert audit.look_alike_share(rows, ranks) == round(4 / 6, 4)
    assert audit.look_alike_share(rows, {}) == 0
    assert audit.look_alike_share([], ranks) == 0
    report = audit.audit(PHOTOS, {"test": rows_of("test")}, [], ranks=ranks, shortcut={"n": 1})
    assert report["shortcut_test"] == {"n": 1}
    assert 0 < report["look_alike_share"]["test"] < 1


NOTHING_TORN = pd.DataFrame(columns=["path_a", "path_b"])
SOUND = {"leaks": [], "shortcut_test": {"excess": 0.01, "accuracy": 0.06, "chance": 0.05}}


def menu_row(answer):
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": answer}]
    return {"id": "menu-7", "kind": "menu", "menu": ["红烧鱼", "麻婆豆腐"], "conversations": turns}


def test_a_sound_data_set_has_no_problems():
    assert audit.problems(SOUND, {"test": [menu_row("红烧鱼")]}, NOTHING_TORN) == []


@pytest.mark.parametrize(
    ("report", "answer", "torn", "words"),
    [
        (
            {},
            "红烧鱼",
            [("a.jpg", "b.jpg")],
            "1 pairs of near-duplicates lie in two splits, such as a.jpg and b.jpg; mark one photo",
        ),
        (
            {"leaks": [{"by": "sha256"}]},
            "红烧鱼",
            [],
            "the first: {'by': 'sha256'}; mark one photo of each as 'photo bad'",
        ),
        (
            {},
            "番茄炒蛋",
            [],
            "1 answers are not on their menu, the first: menu-7; give its dish another name",
        ),
        (
            {"shortcut_test": {"excess": 0.011, "accuracy": 0.061, "chance": 0.05}},
            "红烧鱼",
            [],
            "right in 6.1%, chance is 5.0%; lower look_alikes_per_seed and same_site_share",
        ),
    ],
)
def test_what_nothing_may_be_trained_with_is_said_with_what_to_do(report, answer, torn, words):
    table = pd.DataFrame(torn, columns=["path_a", "path_b"])
    (sentence,) = audit.problems({**SOUND, **report}, {"test": [menu_row(answer)]}, table)
    assert words in sentence
