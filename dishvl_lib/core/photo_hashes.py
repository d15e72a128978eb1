"""Perceptual hashes of photos: 64 bits that recompression, resizing and brightening hardly change,
and how near two photos must be to show one thing.
"""

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dct

from dishvl_lib.core import params

DRAFT = (120, 120)  # pixels; a JPEG of 640x480, or of 480x640, is decoded at a quarter of its sides
# Of 64 bits; on 481 real photos the first unrelated pair stands 10 apart.
MAX_HAMMING = 8
MIN_COSINE = 0.98
# Features join what hashes nearly join: a net trained to tell dishes apart sees two plates of one
# dish as the same. On 481 real photos a cosine of 0.98 alone joined hundreds of different plates,
# with at most twice the limit in bits a dozen. ImageNet's features at 0.92 joined none at three
# times the limit, of those photos and of drawn ones, and found twice as many of the shifted copies.
LOOSE = 2
LOOSE_PRETRAINED = 3
WITH_PRETRAINED = float(params.WITH_EFFICIENTNET_LITE0["min_cosine"])
_DCT = dct(np.eye(32), axis=0, norm="ortho")[:8]
_MIRROR = np.where(np.arange(8) % 2, -1, 1)


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
    differing = numbers(some)[:, None] ^ numbers(others)[None, :]
    return np.bitwise_count(differing).astype(np.int16)


def numbers(hashes: pd.Series) -> np.ndarray:
    """(n,) uint64."""
    return np.array([int(value, 16) for value in hashes], dtype=np.uint64)


def loose_for(net: str) -> float:
    """How many limits of the hashes apart the vectors of a net may still join two photos."""
    return LOOSE_PRETRAINED if net == params.EFFICIENTNET_LITE0 else LOOSE


def min_cosine_for(net: str) -> float:
    """The cosine from which on the vectors of a net join two photos."""
    return WITH_PRETRAINED if net == params.EFFICIENTNET_LITE0 else MIN_COSINE


def _bits(low: np.ndarray) -> str:
    values = low.ravel()
    # The first coefficient is the mean.
    median = np.sort(values[1:])[31]  # the middle one of 63
    return np.packbits(values > median).tobytes().hex()
