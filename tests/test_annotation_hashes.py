"""The perceptual hash knows copies, of the mirror image too; the typical order shows sharp and
usual photos first.
"""

import io

import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from toys import encoded, picture

from dishvl_lib.annotation import hashes, scan


def distance(photo, other):
    return (
        int(hashes.perceptual_hashes(photo)[0], 16) ^ int(hashes.perceptual_hashes(other)[0], 16)
    ).bit_count()


@pytest.mark.parametrize("seed", range(6))
def test_the_hash_knows_copies(seed):
    photo = picture(seed, (320, 240))
    copies = [
        Image.open(io.BytesIO(encoded(photo, "JPEG", quality=25))),
        photo.resize((160, 120)),
        photo.resize((777, 500)),
        ImageEnhance.Brightness(photo).enhance(1.15),
    ]
    assert max(distance(photo, copy) for copy in copies) <= 8


@pytest.mark.parametrize("seed", range(6))
def test_the_mirrored_hash_is_the_mirror_images_hash(seed):
    photo = picture(seed, (320, 240))
    mirrored = hashes.perceptual_hashes(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert hashes.perceptual_hashes(photo) == mirrored[::-1]


def test_the_hash_keeps_different_pictures_apart():
    values = pd.Series([hashes.perceptual_hashes(picture(seed))[0] for seed in range(40)])
    away = hashes.hamming(values, values)
    assert (away.diagonal() == 0).all()
    assert (away == away.T).all()
    assert min(away[i, j] for i in range(40) for j in range(i)) > 8


def test_sharpness_falls_with_blur():
    photo = Image.effect_noise((320, 240), 60)
    values = [
        scan.sharpness(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 3, 9)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]


def test_typical_photos_come_first_the_sharpest_of_them_and_every_group_once():
    rows = [
        ("a", "1", 5.0, 0b0000),
        ("b", "1", 9.0, 0b0001),
        ("c", "2", 7.0, 0b0011),
        ("d", "3", 99.0, 2**40 - 1),
        ("e", "4", 1.0, 2**60 - 1),
    ]
    photos = pd.DataFrame(rows, columns=["image_id", "group_id", "sharpness", "phash"]).assign(
        dish_id="d"
    )
    photos["phash"] = [f"{value:016x}" for value in photos.phash]
    order = (
        photos.assign(typical=hashes.typical_order(photos)).sort_values("typical").image_id.tolist()
    )
    assert order == ["b", "c", "d", "e", "a"], (
        "usual and sharp; then the other groups; the second of a group last"
    )
    assert (
        hashes.typical_order(photos.sample(frac=1, random_state=2)).sort_index().tolist()
        == hashes.typical_order(photos).tolist()
    )
