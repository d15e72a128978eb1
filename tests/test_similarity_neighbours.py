"""Look-alikes and recall on features small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.similarity import neighbours


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def at(*degrees) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))


def table(dishes: str, groups=None, split=None) -> pd.DataFrame:
    groups = groups if groups is not None else range(len(dishes))
    return pd.DataFrame(
        {
            "dish_id": list(dishes),
            "group_id": list(map(str, groups)),
            "split": split or ["train"] * len(dishes),
        }
    )


def test_nearest_equals_a_full_sort_across_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    queries = unit(rng.normal(size=(30, 5)))
    gallery = unit(rng.normal(size=(40, 5)))
    indices, scores = neighbours.nearest(queries, gallery, 4)
    full = queries @ gallery.T
    assert np.array_equal(indices, np.argsort(-full, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(scores, np.take_along_axis(full, indices, 1), rtol=1e-6)


def test_nearest_never_finds_its_own_group_and_marks_the_rest():
    features = at(0, 1, 50)
    indices, scores = neighbours.nearest(
        features, features, 2, query_groups=[0, 0, 1], gallery_groups=[0, 0, 1]
    )
    assert indices.tolist() == [[2, -1], [2, -1], [1, 0]]
    assert np.isneginf(scores[0, 1])


def test_mine_ranks_the_closest_dish_first_and_counts_votes():
    features = at(0, 2, 4, 10, 12, 14, 80, 82, 84)
    found = neighbours.mine(features, table("aaabbbccc"), margin=0.05)
    assert found[found["dish_id"] == "a"]["similar_id"].tolist() == ["b", "c"]
    assert found[found["dish_id"] == "c"]["similar_id"].tolist() == ["b", "a"]
    assert found["rank"].tolist() == [1, 2] * 3
    assert found.set_index(["dish_id", "similar_id"])["n_votes"].to_dict() == {
        ("a", "b"): 1,
        ("a", "c"): 0,
        ("b", "a"): 1,
        ("b", "c"): 0,
        ("c", "b"): 0,
        ("c", "a"): 0,
    }


def test_reference_rule_keeps_only_dishes_within_the_margin():
    features = at(0, 2, 4, 10, 12, 14, 80, 82, 84)
    found = neighbours.mine(features, table("aaabbbccc"), margin=0.05, rule="reference")
    assert found[["dish_id", "similar_id"]].values.tolist() == [["a", "b"], ["b", "a"]]
    assert (
        len(neighbours.mine(features, table("aaabbbccc"), margin=2.0, top_k=1, rule="reference"))
        == 3
    )


def test_score_of_the_reference_rule_is_the_best_registered_photo():
    features = at(0, 10, 30, 90, 100)
    photos = table("aabbb")
    found = neighbours.mine(features, photos, margin=2.0, rule="reference")
    query = found.attrs["queried"][0]
    other = [row for row in found.attrs["registered"] if photos["dish_id"][row] == "b"]
    assert found["score"][0] == pytest.approx(
        float((features[query] @ features[other].T).max()), abs=1e-6
    )


def test_dishes_of_one_name_are_never_look_alikes():
    found = neighbours.mine(
        at(0, 1, 2, 3, 80, 81), table("aabbcc"), names={"a": "红烧肉", "b": "红烧肉", "c": "鱼"}
    )
    assert set(zip(found["dish_id"], found["similar_id"], strict=True)) == {
        ("a", "c"),
        ("b", "c"),
        ("c", "a"),
        ("c", "b"),
    }


def test_dishes_whose_names_hold_nothing_to_compare_are_never_each_others_look_alikes():
    found = neighbours.mine(
        at(0, 1, 2, 3, 80, 81), table("aabbcc"), names={"a": "", "b": "★", "c": "鱼"}
    )
    pairs = set(zip(found.dish_id, found.similar_id, strict=True))
    assert pairs == {("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")}


def test_other_splits_have_no_influence():
    features = at(0, 2, 40, 42, 80, 82)
    photos = table("aabbcc")
    found = neighbours.mine(features, photos)
    more = pd.concat(
        [photos, table("abc", [90, 91, 92], ["test", "validation", "site:x"])], ignore_index=True
    )
    again = neighbours.mine(np.concatenate([features, at(81, 1, 41)]), more)
    pd.testing.assert_frame_equal(found, again)
    assert max(again.attrs["registered"] + again.attrs["queried"]) < 6


def test_a_dish_with_one_photo_is_registered_not_queried_and_still_ranked():
    found = neighbours.mine(at(0, 20, 22, 80, 82), table("abbcc"))
    assert found.attrs["not_queried"] == ["a"]
    assert 0 in found.attrs["registered"]
    assert found[found["dish_id"] == "a"]["similar_id"].tolist() == ["b", "c"]
    assert found[found["dish_id"] == "a"]["n_votes"].tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_query_comes_from_another_group_when_there_is_one(seed):
    photos = table("aaaaaabb", [0, 0, 0, 0, 0, 1, 2, 2])
    registered, queried = neighbours.draw(photos, 2, 1, seed)
    groups = photos["group_id"]
    assert not set(groups[registered["a"]]) & set(groups[queried["a"]])
    assert len(registered["b"]) == len(queried["b"]) == 1
    assert registered["b"] != queried["b"]


def test_drawing_depends_on_the_seed_only():
    photos = table("aaaaaaaabbbbbbbb")
    assert neighbours.draw(photos, 2, 2, 3) == neighbours.draw(photos, 2, 2, 3)
    assert len({str(neighbours.draw(photos, 2, 2, seed)) for seed in range(6)}) > 1


def test_recall_leaves_the_own_group_out():
    features = at(0, 0, 50, 52, 51)
    photos = table("aabbc", [0, 0, 1, 2, 3])
    recall = neighbours.recall_at_k(features, photos, ks=(1, 2))
    assert recall[["k", "n", "hits", "no_partner"]].values.tolist() == [[1, 2, 0, 3], [2, 2, 2, 3]]
    assert recall["chance"][0] == pytest.approx(1 / 4)
    assert recall["lo"][1] < 1.0 == recall["hi"][1]


def test_recall_of_validation_photos_searches_training_photos_only():
    photos = table("abab", [0, 1, 2, 3], ["train", "train", "validation", "validation"])
    recall = neighbours.recall_at_k(at(0, 90, 1, 20), photos, ks=(1,), query_split="validation")
    assert recall[["n", "hits"]].values.tolist() == [[2, 1]]


def test_nan_features_and_lost_alignment_are_clear_errors():
    features = at(0, 1, 2, 3)
    photos = table("aabb")
    features[2] = np.nan
    with pytest.raises(ValueError, match="1 of 4 features are not finite, first in row 2"):
        neighbours.mine(features, photos)
    with pytest.raises(ValueError, match="3 features for 4 photos"):
        neighbours.recall_at_k(features[:3], photos)
    with pytest.raises(ValueError, match="at least two dishes"):
        neighbours.mine(at(0, 1), table("aa"))
