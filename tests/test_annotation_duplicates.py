"""Groups: one frame, equal bytes and near-duplicates belong together; different photos, also of a
fixed camera, do not.
"""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toys import encoded, picture

from dishvl_lib.annotation import duplicates
from dishvl_lib.core import photo_hashes


def table(rows, dish="d"):
    """rows: (image_id, frame, sha256, phash as int[, mirrored hash as int])."""
    whole = [row if len(row) == 5 else (*row, 2**64 - 1 - row[3]) for row in rows]
    texts = [(*row[:3], f"{row[3]:016x}", f"{row[4]:016x}") for row in whole]
    photos = pd.DataFrame(texts, columns=["image_id", "frame", "sha256", "phash", "phash_mirrored"])
    return photos.assign(dish_id=dish, split="", path=photos.image_id + ".jpg")


def photographed(pictures):
    """A catalogue of pictures: {image_id: PIL image}."""
    rows = [
        (name, "", name, *(int(value, 16) for value in photo_hashes.perceptual_hashes(image)))
        for name, image in pictures.items()
    ]
    return table(rows)


def groups(photos, max_hamming=8, **options):
    return dict(
        zip(photos.image_id, duplicates.assign_groups(photos, max_hamming, **options), strict=True)
    )


FAR = [0xFFFF, 0xFFFFFFFF00000000, 0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000]


def test_frame_bytes_and_hash_each_join_and_the_smallest_id_names_the_group():
    photos = table(
        [
            ("c", "f1", "1", FAR[0]),
            ("a", "f1", "2", FAR[1]),
            ("e", "", "3", FAR[2]),
            ("b", "", "3", FAR[3]),
            ("g", "", "4", 0x0F0F0F0F0F0F0F0F),
            ("d", "", "5", 0x0F0F0F0F0F0F0F00),
        ]
    )
    assert groups(photos) == {"c": "a", "a": "a", "e": "b", "b": "b", "g": "d", "d": "d"}


def test_no_frame_is_no_common_frame():
    assert groups(table([("a", "", "1", FAR[0]), ("b", "", "2", FAR[1])])) == {"a": "a", "b": "b"}


@pytest.mark.parametrize("bits, joined", [(0, True), (8, True), (9, False)])
def test_the_limit_is_inclusive(bits, joined):
    group_of = groups(table([("a", "", "1", 0), ("b", "", "2", 2**bits - 1)]))
    assert (group_of["a"] == group_of["b"]) is joined


