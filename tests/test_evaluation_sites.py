"""The site protocol: who names the dishes, what a shared name costs, and what stands on the
menus.
"""

from collections import Counter

import pytest
from evaluation_toys import Saying, site_rows

from dishvl_lib.core import records
from dishvl_lib.evaluation import asking, sites
from dishvl_lib.evaluation.predictors import Answer
from dishvl_lib.evaluation.protocols import Plan


def answered(tmp_path, site, say):
    return asking.follow("x", Saying(say), Plan([], [site]), tmp_path / "a.jsonl")


def by_dish(row):
    """Names every dish after its folder, and finds that name on the menu."""
    name = f"菜{row['dish_id'][2:]}"
    return name if not row["menu"] or name in row["menu"] else row["menu"][0]


def menu_file(tmp_path, text):
    (tmp_path / "menu.csv").write_text(text, "utf-8")
    return tmp_path / "menu.csv"


def test_photos_that_name_a_dish_are_not_judged():
    site = sites.protocols("b", site_rows(["甲", "乙"], 5), register_per_dish=2)[0]
    assert len(site.register) == 4
    assert len(site.queries) == 6
    assert not {row["id"] for row in site.register} & {
        row["id"] for row in site.to_judge({"b/甲": "鱼", "b/乙": "肉"})
    }


def test_a_steady_namer_is_right_everywhere(tmp_path):
    predictions = answered(
        tmp_path, sites.protocols("b", site_rows(["甲", "乙", "丙"]))[0], by_dish
    )
    assert all(prediction["correct"] for prediction in predictions)
    assert {prediction["protocol"] for prediction in predictions} == {"site:b"}
    assert all(
        sorted(prediction["menu"]) == ["菜丙", "菜乙", "菜甲"] and prediction["framed"]
        for prediction in predictions
    )


def test_a_name_given_to_two_dishes_is_wrong_for_both_and_stands_on_the_menu_once(tmp_path):
    say = {"b/甲": "鱼", "b/乙": "鱼", "b/丙": "肉"}
    predictions = answered(
        tmp_path,
        sites.protocols("b", site_rows(["甲", "乙", "丙"]))[0],
        lambda row: say[row["dish_id"]],
    )
    assert {prediction["dish_id"]: prediction["correct"] for prediction in predictions} == {
        "b/甲": False,
        "b/乙": False,
        "b/丙": True,
    }
    assert {prediction["lost"] for prediction in predictions} == {
        "2 dishes were given the name 鱼",
        "",
    }
    assert all(sorted(prediction["menu"]) == ["肉", "鱼"] for prediction in predictions)


@pytest.mark.parametrize(
    "name", [None, "", "鱼、肉", "菜" * 100], ids=["nothing", "blank", "two names", "too long"]
)
def test_a_dish_without_a_usable_name_is_lost(tmp_path, name):
    predictions = answered(
        tmp_path,
        sites.protocols("b", site_rows(["甲", "乙"]))[0],
        lambda row: name if row["dish_id"] == "b/甲" else "肉",
    )
    assert [
        prediction["lost"] for prediction in predictions if prediction["dish_id"] == "b/甲"
    ] == [sites.NO_NAME] * 2
    assert all(
        prediction["correct"] for prediction in predictions if prediction["dish_id"] == "b/乙"
    )


def test_most_photos_decide_and_of_equals_the_first():
    site = sites.protocols("b", site_rows(["甲"], 5), register_per_dish=3)[0]
    ids = [row["id"] for row in site.to_name()]
    assert site.named(dict(zip(ids, ["肉", "鱼", "鱼"], strict=True)))["b/甲"] == "鱼"
    assert site.named(dict(zip(ids, ["肉", "鱼", None], strict=True)))["b/甲"] == "肉"


def named_by(tmp_path, in_ties):
    """The name that a dish of four photos gets, two of which say 鱼 first and two 肉."""
    site = sites.protocols("b", site_rows(["甲"], 6), register_per_dish=4)[0]
    said = iter(["鱼", "鱼", "肉", "肉"])

    def say(row):
        if not row["menu"]:
            return next(said)
        return in_ties(row) if row["id"].endswith("-tie") else row["menu"][0]

    predictions = answered(tmp_path, site, say)
    return {prediction["truth"] for prediction in predictions}


@pytest.mark.parametrize("surer", ["鱼", "肉"])
def test_the_surer_of_equally_frequent_names_is_the_dishs(tmp_path, surer):
    """Of the four photos one is sure, and the other three say the other name by little."""
    sums = iter([0.99, 0.4, 0.4, 0.4])

    def in_ties(row):
        share = next(sums)
        (other,) = [entry for entry in row["menu"] if entry != surer]
        return Answer(surer, ((surer, share), (other, 1 - share)))

    assert named_by(tmp_path, in_ties) == {surer}


