"""Leaks: planted ones are all found, near-duplicates across splits lose the photo outside training,
nothing moves into test.
"""

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
    rng = np.random.default_rng(0)
    rows = {split: photos.index[photos.split == split].to_numpy() for split in leaks.SPLITS}
    pairs = [rng.permutation(3)[:2] for _ in range(200)]
    chosen = {split: iter(rng.permutation(where)) for split, where in rows.items()}
    for number, sides in enumerate(pairs):
        photos.loc[[next(chosen[leaks.SPLITS[side]]) for side in sides], column] = (
            f"planted {number}"
        )
    planted = leaks.find(photos)
    assert {leak["value"] for leak in planted} == {f"planted {number}" for number in range(200)}
    assert all(leak["by"] == column for leak in planted)


def test_what_stays_in_one_split_or_outside_is_no_leak():
    photos = PHOTOS.copy()
    photos.loc[[0, 1], ["group_id", "sha256"]] = "twin"
    photos.loc[photos.split == "test", "split"] = "site:b"
    photos.loc[photos.index[-1], "group_id"] = "twin"
    assert leaks.find(photos) == []


def pair(a, b, by="features", distance=0.01):
    split = PHOTOS.set_index("image_id").split
    return {
        "image_id_a": a,
        "image_id_b": b,
        "split_a": split[a],
        "split_b": split[b],
        "by": by,
        "distance": distance,
    }


def test_the_photo_outside_training_goes_and_of_validation_and_test_validations():
    torn = pd.DataFrame(
        [
            pair("d0-test-0", "d0-train-1"),
            pair("d1-train-0", "d1-validation-0", "hash", 4.0),
            pair("d2-validation-1", "d2-test-2"),
            pair("d0-test-0", "d0-train-2", distance=0.001),
        ]
    )
    photos, moved = leaks.without_twins(PHOTOS, torn)
    gone = photos[photos.split == leaks.MOVED]
    assert (
        sorted(gone.image_id)
        == sorted(moved.image_id)
        == ["d0-test-0", "d1-validation-0", "d2-validation-1"]
    )
    rows = moved.set_index("image_id")
    assert rows.loc["d0-test-0", ["twin", "twin_split", "split", "distance"]].tolist() == [
        "d0/train2.jpg",
        "train",
        "test",
        0.001,
    ]
    assert (photos.split == "test").sum() == (PHOTOS.split == "test").sum() - 1
    assert set(photos[photos.split == "test"].image_id) < set(
        PHOTOS[PHOTOS.split == "test"].image_id
    )
    assert moved.columns.tolist() == list(leaks.MOVED_COLUMNS)
    assert leaks.without_twins(PHOTOS, torn.iloc[:0])[1].empty


def test_torn_pairs_are_found_by_hash_and_by_features():
    photos = PHOTOS.copy()
    rng = np.random.default_rng(0)
    photos["phash"] = [f"{int(rng.integers(0, 2**63)):016x}" for _ in range(len(photos))]
    photos["phash_mirrored"] = [f"{int(rng.integers(0, 2**63)):016x}" for _ in range(len(photos))]
    photos["frame"] = ""
    rows = photos.set_index("image_id")
    rows.loc["d0-test-0", "phash"] = f"{int(rows.phash['d0-train-1'], 16) ^ 0b111:016x}"
    rows.loc["d3-validation-0", "phash"] = f"{int(rows.phash['d3-train-0'], 16) ^ 0x7FFF:016x}"
    photos = rows.reset_index()
    vectors = {
        image_id: np.eye(len(photos), dtype=np.float32)[place]
        for place, image_id in enumerate(photos.image_id)
    }
    vectors["d3-validation-0"] = vectors["d3-train-0"]
    by_hash = duplicates.torn_pairs(photos)
    assert by_hash[
        ["image_id_a", "image_id_b", "by", "distance", "split_a", "split_b"]
    ].values.tolist() == [["d0-test-0", "d0-train-1", "hash", 3.0, "test", "train"]]
    both = duplicates.torn_pairs(photos, features=vectors)
    assert both[["image_id_a", "image_id_b", "by"]].values.tolist() == [
        ["d0-test-0", "d0-train-1", "hash"],
        ["d3-train-0", "d3-validation-0", "features"],
    ]
    _, moved = leaks.without_twins(photos, both)
    assert moved.image_id.tolist() == ["d0-test-0", "d3-validation-0"]
    assert duplicates.torn_pairs(leaks.without_twins(photos, both)[0], features=vectors).empty, (
        "nothing is left that crosses"
    )


