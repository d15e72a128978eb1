"""Leaks: planted ones are all found, near-duplicates across splits lose the photo outside training, nothing moves into test."""

import numpy as np
import pandas as pd
import pytest
from toys import photo_rows

from dishvl_lib.annotation import duplicates
from dishvl_lib.dataset import leaks

PHOTOS = photo_rows({f"d{i}": {"train": 4, "validation": 2, "test": 3} for i in range(12)})


def test_no_leak_in_a_clean_catalogue():
    assert leaks.find(PHOTOS) == []


@pytest.mark.parametrize("column", ["group_id", "sha256"])
def test_two_hundred_planted_leaks_are_two_hundred_found(column):
    photos = photo_rows({f"d{i}": {"train": 10, "validation": 10, "test": 10} for i in range(50)})
    rng, rows = np.random.default_rng(0), {split: photos.index[photos.split == split].to_numpy() for split in leaks.SPLITS}
    pairs = [rng.permutation(3)[:2] for _ in range(200)]
    chosen = {split: iter(rng.permutation(where)) for split, where in rows.items()}
    for number, sides in enumerate(pairs):
        photos.loc[[next(chosen[leaks.SPLITS[side]]) for side in sides], column] = f"planted {number}"
    found = leaks.find(photos)
    assert {one["value"] for one in found} == {f"planted {number}" for number in range(200)} and all(one["by"] == column for one in found)


def test_what_stays_in_one_split_or_outside_is_no_leak():
    photos = PHOTOS.copy()
    photos.loc[[0, 1], ["group_id", "sha256"]] = "twin"
    photos.loc[photos.split == "test", "split"] = "site:b"
    photos.loc[photos.index[-1], "group_id"] = "twin"
    assert leaks.find(photos) == []


def pair(a, b, by="features", distance=0.01):
    split = PHOTOS.set_index("image_id").split
    return {"image_id_a": a, "image_id_b": b, "split_a": split[a], "split_b": split[b], "by": by, "distance": distance}


def test_the_photo_outside_training_goes_and_of_validation_and_test_validations():
    torn = pd.DataFrame([
        pair("d0-test-0", "d0-train-1"), pair("d1-train-0", "d1-validation-0", "hash", 4.0), pair("d2-validation-1", "d2-test-2"), pair("d0-test-0", "d0-train-2", distance=0.001),
    ])  # fmt: skip
    photos, moved = leaks.without_twins(PHOTOS, torn)
    gone = photos[photos.split == leaks.MOVED]
    assert sorted(gone.image_id) == sorted(moved.image_id) == ["d0-test-0", "d1-validation-0", "d2-validation-1"]
    rows = moved.set_index("image_id")
    assert rows.loc["d0-test-0", ["twin", "twin_split", "split", "distance"]].tolist() == ["d0/train2.jpg", "train", "test", 0.001]
    assert (photos.split == "test").sum() == (PHOTOS.split == "test").sum() - 1 and set(photos[photos.split == "test"].image_id) < set(
        PHOTOS[PHOTOS.split == "test"].image_id
    )
    assert moved.columns.tolist() == list(leaks.MOVED_COLUMNS) and leaks.without_twins(PHOTOS, torn.iloc[:0])[1].empty


def test_pairs_that_come_within_the_limit_when_others_leave_are_moved_too():
    found = iter([
        pd.DataFrame([pair("d0-test-0", "d0-train-1")]),
        pd.DataFrame([pair("d1-train-0", "d1-validation-0")]),
        pd.DataFrame(columns=list(pair("d0-test-0", "d0-train-1"))),
    ])  # fmt: skip
    seen = []

    def torn_pairs(photos):
        seen.append(set(photos[photos.split == leaks.MOVED].image_id))
        return next(found)

    photos, torn, moved = leaks.until_none_cross(PHOTOS, torn_pairs)
    assert seen == [set(), {"d0-test-0"}, {"d0-test-0", "d1-validation-0"}]
    assert set(photos[photos.split == leaks.MOVED].image_id) == {"d0-test-0", "d1-validation-0"}
    assert moved.image_id.tolist() == ["d0-test-0", "d1-validation-0"]
    assert torn.image_id_a.tolist() == ["d0-test-0", "d1-train-0"]


def test_torn_pairs_are_found_by_hash_and_by_features():
    photos = PHOTOS.copy()
    rng = np.random.default_rng(0)
    photos["phash"] = [f"{int(rng.integers(0, 2**63)):016x}" for _ in range(len(photos))]
    photos["phash_mirrored"], photos["frame"] = [f"{int(rng.integers(0, 2**63)):016x}" for _ in range(len(photos))], ""
    rows = photos.set_index("image_id")
    rows.loc["d0-test-0", "phash"] = f"{int(rows.phash['d0-train-1'], 16) ^ 0b111:016x}"
    rows.loc["d3-validation-0", "phash"] = f"{int(rows.phash['d3-train-0'], 16) ^ 0x7FFF:016x}"
    photos = rows.reset_index()
    vectors = {image_id: np.eye(len(photos), dtype=np.float32)[place] for place, image_id in enumerate(photos.image_id)}
    vectors["d3-validation-0"] = vectors["d3-train-0"]
    by_hash = duplicates.torn_pairs(photos)
    assert by_hash[["image_id_a", "image_id_b", "by", "distance", "split_a", "split_b"]].values.tolist() == [
        ["d0-test-0", "d0-train-1", "hash", 3.0, "test", "train"]
    ]
    both = duplicates.torn_pairs(photos, features=vectors)
    assert both[["image_id_a", "image_id_b", "by"]].values.tolist() == [["d0-test-0", "d0-train-1", "hash"], ["d3-train-0", "d3-validation-0", "features"]]
    _, moved = leaks.without_twins(photos, both)
    assert moved.image_id.tolist() == ["d0-test-0", "d3-validation-0"]
    assert duplicates.torn_pairs(leaks.without_twins(photos, both)[0], features=vectors).empty, "nothing is left that crosses"
