"""A file of PyTorch's whose bytes are known, as arrays: the one place of this room that loads
torch.
"""

import hashlib
import io
from pathlib import Path

import numpy as np

from dishvl_lib.core.types import AnyPath
from dishvl_lib.similarity.weights import WeightsError


def load(path: AnyPath, sha256: str) -> dict[str, np.ndarray]:
    """Parameter name -> array. Only tensors are read, and only from the file with this sha256.

    Raises `WeightsError` naming the file when it is another one or cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(
            f"{path} is not the file of weights that is known here (its sha256 is another): it was "
            "not loaded; install its package again"
        )
    import torch

    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}
