"""Names from answers: the order of trust, merging and keeping apart, every suspicion once, and the
files of given names.
"""

import time

import numpy as np
import pandas as pd
import pytest
from toys import photo_rows

from dishvl_lib.annotation import audit, given_names, merging, same_dish
from dishvl_lib.core import artefacts, params, records

FISH = ["鱼", "姜", "酱油"]
POTATO = ["土豆", "醋"]


def photos_of(*dishes, **folders):
    """Two training photos and a test photo per dish, more for a dish that is named twice;
    `folders`: {dish: its folder}.
    """
    per_dish = {dish: {"train": 2 * dishes.count(dish), "test": 1} for dish in dishes}
    photos = photo_rows(per_dish).assign(typical=0, phash="0" * 16, site="")
    return photos.assign(folder=[folders.get(dish, dish) for dish in photos.dish_id])


def answer(dish_id, name, annotator="a", card=None, **changed):
    """A row of answers.jsonl; `card`: the ingredients, () for a card without any, None for no
    card.
    """
    row = {
        "dish_id": dish_id,
        "annotator": annotator,
        "model": "m",
        "prompt_version": "1",
        "image_ids": [f"{dish_id}-train-0"],
        "votes": {name: 1} if name else {},
        "name": name,
        "card": None if card is None else {"name": name, "ingredients": list(card)},
        "introduction": f"about {name}",
        "recipe": "1.",
        "problems": [],
        "quarantined": [],
        "cost": 0.5,
        "currency": "USD",
        "tokens": 9,
        "seconds": 1.0,
    }
    return {**row, **changed}


