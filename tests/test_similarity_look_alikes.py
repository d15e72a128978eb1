"""Clusters, doubtful labels and twins, on features small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.similarity import look_alikes, neighbours, quality


def at(*degrees) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def table(dishes: str, groups=None, split=None) -> pd.DataFrame:
    ids = [f"{dish}{i}" for i, dish in enumerate(dishes)]
    groups = list(map(str, groups)) if groups is not None else ids
    return pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"{one}.jpg" for one in ids],
            "dish_id": list(dishes),
            "group_id": groups,
            "split": split or ["train"] * len(dishes),
        }
    )


def listed(lists: dict[str, str], score=0.9) -> pd.DataFrame:
    """{dish: its look-alikes, closest first}, as read back from the CSV file: text."""
    rows = [
        (dish, other, str(rank), str(score), "1")
        for dish, others in lists.items()
        for rank, other in enumerate(others, start=1)
    ]
    return pd.DataFrame(rows, columns=["dish_id", "similar_id", "rank", "score", "n_votes"])


def test_clusters_are_of_mutual_close_look_alikes_the_largest_first():
    found = look_alikes.clusters(
        listed({"a": "bc", "b": "ac", "c": "ab", "d": "ea", "e": "da", "f": "a"}), links=2
    )
    assert found.values.tolist() == [
        ["a", 1, 3],
        ["b", 1, 3],
        ["c", 1, 3],
        ["d", 2, 2],
        ["e", 2, 2],
        ["f", 3, 1],
    ]
    assert look_alikes.clusters(listed({"a": "cb", "b": "ca", "c": "ab"}), links=1).set_index(
        "dish_id"
    ).cluster.to_dict() == {"a": 1, "c": 1, "b": 2}


def test_a_weak_bridge_does_not_fuse_two_families():
    strong = listed({"a": "bc", "b": "ac", "c": "ab", "d": "ef", "e": "df", "f": "de"})
    weak = listed({"c": "xxd", "d": "xxc"}, score=0.05)
    both = pd.concat([strong, weak[weak.similar_id != "x"]], ignore_index=True)
    assert look_alikes.clusters(both).groupby("cluster").dish_id.agg("".join).tolist() == [
        "abc",
        "def",
    ]


def test_mutual_and_card_scores_stand_beside():
    cards = {"a": ["鱼", "姜", "葱"], "b": ["鱼", "姜", "蒜"], "c": ["豆腐"]}
    dishes = [
        {"dish_id": dish, "card": {"ingredients": words, "cuisine": "川菜"}}
        for dish, words in cards.items()
    ] + [{"dish_id": "d", "card": None}]
    found = look_alikes.described(listed({"a": "bcd", "b": "a", "c": "b"}), dishes).set_index(
        ["dish_id", "similar_id"]
    )
    assert found.mutual.to_dict() == {
        ("a", "b"): True,
        ("a", "c"): False,
        ("a", "d"): False,
        ("b", "a"): True,
        ("c", "b"): False,
    }
    scores = found.card_score
    assert scores["a", "b"] == scores["b", "a"] > scores["a", "c"] > 0
    assert np.isnan(scores["a", "d"])
    weight = {1: np.log1p(3 / 1), 2: np.log1p(3 / 2), 3: np.log1p(3 / 3)}
    assert scores["a", "b"] == pytest.approx(
        (2 * weight[2] + weight[3]) / (2 * weight[2] + weight[3] + 2 * weight[1]), abs=1e-4
    )


def test_the_neighbourhood_leaves_the_own_group_out_and_asks_training_photos_only():
    photos = table("aaab", groups=[0, 0, 1, 2], split=["train", "train", "train", "test"])
    near = look_alikes.neighbourhood(at(0, 1, 50, 0), photos, k=2)
    assert near[["image_id", "n", "other_id"]].values.tolist() == [
        ["a0", 1, "a2"],
        ["a1", 1, "a2"],
        ["a2", 1, "a1"],
        ["a2", 2, "a0"],
    ]
    assert near.score.iloc[0] == pytest.approx(np.cos(np.deg2rad(50)), abs=1e-6)


def test_the_gallery_is_limited_per_dish(monkeypatch):
    monkeypatch.setattr(look_alikes, "GALLERY_PER_DISH", 2)
    near = look_alikes.neighbourhood(at(*range(10)), table("aaaaabbbbb"), k=9)
    assert near.groupby("other_dish").other_id.nunique().to_dict() == {"a": 2, "b": 2}


def test_photos_among_strangers_are_suspect():
    photos = table("aaabbbbc")
    near = look_alikes.neighbourhood(at(0, 1, 40, 39, 41, 42, 38, 90), photos, k=2)
    found = look_alikes.suspect_labels(near)
    assert found[["image_id", "dish_id", "looks_like", "votes", "of"]].values.tolist() == [
        ["a2", "a", "b", 2, 2]
    ], "c has no other photo and is not asked"


def test_where_each_dish_has_one_photo_none_is_suspect():
    near = look_alikes.neighbourhood(at(0, 1, 40), table("abc"), k=2)
    assert look_alikes.suspect_labels(near).empty


def test_two_dishes_that_mix_look_like_one_and_look_alikes_do_not():
    photos = table("ababababcccc")
    names = {"a": "西红柿炒蛋", "b": "番茄炒鸡蛋", "c": "红烧鱼"}
    near = look_alikes.neighbourhood(at(0, 1, 10, 11, 20, 21, 30, 31, 60, 61, 62, 63), photos, k=1)
    found = look_alikes.twins(near, names)
    assert found[["dish_id", "other_dish", "suspicion", "n_images"]].values.tolist() == [
        ["a", "b", "look_the_same", 4]
    ]
    assert (
        found.evidence[0]
        == "西红柿炒蛋 / 番茄炒鸡蛋: nearest to a photo of the other are 4 of 4 and 4 of 4 photos"
    )
    assert look_alikes.twins(near, {**names, "b": "西红柿炒蛋"}).empty, (
        "one name twice is stage 01's question"
    )
    apart = look_alikes.neighbourhood(at(0, 1, 2, 3, 5, 6, 7, 8), table("aaaabbbb"), k=1)
    assert look_alikes.twins(apart, names).empty


def test_cosines_of_same_and_other_dishes():
    photos = table("aabb", groups=[0, 1, 2, 2])
    found = quality.cosines(at(0, 10, 90, 91), photos)
    assert found.kind.value_counts()["same dish"] == 1, "the two photos of b are one group"
    assert found[found.kind == "same dish"].cosine.item() == pytest.approx(
        np.cos(np.deg2rad(10)), abs=1e-6
    )
    assert sorted(found[found.kind == "other dish"].cosine) == pytest.approx(
        sorted(np.cos(np.deg2rad([90, 91, 80, 81]))), abs=1e-6
    )
    assert set(quality.cosines(at(0, 10), table("aa")).kind) == {"same dish"}


def test_stability_is_one_for_lists_that_cannot_change_and_less_for_noise():
    far = quality.stability(at(0, 0, 0, 5, 5, 5, 80, 80, 80), table("aaabbbccc"), seeds=3, k=1)
    assert far.set_index("rule").overlap.to_dict() == {"ranked": 1.0, "reference": 1.0}
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    loose = quality.stability(
        noise, table("".join(dish * 6 for dish in "abcdefghij")), seeds=3, k=2
    )
    assert (loose.overlap < 0.8).all()
    assert (loose.lo <= loose.overlap).all()
    assert (loose.overlap <= loose.hi).all()
    assert loose.dishes.tolist() == [10, 10]


def test_coverage_counts_the_confusions_that_a_list_names():
    photos = table("aabbccabc", split=["train"] * 6 + ["validation"] * 3)
    features = at(0, 1, 20, 21, 80, 81, 19, 20.4, 22)
    lists = {
        "good": listed({"a": "bc", "b": "ac", "c": "ba"}),
        "bad": listed({"a": "cb", "b": "ca", "c": "ab"}),
    }
    found = quality.coverage(lists, features, photos, ks=(1, 2)).set_index(["list", "k"])
    assert found.n.eq(2).all()
    assert found.hits.to_dict() == {
        ("good", 1): 2,
        ("good", 2): 2,
        ("bad", 1): 0,
        ("bad", 2): 2,
    }
    assert found.chance.to_dict() == {
        ("good", 1): 0.5,
        ("good", 2): 1.0,
        ("bad", 1): 0.5,
        ("bad", 2): 1.0,
    }
    right = quality.coverage(lists, at(0, 1, 20, 21, 80, 81, 0, 20, 80), photos)
    assert right.n.eq(0).all()
    assert right.share.isna().all()


def test_both_rules_give_what_the_rest_reads():
    features = at(*range(0, 90, 3))
    photos = table("".join(dish * 5 for dish in "abcdef"))
    for rule in quality.RULES:
        similar = neighbours.mine(features, photos, rule=rule, margin=0.5)
        assert look_alikes.clusters(similar).dish_id.is_unique
        assert set(similar.dish_id) == set("abcdef")


def test_look_alikes_that_cannot_be_are_said_with_what_to_do():
    train = pd.DataFrame({"dish_id": ["a", "b", "c"]})
    found = pd.DataFrame({"dish_id": ["a", "b"], "similar_id": ["b", "c"]})
    assert look_alikes.problems(found, train, {"a": "鱼", "b": "肉", "c": "汤"}) == []
    (sentence,) = look_alikes.problems(found, train, {"a": "鱼", "b": "鱼", "c": "汤"})
    assert "a and b have one name" in sentence
    assert "--redo 02" in sentence
    (sentence,) = look_alikes.problems(found, train.iloc[1:], {"a": "鱼", "b": "肉", "c": "汤"})
    assert "a has look-alikes but no training photos" in sentence
    assert "exclude_dishes" in sentence
