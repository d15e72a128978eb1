"""EfficientNet-Lite0 (arXiv:1905.11946, without gates and with ReLU6) in PaddlePaddle, as far as
its features.

Its ImageNet weights come with a package, as a file of PyTorch's: nothing is trained or downloaded
here. Importing this module imports paddle.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from paddle import nn

from dishvl_lib.core import pretrained_weights
from dishvl_lib.core.types import Record
from dishvl_lib.similarity import torch_weights
from dishvl_lib.similarity.layers import Activation, ConvBN

STEM_CHANNELS = 32
FEATURE_SIZE = 1280
NORM_EPSILON = 1e-3
IMAGENET_HEAD = "_fc."  # of the thousand classes, which are no dishes
NOT_LOADED = "num_batches_tracked"


class Stage(NamedTuple):
    """Blocks of one form: the first has `stride`, the others keep the map's size."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# The file's names of layers, in a block and outside; of a layer's numbers; and ours.
OUTER_LAYERS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "head.conv",
    "_bn1": "head.bn",
}
BLOCK_LAYERS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
NUMBERS = {"running_mean": "_mean", "running_var": "_variance"}


def _conv(
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.functional.relu6,
) -> ConvBN:
    """Padded as TensorFlow does, in which the net was trained."""
    return ConvBN(
        channels_in,
        channels_out,
        kernel,
        stride,
        groups,
        activation=activation,
        padding="SAME",
        epsilon=NORM_EPSILON,
    )


class Block(nn.Layer):
    """Pointwise expansion, depthwise convolution, pointwise projection, and a shortcut where the
    map keeps its shape.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
    ):
        super().__init__()
        width = channels_in * expansion
        self.expand = _conv(channels_in, width, 1) if expansion > 1 else None
        self.depthwise = _conv(width, width, kernel, stride, groups=width)
        self.project = _conv(width, channels_out, 1, activation=None)
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x):
        wide = x if self.expand is None else self.expand(x)
        narrow = self.project(self.depthwise(wide))
        return narrow + x if self.shortcut else narrow


class EfficientNetLite0(nn.Layer):
    """`features`: (N, 3, H, W) normalised floats -> (N, 1280), the mean of the last map."""

    def __init__(self):
        super().__init__()
        self.feature_size = FEATURE_SIZE
        self.stem = _conv(3, STEM_CHANNELS, 3, stride=2)
        blocks = []
        width = STEM_CHANNELS
        for stage in STAGES:
            for number in range(stage.blocks):
                stride = 1 if number else stage.stride
                blocks.append(Block(width, stage.channels, stage.kernel, stride, stage.expansion))
                width = stage.channels
        self.blocks = nn.LayerList(blocks)
        self.head = _conv(width, FEATURE_SIZE, 1)
        self.pool = nn.AdaptiveAvgPool2D(1)

    def features(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.pool(self.head(x)).flatten(1)


def our_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters of the file under the names of `EfficientNetLite0`, without the class head."""
    return {
        _our_name(name): value
        for name, value in state.items()
        if not name.startswith(IMAGENET_HEAD) and not name.endswith(NOT_LOADED)
    }


def pretrained() -> EfficientNetLite0:
    """The net with the weights of the package, in evaluation mode.

    Raises `torch_weights.WeightsError` when the package is absent or holds another file.
    """
    file = pretrained_weights.file()
    if file is None:
        raise torch_weights.WeightsError(pretrained_weights.REMEDY)
    net = EfficientNetLite0()
    # Paddle takes arrays as well as the tensors it declares.
    arrays: Record = our_names(torch_weights.load(file, pretrained_weights.SHA256))
    missing, unexpected = net.set_state_dict(arrays)
    assert not missing and not unexpected, "the file of this sha256 has these names"
    net.eval()
    return net


def _our_name(name: str) -> str:
    *place, layer, numbers = name.split(".")
    numbers = NUMBERS.get(numbers, numbers)
    if not place:
        return f"{OUTER_LAYERS[layer]}.{numbers}"
    return f"blocks.{place[1]}.{BLOCK_LAYERS[layer]}.{numbers}"
