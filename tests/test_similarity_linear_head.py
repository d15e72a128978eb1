"""The linear class head: discriminant analysis in closed form, of unlike and of single photos."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.similarity import class_scores, linear_head

RNG = np.random.default_rng(0)
CENTRES = {"b": (4, 0, 0), "a": (0, 4, 0), "c": (0, 0, 4)}


def drawn(per_class):
    """((N, 3) features around three centres, labels)."""
    labels = np.repeat(list(CENTRES), per_class)
    noise = RNG.normal(0, 1, (len(labels), 3)) * (1, 0.2, 3)
    return np.array([CENTRES[label] for label in labels]) + noise, labels


def test_it_tells_classes_apart_that_it_has_not_seen():
    head = linear_head.fit(*drawn(200))
    features, labels = drawn(200)
    answers = head.classes[head.log_probability(features).argmax(axis=1)]
    assert head.classes.tolist() == ["a", "b", "c"]
    assert (answers == labels).mean() > 0.95


def test_probabilities_sum_to_one():
    features, labels = drawn(20)
    shares = np.exp(linear_head.fit(features, labels).log_probability(features))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_the_covariance_is_that_of_the_deviations_from_each_mean():
    features, labels = drawn(30)
    codes = np.unique(labels, return_inverse=True)[1]
    means = linear_head._class_means(features, codes, 3)
    np.testing.assert_allclose(means[0], features[labels == "a"].mean(axis=0))
    deviations = features - means[codes]
    expected = deviations.T @ deviations / len(features)
    np.testing.assert_allclose(linear_head._covariance(features, codes, means), expected)


def test_of_single_photos_the_nearest_is_the_answer():
    head = linear_head.fit(np.eye(3), np.array(["a", "b", "c"]))
    assert head.log_probability(np.eye(3)).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.fixture
def photos():
    rows = {"image_id": list("uvwxyz"), "dish_id": list("ababab"), "split": ["train"] * 4}
    rows["split"] += ["test"] * 2
    return pd.DataFrame(rows)


def test_scores_belong_to_their_photos(photos):
    features = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1, 0]]
    made = class_scores.fitted(photos[photos.split == "train"], photos[4:], features)
    assert made["image_id"].tolist() == ["y", "z"]
    assert made["dish_id"][made["log_probability"].argmax(axis=1)].tolist() == ["b", "a"]


def test_without_photos_there_are_no_scores(photos):
    features = np.zeros((6, 2), np.float32)
    assert class_scores.fitted(photos[:0], photos, features)["log_probability"].shape == (0, 0)
    assert class_scores.fitted(photos, photos[:0], features)["log_probability"].shape == (0, 0)