def write(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def decided(tmp_path, *rows):
    return write(tmp_path / "names.csv", "folder,name,action,note", *rows)


def settled(photos, answers=(), **options):
    dishes, catalogue, review = audit.settle(photos, answers, **options)
    return {dish["dish_id"]: dish for dish in dishes}, catalogue, review


def suspicions(review):
    return [(row.suspicion, row.dish_id, row.other_dish) for row in review.itertuples()]


def test_the_order_of_trust(tmp_path):
    photos = photos_of("甲鱼", "乙鱼", "丙鱼", "丁鱼", "戊鱼")
    answers = [
        answer(dish, "红烧鱼" if dish != "丁鱼" else "糖醋鱼", who, FISH)
        for dish in ("甲鱼", "乙鱼", "丙鱼", "丁鱼")
        for who in "ab"
    ]
    answers[7] = answer("丁鱼", "炸鱼", "b", FISH)
    listed = write(tmp_path / "list.csv", "folder,name", "甲鱼,蒸鱼", "乙鱼,煎鱼")
    dishes, _, _ = settled(
        photos, answers, names_csv=listed, decisions=decided(tmp_path, "甲鱼,烤鱼,,")
    )
    assert [(dish["name"], dish["name_source"]) for dish in dishes.values()] == [
        ("糖醋鱼", "annotator"),
        ("红烧鱼", "annotators"),
        ("煎鱼", "names_csv"),
        ("戊鱼", "folder"),
        ("烤鱼", "decision"),
    ]
    assert dishes["甲鱼"]["aliases"] == ["甲鱼", "红烧鱼", "蒸鱼"]
    assert [row["name"] for row in dishes["甲鱼"]["source"]] == ["红烧鱼", "红烧鱼"]


def test_one_annotator_alone_is_not_agreement_and_silence_is_not_disagreement():
    dishes, _, review = settled(
        photos_of("鱼一", "鱼二"),
        [answer("鱼一", "鱼一"), answer("鱼二", "鱼二"), answer("鱼二", "", "b")],
    )
    assert [dish["name_source"] for dish in dishes.values()] == [
        "annotator",
        "annotator",
    ]
    assert review.empty


def test_nobody_asked_gives_folder_names_null_cards_and_no_questions():
    dishes, catalogue, review = settled(photos_of("红烧鱼", "土豆丝"))
    assert [
        (dish["name"], dish["name_source"], dish["card"], dish["source"], dish["review"])
        for dish in dishes.values()
    ] == [
        ("土豆丝", "folder", None, [], ""),
        ("红烧鱼", "folder", None, [], ""),
    ]
    assert review.empty
    assert review.columns.tolist() == [
        "dish_id",
        "name",
        "suspicion",
        "other_dish",
        "evidence",
        "n_images",
    ]
    assert "typical" not in catalogue
    assert "phash" in catalogue
    assert len(catalogue) == 6


def test_a_record_holds_what_was_answered():
    (dish,) = audit.settle(photos_of("GX4_6"), [answer("GX4_6", "红烧鱼", card=FISH)])[0]
    assert dish["card"]["ingredients"] == FISH
    assert dish["introduction"] == "about 红烧鱼"
    assert dish["n_images"] == 3
    assert dish["folders"] == ["GX4_6"]
    assert dish["source"] == [
        {
            "annotator": "a",
            "model": "m",
            "prompt_version": "1",
            "name": "红烧鱼",
            "votes": {"红烧鱼": 1},
            "cost": 0.5,
            "currency": "USD",
            "tokens": 9,
            "seconds": 1.0,
            "problems": [],
        }
    ]


def test_card_and_texts_come_from_the_annotator_whose_name_was_taken(tmp_path):
    answers = [answer("鱼", "糖醋鱼", "a", FISH), answer("鱼", "红烧鱼", "b", POTATO)]
    dishes, _, _ = settled(
        photos_of("鱼"), answers, decisions=decided(tmp_path, "鱼,红烧鱼(大份),,")
    )
    assert dishes["鱼"]["card"]["ingredients"] == POTATO
    assert dishes["鱼"]["introduction"] == "about 红烧鱼"
    assert dishes["鱼"]["card"]["name"] == "红烧鱼"


def test_an_answer_that_is_no_name_never_outranks_the_folder():
    dishes, _, review = settled(
        photos_of("红烧鱼", "GX4_6"), [answer("红烧鱼", "无法识别"), answer("GX4_6", "鱼、肉")]
    )
    assert [(dish["name"], dish["name_source"]) for dish in dishes.values()] == [
        ("GX4_6", "folder"),
        ("红烧鱼", "folder"),
    ]
    assert suspicions(review) == [("not_a_name", "GX4_6", ""), ("not_a_name", "红烧鱼", "")]
    assert "folder: it is a code" in review.evidence[0]
    assert "a answered '鱼、肉'" in review.evidence[0]
    assert "a answered '无法识别'" in review.evidence[1]


def test_dishes_with_one_name_stay_apart_and_lead_the_review_after_those_without_any():
    answers = [
        answer("GX1", "红烧鱼", card=FISH),
        answer("GX2", "红烧鱼。", card=FISH),
        answer("GX3", "红烧鱼", card=FISH),
        answer("GX4", "不详"),
    ]
    dishes, catalogue, review = settled(photos_of("GX2", "GX1", "GX2", "GX3", "GX4"), answers)
    assert suspicions(review) == [
        ("not_a_name", "GX4", ""),
        ("same_name", "GX2", "GX1"),
        ("same_name", "GX2", "GX3"),
    ]
    assert "decisions/names.csv" in review.evidence[1]
    assert dishes["GX1"]["review"] == "same_name: GX2, GX3"
    assert dishes["GX2"]["review"] == "same_name: GX1, GX3"
    assert sorted(catalogue.dish_id.unique()) == ["GX1", "GX2", "GX3", "GX4"]


def test_merge_makes_them_one_dish_under_the_id_with_the_most_photos():
    answers = [
        answer("GX1", "红烧鱼", card=FISH),
        answer("GX2", "红烧 鱼"),
        answer("GX3", "红烧鱼", "b"),
    ]
    dishes, catalogue, review = settled(
        photos_of("GX1", "GX2", "GX2", "GX3", "土豆丝"), answers, same_name="merge"
    )
    assert list(dishes) == ["GX2", "土豆丝"]
    assert dishes["GX2"]["folders"] == ["GX1", "GX2", "GX3"]
    assert dishes["GX2"]["n_images"] == 11
    assert dishes["GX2"]["card"]["ingredients"] == FISH
    assert len(dishes["GX2"]["source"]) == 3
    assert {"GX1", "GX3", "红烧鱼"} <= set(dishes["GX2"]["aliases"])
    assert (catalogue.dish_id == "GX2").sum() == 11
    assert review.empty
    before = photos_of("GX1", "GX2", "GX2", "GX3", "土豆丝")
    assert catalogue.split.tolist() == before.split.tolist()
    assert catalogue.group_id.tolist() == before.group_id.tolist()


def test_keep_apart_is_obeyed_in_every_mode(tmp_path):
    photos = photos_of("GX1", "GX2", "GX3")
    answers = [answer(dish, "红烧鱼") for dish in ("GX1", "GX2", "GX3")]
    dishes, _, review = settled(photos, answers, same_name="keep_apart")
    assert len(dishes) == 3
    assert all(
        "kept apart" in evidence and "another name" in evidence for evidence in review.evidence
    )
    dishes, _, review = settled(
        photos, answers, same_name="merge", decisions=decided(tmp_path, "GX3,红烧鱼,keep_apart,")
    )
    assert list(dishes) == ["GX1", "GX3"]
    assert suspicions(review) == [("same_name", "GX1", "GX3")]
    assert "kept apart" in review.evidence[0]
    with pytest.raises(ValueError, match="ask, merge, keep_apart"):
        settled(photos, answers, same_name="join")


def test_dishes_without_a_name_come_first_and_open_questions_about_one_before_those_kept_apart(
    tmp_path,
):
    answers = [
        answer("A1", "红烧鱼"),
        answer("A2", "红烧鱼"),
        answer("B1", "土豆丝"),
        answer("B2", "土豆丝"),
        answer("GX", "未知"),
        answer("C1", "无法识别"),
        answer("C1", "米饭", annotator="b"),
    ]
    _, _, review = settled(
        photos_of("A1", "A1", "A2", "B1", "B2", "C1", "GX"),
        answers,
        decisions=decided(tmp_path, "A1,红烧鱼,keep_apart,"),
    )
    assert suspicions(review) == [
        ("not_a_name", "GX", ""),
        ("same_name", "B1", "B2"),
        ("same_name", "A1", "A2"),
        ("not_a_name", "C1", ""),
    ]


@pytest.mark.parametrize(
    "folder", ["GX4_6", "新建文件夹", "123", "aaa", "批次1", "20240301", "一食堂"]
)
def test_a_folders_name_that_an_annotator_hands_back_is_none(folder):
    dishes, _, review = settled(photos_of(folder, "红烧鱼"), [answer(folder, folder, card=FISH)])
    assert artefacts.unnamed_dishes(dishes.values()).keys() == {folder}
    assert suspicions(review)[0] == ("not_a_name", folder, "")
    assert audit.notes(list(dishes.values()), review)[0].startswith(
        f"1 of 2 dishes have no name and are NOT asked about: {folder};"
    )


def test_a_decision_a_table_or_an_annotator_gives_a_dish_its_name(tmp_path):
    listed = write(tmp_path / "listed.csv", "folder,name", "GX2,123")
    dishes, *_ = settled(
        photos_of("GX1", "GX2", "GX3", "GX4"),
        [answer("GX3", "红烧鱼")],
        decisions=decided(tmp_path, "GX1,A1,,"),
        names_csv=listed,
    )
    assert artefacts.unnamed_dishes(dishes.values()).keys() == {"GX4"}


def test_a_misread_folder_is_pointed_out_with_the_command_until_it_is_decided(tmp_path):
    photos = photos_of("红烧鱼", "土豆丝", 红烧鱼="║∞╔╒╙π")
    answers = [answer("红烧鱼", "║∞╔╒╙π")]
    dishes, _, review = settled(photos, answers)
    assert suspicions(review) == [("misread_folder", "红烧鱼", ""), ("not_a_name", "红烧鱼", "")]
    assert "GBK read as cp437, it should say 红烧鱼" in review.evidence[0]
    assert "mv -nT -- '║∞╔╒╙π' '红烧鱼'" in review.evidence[0]
    assert (dishes["红烧鱼"]["name"], dishes["红烧鱼"]["name_source"]) == ("红烧鱼", "folder")
    assert "read in the wrong encoding" in audit.notes(list(dishes.values()), review)[0]
    decisions = decided(tmp_path, "║∞╔╒╙π,红烧鱼,,misread_folder")
    assert suspicions(settled(photos, decisions=decisions)[2]) == []


def test_what_is_perhaps_no_part_of_a_folders_name_is_pointed_out():
    _, _, review = settled(photos_of("15元套餐", "7喜", "红烧鱼"), [])
    assert suspicions(review) == [("untidy_name", "15元套餐", "")]
    named = settled(photos_of("15元套餐", "红烧鱼"), [answer("15元套餐", "15元套餐")])[2]
    assert suspicions(named) == []


def test_one_name_by_decision_merges_whatever_same_name_says(tmp_path):
    photos = photos_of("番茄炒蛋", "西红柿炒鸡蛋", "炒蛋")
    file = decided(
        tmp_path,
        "西红柿炒鸡蛋,番茄炒蛋,name,two_names: 番茄炒蛋",
        "番茄炒蛋,番茄炒蛋,,",
        "炒蛋,番茄炒蛋,,",
        "炒蛋,炒鸡蛋,,",
    )
    for same_name in params.SAME_NAME:
        dishes, catalogue, review = settled(photos, decisions=file, same_name=same_name)
        assert list(dishes) == ["炒蛋", "番茄炒蛋"]
        assert dishes["番茄炒蛋"]["name_source"] == "decision"
        assert dishes["番茄炒蛋"]["aliases"] == ["西红柿炒鸡蛋"]
        assert dishes["炒蛋"]["name"] == "炒鸡蛋"
        assert review.empty


def test_folders_that_decisions_call_differently_become_two_dishes(tmp_path):
    photos = photos_of("红烧鱼")
    photos["folder"] = ["红烧鱼1@A_20220101", "红烧鱼2@A_20220101", "红烧鱼3@A_20220101"]
    answers = [answer("红烧鱼", "红烧鱼", card=FISH, image_ids=["红烧鱼-train-1"])]
    dishes, catalogue, _ = settled(
        photos,
        answers,
        decisions=decided(tmp_path, "红烧鱼1@A_20220101,红烧鱼,,", "红烧鱼2@A_20220101,糖醋鱼,,"),
    )
    assert catalogue.dish_id.tolist() == ["红烧鱼", "红烧鱼2@A_20220101", "红烧鱼"]
    assert dishes["红烧鱼"]["folders"] == ["红烧鱼1@A_20220101", "红烧鱼3@A_20220101"]
    assert dishes["红烧鱼"]["card"] is None
    assert dishes["红烧鱼2@A_20220101"]["name"] == "糖醋鱼"
    assert dishes["红烧鱼2@A_20220101"]["card"]["ingredients"] == FISH


def test_a_merged_dish_takes_the_most_trusted_name(tmp_path):
    photos = photos_of("红烧鱼", "红烧鱼", "GX1")
    listed = write(tmp_path / "list.csv", "folder,name", "GX1,红烧-鱼")
    dishes, _, _ = settled(photos, names_csv=listed, same_name="merge")
    assert [(dish["name"], dish["name_source"], dish["aliases"]) for dish in dishes.values()] == [
        ("红烧-鱼", "names_csv", ["GX1", "红烧鱼"])
    ]


def test_outside_sites_are_no_dishes_of_ours_and_stay_as_they_are(tmp_path):
    outside = photos_of("GX2").assign(split="site:b", sha256="x", group_id="g", path="b")
    photos = pd.concat([photos_of("GX1", "GX2"), outside], ignore_index=True)
    dishes, catalogue, _ = settled(
        photos,
        [answer("GX1", "红烧鱼"), answer("GX2", "红烧鱼", image_ids=["GX2-test-0"])],
        same_name="merge",
    )
    assert list(dishes) == ["GX1"]
    assert dishes["GX1"]["n_images"] == 6
    assert catalogue.dish_id.tolist() == ["GX1"] * 6 + ["GX2"] * 3


@pytest.mark.parametrize("column", ["group_id", "sha256"])
def test_a_merge_that_would_train_on_a_test_photo_is_refused(column):
    photos = photos_of("GX1", "GX2")
    photos.loc[[0, 5], column] = "shared"
    with pytest.raises(
        merging.MergeError,
        match=rf"{column} .*GX1/train0.jpg \(train\), GX2/test0.jpg \(test\); mark .*decisions/photos.csv",
    ):
        settled(photos, [answer("GX1", "红烧鱼"), answer("GX2", "红烧鱼")], same_name="merge")


def test_annotators_that_disagree_are_listed_and_the_first_is_taken():
    answers = [
        answer("GX1", "糖醋鱼", "a"),
        answer("GX1", "红烧鱼", "b"),
        answer("GX2", "番茄炒蛋", "a"),
        answer("GX2", "西红柿炒鸡蛋", "b"),
    ]
    dishes, _, review = settled(photos_of("GX1", "GX2"), answers)
    assert suspicions(review) == [
        ("annotators_disagree", "GX1", ""),
        ("annotators_disagree", "GX2", ""),
    ]
    assert review.evidence[0] == "a: 糖醋鱼, b: 红烧鱼"
    assert dishes["GX1"]["name"] == "糖醋鱼"
    table = audit.disagreements(answers)
    assert table.to_dict("records")[0] == {
        "dish_id": "GX1",
        "a": "糖醋鱼",
        "b": "红烧鱼",
        "image_ids": ["GX1-train-0"],
    }
    assert len(table) == 2
    assert audit.disagreements([]).empty


def test_a_split_vote_and_a_hint_that_disagrees_are_listed():
    answers = [
        answer("红烧鱼", "糖醋鱼", votes={"糖醋鱼": 2, "炸鱼": 1}),
        answer("番茄炒蛋", "西红柿炒鸡蛋", votes={"西红柿炒鸡蛋": 1, "番茄炒蛋": 2}),
        answer("红烧肉", "红烧肉块"),
    ]
    _, _, review = settled(photos_of("红烧鱼", "番茄炒蛋", "红烧肉"), answers)
    assert suspicions(review) == [
        ("hint_disagrees", "红烧鱼", ""),
        ("votes_split", "红烧鱼", ""),
        ("hint_disagrees", "红烧肉", ""),
    ]
    assert review.evidence[0] == "folder 红烧鱼: 红烧鱼; annotator: 糖醋鱼"
    assert review.evidence[1] == "a: 糖醋鱼 2, 炸鱼 1"


def test_what_people_named_is_not_questioned_again(tmp_path):
    answers = [
        answer("红烧鱼", "糖醋鱼", "a", votes={"糖醋鱼": 1, "炸鱼": 1}),
        answer("红烧鱼", "炸鱼", "b"),
        answer("100", "豆腐"),
    ]
    _, _, review = settled(
        photos_of("红烧鱼", "100"),
        answers,
        decisions=decided(tmp_path, "红烧鱼,糖醋鱼,,", "100,100,,"),
    )
    assert review.empty
    _, _, review = settled(
        photos_of("红烧鱼", "100"),
        answers,
        decisions=decided(tmp_path, "红烧鱼,鱼、肉,,", "100,豆腐,,"),
    )
    assert suspicions(review) == [("not_a_name", "红烧鱼", "")]
    assert "separate menu entries" in review.evidence[0]


def test_problems_of_requests_are_listed_last_until_a_decision_notes_them(tmp_path):
    answers = [answer("红烧鱼", "糖醋鱼", problems=["dish_card: refusal: no", "dish_texts: empty"])]
    _, _, review = settled(photos_of("红烧鱼"), answers)
    assert [row[0] for row in suspicions(review)] == [
        "hint_disagrees",
        "problem",
    ]
    assert review.evidence[1] == "a: dish_card: refusal: no; a: dish_texts: empty"
    controls = [answer("红烧鱼", "红烧鱼", problems=["server: \x1b[31mred\n"])]
    escaped = settled(photos_of("红烧鱼"), controls)[2].evidence[0]
    assert escaped == "a: server: \\x1b[31mred\\n"
    assert settled(
        photos_of("红烧鱼"), answers, decisions=decided(tmp_path, "红烧鱼,红烧鱼,name,problem")
    )[2].empty


@pytest.mark.parametrize(
    "first, second",
    [
        ("番茄炒蛋", "西红柿炒鸡蛋"),
        ("番茄炒蛋", "鸡蛋炒番茄"),
        ("红烧肉", "秘制红烧肉"),
        ("素鸡(豆制品)", "素鸡"),
        ("葱油桂鱼", "葱油鳜鱼"),
    ],
)
def test_two_names_of_one_meaning_are_suspected_without_any_card(first, second):
    _, _, review = settled(photos_of(first, first, second))
    assert suspicions(review) == [("two_names", first, second)]
    assert review.evidence[0].startswith(f"{first} / {second}: the names mean the same")


@pytest.mark.parametrize(
    "first, second",
    [
        ("红烧鱼", "红烧鱼块"),
        ("酱牛肉", "牛肉酱"),
        ("小白菜汤", "大白菜汤"),
        ("土豆丝", "土豆片"),
        ("粉丝煲", "粉条煲"),
    ],
)
def test_names_alone_do_not_make_these_one(first, second):
    assert settled(photos_of(first, second))[2].empty


def test_a_name_within_a_name_needs_the_ingredients_too():
    photos = photos_of("红烧鱼", "红烧鱼块", "青椒土豆丝", "土豆丝", "豆腐", "米饭")
    fish = [
        answer("红烧鱼", "红烧鱼", card=FISH),
        answer("红烧鱼块", "红烧鱼块", card=[*FISH, "葱段"]),
    ]
    potato = [
        answer("土豆丝", "土豆丝", card=POTATO),
        answer("青椒土豆丝", "青椒土豆丝", card=[*POTATO, "青椒"]),
    ]
    _, _, review = settled(photos, fish + potato)
    assert suspicions(review) == [("two_names", "红烧鱼", "红烧鱼块")]
    assert "one name has all the other's characters" in review.evidence[0]
    assert "ingredients are" in review.evidence[0]
    fish[1] = answer("红烧鱼块", "红烧鱼块", card=["草鱼", "辣椒", "花生"])
    assert settled(photos, fish + potato)[2].empty


@pytest.mark.parametrize(
    "first, second, apart",
    [
        ("清蒸鲈鱼", "红烧鲈鱼", True),
        ("爆炒鲈鱼", "炒鲈鱼", False),
        ("鲈鱼", "红烧鲈鱼", False),
        ("土豆丝", "土豆片", True),
        ("土豆", "土豆丝", False),
        ("番茄蛋", "番茄蛋汤", True),
        ("红烧鱼", "红烧鱼头", True),
        ("番茄蛋汤", "番茄汤", False),
    ],
)
def test_names_that_say_that_they_are_different(first, second, apart):
    assert same_dish.excluded(first, second) is same_dish.excluded(second, first) is apart


def test_ingredients_are_compared_without_their_cut_and_rare_ones_weigh_more():
    assert same_dish.ingredient_words(
        {"ingredients": ["土豆片", "马铃薯", "葱、姜", "西红柿（2 个）", "鱼块"]}
    ) == {"土豆", "葱", "姜", "番茄", "鱼块"}
    assert same_dish.ingredient_words(None) == set()
    terms = same_dish.Terms([{"盐", "鱼"}, {"盐", "鱼"}, {"盐", "虾"}, {"盐", "油"}])
    every = np.log1p(1)
    two = np.log1p(2)
    rare = np.log1p(4)
    np.testing.assert_allclose(
        terms.jaccard(slice(0, 1))[0],
        [1, 1, every / (every + two + rare), every / (every + two + rare)],
        rtol=1e-5,
    )
    np.testing.assert_allclose(terms.dice(slice(2, 3))[0, 3], every / (every + rare), rtol=1e-5)


def features_of(photos, directions, spread=0.3, seed=0):
    """Unit features around each dish's direction, dimension 16."""
    rng = np.random.default_rng(seed)
    axes = np.eye(16)
    vectors = np.array(
        [axes[directions[dish]] + spread * rng.normal(size=16) / 4 for dish in photos.dish_id]
    )
    return {
        "image_id": photos.image_id.to_numpy(str),
        "feature": (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
    }


def test_photos_that_do_not_tell_two_dishes_apart_are_a_witness():
    photos = photos_of(
        *["红烧鱼"] * 6, *["红烧鱼块"] * 6, *["红烧鱼丸"] * 6, *["凉面"] * 6, *["酸奶"] * 6
    )
    same = features_of(
        photos, {"红烧鱼": 0, "红烧鱼块": 0, "红烧鱼丸": 1, "凉面": 2, "酸奶": 3}, spread=1.5
    )
    _, _, review = settled(photos, features=same)
    assert suspicions(review) == [("two_names", "红烧鱼", "红烧鱼块")]
    assert "photos do not tell them apart (cosine 0.9" in review.evidence[0]
    other = features_of(
        photos, {"红烧鱼": 0, "红烧鱼块": 4, "红烧鱼丸": 1, "凉面": 2, "酸奶": 3}, spread=1.5
    )
    assert settled(photos, features=other)[2].empty


def test_features_that_tell_no_dishes_apart_are_no_witness():
    photos = photos_of(
        *[
            dish
            for dish in ("鱼一", "鱼二", "鱼三", "鱼四", "鱼五", "鱼六", "鱼七")
            for _ in range(4)
        ]
    )
    noise = features_of(photos, dict.fromkeys(photos.dish_id.unique(), 0), spread=0.5)
    dishes = sorted(photos.dish_id.unique())
    means = same_dish.photo_means(dishes, photos, noise)
    near = means.means @ means.means.T >= np.maximum(means.least[:, None], means.least[None])
    assert (near.sum(axis=1) - 1 <= same_dish.CLOSEST).all()


def test_the_mean_is_of_training_photos_and_halves_have_no_group_in_common():
    photos = photo_rows(
        {
            "a": {"train": 4, "test": 1},
            "b": {"train": 2},
            "c": {"train": 2},
            "d": {"test": 1},
            "e": {"train": 2},
        }
    )
    photos.loc[photos.dish_id == "b", "group_id"] = "one"
    axes = np.eye(8, dtype=np.float32)
    feature = np.stack(
        [
            axes[0],
            axes[1],
            axes[0],
            axes[1],
            axes[7],
            axes[2],
            axes[3],
            axes[4],
            (axes[4] + axes[5]) / 2**0.5,
            axes[6],
            axes[6],
            axes[6],
        ]
    )
    means = same_dish.photo_means(
        ["a", "b", "c", "d", "e"],
        photos,
        {"image_id": photos.image_id.to_numpy(str), "feature": feature},
    )
    half = 0.5**0.5
    np.testing.assert_allclose(
        means.means[:2, :4], [[half, half, 0, 0], [0, 0, half, half]], atol=1e-6
    )
    assert not means.means[3].any()
    np.testing.assert_allclose(means.least, [0, half, half, half, 1], atol=1e-6)


def test_decisions_settle_pairs_for_good(tmp_path):
    photos = photos_of("番茄炒蛋", "番茄炒蛋", "西红柿炒鸡蛋", "鸡蛋炒番茄")
    before = settled(photos)[2]
    assert {row[1:] for row in suspicions(before)} == {
        ("番茄炒蛋", "西红柿炒鸡蛋"),
        ("番茄炒蛋", "鸡蛋炒番茄"),
        ("西红柿炒鸡蛋", "鸡蛋炒番茄"),
    }
    after = settled(
        photos,
        decisions=decided(tmp_path, "西红柿炒鸡蛋,西红柿炒鸡蛋,keep_apart,two_names: 番茄炒蛋"),
    )[2]
    assert {row[1:] for row in suspicions(after)} == {
        ("番茄炒蛋", "鸡蛋炒番茄"),
        ("西红柿炒鸡蛋", "鸡蛋炒番茄"),
    }
    by_hand = settled(photos, decisions=decided(tmp_path, "西红柿炒鸡蛋,西红柿炒鸡蛋,keep_apart,"))[
        2
    ]
    assert {row[1:] for row in suspicions(by_hand)} == {("番茄炒蛋", "鸡蛋炒番茄")}


def test_near_duplicate_photos_across_dishes_are_a_row_per_pair_of_dishes():
    photos = photos_of("红烧鱼", "红烧鱼", "土豆丝", "豆腐")
    rows = [
        ("土豆丝-train-0", "红烧鱼-train-1", "phash", 4),
        ("红烧鱼-train-0", "土豆丝-train-1", "phash", 2),
        ("红烧鱼-train-0", "红烧鱼-train-1", "phash", 0),
        ("gone", "豆腐-train-0", "phash", 0),
    ]
    pairs = pd.DataFrame(rows, columns=["image_id_a", "image_id_b", "by", "distance"])
    _, _, review = settled(photos, pairs=pairs)
    assert suspicions(review) == [("same_photo", "红烧鱼", "土豆丝")]
    assert (
        review.evidence[0]
        == "2 pairs of near-duplicate photos: 红烧鱼/train0.jpg = 土豆丝/train1.jpg (phash, distance 2)"
    )
    with pytest.raises(records.RecordError, match="distance"):
        settled(photos, pairs=pairs.drop(columns="distance"))


def test_twins_that_a_merge_puts_into_two_splits_are_listed(tmp_path):
    pairs = pd.DataFrame(
        [("GX1-train-0", "GX2-test-0", "phash", 3)],
        columns=["image_id_a", "image_id_b", "by", "distance"],
    )
    _, _, review = settled(
        photos_of("GX1", "GX2"),
        pairs=pairs,
        decisions=decided(tmp_path, "GX1,红烧鱼,,", "GX2,红烧鱼,,"),
    )
    assert suspicions(review) == [("same_photo", "GX1", "")]
    assert "GX1/train0.jpg = GX2/test0.jpg" in review.evidence[0]


def test_files_of_given_names(tmp_path):
    assert audit.read_names("") == {}
    assert given_names.read("", tmp_path / "none.csv").decided == {}
    listed = write(tmp_path / "list.csv", "name,folder", "红烧鱼,A", "　糖醋鱼。,B", ",C", "蒸鱼,A")
    assert audit.read_names(listed) == {"A": "蒸鱼", "B": "糖醋鱼"}
    with pytest.raises(records.RecordError, match="missing"):
        audit.read_names(tmp_path / "none.csv")
    with pytest.raises(
        records.RecordError, match=r"line 3 \(B\): action 'merge' is unknown; use name, keep_apart"
    ):
        given_names.read("", decided(tmp_path, "A,x,,", "B,y,merge,"))
    given = given_names.read("", write(tmp_path / "hand.csv", "folder,name", "A,x", "A,"))
    assert given.decided == {}
    assert given.apart == {}
    left = given_names.read("", decided(tmp_path, "A,x,leave_out,", "B,,keep_apart,why"))
    assert left.decided == {}
    assert left.apart == {"B": "why"}


def test_rows_about_folders_that_are_not_there_are_told_with_their_lines(tmp_path):
    listed = write(tmp_path / "list.csv", "folder,name", "A,蒸鱼", "B,糖醋鱼", ",空")
    decisions = decided(tmp_path, "a ,x,,", "Z,y,,", "C,,leave_out,")
    in_table, in_decisions = given_names.unmatched(["A"], listed, decisions)
    assert in_table == f"names_csv {listed}: 1 row names no folder that is there: line 3 'B'"
    assert in_decisions.endswith("1 row names no folder that is there: line 3 'Z'")


def test_a_folder_is_found_under_another_spelling_of_it(tmp_path):
    listed = write(tmp_path / "list.csv", "folder,name", "ｇｘ4_6 ,蒸鱼", "Cafe\u0301,烤鱼")
    given = given_names.read(listed, None, ["GX4_6", "Caf\u00e9"])
    assert given.listed == {"GX4_6": "蒸鱼", "Caf\u00e9": "烤鱼"}


def test_two_names_of_names_csv_for_one_dish_are_a_question(tmp_path):
    photos = photos_of("鱼").assign(folder=["鱼1@A_20220101", "鱼2@A_20220101", "鱼2@A_20220101"])
    dishes, _, review = settled(
        photos,
        names_csv=write(
            tmp_path / "l.csv", "folder,name", "鱼2@A_20220101,蒸鱼", "鱼1@A_20220101,烤鱼"
        ),
    )
    assert dishes["鱼"]["name"] == "烤鱼"
    assert suspicions(review) == [("two_names", "鱼", "")]
    assert "鱼2@A_20220101 = 蒸鱼" in review.evidence[0]


def test_tables_for_the_look():
    answers = [
        answer("GX1", "红烧鱼", card=FISH),
        answer("GX2", "", quarantined=[{"kind": "dish_card"}]),
        answer("GX2", "", "b", quarantined=[{"kind": "dish_texts"}]),
    ]
    dishes = audit.settle(photos_of("GX1", "GX2"), answers)[0]
    assert audit.name_table(dishes).to_dict("records")[0] == {
        "dish_id": "GX1",
        "name": "红烧鱼",
        "name_source": "annotator",
        "n_images": 3,
        "folders": "GX1",
        "card": True,
    }
    assert audit.card_table(dishes, 5).to_dict("records") == [
        {"dish": "红烧鱼", "ingredients": "鱼、姜、酱油"}
    ]
    assert audit.card_table([]).empty
    shares = audit.share_parsed(answers)
    assert shares[["annotator", "parsed", "n"]].to_dict("records") == [
        {"annotator": "a", "parsed": 1, "n": 2},
        {"annotator": "b", "parsed": 1, "n": 1},
    ]
    assert shares.ci_low[0] < 0.5 < shares.ci_high[0]
    assert audit.share_parsed([]).empty


def test_what_it_makes_survives_its_files(tmp_path):
    dishes, catalogue, review = audit.settle(
        photos_of("GX1", "GX2"), [answer("GX1", "红烧鱼", card=FISH), answer("GX2", "红烧鱼")]
    )
    records.write_jsonl(tmp_path / "dishes.jsonl", dishes)
    records.write_table(tmp_path / "catalog.parquet", catalogue)
    records.write_table(tmp_path / "name_review.csv", review)
    assert records.read_jsonl(tmp_path / "dishes.jsonl") == dishes
    assert (
        records.read_table(tmp_path / "catalog.parquet")
        .astype(object)
        .equals(catalogue.astype(object))
    )
    assert records.read_table(tmp_path / "name_review.csv").to_dict("records") == review.astype(
        str
    ).to_dict("records")


def test_missing_columns_are_named():
    with pytest.raises(records.RecordError, match="sha256"):
        settled(photos_of("A").drop(columns="sha256"))


def test_blocks_find_the_same_pairs_as_one(monkeypatch):
    dishes = [
        {"name": name, "card": None}
        for name in ("番茄炒蛋", "豆腐", "素鸡", "西红柿炒鸡蛋", "米饭", "素鸡(豆制品)")
    ]
    whole = same_dish.pairs(dishes)
    monkeypatch.setattr(same_dish, "BLOCK_ROWS", 2)
    assert same_dish.pairs(dishes) == whole
    assert {(pair.i, pair.j) for pair in whole} == {(0, 3), (2, 5)}


def test_thousands_of_dishes_are_settled_in_seconds():
    rng = np.random.default_rng(0)
    words = list("鱼肉豆腐丝片鸡鸭虾蟹葱姜蒜椒茄瓜笋菇芹韭藕")
    dishes = list(dict.fromkeys("红烧" + "".join(rng.choice(words, 5)) for _ in range(3700)))[:3600]
    photos = photo_rows({dish: {"train": 2, "test": 1} for dish in dishes})
    answers = [
        answer(dish, dish, who, rng.choice(words, 4).tolist()) for dish in dishes for who in "ab"
    ]
    started = time.perf_counter()
    rows, _, _ = audit.settle(photos, answers)
    assert len(rows) == 3600
    assert time.perf_counter() - started < 20
