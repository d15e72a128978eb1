"""Stage 02 with a net that comes pretrained: nothing is trained, and its class head is fitted."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import artefacts, params, paths, stages
from dishvl_lib.similarity import classifier, features
from dishvl_lib.steps import similar_dishes as steps

SPLITS = ("train", "train", "train", "train", "test", "held_out", "site:b", "validation")


@pytest.fixture
def photos():
    count = len(SPLITS)
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(count)],
            "dish_id": list("ab") * (count // 2),
            "split": SPLITS,
        }
    )


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A stage with EfficientNet-Lite0, whose vectors are the dishes and whose last photo is
    lost.
    """

    def extract(photos, *_, net, **__):
        assert net == params.EFFICIENTNET_LITE0
        kept = photos[:-1]
        vectors = np.eye(2, dtype=np.float32)[(kept.dish_id == "b").astype(int)]
        skipped = pd.DataFrame([("p", "missing", "")], columns=["path", "reason", "detail"])
        return kept.image_id.to_numpy(dtype=str), vectors, skipped

    monkeypatch.setattr(features, "extract", extract)
    monkeypatch.setattr(classifier, "train", None)
    monkeypatch.setattr(paths, "cache", lambda name: tmp_path)
    chosen = params.defaults("02") | {"net": params.EFFICIENTNET_LITE0, "max_missing_share": 0.5}
    folder = tmp_path / "02_similar_dishes"
    folder.mkdir()
    made = stages.Stage("02_similar_dishes", chosen, folder, {}, {}, done=False)
    monkeypatch.setattr(made, "image_root", lambda: tmp_path)
    return made


def test_nothing_is_trained(stage, photos):
    assert steps.train_network(stage, photos) is None
    assert list(stage.folder.iterdir()) == []


def test_its_classes_are_those_of_the_training_photos(stage, photos):
    extracted = steps.extract_features(stage, photos, None)
    with np.load(stage.path("features.npz")) as stored:
        assert artefacts.net_of(stored) == params.EFFICIENTNET_LITE0
    assert extracted.photos.image_id.tolist() == [f"i{number}" for number in range(7)]
    with np.load(stage.path("class_scores.npz")) as scores:
        assert scores["image_id"].tolist() == ["i4", "i5", "i6"]
        assert scores["log_probability"].argmax(axis=1).tolist() == [0, 1, 0]


def test_a_finished_stage_opens_when_the_package_has_gone(stage, photos, monkeypatch):
    made = steps.extract_features(stage, photos, None)
    monkeypatch.setattr(features, "extract", None)
    stage.done = True
    again = steps.extract_features(stage, photos, None)
    assert np.array_equal(again.matrix, made.matrix)
    assert again.skipped.path.tolist() == ["p"]


def test_vectors_of_earlier_versions_are_those_of_pplcnet():
    assert artefacts.net_of({"image_id": [], "feature": []}) == params.PPLCNET
