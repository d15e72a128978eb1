"""Perceptual hashes of photos: 64 bits that recompression, resizing and brightening hardly change."""

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dct

_DCT = dct(np.eye(32), axis=0, norm="ortho")[:8]
_MIRROR = np.where(np.arange(8) % 2, -1, 1)
TYPICAL_SAMPLE = 512  # photos of a dish that the others are compared with to find the typical ones


def perceptual_hashes(image: Image.Image) -> tuple[str, str]:
    """pHash of a photo and of its mirror image, 16 hex digits each.

    64 bits: which of the 8 x 8 lowest DCT-II coefficients of the 32 x 32 grey photo lie above their
    median, the mean left out (Zauner 2010). Mirroring turns the sign of every second column of
    coefficients.
    """
    grey_image = image if image.mode == "L" else image.convert("L")
    small = grey_image.resize((32, 32), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float64)
    low = _DCT @ grey @ _DCT.T
    return _bits(low), _bits(low * _MIRROR)


def hamming(some: pd.Series, others: pd.Series) -> np.ndarray:
    """(n, m) differing bits of two lists of hashes (hex)."""
    differing = np.bitwise_xor.outer(numbers(some), numbers(others))
    return np.bitwise_count(differing).astype(np.int16)


def numbers(hashes: pd.Series) -> np.ndarray:
    """(n,) uint64."""
    return np.array([int(value, 16) for value in hashes], dtype=np.uint64)


def typical_order(photos: pd.DataFrame) -> pd.Series:
    """A rank per photo within its dish, 0 = the one to show first, aligned with `photos` (dish_id,
    phash, sharpness, group_id).

    The half whose hashes lie nearest to the dish's other photos, sharpest first, then the other
    half; the first photo of every group before the second of any. It depends on the dish's photos
    alone, not on the split.
    """
    ranks = pd.Series(0, index=photos.index)
    for _, part in photos.groupby("dish_id", sort=False):
        every = max(1, len(part) // TYPICAL_SAMPLE)
        sample = part.phash.iloc[::every]
        away = hamming(part.phash, sample).mean(axis=1)
        table = part[["image_id", "group_id", "sharpness"]].assign(far=away > np.median(away))
        table = table.sort_values(["far", "sharpness", "image_id"], ascending=[True, False, True])
        table["turn"] = table.groupby("group_id").cumcount()
        in_turns = table.sort_values("turn", kind="stable")
        ranks.loc[in_turns.index] = np.arange(len(part))
    return ranks


def _bits(low: np.ndarray) -> str:
    values = low.ravel()
    # The first coefficient is the mean.
    median = np.sort(values[1:])[31]  # the middle one of 63
    return np.packbits(values > median).tobytes().hex()
