"""Trees from rows, and an order of training that pads little and follows from seed and epoch."""

import numpy as np
import pytest
import tiny

from dishvl_lib.training.data import QuestionTrees, SimilarLengths, by_photo


def test_rows_of_a_photo_become_trees_of_at_most_k():
    rows = [{"image": name} for name in "abacaab"]
    assert by_photo(rows, 3) == [[0, 2, 4], [5], [1, 6], [3]]
    assert by_photo(rows, 1) == [[0], [2], [4], [5], [1], [6], [3]]


@pytest.mark.parametrize("n", [5, 64, 333])
def test_every_item_comes_once_an_epoch_in_a_new_order(n):
    sampler = SimilarLengths(np.random.default_rng(0).integers(1, 100, n), 8, seed=1)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert sorted(first) == list(range(n)) and first == again
    assert sorted(sampler) == list(range(n)) and (list(sampler) != first or n < 8)


def test_batches_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 100, 1024)
    batches = np.array(list(SimilarLengths(lengths, 16, seed=0))).reshape(-1, 16)
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 25 < np.mean([np.ptp(lengths[start : start + 16]) for start in range(0, 1024, 16)])


def test_photos_from_the_cache_are_the_same_pixels(tmp_path):
    world = tiny.data_set(tmp_path / "data")
    made = [QuestionTrees(world["train_file"], world["image_root"], tiny.model(), questions_per_photo=2, photo_cache_mb=mb) for mb in (0, 10)]
    for index in range(len(made[0])):
        first, cold, warm = made[0][index], made[1][index], made[1][index]
        assert (first.photo.pixel_values == cold.photo.pixel_values).all() and (first.photo.pixel_values == warm.photo.pixel_values).all()
        assert first.input_ids == warm.input_ids and len(set(first.branch)) == 3
    assert not made[0].photos.kept and len(made[1].photos.kept) == len(made[1].items)
