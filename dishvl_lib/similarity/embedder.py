"""Features of photos outside any run, by a net that is opened once: for a gallery.

Importing this module loads no paddle; opening a net does.
"""

import threading
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
        self._one_at_a_time = threading.Lock()

    def features(self, photos: Sequence[AnyPath | bytes | Image.Image]) -> np.ndarray:
        """(n, D) float32 of unit length. Raises `ImageError` for a photo that cannot be read,
        `FeatureError` for features that are not finite or zero.
        """
        parts = [np.zeros((0, self.feature_size), np.float32)]
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            pixels = np.stack([self.pixels(photo) for photo in batch])
            parts.append(self._features(pixels, start))
        return np.concatenate(parts)

    def pixels(self, photo: AnyPath | bytes | Image.Image) -> np.ndarray:
        """A photo as the net reads it: uint8 (S, S, 3). Needs no net, so that several threads may
        do it at once. Raises `ImageError`.
        """
        return self.preprocess.pixels(photo)

    def features_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """`features` of photos (n, S, S, 3) uint8 that `pixels` has read."""
        parts = [np.zeros((0, self.feature_size), np.float32)]
        for start in range(0, len(pixels), BATCH):
            parts.append(self._features(pixels[start : start + BATCH], start))
        return np.concatenate(parts)

    def _features(self, pixels: np.ndarray, first: int) -> np.ndarray:
        """`first`: how many photos stand before these, for an error's text."""
        with self._one_at_a_time:
            raw = self._run(self.preprocess.normalise(pixels))
        numbers = range(first + 1, first + len(pixels) + 1)
        return features.unit_length(raw, [f"photo {number}" for number in numbers])
