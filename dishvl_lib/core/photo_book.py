"""Where the photos of figures, pages and widgets come from: the catalogue by photo and by dish, and
the training photos that lie nearest to a photo.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.core import images, records
from dishvl_lib.core.types import AnyPath, DishNames

NEAREST = 4
# Of two photos of a dish the one that was learned from is shown first.
SPLIT_ORDER = {"train": 0, "validation": 1}
OTHER_SPLITS = 2


class Neighbour(NamedTuple):
    """A training photo that lies near another photo, its dish's name and the cosine of the two."""

    image_id: str
    name: str
    cosine: float


def thumbnail(path: Path | None, side: int) -> Image.Image:
    """The photo, RGB, its longer side at most `side` pixels. Raises `images.ImageError`."""
    if path is None:
        raise images.ImageError("no photo", "none is in the catalog")
    photo = images.load_rgb(path, draft_size=(side, side))
    photo.thumbnail((side, side))
    return photo


class PhotoBook:
    """The catalogue's photos by id and by dish.

    photos: image_id, path (relative to image_root), dish_id; split and group_id where they are
    known. Raises `RecordError` for a missing column.
    """

    def __init__(self, photos: pd.DataFrame, image_root: AnyPath):
        records.require_columns(photos, ("image_id", "path", "dish_id"), "the photos")
        self.image_root = Path(image_root)
        self.path_by_id = dict(zip(photos["image_id"], photos["path"], strict=True))
        self.dish_by_id = dict(zip(photos["image_id"], photos["dish_id"], strict=True))
        ordered = _best_examples_first(photos)
        self.ids_by_dish = ordered.groupby("dish_id", sort=False)["image_id"].agg(list).to_dict()

    def path(self, image_id: str) -> Path | None:
        """Where the photo is, or None when the catalogue does not have it."""
        relative = self.path_by_id.get(image_id)
        return self.image_root / relative if relative else None

    def examples(self, dish_id: str, count: int, first: Iterable[str] = ()) -> list[Path | None]:
        """Up to `count` photos of a dish: those in `first`, then training photos of different
        frames, then any.
        """
        ids = dict.fromkeys([*first, *self.ids_by_dish.get(dish_id, [])])
        return [self.path(image_id) for image_id in list(ids)[:count]]

    def example(self, dish_id: str, first: Iterable[str] = ()) -> Path | None:
        """The first of `examples`, or None."""
        return next(iter(self.examples(dish_id, 1, first)), None)

    def named_in(self, evidence: str, dish_id: str) -> list[str]:
        """The ids of a dish's photos whose paths a text names."""
        return [
            image_id
            for image_id in self.ids_by_dish.get(dish_id, ())
            if str(self.path_by_id[image_id]) in evidence
        ]


def _best_examples_first(photos: pd.DataFrame) -> pd.DataFrame:
    """Training photos first, and one photo of each frame before the second of any."""
    if "split" in photos:
        order = photos["split"].map(SPLIT_ORDER).fillna(OTHER_SPLITS)
        photos = photos.iloc[np.argsort(order.to_numpy(), kind="stable")]
    if "group_id" not in photos:
        return photos
    repeated = photos.duplicated("group_id")
    return pd.concat([photos[~repeated], photos[repeated]])


class NearestPhotos:
    """The training photos by their features: what the small net would have compared a photo with.

    features: image_id (N,) and feature (N, D), unit length, as 02's features.npz, or None: then
    nothing is near. photos: image_id, dish_id, split; those with split = train are registered.
    names: {dish_id: name}. Raises `RecordError` for a missing column.
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray] | None,
        photos: pd.DataFrame,
        names: DishNames,
    ):
        self.names = names
        self.ids: list[str] = []
        self.features = np.zeros((0, 1))
        self.dish_by_id: dict[str, str] = {}
        if features is not None:
            records.require_columns(photos, ("image_id", "dish_id", "split"), "the photos")
            train = photos[photos["split"] == "train"]
            self.ids = [str(image_id) for image_id in features["image_id"]]
            self.features = features["feature"]
            self.dish_by_id = dict(zip(train["image_id"], train["dish_id"], strict=True))
        self.place = {image_id: place for place, image_id in enumerate(self.ids)}
        self.is_registered = np.array([image_id in self.dish_by_id for image_id in self.ids], bool)

    def nearest(self, image_ids: Iterable[str], k: int = NEAREST) -> dict[str, list[Neighbour]]:
        """{image_id: the closest `k` training photos, the closest first}; photos without features
        are left out.

        All photos asked about are compared in one product, so that a page of cards takes one pass
        over the features.
        """
        known = [image_id for image_id in dict.fromkeys(image_ids) if image_id in self.place]
        if not known:
            return {}
        places = [self.place[image_id] for image_id in known]
        cosines = self.features @ self.features[places].T
        cosines[~self.is_registered] = -np.inf
        cosines[places, range(len(places))] = -np.inf  # a photo is not its own neighbour
        columns = zip(known, cosines.T, strict=True)
        return {image_id: self._closest(column, k) for image_id, column in columns}

    def _closest(self, cosines: np.ndarray, k: int) -> list[Neighbour]:
        # The sort is of k rows: with 100,000 photos a sort of all would be felt.
        nth = min(k, len(cosines) - 1)
        best = np.argpartition(-cosines, nth)[:k]
        ordered = best[np.argsort(-cosines[best], kind="stable")]
        neighbours = []
        for place in ordered:
            image_id = self.ids[place]
            cosine = float(cosines[place])
            if np.isfinite(cosine):
                neighbours.append(Neighbour(image_id, self._name(image_id), cosine))
        return neighbours

    def _name(self, image_id: str) -> str:
        dish_id = self.dish_by_id[image_id]
        return self.names.get(dish_id, dish_id)
