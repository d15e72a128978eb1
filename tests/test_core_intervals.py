"""Intervals against published and hand-computed values."""

import math

import numpy as np
import pytest

from dishvl_lib.core import intervals


@pytest.mark.parametrize(
    "successes, n, low, high",
    [
        (10, 10, 0.7225, 1.0),
        (0, 10, 0.0, 0.2775),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(successes, n, low, high):
    assert intervals.wilson(successes, n) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("successes, n", [(-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_what_is_no_share(successes, n):
    with pytest.raises(ValueError, match="between 0 and n"):
        intervals.wilson(successes, n)


def pair(both, only_first, only_second, neither=0):
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


@pytest.mark.parametrize(
    "only_first, only_second, p",
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (5, 0, 2 / 32),
        (0, 10, 2 / 1024),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (9, 1, 2 * 11 / 1024),
        (3, 3, 1.0),
    ],
)
def test_mcnemar_is_the_binomial_of_the_questions_that_differ(only_first, only_second, p):
    assert intervals.mcnemar(*pair(7, only_first, only_second, 4)) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_thousands_and_of_unequal_lengths():
    p = intervals.mcnemar(*pair(0, 1800, 1700))
    assert p == pytest.approx(math.erfc((100 - 1) / math.sqrt(2 * 3500)), rel=0.01)
    with pytest.raises(ValueError, match="same questions"):
        intervals.mcnemar([True], [True, False])


def test_bootstrap_of_the_mean():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = intervals.bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert intervals.bootstrap_mean(values) == (low, high)
    assert intervals.bootstrap_mean(values, seed=1) != (low, high)
    assert intervals.bootstrap_mean(np.ones(5)) == (1.0, 1.0)
    assert all(map(math.isnan, intervals.bootstrap_mean([])))
