"""How similar a photo is to each dish of a gallery: the mean cosine of its nearest registered
photos of the dish.
"""

import numpy as np

NEAREST = 3  # registered photos of a dish that are averaged; fewer where it has fewer
KEPT = 64  # photos whose similarities are kept: several questions are asked about each


class DishSimilarities:
    """`names` (dishes,), sorted; a dish's photos lie together."""

    def __init__(self, name: np.ndarray, feature: np.ndarray):
        """name (n,), feature (n, D) of unit length: of registered photos, in any order."""
        order = np.argsort(name, kind="stable")
        self.feature = np.ascontiguousarray(feature[order])
        self.names, self.starts, self.counts = np.unique(
            name[order], return_index=True, return_counts=True
        )
        self._dish = np.repeat(np.arange(len(self.names)), self.counts)
        self._kept: dict[bytes, np.ndarray] = {}
        self._place = {str(dish): place for place, dish in enumerate(self.names)}

    def of(self, feature: np.ndarray) -> np.ndarray:
        """(dishes,) of a photo's feature (D,).

        One photo by itself: in a product of several the last digits would depend on the others.
        """
        key = feature.tobytes()
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = self._of(feature)
        return self._kept[key]

    def _of(self, feature: np.ndarray) -> np.ndarray:
        if not len(self.names):
            return np.zeros(0, np.float32)
        cosines = self.feature @ feature
        ordered = cosines[np.lexsort((-cosines, self._dish))]
        rank = np.arange(len(ordered)) - np.repeat(self.starts, self.counts)
        counted = np.where(rank < NEAREST, ordered, 0)
        return np.add.reduceat(counted, self.starts) / np.minimum(self.counts, NEAREST)

    def place(self, name: str) -> int | None:
        """Where a dish stands among `names`; None for one that is not there."""
        return self._place.get(name)

    def photos_of(self, name: str) -> np.ndarray:
        """(photos, D) of a dish of the gallery."""
        start = self.starts[self._place[name]]
        return self.feature[start : start + self.counts[self._place[name]]]
