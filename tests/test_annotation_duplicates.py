"""Groups: one frame, equal bytes and recompressed copies belong together, different photos do not."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance
from toys import encoded, picture

from dishvl_lib.annotation import duplicates


def table(rows, dish="d"):
    """rows: (image_id, frame, sha256, phash as int)."""
    made = pd.DataFrame(rows, columns=["image_id", "frame", "sha256", "phash"])
    return made.assign(phash=[f"{value:016x}" for value in made.phash], dish_id=dish, split="", path=made.image_id + ".jpg")


def groups(photos, max_hamming=8):
    return dict(zip(photos.image_id, duplicates.assign_groups(photos, max_hamming), strict=True))


FAR = [0, 2**64 - 1, 0xFFFFFFFF, 0xFFFF0000FFFF0000]


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
    found = groups(table([("a", "", "1", 0), ("b", "", "2", 2**bits - 1)]))
    assert (found["a"] == found["b"]) is joined


def test_a_long_chain_is_one_group():
    chain = [(f"{i:03d}", "", str(i), sum(2**bit for bit in range(2 * i))) for i in reversed(range(30))]
    assert set(groups(table(chain), max_hamming=2).values()) == {"000"}


def test_dishes_and_sites_never_join():
    one, other = table([("a", "f", "1", 0)], "d1"), table([("b", "f", "1", 0)], "d2")
    site = table([("c", "f", "1", 0)], "d1").assign(split="site:x")
    assert groups(pd.concat([one, other, site], ignore_index=True)) == {"a": "a", "b": "b", "c": "c"}


def test_groups_do_not_depend_on_the_rows_order():
    rng = np.random.default_rng(0)
    photos = table([(f"{i:03d}", f"f{i % 7}" if i % 3 else "", str(i // 2), int(rng.integers(0, 2**63))) for i in range(40)])
    shuffled = photos.sample(frac=1, random_state=3)
    assert groups(shuffled) == groups(photos)
    assert duplicates.assign_groups(shuffled).index.tolist() == shuffled.index.tolist()


def distance(one, other):
    return (duplicates.perceptual_hash(one) ^ duplicates.perceptual_hash(other)).bit_count()


@pytest.mark.parametrize("seed", range(6))
def test_the_hash_knows_copies(seed):
    photo = picture(seed, (320, 240))
    copies = [
        Image.open(io.BytesIO(encoded(photo, "JPEG", quality=25))), photo.resize((160, 120)), photo.resize((777, 500)), ImageEnhance.Brightness(photo).enhance(1.15),
    ]  # fmt: skip
    assert max(distance(photo, copy) for copy in copies) <= 8


def test_the_hash_keeps_different_pictures_apart():
    hashes = [duplicates.perceptual_hash(picture(seed)) for seed in range(40)]
    assert min((a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def test_pairs_for_the_eye():
    photos = table([("a", "", "1", 0), ("b", "", "1", 0), ("c", "", "2", 7), ("d", "", "3", FAR[1])])
    found = duplicates.near_pairs(photos, 3)
    assert set(found.itertuples(index=False, name=None)) == {("a.jpg", "b.jpg", 0), ("a.jpg", "c.jpg", 3), ("b.jpg", "c.jpg", 3)}
    assert duplicates.near_pairs(photos.iloc[[0, 3]]).columns.tolist() == ["a", "b", "hamming"] and duplicates.near_pairs(photos.iloc[[0, 3]]).empty
