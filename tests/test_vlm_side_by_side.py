"""Passes and photos side by side: results in order, torch's threads as they were."""

import threading
import time

import pytest
import torch
from PIL import Image

from dishvl_lib.core import cores, images
from dishvl_lib.vlm import side_by_side


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_two_passes_share_the_threads(four_threads):
    both_run = threading.Barrier(2, timeout=20)

    def run(number):
        both_run.wait()
        return number, torch.get_num_threads()

    assert side_by_side.passes(run, [7, 8]) == [(7, 2), (8, 2)]
    assert torch.get_num_threads() == 4


def test_a_pass_alone_has_all_threads(four_threads):
    assert side_by_side.passes(lambda number: torch.get_num_threads(), [7]) == [4]


def test_no_pass_is_no_work(four_threads):
    assert side_by_side.passes(lambda number: number, []) == []


def test_threads_are_given_back_after_an_error(four_threads):
    def run(number):
        raise ValueError(f"pass {number}")

    with pytest.raises(ValueError, match="pass 7"):
        side_by_side.passes(run, [7, 8])
    assert torch.get_num_threads() == 4


def photos(count):
    """Photos that are told apart by their width."""
    return [Image.new("RGB", (1 + number, 1)) for number in range(count)]


def test_photos_come_in_order():
    widths = side_by_side.decoded(lambda photo: photo.width, photos(20))
    assert widths == list(range(1, 21))


def test_large_photos_wait_for_memory(monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: 4)
    monkeypatch.setattr(images, "loading_bytes", lambda photo: 600_000_000)
    under_way = []
    at_once = []

    def decode(photo):
        under_way.append(photo)
        time.sleep(0.02)
        at_once.append(len(under_way))
        under_way.remove(photo)

    side_by_side.decoded(decode, photos(6))
    assert at_once == [1] * 6


def test_the_first_photo_that_fails_is_named():
    def decode(photo):
        if photo.width >= 3:
            raise ValueError(f"photo {photo.width}")

    with pytest.raises(ValueError, match="photo 3"):
        side_by_side.decoded(decode, photos(9))
