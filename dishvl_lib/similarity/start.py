"""A start from which a PP-LCNet without pretrained weights learns within a few hundred steps.

The network has 27 convolutions and no residual connection: under the customary initialisation the
gradients of its first layers are tens of times those of its last (relative to the weights), and it
stays near chance for epochs.
"""

import numpy as np
import paddle

from dishvl_lib.similarity.pplcnet import PPLCNet, seeded

NORM_WEIGHT = 0.5
NORM_BIAS = 1.5
KERNEL_NOISE = 0.3


def nearly_linear(net: PPLCNet, seed: int) -> None:
    """Overwrites the weights of `net`, the same for the same seed.

    Depthwise kernels pass the centre on, with noise around it; pointwise ones are orthogonal;
    normalisation feeds hard-swish where its slope is near one (mean 1.5, deviation 0.5). Photos
    then differ at the top as they do at the bottom, and so do gradients.
    """
    rng = np.random.default_rng(seed)
    for name, parameter in net.named_parameters():
        value = _start_value(name, tuple(parameter.shape), rng)
        if value is not None:
            parameter.set_value(value.astype(np.float32))


def _start_value(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    if name.endswith("bn.weight"):
        return np.full(shape, NORM_WEIGHT)
    if name.endswith("bn.bias"):
        return np.full(shape, NORM_BIAS)
    if name.endswith("dw_conv.conv.weight"):
        kernel = rng.standard_normal(shape) * KERNEL_NOISE / shape[2]
        kernel[:, :, shape[2] // 2, shape[3] // 2] += 1
        return kernel
    if name.endswith("pw_conv.conv.weight"):
        return _orthogonal(shape[0], shape[1], rng).reshape(shape)
    return None


def _orthogonal(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    basis = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))[0]
    return basis if rows >= columns else basis.T


class Learner(paddle.nn.Layer):
    """A PP-LCNet with embedding in training.

    Batch normalisation stands between embedding and class head. It centres the embedding, which the
    head needs and which makes cosines tell dishes apart. `folded` gives the same function as a
    plain PP-LCNet, the normalisation having become part of the embedding layer.
    """

    def __init__(self, net: PPLCNet):
        super().__init__()
        self.net = net
        self.norm = paddle.nn.BatchNorm1D(net.feature_size)

    def forward(self, x):
        return self.net.fc(self.norm(self.net.features(x)))

    def folded(self) -> dict[str, np.ndarray]:
        """Parameter name -> array of a `PPLCNet` that in evaluation gives this network's logits."""
        state = {name: value.numpy().copy() for name, value in self.net.state_dict().items()}
        norm = {name: value.numpy() for name, value in self.norm.state_dict().items()}
        gain = norm["weight"] / np.sqrt(norm["_variance"] + self.norm._epsilon)
        state["embedding.weight"] = state["embedding.weight"] * gain
        state["embedding.bias"] = (state["embedding.bias"] - norm["_mean"]) * gain + norm["bias"]
        return state


def new_learner(scale: float, class_num: int, embedding_size: int, seed: int) -> Learner:
    """A `Learner` over a fresh network without dropout, the same for the same seed."""
    return Learner(
        seeded(seed, scale=scale, class_num=class_num, embedding_size=embedding_size, dropout=0.0)
    )
