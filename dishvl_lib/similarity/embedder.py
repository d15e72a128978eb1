"""Features of photos outside any run, by a net that is opened once: for a gallery.

Importing this module loads no paddle; opening a net does.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dishvl_lib.core import params
from dishvl_lib.core.types import AnyPath
from dishvl_lib.similarity import features
from dishvl_lib.similarity.preprocess import Preprocess

BATCH = 16


class Embedder:
    """A net and what it expects. `weights_sha256`: of every parameter that the features depend
    on.
    """

    def __init__(
        self,
        weights_path: AnyPath | None,
        *,
        net: str = params.PPLCNET,
        scale: float,
        preprocess: Preprocess,
    ):
        """`weights_path`: None for a net whose weights come with a package. Raises
        `WeightsError`.
        """
        from dishvl_lib.similarity import engine, pplcnet

        network = features.network(weights_path, scale, net)
        self.preprocess = preprocess
        self.feature_size: int = network.feature_size
        self.weights_sha256 = pplcnet.weights_hash(network)
        self._run = engine.plain(network)

    def features(self, photos: Sequence[AnyPath | bytes | Image.Image]) -> np.ndarray:
        """(n, D) float32 of unit length. Raises `ImageError` for a photo that cannot be read,
        `FeatureError` for features that are not finite or zero.
        """
        parts = [np.zeros((0, self.feature_size), np.float32)]
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            pixels = np.stack([self.preprocess.pixels(photo) for photo in batch])
            found = self._run(self.preprocess.normalise(pixels))
            numbers = range(start + 1, start + len(batch) + 1)
            parts.append(features.unit_length(found, [f"photo {number}" for number in numbers]))
        return np.concatenate(parts)
