"""The perceptual hash knows copies, of the mirror image too, and keeps different pictures apart."""

import io

import pandas as pd
import pytest
from PIL import Image, ImageEnhance
from toys import encoded, picture

from dishvl_lib.core import photo_hashes


def distance(photo, other):
    return (
        int(photo_hashes.perceptual_hashes(photo)[0], 16)
        ^ int(photo_hashes.perceptual_hashes(other)[0], 16)
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
    mirrored = photo_hashes.perceptual_hashes(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert photo_hashes.perceptual_hashes(photo) == mirrored[::-1]


def test_the_hash_keeps_different_pictures_apart():
    values = pd.Series([photo_hashes.perceptual_hashes(picture(seed))[0] for seed in range(40)])
    away = photo_hashes.hamming(values, values)
    assert (away.diagonal() == 0).all()
    assert (away == away.T).all()
    assert min(away[i, j] for i in range(40) for j in range(i)) > 8