@pytest.mark.parametrize("oftener", ["鱼", "肉"])
def test_without_scores_a_tie_goes_to_the_name_answered_most_often(tmp_path, oftener):
    answers = iter([oftener, None, oftener, None])
    assert named_by(tmp_path, lambda row: next(answers)) == {oftener}


def test_a_tie_that_stays_one_goes_to_the_first_name(tmp_path):
    assert named_by(tmp_path, lambda row: None) == {"鱼"}


def test_only_ties_are_asked_again():
    site = sites.protocols("b", site_rows(["甲", "乙"], 4), register_per_dish=2)[0]
    said = {row["id"]: "鱼" for row in site.to_name()}
    assert site.to_settle(said) == []
    first = site.register[0]
    settling = site.to_settle({**said, first["id"]: "肉"})
    assert {row["dish_id"] for row in settling} == {first["dish_id"]}
    assert [sorted(row["menu"]) for row in settling] == [["肉", "鱼"]] * 2


def test_menus_of_twenty_hold_the_name_at_any_place_and_do_not_depend_on_the_sample():
    folders = [f"{number:02d}" for number in range(50)]
    site = sites.protocols("b", site_rows(folders, 10))[0]
    named = {f"b/{folder}": f"菜{folder}" for folder in folders}
    rows = site.to_judge(named)
    assert {len(row["menu"]) for row in rows} == {20}
    assert all(len(set(row["menu"])) == 20 for row in rows)
    places = Counter(row["menu"].index(row["conversations"][1]["value"]) for row in rows)
    # 400 questions: 20 a place
    assert len(places) == 20
    assert max(places.values()) < 45
    others = Counter(
        entry for row in rows for entry in row["menu"] if entry != row["conversations"][1]["value"]
    )
    assert len(others) == 50
    sampled = Plan([], [site]).sampled(30, seed=1).sites[0]
    assert len(sampled.queries) == 30
    assert {row["id"]: row["menu"] for row in sampled.to_judge(named)}.items() <= {
        row["id"]: row["menu"] for row in rows
    }.items()


def test_the_own_menu_without_truths_is_chosen_from_by_the_predictor(tmp_path):
    site = sites.protocols(
        "b", site_rows(["甲", "乙"]), menu_file(tmp_path, "name\n菜甲\n菜乙\n菜丁\n")
    )[1]
    assert site.protocol == "site:b:own_menu"
    assert {tuple(row["menu"]) for row in site.to_name()} == {("菜甲", "菜乙", "菜丁")}
    predictions = answered(tmp_path, site, by_dish)
    assert all(
        prediction["correct"]
        and prediction["framed"]
        and sorted(prediction["menu"]) == ["菜丁", "菜乙", "菜甲"]
        for prediction in predictions
    )


def test_the_own_menu_with_folders_judges_by_true_names(tmp_path):
    """Two folders may be one dish: its name is right for both."""
    path = menu_file(tmp_path, "folder,name\n甲,菜甲\n乙,菜甲\n丁,菜丁\n")
    site = sites.protocols("b", site_rows(["甲", "乙", "丙"]), path)[1]
    predictions = answered(
        tmp_path, site, lambda row: "菜甲" if row["dish_id"] == "b/甲" else "菜丁"
    )
    assert site.to_name() == []
    assert {prediction["dish_id"] for prediction in predictions} == {"b/甲", "b/乙"}
    assert {
        prediction["dish_id"]: (prediction["correct"], prediction["framed"], prediction["lost"])
        for prediction in predictions
    } == {
        "b/甲": (True, False, ""),
        "b/乙": (False, False, ""),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\n鱼\n" + "菜" * 500 + "\n", "line 3.*500 characters"),
        ("name,price\n,8\n鱼,9\n", "line 2.*empty"),
        ("name\n", "no menu entry"),
        ("dish\n鱼\n", "no column name"),
        ("folder,name\n无此,鱼\n", "none of its folders"),
    ],
    ids=["500 characters", "blank", "empty", "no column", "other folders"],
)
def test_a_menu_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(records.RecordError, match=words):
        sites.protocols("b", site_rows(["甲"]), menu_file(tmp_path, text))


def test_a_menu_of_one_entry_and_one_listed_twice_are_fine(tmp_path):
    assert sites.read_menu(menu_file(tmp_path, "name\n鱼\n鱼\n")) == (["鱼"], {})


def test_sites_without_questions_are_left_out(tmp_path):
    records.write_jsonl(tmp_path / "site_b.jsonl", site_rows(["甲", "乙"]))
    protocols = sites.of_run(
        [{"name": "a", "image_root": "x"}, {"name": "b", "image_root": "y", "menu_csv": ""}],
        sorted(tmp_path.glob("site_*.jsonl")),
        menu_size=20,
    )
    assert [site.protocol for site in protocols] == ["site:b"]


def test_nobody_is_named_by_no_photo(tmp_path):
    with pytest.raises(ValueError, match="register_per_dish is 0; give at least 1"):
        sites.of_run([], [], register_per_dish=0)
