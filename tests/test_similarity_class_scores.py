"""The class head's scores: as accurate as the training said, of every photo that can be read,
absent for other weights.
"""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dishvl_lib.similarity import class_scores, classifier

SIZE = 32
SCALE = 0.25


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(root, photos, weights, the last epoch's metrics): three dishes of three colours, 40 photos
    each.
    """
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    rows = []
    for dish, colour in {"c": (200, 40, 40), "a": (40, 200, 40), "b": (40, 40, 200)}.items():
        for number in range(40):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (36, 36, 3)), 0, 255).astype(
                np.uint8
            )
            path = root / f"{dish}{number}.png"
            Image.fromarray(pixels).save(path)
            rows.append(
                {
                    "image_id": path.stem,
                    "path": path.name,
                    "dish_id": dish,
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "validation": number % 4 == 0,
                }
            )
    photos = pd.DataFrame(rows)
    train = photos[~photos.validation]
    validation = photos[photos.validation]
    history = classifier.train(
        train,
        validation,
        root,
        root / "net.pdparams",
        scale=SCALE,
        image_size=SIZE,
        epochs=12,
        batch_size=16,
    )
    return root, photos, root / "net.pdparams", history


def scores(root, photos, weights):
    return class_scores.class_scores(photos, root, weights, scale=SCALE, image_size=SIZE)


def test_the_accuracy_is_the_one_that_training_measured(trained):
    root, photos, weights, history = trained
    validation = photos[photos.validation]
    made = scores(root, validation, weights)
    assert made["image_id"].tolist() == validation.image_id.tolist()
    assert made["dish_id"].tolist() == ["a", "b", "c"]
    right = made["dish_id"][made["log_probability"].argmax(axis=1)] == validation.dish_id.to_numpy()
    assert right.mean() == pytest.approx(max(row["validation_accuracy"] for row in history))
    assert right.mean() > 0.9
    assert np.exp(made["log_probability"].astype(float)).sum(axis=1) == pytest.approx(
        np.ones(len(validation)), abs=5e-3
    )


def test_scores_stay_with_their_photos_over_batches_and_damaged_files(trained):
    root, photos, weights, _ = trained
    whole = scores(root, photos, weights)
    broken = photos.assign(
        sha256=[
            "changed" if place in (0, 33, 119) else sha for place, sha in enumerate(photos.sha256)
        ]
    )
    made = scores(root, broken, weights)
    kept = [place for place in range(120) if place not in (0, 33, 119)]
    assert made["image_id"].tolist() == whole["image_id"][kept].tolist()
    assert (
        np.abs(
            made["log_probability"].astype(float) - whole["log_probability"][kept].astype(float)
        ).max()
        < 0.02
    )


def test_weights_without_our_report_have_no_classes(trained, tmp_path):
    root, photos, weights, _ = trained
    alone = tmp_path / "own.pdparams"
    alone.write_bytes(weights.read_bytes())
    (tmp_path / "other.pdparams").write_bytes(weights.read_bytes() + b"x")
    (tmp_path / "other.json").write_bytes(weights.with_suffix(".json").read_bytes())
    for made in (
        scores(root, photos, alone),
        scores(root, photos, tmp_path / "other.pdparams"),
        scores(root, photos.head(0), weights),
    ):
        assert len(made["image_id"]) == len(made["dish_id"]) == 0
