"""PP-LCNet (arXiv:2109.15099) in PaddlePaddle, x0.25 to x2.5.

With PaddleClas' parameter names and shapes.

Importing this module imports paddle; `weights.py` reads `.pdparams` without it.
"""

import hashlib

import numpy as np
import paddle
from paddle import nn

from dishvl_lib.core import params, records
from dishvl_lib.core.types import AnyPath, Record
from dishvl_lib.similarity import weights
from dishvl_lib.similarity.layers import ConvBN, SqueezeExcite
from dishvl_lib.similarity.weights import WeightsError, load_pdparams

__all__ = [
    "PPLCNet",
    "WeightsError",
    "load_pdparams",
    "load_weights",
    "save_weights",
    "seeded",
    "weights_hash",
]

FEATURE_SIZE = 1280
STEM_CHANNELS = 16
# Paddle would answer the signal that ends a kernel with a "C++ Traceback", at the end of a stage
# that went well.
paddle.disable_signal_handler()
STAGES = {  # kernel, channels out at x1.0, stride, squeeze-and-excitation
    "blocks2": [(3, 32, 1, False)],
    "blocks3": [(3, 64, 2, False), (3, 64, 1, False)],
    "blocks4": [(3, 128, 2, False), (3, 128, 1, False)],
    "blocks5": [(3, 256, 2, False)] + [(5, 256, 1, False)] * 5,
    "blocks6": [(5, 512, 2, True), (5, 512, 1, True)],
}


def channels_at(channels: float, divisor: int = 8) -> int:
    """The multiple of 8 nearest to `channels`, at least 8 and never more than a tenth below it."""
    nearest = int(channels + divisor / 2) // divisor
    rounded = max(divisor, nearest * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> ConvBN:
    init = paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
    return ConvBN(
        channels_in,
        channels_out,
        kernel,
        stride,
        groups,
        activation=nn.functional.hardswish,
        weight_attr=init,
    )


class DepthwiseBlock(nn.Layer):
    """Depthwise convolution, optional channel gates, pointwise convolution."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, gated: bool):
        super().__init__()
        self.dw_conv = _conv(channels_in, channels_in, kernel, stride, groups=channels_in)
        self.se = SqueezeExcite(channels_in, nn.functional.hardsigmoid) if gated else None
        self.pw_conv = _conv(channels_in, channels_out, 1)

    def forward(self, x):
        x = self.dw_conv(x)
        return self.pw_conv(x if self.se is None else self.se(x))


class PPLCNet(nn.Layer):
    """The classifier: (N, 3, H, W) normalised floats -> (N, class_num) logits.

    `features` gives what is compared.

    `class_num` 0 leaves the class head out. `embedding_size` (PP-ShiTu: 512) puts a linear layer
    behind the 1280 pooled features, and the class head behind that. `dropout` scales its input at
    evaluation as PaddleClas does.
    """

    def __init__(
        self,
        scale: float = 1.0,
        class_num: int = 1000,
        embedding_size: int | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        if scale not in params.PPLCNET_SCALES:
            raise ValueError(
                f"scale must be one of {', '.join(map(str, params.PPLCNET_SCALES))}, got {scale}"
            )
        width = channels_at(STEM_CHANNELS * scale)
        self.conv1 = _conv(3, width, 3, stride=2)
        for stage, blocks in STAGES.items():
            layers = []
            for kernel, channels, stride, gated in blocks:
                layers.append(
                    DepthwiseBlock(width, channels_at(channels * scale), kernel, stride, gated)
                )
                width = channels_at(channels * scale)
            self.add_sublayer(stage, nn.Sequential(*layers))
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.last_conv = nn.Conv2D(width, FEATURE_SIZE, 1, bias_attr=False)
        self.dropout = nn.Dropout(dropout, mode="downscale_in_infer")
        self.feature_size = embedding_size or FEATURE_SIZE
        self.embedding = nn.Linear(FEATURE_SIZE, embedding_size) if embedding_size else None
        self.fc = nn.Linear(self.feature_size, class_num) if class_num else None

    def features(self, x):
        """(N, 3, H, W) -> (N, D): the pooled features, or the embedding where there is one."""
        x = self.conv1(x)
        for stage in STAGES:
            x = getattr(self, stage)(x)
        x = nn.functional.hardswish(self.last_conv(self.pool(x)))
        x = self.dropout(x).flatten(1)
        return x if self.embedding is None else self.embedding(x)

    def forward(self, x):
        x = self.features(x)
        return x if self.fc is None else self.fc(x)


def seeded(seed: int, **options) -> PPLCNet:
    """A fresh `PPLCNet(**options)`, the same for the same seed, whatever was built before."""
    with paddle.utils.unique_name.guard():
        paddle.seed(seed)
        return PPLCNet(**options)


def load_weights(net: PPLCNet, path: AnyPath, fresh: tuple[str, ...] = ("fc.",)) -> list[str]:
    """Loads a `.pdparams` into `net`; returns messages about heads left out or starting fresh.

    Parameters whose names begin with one of `fresh` may be absent or of another shape. Raises
    `WeightsError`.
    """
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    stored = load_pdparams(path)
    if weights.is_v2(weights.our_names(stored)):
        raise WeightsError(
            f"{path} holds a PP-LCNetV2: give it as `weights`; a training here begins from a PP-LCNet"
        )
    state, messages = weights.match(stored, wanted, path, fresh)
    arrays: Record = dict(state)  # Paddle takes arrays as well as the tensors it declares
    net.set_state_dict(arrays)
    return messages


def save_weights(state: dict, path: AnyPath) -> None:
    """Writes name -> tensor as the `.pdparams` that PaddleClas and `load_pdparams` read.

    Whole or not at all.
    """
    with records.atomic_path(path) as temporary:
        paddle.save(
            {
                name: value if isinstance(value, paddle.Tensor) else paddle.to_tensor(value)
                for name, value in state.items()
            },
            str(temporary),
        )


def weights_hash(net: nn.Layer) -> str:
    """sha256 (hex) of what the features depend on.

    Every tensor but the class head's, its shape and its name.
    """
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        if name not in ("fc.weight", "fc.bias"):
            array = np.ascontiguousarray(value.numpy())
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
