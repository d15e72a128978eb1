"""Where photos come from: examples of a dish, photos that a text names, and the nearest training
photos.
"""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import records
from dishvl_lib.core.photo_book import NearestPhotos, PhotoBook

NAMES = {f"d{number}": name for number, name in enumerate("abcdef")}
PHOTOS = pd.DataFrame(
    [
        ("t1", "d/t1.jpg", "d", "g1", "test"),
        ("l1", "d/l1.jpg", "d", "g2", "train"),
        ("l2", "d/l2.jpg", "d", "g2", "train"),
        ("v1", "d/v1.jpg", "d", "g3", "validation"),
    ],
    columns=["image_id", "path", "dish_id", "group_id", "split"],
)


def test_training_photos_of_different_frames_come_first(tmp_path):
    book = PhotoBook(PHOTOS, tmp_path)
    assert book.ids_by_dish == {"d": ["l1", "v1", "t1", "l2"]}
    assert book.examples("d", 2) == [tmp_path / "d/l1.jpg", tmp_path / "d/v1.jpg"]
    assert book.examples("d", 2, ["t1"]) == [tmp_path / "d/t1.jpg", tmp_path / "d/l1.jpg"]


def test_a_dish_or_photo_that_the_catalogue_lacks_has_none(tmp_path):
    book = PhotoBook(PHOTOS, tmp_path)
    assert book.examples("gone", 3) == []
    assert book.example("gone") is None
    assert book.path("gone") is None


def test_photos_that_a_text_names_are_found(tmp_path):
    book = PhotoBook(PHOTOS, tmp_path)
    assert book.named_in("1 pair: d/t1.jpg = e/x.jpg", "d") == ["t1"]
    assert book.named_in("nothing", "d") == []


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(records.RecordError, match="dish_id"):
        PhotoBook(PHOTOS.drop(columns="dish_id"), tmp_path)


def test_only_training_photos_are_near_and_never_the_photo_itself():
    photos = pd.DataFrame(
        {
            "image_id": list("pqrs"),
            "dish_id": ["d0", "d1", "d2", "d3"],
            "split": ["train", "train", "test", "train"],
        }
    )
    features = np.array([[1, 0], [0.8, 0.6], [1, 0], [0, 1]], np.float32)
    near_photos = NearestPhotos(
        {"image_id": np.array(list("pqrs")), "feature": features}, photos, NAMES
    )
    near = near_photos.nearest(["r", "p", "gone", "r"], k=2)
    assert {
        key: [(image_id, name, round(cosine, 3)) for image_id, name, cosine in neighbours]
        for key, neighbours in near.items()
    } == {
        "r": [("p", "a", 1.0), ("q", "b", 0.8)],
        "p": [("q", "b", 0.8), ("s", "d", 0.0)],
    }
    assert len(near_photos.nearest(["r"], k=9)["r"]) == 3
    assert NearestPhotos(None, photos, NAMES).nearest(["r"]) == {}
