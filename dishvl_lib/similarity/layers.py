"""Layers that the small nets share, under PaddleClas' parameter names. Importing this imports
paddle.
"""

from collections.abc import Callable
from typing import Any, Literal

from paddle import nn

from dishvl_lib.similarity.depthwise import DepthwiseConv2D

Activation = Callable[[Any], Any]


class ConvBN(nn.Layer):
    """Convolution without bias, batch normalisation and, unless it is None, an activation.

    `padding`: as `Conv2D` takes it; None keeps the map's size at stride 1. `weight_attr`: how the
    kernels begin, for nets that are trained here.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        activation: Activation | None = None,
        padding: int | Literal["SAME"] | None = None,
        epsilon: float = 1e-5,
        weight_attr: Any = None,
    ):
        super().__init__()
        one_each = groups == channels_in == channels_out
        convolution = DepthwiseConv2D if one_each and padding is None else nn.Conv2D
        self.conv = convolution(
            channels_in,
            channels_out,
            kernel,
            stride,
            kernel // 2 if padding is None else padding,
            groups=groups,
            weight_attr=weight_attr,
            bias_attr=False,
        )
        self.bn = nn.BatchNorm2D(channels_out, epsilon=epsilon)
        self.activation = activation

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x if self.activation is None else self.activation(x)


class SqueezeExcite(nn.Layer):
    """Channel gates from the pooled map: a quarter as many hidden channels, then `gate`."""

    def __init__(self, channels: int, gate: Activation):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)
        self.gate = gate

    def forward(self, x):
        hidden = nn.functional.relu(self.conv1(self.pool(x)))
        return x * self.gate(self.conv2(hidden))
