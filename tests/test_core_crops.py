"""From a box to a crop and its file name."""

import math
import re

import pytest
from PIL import Image

from dishvl_lib.core import crops, names

SIZE = (200, 100)


@pytest.mark.parametrize(
    "box, margin, expected",
    [
        ((20, 30, 60, 70), 1.0, (20, 30, 60, 70)),
        ((20, 30, 60, 70), 0.5, (30, 40, 50, 60)),
        ((20, 30, 60, 70), 1.5, (10, 20, 70, 80)),
        ((20.4, 30.6, 60.4, 70.6), 1.0, (20, 30, 61, 71)),
        ((-10, -10, 50, 50), 1.0, (0, 0, 50, 50)),
        ((150, 50, 260, 140), 1.0, (150, 50, 200, 100)),
    ],
)
def test_the_pixels_of_a_crop(box, margin, expected):
    assert crops.pixel_box(box, margin, SIZE) == expected


@pytest.mark.parametrize(
    "box, sentence",
    [
        ((60, 30, 20, 70), "inverted or empty"),
        ((20, 30, 20, 70), "inverted or empty"),
        ((20, math.nan, 60, 70), "no numbers"),
        ((20, 30, math.inf, 70), "no numbers"),
        ((300, 30, 360, 70), "beside the photo of 200 x 100"),
    ],
)
def test_boxes_that_no_crop_can_be_made_of(box, sentence):
    with pytest.raises(crops.CropError, match=sentence):
        crops.pixel_box(box, 1.0, SIZE)


def test_a_crop_has_the_size_of_its_box():
    crop = crops.cut(Image.new("RGB", SIZE), (20, 30, 60, 80), 0.5)
    assert crop.size == (20, 26)


def test_a_crops_file_name_is_read_back():
    stem = crops.stem("IMG_7", (1, 2, 30, 40), 2)
    assert stem == "IMG_7$1_2_30_40#2"
    assert re.match(names.CROP_FILE_PATTERN, stem)["box"] == "1_2_30_40"


def test_crops_of_a_frame_are_of_one_frame():
    stems = [crops.stem("20220609174506-5#90", (0, 0, 9, 9 + n), n) for n in range(3)]
    assert len({names.frame_of(stem)[0] for stem in stems}) == 1
