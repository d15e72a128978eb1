"""Which photos of a dish belong together: crops of one frame, identical bytes, near-duplicates by perceptual hash."""

import numpy as np
import pandas as pd
from PIL import Image

MAX_HAMMING = 8
_N = np.arange(32)
_DCT = np.sqrt(2 / 32) * np.cos(np.pi * (2 * _N[None, :] + 1) * _N[:8, None] / 64)


def perceptual_hash(image: Image.Image) -> int:
    """64 bits: which of the 8 x 8 lowest DCT-II coefficients of the 32 x 32 grey photo lie above their median (pHash)."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    low = (_DCT @ grey @ _DCT.T).ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def assign_groups(photos: pd.DataFrame, max_hamming: int = MAX_HAMMING) -> pd.Series:
    """A group_id per photo, aligned with `photos` (columns image_id, dish_id, frame, sha256, phash, split).

    Photos of one dish are joined when they share the frame or the bytes, or when their hashes differ in at most
    `max_hamming` of 64 bits. A group is never split between training and test. The id is the smallest image_id in it.
    """
    groups = pd.Series("", index=photos.index, dtype=object)
    for _, part in photos.groupby(["dish_id", "split"], sort=False):
        parent = _components(len(part), _links(part, max_hamming))
        ids = part.image_id.to_numpy()
        smallest = {root: min(ids[parent == root]) for root in set(parent.tolist())}
        groups.loc[part.index] = [smallest[root] for root in parent]
    return groups


def near_pairs(photos: pd.DataFrame, max_hamming: int = MAX_HAMMING) -> pd.DataFrame:
    """The near-duplicate pairs within dishes (a, b, hamming), for the eye; identical bytes have distance 0."""
    rows = []
    for _, part in photos.groupby(["dish_id", "split"], sort=False):
        distance = _hamming(part.phash)
        first, second = np.nonzero(np.triu(distance <= max_hamming, 1))
        paths = part.path.to_numpy()
        rows += [(paths[i], paths[j], int(distance[i, j])) for i, j in zip(first, second, strict=True)]
    return pd.DataFrame(rows, columns=["a", "b", "hamming"])


def _links(part: pd.DataFrame, max_hamming: int) -> np.ndarray:
    frames, bytes_ = part.frame.to_numpy(), part.sha256.to_numpy()
    same_frame = (frames[:, None] == frames[None, :]) & (frames != "")[:, None]
    return same_frame | (bytes_[:, None] == bytes_[None, :]) | (_hamming(part.phash) <= max_hamming)


def _hamming(hashes: pd.Series) -> np.ndarray:
    bits = np.unpackbits(np.array([int(value, 16) for value in hashes], dtype=">u8").view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    return (bits @ (1 - bits).T + (1 - bits) @ bits.T).astype(int)


def _components(n: int, links: np.ndarray) -> np.ndarray:
    """The smallest member's index of each node's connected component."""
    label = np.arange(n)
    while True:
        lowest = np.where(links, label[None, :], n).min(axis=1)
        if (lowest == label).all():
            return label
        label = np.minimum(lowest, label)
