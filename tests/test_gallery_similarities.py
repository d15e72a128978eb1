"""Similarity to a dish: the mean of its nearest photos, the same whatever else is asked."""

import numpy as np
import pytest

from dishvl_lib.gallery.similarities import KEPT, DishSimilarities

RNG = np.random.default_rng(0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


FEATURES = unit(RNG.standard_normal((30, 8)))
NAMES = np.array([f"d{number}" for number in RNG.integers(0, 6, 29)] + ["alone"])
QUERY = unit(RNG.standard_normal(8))


def test_it_is_the_mean_cosine_of_the_three_nearest_photos_or_of_fewer():
    similarities = DishSimilarities(NAMES, FEATURES)
    for name, similarity in zip(similarities.names, similarities.of(QUERY), strict=True):
        cosines = np.sort(FEATURES[NAMES == name] @ QUERY)[::-1][:3]
        assert similarity == pytest.approx(cosines.mean(), abs=1e-6)


def test_the_order_of_the_photos_does_not_matter():
    order = RNG.permutation(30)
    mixed = DishSimilarities(NAMES[order], FEATURES[order])
    assert mixed.of(QUERY) == pytest.approx(DishSimilarities(NAMES, FEATURES).of(QUERY), abs=1e-6)


def test_asking_about_many_photos_changes_no_answer():
    similarities = DishSimilarities(NAMES, FEATURES)
    first = similarities.of(QUERY).copy()
    for feature in unit(RNG.standard_normal((2 * KEPT, 8))):
        similarities.of(feature)
    assert (similarities.of(QUERY) == first).all()


def test_an_empty_gallery_has_no_similarities():
    empty = DishSimilarities(np.zeros(0, str), np.zeros((0, 8), np.float32))
    assert len(empty.of(QUERY)) == 0


def test_the_photos_of_a_dish_are_its_own():
    similarities = DishSimilarities(NAMES, FEATURES)
    assert (similarities.photos_of("alone") == FEATURES[29:]).all()
    assert similarities.place("gone") is None
