"""The registered photos that lie nearest to a question's photo: what PP-LCNet would have compared
it with.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display.cards import escape, photo_html
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.words import Words, shorten

NEAREST = 4
SIDE = 96


class Gallery:
    """The training photos by their features.

    features: image_id (N,) and feature (N, D), unit length, as 02's features.npz, or None: then
    nothing is near. photos: image_id, dish_id, split; those with split = train are registered.
    names: {dish_id: name}.
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray] | None,
        photos: pd.DataFrame,
        names: Mapping[str, str],
    ):
        self.ids = np.asarray([] if features is None else features["image_id"], dtype=str)
        self.features = np.zeros((0, 1)) if features is None else features["feature"]
        self.place = {image_id: place for place, image_id in enumerate(self.ids)}
        if features is not None:
            records.require_columns(photos, ("image_id", "dish_id", "split"), "the photos")
            train = photos[photos["split"] == "train"]
            self.dish = dict(zip(train["image_id"], train["dish_id"], strict=True))
            self.registered = np.array([image_id in self.dish for image_id in self.ids], bool)
        self.names = dict(names)

    def nearest(
        self, image_ids: Iterable[str], k: int = NEAREST
    ) -> dict[str, list[tuple[str, str, float]]]:
        """{image_id: [(training photo's id, its dish's name, cosine)]}, the closest `k` first;
        photos without features are left out.

        All photos asked about are compared in one product, so that a page of cards takes one pass
        over the features.
        """
        asked = [image_id for image_id in dict.fromkeys(image_ids) if image_id in self.place]
        if not asked:
            return {}
        cosines = self.features @ self.features[[self.place[image_id] for image_id in asked]].T
        cosines[~self.registered] = -np.inf
        return {
            image_id: self._closest(cosines[:, column], image_id, k)
            for column, image_id in enumerate(asked)
        }

    def _closest(self, cosines: np.ndarray, image_id: str, k: int) -> list[tuple[str, str, float]]:
        cosines[self.place[image_id]] = -np.inf
        best = np.argpartition(-cosines, min(k, len(cosines) - 1))[:k]
        best = [
            place
            for place in best[np.argsort(-cosines[best], kind="stable")]
            if np.isfinite(cosines[place])
        ]
        return [
            (self.ids[place], self._name(self.ids[place]), float(cosines[place])) for place in best
        ]

    def _name(self, image_id: str) -> str:
        return self.names.get(self.dish[image_id], self.dish[image_id])


def nearest_html(
    found: list[tuple[str, str, float]], truth: str, book: PhotoBook, words: Words
) -> str:
    """The nearest registered photos side by side, each over its dish's name (the truth's in green)
    and cosine; '' for none.
    """
    if not found:
        return ""
    cells = []
    for image_id, name, cosine in found:
        said = (
            f"<b class={'right' if name == truth else 'wrong'} "
            f"title='{escape(name)}'>{escape(shorten(name, 20))}</b>"
        )
        cells.append(
            f"<span>{photo_html(book.path(image_id), SIDE)}<br>{said}<br>{cosine:.3f}</span>"
        )
    return (
        f"<p class=faint>{escape(words('nearest registered photos'))}</p><div "
        f"class=near>{''.join(cells)}</div>"
    )
