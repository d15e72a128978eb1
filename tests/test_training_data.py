"""Trees from rows, and a cache that changes nothing."""

import tiny

from dishvl_lib.training.data import QuestionTrees, by_photo


def test_rows_of_a_photo_become_trees_of_at_most_k():
    rows = [{"image": name, "dish_id": "x"} for name in "abacaab"]
    assert by_photo(rows, 3) == [[0, 2, 4], [5], [1, 6], [3]]
    assert by_photo(rows, 1) == [[0], [2], [4], [5], [1], [6], [3]]


def test_photos_from_the_cache_are_the_same_pixels(tmp_path):
    world = tiny.data_set(tmp_path / "data")
    sets = [
        QuestionTrees(
            world["train_file"],
            world["image_root"],
            tiny.model(),
            questions_per_photo=2,
            photo_cache_mb=mb,
        )
        for mb in (0, 10)
    ]
    for index in range(len(sets[0])):
        first = sets[0][index][0]
        cold = sets[1][index][0]
        warm = sets[1][index][0]
        assert (first.photo.pixel_values == cold.photo.pixel_values).all()
        assert (first.photo.pixel_values == warm.photo.pixel_values).all()
        assert first.input_ids == warm.input_ids
        assert len(set(first.branch)) == 3
    assert sets[0].photos.cache is None
    assert sets[1].photos.cache is not None
