"""Passes and photos side by side: results in order, torch's threads as they were."""

import threading

import pytest
import torch

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


def test_photos_come_in_order():
    assert side_by_side.decoded(lambda number: number * 2, list(range(20))) == list(range(0, 40, 2))


def test_the_first_photo_that_fails_is_named():
    def decode(number):
        if number >= 3:
            raise ValueError(f"photo {number}")
        return number

    with pytest.raises(ValueError, match="photo 3"):
        side_by_side.decoded(decode, list(range(9)))
