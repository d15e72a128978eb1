"""PP-LCNetV2 in PaddlePaddle: small, base and large, and the form that PP-ShiTuV2 is built on.

With PaddleClas' parameter names and shapes. It is built from a file of weights, which says of what
form and size it is. Importing this module imports paddle.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from paddle import nn

from dishvl_lib.core.types import Record
from dishvl_lib.similarity import weights
from dishvl_lib.similarity.layers import ConvBN, SqueezeExcite
from dishvl_lib.similarity.pplcnet import channels_at
from dishvl_lib.similarity.weights import WeightsError

STEM_CHANNELS = 32
WIDTHS = {24: 0.75, 32: 1.0, 40: 1.25}  # channels of the stem: scale
DROPOUT = 0.2


@dataclass(frozen=True)
class Stage:
    """Channels in at x1.0 (twice as many come out) and the form of a stage's blocks."""

    channels: int
    kernel: int
    split_pointwise: bool = False
    branches: bool = False
    gated: bool = False
    shortcut: bool = False


STAGES = (
    Stage(64, 3),
    Stage(128, 3),
    Stage(256, 5, split_pointwise=True, branches=True, gated=True),
    Stage(512, 5, branches=True, shortcut=True),
)


class Block(nn.Layer):
    """Depthwise convolution (one, or several of falling size that are added), gates, one or two
    pointwise convolutions, shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, stage: Stage):
        super().__init__()
        self.branches = stage.branches
        self.split_pointwise = stage.split_pointwise
        self.dw_conv: nn.Layer
        self.shortcut = stage.shortcut and stride == 1 and channels_in == channels_out
        if stage.branches:
            self.dw_conv_list = nn.LayerList(_branches(channels_in, stage.kernel, stride))
            # Files hold the one convolution that the branches can be folded into, too; it is not
            # used here.
            self.dw_conv = nn.Conv2D(
                channels_in,
                channels_in,
                stage.kernel,
                stride,
                stage.kernel // 2,
                groups=channels_in,
            )
        else:
            self.dw_conv = _conv(channels_in, channels_in, stage.kernel, stride, channels_in)
        self.se = SqueezeExcite(channels_in, nn.functional.sigmoid) if stage.gated else None
        if stage.split_pointwise:
            self.pw_conv_1 = _conv(channels_in, channels_out // 2, 1)
            self.pw_conv_2 = _conv(channels_out // 2, channels_out, 1)
        else:
            self.pw_conv = _conv(channels_in, channels_out, 1)

    def forward(self, x):
        maps = self._depthwise(x)
        if self.se is not None:
            maps = self.se(maps)
        maps = self._pointwise(maps)
        return maps + x if self.shortcut else maps

    def _depthwise(self, x):
        if not self.branches:
            return self.dw_conv(x)
        total = self.dw_conv_list[0](x)
        for branch in self.dw_conv_list[1:]:
            total = total + branch(x)
        return nn.functional.relu(total)

    def _pointwise(self, x):
        return self.pw_conv_2(self.pw_conv_1(x)) if self.split_pointwise else self.pw_conv(x)


def _branches(channels: int, kernel: int, stride: int) -> list[ConvBN]:
    sizes = [size for size in range(kernel, 0, -2) if size > 1 or stride == 1]
    return [ConvBN(channels, channels, size, stride, groups=channels) for size in sizes]


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> ConvBN:
    return ConvBN(channels_in, channels_out, kernel, stride, groups, activation=nn.functional.relu)


@dataclass(frozen=True)
class Form:
    """What a file of weights says about its network.

    `depths`: blocks of each stage; `expansion`: channels of the last convolution; `recognition`:
    PP-ShiTuV2's form (the last stage keeps the map's size, the last convolution has a bias and no
    ReLU); `neck`: a batch normalisation of the features; `class_num`: 0 without a class head.
    """

    scale: float = 1.0
    depths: tuple[int, ...] = (2, 2, 6, 2)
    expansion: int = 1280
    recognition: bool = False
    neck: bool = False
    class_num: int = 0


class PPLCNetV2(nn.Layer):
    """(N, 3, H, W) normalised floats -> (N, class_num) logits; `features` gives what is
    compared.
    """

    def __init__(self, form: Form):
        super().__init__()
        self.form = form
        width = channels_at(STEM_CHANNELS * form.scale)
        first = channels_at(2 * STEM_CHANNELS * form.scale)
        self.stem = nn.Sequential(
            _conv(3, width, 3, stride=2), Block(width, first, 1, Stage(STEM_CHANNELS, 3))
        )
        self.stages = nn.LayerList(
            [_stage(stage, depth, form) for stage, depth in zip(STAGES, form.depths, strict=True)]
        )
        self.pool = nn.AdaptiveAvgPool2D(1)
        last = channels_at(2 * STAGES[-1].channels * form.scale)
        bias = None if form.recognition else False
        self.last_conv = nn.Conv2D(last, form.expansion, 1, bias_attr=bias)
        self.dropout = nn.Dropout(DROPOUT, mode="downscale_in_infer")
        self.feature_size = form.expansion
        self.neck = nn.BatchNorm1D(form.expansion) if form.neck else None
        self.fc = nn.Linear(form.expansion, form.class_num) if form.class_num else None

    def features(self, x):
        """(N, 3, H, W) -> (N, D): the pooled features, through the neck where there is one."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.last_conv(self.pool(x))
        if not self.form.recognition:
            x = nn.functional.relu(x)
        x = self.dropout(x).flatten(1)
        return x if self.neck is None else self.neck(x)

    def forward(self, x):
        x = self.features(x)
        return x if self.fc is None else self.fc(x)


def _stage(stage: Stage, depth: int, form: Form) -> nn.Sequential:
    channels_in = channels_at(stage.channels * form.scale)
    channels_out = channels_at(2 * stage.channels * form.scale)
    keeps_size = form.recognition and stage is STAGES[-1]
    blocks = [Block(channels_in, channels_out, 1 if keeps_size else 2, stage)]
    blocks += [Block(channels_out, channels_out, 1, stage) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def form_of(state: Mapping[str, np.ndarray], where: object) -> Form:
    """The form of the network that parameters belong to. Raises `WeightsError`."""
    try:
        width = len(state["stem.0.conv.weight"])
        return Form(
            scale=WIDTHS[width],
            depths=tuple(_depth(state, number) for number in range(len(STAGES))),
            expansion=len(state["last_conv.weight"]),
            recognition="last_conv.bias" in state,
            neck="neck.weight" in state,
        )
    except KeyError as error:
        raise WeightsError(
            f"{where} is no PP-LCNetV2 that is known here: {error.args[0]!r} does not fit"
        ) from None


def _depth(state: Mapping[str, np.ndarray], stage: int) -> int:
    blocks = {name.split(".")[2] for name in state if name.startswith(f"stages.{stage}.")}
    return len(blocks)


def load(state: Mapping[str, np.ndarray], where: object) -> tuple[PPLCNetV2, list[str]]:
    """(the network of these parameters without a class head, messages). Raises `WeightsError`."""
    net = PPLCNetV2(form_of(state, where))
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    fitted, messages = weights.match(state, wanted, where)
    arrays: Record = dict(fitted)  # Paddle takes arrays as well as the tensors it declares
    net.set_state_dict(arrays)
    return net, messages
