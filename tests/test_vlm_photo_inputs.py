"""pixel_values are transformers' own, to the bit, for every size, orientation and mode of a
photo.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from dishvl_lib.core import images
from dishvl_lib.vlm import inputs, lengths, qwen

SIZES = [
    (28, 28),
    (29, 31),
    (640, 480),
    (333, 211),
    (1280, 960),
    (90, 1500),
    (1999, 23),
    (448, 448),
    (7, 9),
]


def check_equal(loaded, photo):
    wanted = loaded.image_processor(images=[photo], return_tensors="pt")
    ours = inputs.photo_inputs(loaded, photo)
    assert torch.equal(ours.pixel_values, wanted["pixel_values"])
    assert ours.pixel_values.dtype == torch.float32
    assert torch.equal(ours.grid_thw, wanted["image_grid_thw"][0])
    assert tuple(ours.grid_thw[1:].tolist()) == lengths.grid(loaded, photo.height, photo.width)


@pytest.mark.parametrize("limits", [(784, 112 * 112), (448 * 448, 448 * 448), (3136, 12845056)])
def test_any_size_within_any_pixel_limits(limits):
    loaded = tiny.model()
    loaded.image_processor.size = dict(zip(("shortest_edge", "longest_edge"), limits, strict=True))
    for seed, size in enumerate(SIZES):
        check_equal(loaded, tiny.photo(seed, size))


def test_every_value_of_a_byte_in_every_colour():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(7, 0).repeat(7, 1)
    check_equal(tiny.model(), Image.fromarray(np.stack([ramp, ramp.T, 255 - ramp], axis=-1)))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P"])
def test_other_modes_become_rgb_first(mode):
    loaded = tiny.model()
    photo = tiny.photo(1, (100, 80)).convert(mode)
    assert torch.equal(
        inputs.photo_inputs(loaded, photo).pixel_values,
        inputs.photo_inputs(loaded, photo.convert("RGB")).pixel_values,
    )


def test_an_aspect_ratio_over_200_is_refused():
    with pytest.raises(ValueError, match="aspect ratio"):
        inputs.photo_inputs(tiny.model(), Image.new("RGB", (2010, 10)))


def test_the_real_processor_on_real_photos():
    root = os.environ.get("DISHVL_TEST_DATA")
    if not root:
        pytest.skip(
            "DISHVL_TEST_DATA is not set: the real preprocessor file and photos are not at hand"
        )
    photos = sorted((Path(root) / "zh_dishes10").rglob("*.jpg"))[::40]
    for limits in ((None, None), (448 * 448, 448 * 448)):
        loaded = qwen.load_inputs(str(Path(root) / "qwen2_5_vl_7b_files"), *limits)
        for photo in photos:
            check_equal(loaded, images.load_rgb(photo))
