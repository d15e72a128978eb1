"""Patches of photos by one matrix product.

Qwen2.5-VL declares their embedding as a convolution, whose kernel covers a patch whole and moves on
by as much: a matrix product, which as a convolution takes several times as long.
"""

import types
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5_vl


def bind(model: nn.Module) -> None:
    """Give the patch embedding of this model (the instance) a forward that multiplies.

    The convolution is still what is called, so that under ZeRO-3 its weight is there.
    """
    for module in model.modules():
        if isinstance(module, qwen2_5_vl.Qwen2_5_VisionPatchEmbed):
            convolution: Any = module.proj
            convolution.forward = types.MethodType(product, convolution)


def product(module: nn.Conv3d, patches: torch.Tensor) -> torch.Tensor:
    """(patches, colours, frames, height, width) -> (patches, width of the tower, 1, 1, 1)."""
    rows = F.linear(patches.flatten(1), module.weight.flatten(1), module.bias)
    return rows[:, :, None, None, None]
