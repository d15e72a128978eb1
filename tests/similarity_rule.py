"""Weights and input for the golden vectors: a numpy rule from parameter names, so that no weights
are stored.
"""

import zlib

import numpy as np


def rule_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Parameter name -> float32 array, seeded by the name: outputs are of order one and vary with
    the input.
    """
    return {name: _rule_array(name, shape) for name, shape in shapes.items()}


def rule_input() -> np.ndarray:
    return np.random.RandomState(7).standard_normal((2, 3, 64, 64)).astype(np.float32)


def _rule_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("_variance"):
        return (1 + 0.1 * np.tanh(random)).astype(np.float32)
    if name.endswith("bn.weight"):
        return (1.25 + 0.1 * np.tanh(random)).astype(np.float32)
    if len(shape) == 1:
        return (0.3 * random).astype(np.float32)
    fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
    return (random * np.sqrt(2 / fan)).astype(np.float32)
