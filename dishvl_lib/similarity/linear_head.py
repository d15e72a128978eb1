"""A class head for a net that is taken as it is: linear discriminant analysis of its features.

It comes in closed form, from one pass over the training photos' features, and nothing is tuned.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

# The share of a common variance in all directions: there are more of these than photos of a dish.
SHRINKAGE = 0.5
LEAST_VARIANCE = 1e-4  # where every dish has one photo, they show none


class LinearHead(NamedTuple):
    """classes (C,) str, weights (D, C), bias (C,)."""

    classes: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def log_probability(self, features: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, C), classes being equally frequent."""
        return log_softmax(features @ self.weights + self.bias, axis=1)


def fit(features: np.ndarray, labels: np.ndarray) -> LinearHead:
    """Learns `labels` (N,) str from `features` (N, D)."""
    classes, codes = np.unique(labels, return_inverse=True)
    means = _class_means(features, codes, len(classes))
    weights = np.linalg.solve(_shrunk(_covariance(features, codes, means)), means.T)
    bias = -0.5 * (means.T * weights).sum(axis=0)
    return LinearHead(classes, weights.astype(np.float32), bias.astype(np.float32))


def _class_means(features: np.ndarray, codes: np.ndarray, classes: int) -> np.ndarray:
    sums = np.zeros((classes, features.shape[1]))
    np.add.at(sums, codes, features)
    return sums / np.bincount(codes)[:, None]


def _covariance(features: np.ndarray, codes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(D, D) within classes, without a copy of the features."""
    between = (means.T * np.bincount(codes)) @ means
    return (features.T @ features - between) / len(features)


def _shrunk(covariance: np.ndarray) -> np.ndarray:
    common = max(float(np.trace(covariance)) / len(covariance), LEAST_VARIANCE)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * common * np.eye(len(covariance))
