"""Uncertainty of shares and of their differences: Wilson interval, bootstrap, McNemar's exact
test.
"""

import math
from collections.abc import Callable

import numpy as np


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927, score interval without continuity correction).

    (0.0, 1.0) for n = 0: nothing is known. Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    z2 = z * z
    scale = 1 + z2 / n
    centre = (share + z2 / (2 * n)) / scale
    of_share = share * (1 - share) / n
    variance = of_share + z2 / (4 * n * n)
    half = z / scale * math.sqrt(variance)
    # At the ends rounding would leave a little beside 0 and 1.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def bootstrap(
    statistic: Callable[[np.ndarray], float], n: int, repeats: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95% percentile bootstrap (Efron 1979) of `statistic`, which takes places (n,) in 0..n-1.

    (nan, nan) for n = 0.
    """
    if n == 0:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, n, n)) for _ in range(repeats)]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def bootstrap_mean(values: np.ndarray, repeats: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% percentile bootstrap of the mean of `values` (n,). (nan, nan) when there are none."""
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(values), (repeats, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided exact p-value that two predictors, marked on the same questions, are equally often
    right.

    `first`, `second`: bool arrays (n,). The questions on which they differ are fair coin flips
    under the null hypothesis (McNemar 1947, exact binomial form).
    """
    first = np.asarray(first, bool)
    second = np.asarray(second, bool)
    if first.shape != second.shape:
        shapes = f"{first.shape} and {second.shape}"
        raise ValueError(f"the two predictors must answer the same questions, got {shapes}")
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    n = only_first + only_second
    fewer = min(only_first, only_second)
    tail = [_fair_flips(n, heads) for heads in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(tail))


def _fair_flips(n: int, heads: int) -> float:
    """How likely so many heads are; in logarithms, since the factorials are no floats."""
    tails = n - heads
    orders_of_heads = math.lgamma(heads + 1)
    orders_of_tails = math.lgamma(tails + 1)
    ways = math.lgamma(n + 1) - orders_of_heads - orders_of_tails
    return math.exp(ways - n * math.log(2))