def test_a_mirrored_copy_is_joined():
    group_of = groups(
        photographed(
            {
                "a": picture(1),
                "b": picture(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
                "c": picture(2),
            }
        )
    )
    assert group_of == {"a": "a", "b": "a", "c": "c"}


def test_a_long_chain_does_not_become_one_group():
    """Neighbours are 2 bits apart; in a group of complete linkage nobody is further than the limit
    from anybody.
    """
    chain = {f"{i:03d}": sum(2**bit for bit in range(2 * i)) for i in range(30)}
    group_of = groups(table([(name, "", name, value) for name, value in reversed(chain.items())]))
    members = pd.Series(group_of).groupby(pd.Series(group_of)).groups.values()
    assert 2 < len(members)
    assert all(
        (chain[a] ^ chain[b]).bit_count() <= 8 for group in members for a in group for b in group
    )


def test_a_copy_of_one_crop_joins_the_whole_frame():
    photos = table([("a", "f1", "1", FAR[0]), ("b", "f1", "2", FAR[1]), ("c", "", "3", FAR[1] ^ 1)])
    assert set(groups(photos).values()) == {"a"}


def fixed_camera(n, seed=0):
    """`n` photos of one place: the same table, another serving in the middle of it."""
    rng = np.random.default_rng(seed)
    background = picture(777, (320, 240))
    photos = {}
    for number in range(n):
        photo = background.copy()
        food = Image.fromarray(rng.integers(90, 190, (5, 5, 3), np.uint8)).resize(
            (120, 90), Image.Resampling.BICUBIC
        )
        photo.paste(food, (100 + int(rng.integers(-4, 5)), 75 + int(rng.integers(-4, 5))))
        photos[f"{number:03d}"] = photo
    return photos


def test_a_fixed_camera_does_not_fuse_a_dish_and_its_copies_are_still_found():
    photos = fixed_camera(40)
    copies = {
        f"{number:03d}copy": Image.open(
            io.BytesIO(encoded(photos[f"{number:03d}"], "JPEG", quality=60))
        )
        for number in range(5)
    }
    table_ = photographed({**photos, **copies})
    bits = photo_hashes.hamming(table_.phash, table_.phash)
    assert np.median(bits) <= 12, (
        "the photos of a fixed camera should be alike, or this test tests nothing"
    )
    group_of = groups(table_)
    assert all(group_of[name] == group_of[name.removesuffix("copy")] for name in copies)
    assert pd.Series(group_of).value_counts().iloc[0] <= len(table_) * 0.2


def test_features_join_crops_that_hashes_miss_and_only_within_the_limit():
    photos = table(
        [
            ("a", "", "1", 0),
            ("b", "", "2", 0xFFFF),
            ("c", "", "3", 0xFFF00),
            ("d", "", "4", 0x1FFFF00000000),
        ]
    )
    unit = np.eye(4, dtype=np.float32)
    features = {
        "a": unit[0],
        "b": np.array([0.995, 0.0998749, 0, 0], np.float32),
        "c": unit[2],
        "d": unit[0],
    }
    assert groups(photos, features=features, min_cosine=0.99) == {
        "a": "a",
        "b": "a",
        "c": "c",
        "d": "d",
    }, "d is like a by its features, and 17 bits away"
    assert groups(photos, features=features, min_cosine=0.999)["b"] == "b"
    assert groups(photos, features=features, min_cosine=0.99, loose=3)["d"] == "a"


def test_a_net_that_was_not_trained_on_dishes_may_join_what_lies_further_apart():
    far = [photo_hashes.loose_for(net) for net in ("pplcnet", "pplcnet_v2", "efficientnet_lite0")]
    assert far == [2, 2, 3]


def test_features_that_are_all_alike_do_not_fuse_a_dish():
    """A net trained to tell dishes apart puts all photos of one dish close together."""
    rng = np.random.default_rng(0)
    vectors = np.array([1.0, 0, 0, 0, 0, 0, 0, 0]) + rng.normal(0, 0.02, (40, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos = table([(f"{i:02d}", "", str(i), int(rng.integers(0, 2**16))) for i in range(40)])
    group_of = groups(
        photos,
        max_hamming=16,
        features=dict(zip(photos.image_id, vectors, strict=True)),
        min_cosine=0.98,
    )
    assert (vectors @ vectors.T).min() > 0.98
    assert pd.Series(group_of).value_counts().iloc[0] <= 8


def test_dishes_and_sites_never_join():
    first = table([("a", "f", "1", 0)], "d1")
    other = table([("b", "f", "1", 0)], "d2")
    site = table([("c", "f", "1", 0)], "d1").assign(split="site:x")
    assert groups(pd.concat([first, other, site], ignore_index=True)) == {
        "a": "a",
        "b": "b",
        "c": "c",
    }


def test_groups_do_not_depend_on_the_rows_order():
    rng = np.random.default_rng(0)
    photos = table(
        [
            (f"{i:03d}", f"f{i % 7}" if i % 3 else "", str(i // 2), int(rng.integers(0, 2**20)))
            for i in range(60)
        ]
    )
    shuffled = photos.sample(frac=1, random_state=3)
    assert groups(shuffled) == groups(photos)
    assert duplicates.assign_groups(shuffled).index.tolist() == shuffled.index.tolist()


def pairs_of(photos, **options):
    return duplicates.near_pairs(
        photos.assign(group_id=duplicates.assign_groups(photos, **options)), **options
    )


def test_pairs_say_why_they_are_joined_and_the_closest_others_are_listed():
    photos = table(
        [
            ("a", "", "1", 0),
            ("b", "", "1", 0),
            ("c", "", "2", 7),
            ("d", "f", "3", FAR[1]),
            ("e", "f", "4", FAR[2]),
            ("g", "", "5", 0x3F),
        ]
    )
    pairs = pairs_of(photos, max_hamming=3)
    rows = {
        (row.image_id_a, row.image_id_b): (row.by, row.distance, row.joined)
        for row in pairs.itertuples()
    }
    assert rows["a", "b"] == ("bytes", 0, True)
    assert rows["a", "c"] == ("hash", 3, True)
    assert rows["d", "e"][0::2] == ("frame", True)
    assert rows["a", "g"] == ("hash", 6, False)
    assert rows["c", "g"] == ("hash", 3, False)
    assert len(pairs) == 7
    assert pairs.joined.tolist() == sorted(pairs.joined, reverse=True)
    assert pairs_of(photos.iloc[[0]]).columns.tolist() == list(duplicates.PAIR_COLUMNS)


def test_pairs_at_the_limit():
    photos = table(
        [
            ("a", "", "1", 0),
            ("b", "", "2", 1),
            ("c", "", "3", 0x7F000000),
            ("d", "", "4", 0x7F000007),
            ("e", "", "5", 0xFFFFF00000000000),
        ]
    )
    shown, titles = duplicates.at_the_limit(pairs_of(photos, max_hamming=4), n=1)
    assert shown.path.tolist() == ["c.jpg", "d.jpg", "a.jpg", "c.jpg"]
    assert titles == ["1 joined, 3 bits"] * 2 + ["2 apart, 7 bits"] * 2


def test_pairs_at_the_limit_are_titled_in_chinese_too():
    pairs = pairs_of(table([("a", "", "1", 0), ("b", "", "2", 1)]), max_hamming=4)
    _, titles = duplicates.at_the_limit(pairs, language="zh")
    assert titles == ["1 合并, 差 1 位"] * 2


def test_pairs_across_dishes_and_sites_by_hash_and_by_mirror():
    first = table([("a", "", "1", 0), ("b", "", "2", FAR[1], FAR[2] ^ 1)], "d1")
    other = table([("c", "", "3", 3), ("e", "", "5", FAR[2], FAR[1] ^ 1)], "d2")
    site = table([("f", "", "6", FAR[1])], "x/d1").assign(split="site:x")
    pairs = duplicates.across_dishes(pd.concat([first, other, site], ignore_index=True), 4)
    rows = {
        (row.image_id_a, row.image_id_b): (row.by, row.distance, row.dish_a, row.dish_b)
        for row in pairs.itertuples()
    }
    assert rows == {
        ("a", "c"): ("hash", 2, "d1", "d2"),
        ("b", "e"): ("mirrored hash", 1, "d1", "d2"),
        ("b", "f"): ("hash", 0, "d1", "x/d1"),
        ("e", "f"): ("mirrored hash", 1, "d2", "x/d1"),
    }
    assert not pairs.joined.any()


def test_the_search_across_dishes_is_the_same_in_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    rows = [
        (f"{i:03d}", "", str(i), int(rng.integers(0, 2**12)), int(rng.integers(0, 2**12)))
        for i in range(60)
    ]
    photos = table(rows).assign(dish_id=[f"d{i % 4}" for i in range(60)])
    whole = duplicates.across_dishes(photos, 2)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    pd.testing.assert_frame_equal(duplicates.across_dishes(photos, 2), whole)
    assert len(whole) > 20


def test_the_report_shows_the_largest_groups_share():
    photos = table(
        [("a", "f", "1", FAR[0]), ("b", "f", "2", FAR[1]), ("c", "", "3", FAR[2])]
    ).assign(group_id=["a", "a", "c"])
    assert duplicates.group_report(photos).to_dict("index") == {
        "d": {"photos": 3, "groups": 2, "largest": 2, "largest_share": pytest.approx(2 / 3)}
    }
