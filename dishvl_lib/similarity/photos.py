"""Photos for training PP-LCNet: decoded once if they fit in memory, augmented, balanced."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.core import images
from dishvl_lib.core.types import AnyPath
from dishvl_lib.similarity.preprocess import Preprocess, centre_crop, shrink

STORED_SIDE_PER_CROP = 1.25
TYPICAL_ASPECT = 4 / 3


class PhotoStore:
    """Photos as PIL images whose shorter side is `short_side` pixels.

    They are kept in memory when all fit into `memory_bytes`. `get(i)` raises `images.ImageError`
    for a photo that can no longer be read; `failures` holds those met so far.
    """

    def __init__(
        self,
        paths: list[Path],
        short_side: int,
        memory_bytes: int = 2_000_000_000,
        threads: int = 2,
    ):
        self.paths = paths
        self.short_side = short_side
        self.failures: dict[int, images.ImageError] = {}
        self.kept: list[np.ndarray | None] = [None] * len(paths)
        self.in_memory = len(paths) * short_side**2 * 3 * TYPICAL_ASPECT <= memory_bytes
        if self.in_memory:
            with ThreadPoolExecutor(threads) as pool:
                self.kept = list(pool.map(self._decode_or_none, range(len(paths))))

    def get(self, index: int) -> Image.Image:
        if index in self.failures:
            raise self.failures[index]
        kept = self.kept[index]
        return Image.fromarray(self._decode(index) if kept is None else kept)

    def _decode(self, index: int) -> np.ndarray:
        try:
            photo = images.load_rgb(
                self.paths[index], draft_size=(self.short_side, self.short_side)
            )
        except images.ImageError as error:
            self.failures[index] = error
            raise
        return np.asarray(shrink(photo, self.short_side))

    def _decode_or_none(self, index: int) -> np.ndarray | None:
        try:
            return self._decode(index)
        except images.ImageError:
            return None


class LabelledPhotos:
    """A map-style dataset: (uint8 (S, S, 3), label), or None for an unreadable photo.

    With `augment` a photo's random crop, flip and light depend on seed, `epoch` and index only, so
    that a resumed training sees what an uninterrupted one would have seen.
    """

    def __init__(
        self, store: PhotoStore, labels: np.ndarray, image_size: int, augment: bool, seed: int = 0
    ):
        self.store = store
        self.labels = labels
        self.image_size = image_size
        self.augment = augment
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int] | None:
        try:
            photo = self.store.get(index)
        except images.ImageError:
            return None
        if self.augment:
            rng = np.random.default_rng((self.seed, self.epoch, index))
            return augmented(photo, self.image_size, rng), int(self.labels[index])
        evaluation = Preprocess.for_size(self.image_size)
        return centre_crop(shrink(photo, evaluation.short_side), self.image_size), int(
            self.labels[index]
        )


def augmented(
    photo: Image.Image, size: int, rng: np.random.Generator, smallest_area: float = 0.5
) -> np.ndarray:
    """uint8 (size, size, 3): a random resized crop, mirrored or not, in slightly other light."""
    box = random_box(photo.size, rng, smallest_area)
    pixels = np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.8, 1.2)
    pixels = (pixels - grey.mean()) * rng.uniform(0.8, 1.2) + grey.mean() * rng.uniform(0.8, 1.2)
    return np.clip(pixels * rng.uniform(0.95, 1.05, 3).astype(np.float32), 0, 255).astype(np.uint8)


def random_box(
    size: tuple[int, int], rng: np.random.Generator, smallest_area: float
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) inside the photo: `smallest_area`..1 of it, sides 3:4 to 4:3."""
    width, height = size
    area = width * height * rng.uniform(smallest_area, 1.0)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    wide = int(np.clip(round(np.sqrt(area * ratio)), 1, width))
    high = int(np.clip(round(np.sqrt(area / ratio)), 1, height))
    left = int(rng.integers(0, width - wide + 1))
    top = int(rng.integers(0, height - high + 1))
    return left, top, left + wide, top + high


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of one epoch, shuffled: every photo once, those of small classes again.

    Up to half the median size of a class.
    """
    counts = np.bincount(labels)
    floor = int(np.ceil(np.median(counts[counts > 0]) / 2))
    extra = [
        np.resize(rng.permutation(np.flatnonzero(labels == label)), floor - count)
        for label, count in enumerate(counts)
        if 0 < count < floor
    ]
    return rng.permutation(np.concatenate([np.arange(len(labels)), *extra]).astype(np.int64))


def full_paths(photos: pd.DataFrame, image_root: AnyPath) -> list[Path]:
    """The photos' files; a path that is absolute already stays as it is."""
    return [Path(image_root) / path for path in photos["path"]]
