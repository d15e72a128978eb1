"""The typical order shows sharp and usual photos first, and sharpness falls with blur."""

import pandas as pd
from PIL import Image, ImageFilter

from dishvl_lib.annotation import hashes, scan


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