def random_photos(rng, dishes):
    """(photos, features) of so many dishes, each of them as alike as it comes: from photos of one
    plate to strangers.
    """
    rows = []
    vectors = {}
    for dish in range(dishes):
        plate = rng.integers(0, 2, 64)
        direction = rng.normal(size=16)
        flipped = rng.choice([0, 0.02, 0.05, 0.1, 0.3])
        noise = rng.choice([0, 0.05, 0.1, 0.2, 1.0])
        for number in range(rng.integers(2, 31)):
            image_id = f"d{dish}-{number:02d}"
            split = str(rng.choice(["train", "train", "validation", "test", "held_out"]))
            taken = plate ^ (rng.random(64) < flipped)
            rows.append(
                (
                    image_id,
                    f"{image_id}.jpg",
                    f"d{dish}",
                    image_id,
                    split,
                    image_id,
                    "",
                    hash_of(taken),
                    hash_of(rng.integers(0, 2, 64)),
                )
            )
            if rng.random() < 0.95:  # stage 02 has no vector of a photo that it could not read
                vector = direction + noise * rng.normal(size=16)
                vectors[image_id] = (vector / np.linalg.norm(vector)).astype(np.float32)
    columns = [
        "image_id",
        "path",
        "dish_id",
        "group_id",
        "split",
        "sha256",
        "frame",
        "phash",
        "phash_mirrored",
    ]
    return pd.DataFrame(rows, columns=columns), vectors


def hash_of(bits):
    return f"{int(''.join(map(str, bits.astype(int))), 2):016x}"


@pytest.mark.parametrize("seed", range(5))
def test_after_the_leaving_out_nothing_crosses_in_a_thousand_random_sets(seed):
    """Five times two hundred dishes, each a set of its own: some hold one plate only, some
    strangers only.
    """
    photos, vectors = random_photos(np.random.default_rng(seed), dishes=200)
    torn = duplicates.torn_pairs(photos, features=vectors)
    checked, moved = leaks.without_twins(photos, torn)
    assert moved.dish_id.nunique() > 80, "nearly every other dish holds something to leave out"
    assert duplicates.torn_pairs(checked, features=vectors).empty
    assert (checked.split == "train").equals(photos.split == "train")


def test_a_photo_left_out_changes_no_limit_of_the_others():
    """Eight photos a few bits apart: with fewer than eight the whole limit would hold, and all of
    them would be near.
    """
    photos = photo_rows({"d": {"train": 4, "validation": 2, "test": 2}}).assign(frame="")
    steps = [0, 0b11, 0xF << 8, 0xF << 16, 0xF << 24, 0xF << 32, 0xF << 40, 0xF << 48]
    photos["phash"] = [f"{value:016x}" for value in steps]
    photos["phash_mirrored"] = [f"{2**64 - 1 - (value << 4):016x}" for value in steps]
    torn = duplicates.torn_pairs(photos)
    nearer = photos.assign(split=photos.split.mask(photos.image_id == "d-train-3", leaks.MOVED))
    pairs = {(row.image_id_a, row.image_id_b) for row in torn.itertuples()}
    left = {(row.image_id_a, row.image_id_b) for row in duplicates.torn_pairs(nearer).itertuples()}
    assert left == {pair for pair in pairs if "d-train-3" not in pair}


def test_the_splits_that_a_dish_lost_are_listed():
    rows = PHOTOS.set_index("image_id")
    rows.loc[
        [
            "d0-test-0",
            "d0-test-1",
            "d0-test-2",
            "d1-validation-0",
            "d2-validation-0",
            "d2-validation-1",
        ],
        "split",
    ] = leaks.MOVED
    lost = leaks.lost_splits(PHOTOS, rows.reset_index())
    assert lost.values.tolist() == [["d0", "test", 3], ["d2", "validation", 2]]
    assert lost.columns.tolist() == list(leaks.LOST_COLUMNS)
    assert leaks.lost_splits(PHOTOS, PHOTOS).empty
