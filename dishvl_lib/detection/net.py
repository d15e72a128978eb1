"""Our own net for dishes on a tray: dense convolutions down to stride 32 and up again to stride 8,
where every cell says whether a dish has its centre there, and how far its sides are.

0.86 million parameters; every convolution is dense, since depthwise ones learn slowly on a CPU.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from dishvl_lib.core import records
from dishvl_lib.detection.boxes import Detections, Placement, nms
from dishvl_lib.detection.centre_maps import peaks

COARSEST = 32  # px: the input's side is a multiple of it
# What the heads say before they have learned anything: few cells are centres, and a side is about
# four cells away.
FIRST_HEAT = 0.02
FIRST_SIDE = 4.0
MOST_LOG_SIDE = 5.0


class NetError(ValueError):
    """Weights that are not those of this net; the message says which file and what to do."""


class FoldedConv(NamedTuple):
    """A convolution with its normalisation folded in: weight (out, in, k, k) and bias (out,)
    float32.
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: int


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(channels, out_channels, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x)))

    def folded(self) -> FoldedConv:
        """The same without a normalisation, as it is in use."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = self.conv.weight * gain[:, None, None, None]
        bias = norm.bias - norm.running_mean * gain
        return FoldedConv(_array(weight), _array(bias), self.conv.stride[0])


class Residual(nn.Module):
    """What a convolution finds is added to what it looked at."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = ConvNorm(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class CentreNet(nn.Module):
    """(n, 3, size, size) photos in 0..1 -> logits of the heatmap (n, C, size / 8, size / 8) and
    sides (n, 4, size / 8, size / 8) in units of the stride, as in `centre_maps`.
    """

    def __init__(self, n_classes: int = 1) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, stride=2)
        self.stage4 = ConvNorm(16, 32, stride=2)
        self.stage8 = nn.Sequential(ConvNorm(32, 64, stride=2), Residual(64))
        self.stage16 = nn.Sequential(ConvNorm(64, 96, stride=2), Residual(96), Residual(96))
        self.stage32 = nn.Sequential(ConvNorm(96, 128, stride=2), Residual(128), Residual(128))
        self.up16 = ConvNorm(128, 96, kernel=1)
        self.merged16 = Residual(96)
        self.up8 = ConvNorm(96, 64, kernel=1)
        self.merged8 = Residual(64)
        self.head = ConvNorm(64, 64)
        self.heatmap = nn.Conv2d(64, n_classes, 1)
        self.sides = nn.Conv2d(64, 4, 1)
        nn.init.constant_(_bias(self.heatmap), math.log(FIRST_HEAT / (1 - FIRST_HEAT)))
        nn.init.constant_(_bias(self.sides), math.log(FIRST_SIDE))

    def forward(self, photos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at8 = self.stage8(self.stage4(self.stem(photos)))
        at16 = self.stage16(at8)
        at32 = self.stage32(at16)
        at16 = self.merged16(at16 + _doubled(self.up16(at32)))
        at8 = self.merged8(at8 + _doubled(self.up8(at16)))
        features = self.head(at8)
        log_sides = self.sides(features).clamp(max=MOST_LOG_SIDE)
        return self.heatmap(features), log_sides.exp()

    def folded(self) -> dict[str, FoldedConv]:
        """{name of a convolution: the same folded}, of all of them."""
        convs = {}
        for name, module in self.named_modules():
            if isinstance(module, ConvNorm):
                convs[name] = module.folded()
        for name in ("heatmap", "sides"):
            last = getattr(self, name)
            convs[name] = FoldedConv(_array(last.weight), _array(last.bias), 1)
        return convs


def loss(
    logits: torch.Tensor,
    sides: torch.Tensor,
    heatmap: torch.Tensor,
    wanted_sides: torch.Tensor,
    core: torch.Tensor,
) -> torch.Tensor:
    """How far a batch of the net's maps is from what they should be (`centre_maps.Targets`,
    stacked).

    The heatmap by the focal loss of CenterNet (Zhou et al. 2019), over the number of boxes; sides
    by the negative logarithm of the IoU (UnitBox, Yu et al. 2016), over the cells of the core.
    """
    heat = logits.sigmoid()
    is_centre = heatmap == 1
    at_centres = (1 - heat) ** 2 * F.logsigmoid(logits)
    elsewhere = (1 - heatmap) ** 4 * heat**2 * F.logsigmoid(-logits)
    n_centres = is_centre.sum().clamp(min=1)
    of_heat = -torch.where(is_centre, at_centres, elsewhere).sum() / n_centres
    found = sides.permute(0, 2, 3, 1)[core]
    wanted = wanted_sides.permute(0, 2, 3, 1)[core]
    if not len(found):
        return of_heat
    return of_heat + _iou_loss(found, wanted).mean()


def _iou_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """-log IoU (n,) of boxes that share a cell, by their distances (n, 4) from it."""
    shared = _area(torch.minimum(found, wanted))
    union = _area(found) + _area(wanted) - shared
    return -torch.log((shared / union).clamp(min=1e-3))


def _area(distances: torch.Tensor) -> torch.Tensor:
    """(n,) of boxes by the distances (n, 4) of their sides."""
    left, top, right, bottom = distances.unbind(1)
    return (left + right) * (top + bottom)


@torch.no_grad()
def find(
    net: CentreNet,
    photo: np.ndarray,
    placement: Placement,
    names: Sequence[str],
    least: float,
) -> Detections:
    """What a net in eval mode finds on a letterboxed photo (size, size, 3) uint8, in pixels of the
    photo that `placement` is of.
    """
    pixels = torch.from_numpy(np.array(photo))
    batch = pixels.permute(2, 0, 1)[None].float() / 255
    logits, sides = net(batch)
    heatmap = logits.sigmoid()[0].numpy()
    boxes, scores, classes = peaks(heatmap, sides[0].numpy(), least)
    kept = nms(boxes, scores)
    labels = [names[number] for number in classes[kept]]
    return Detections.ranked(placement.to_photo(boxes[kept]), scores[kept], labels)


@torch.no_grad()
def follow(average: CentreNet, net: CentreNet, share: float) -> None:
    """Moves a net's weights and statistics a share of the way towards another's, in place."""
    others = net.state_dict()
    for name, own in average.state_dict().items():
        other = others[name]
        if own.is_floating_point():
            own.lerp_(other, share)
        else:
            own.copy_(other)


def write_weights(net: CentreNet, file: Path, metadata: Mapping[str, str]) -> None:
    """The net's weights in float16."""
    weights = {}
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            weights[name] = value.half().contiguous()
    with records.atomic_path(file) as part:
        save_file(weights, part, dict(metadata))
    file.chmod(0o644)


def start_from(net: CentreNet, file: Path) -> None:
    """Puts the weights that `write_weights` wrote into a net, in place.

    A heatmap of other classes keeps its random start. Raises `NetError` for a file that is not
    such weights.
    """
    stored = _stored(file)
    own = net.state_dict()
    for name, value in own.items():
        if not value.is_floating_point():
            continue
        if name not in stored:
            raise NetError(f"{file} holds other weights than this net's: {name} is missing in it")
        if stored[name].shape == value.shape:
            value.copy_(stored[name].float())
        elif not name.startswith("heatmap."):
            shapes = f"{tuple(stored[name].shape)} instead of {tuple(value.shape)}"
            raise NetError(f"{file} holds weights of another net: {name} is {shapes}")


def _stored(file: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise NetError(
            f"{file} cannot be read as weights of our own detector ({error}); give the .safetensors "
            "file that a training of ours wrote"
        ) from None


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _bias(conv: nn.Conv2d) -> torch.Tensor:
    assert conv.bias is not None
    return conv.bias


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().float().numpy()
