"""Fewer saved activations: norms and SwiGLU keep their inputs only, and a trained linear keeps what
its input is made of.

transformers' layers keep many copies of one state for the backward pass: a norm its float32 input,
its normalised rows and its output, SwiGLU three tensors, the vision attention the whole `qkv`. All
but the inputs are elementwise functions that cost next to nothing to compute again. Nothing is
approximated: the tests prove every gradient equal in fp32. Forwards are bound to the module
instances; their classes, and the names of weights, stay transformers' own.
"""

import itertools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F
from transformers.activations import SiLUActivation
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5_vl


def bind(model: nn.Module) -> None:
    """Give the layers of this model (the instance) forwards that save less; adapters of peft
    included, bind after attaching them.

    Under ZeRO-3 DeepSpeed's hooks copy what goes from module to module: norms and SwiGLU still save
    their inputs only, linears save their inputs as always.
    """
    forwards = {
        qwen2_5_vl.Qwen2_5_VLRMSNorm: rms_norm,
        qwen2_5_vl.Qwen2_5_VLMLP: mlp,
        qwen2_5_vl.Qwen2MLP: mlp,
        qwen2_5_vl.Qwen2_5_VLVisionAttention: vision_attention,
        nn.Linear: linear,
    }
    for module in model.modules():
        if type(module) in forwards and (
            forwards[type(module)] is not mlp or isinstance(module.act_fn, SiLUActivation)
        ):
            module.forward = types.MethodType(forwards[type(module)], module)


def batch_windows(model: nn.Module) -> None:
    """The one of these forwards that is of use without training: neighbouring vision windows in one
    attention call, not one call each.
    """
    for module in model.modules():
        if type(module) is qwen2_5_vl.Qwen2_5_VLVisionAttention:
            module.forward = types.MethodType(vision_attention, module)


def rms_norm(module: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`weight * x / sqrt(mean(x^2) + eps)` over the last dimension (Zhang & Sennrich 2019),
    computed in float32.
    """
    normed, scale = _RMSNorm.apply(hidden_states, module.weight, module.variance_epsilon)
    return _made_by(_weighted_rows, normed, module.weight, hidden_states, scale)


def mlp(module: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """`down(silu(gate(x)) * up(x))` (SwiGLU, Shazeer 2020)."""
    gate = module.gate_proj(hidden_states)
    up = module.up_proj(hidden_states)
    return module.down_proj(_made_by(_swiglu, _SwiGLU.apply(gate, up), gate, up))


def linear(module: nn.Linear, input: torch.Tensor) -> torch.Tensor:
    """`nn.Linear`; when its weight trains and its input can be made again, it keeps what the input
    is made of, not the input.
    """
    made_by = getattr(input, "made_by", None)
    if made_by is None or not module.weight.requires_grad:
        return F.linear(input, module.weight, module.bias)
    return _Linear.apply(input, module.weight, module.bias, *made_by)


def vision_attention(
    module: nn.Module,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **_: Any,
) -> torch.Tensor:
    """(patches, width) -> (patches, width), each window for itself; neighbouring windows of one
    size are one batch.
    """
    query, key, value = (
        module.qkv(hidden_states).view(len(hidden_states), 3, module.num_heads, -1).unbind(1)
    )
    query, key = qwen2_5_vl.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    value = value.clone()  # the view would keep all of `qkv` alive
    parts = [
        _windows(query[where], key[where], value[where], size, module.scaling)
        for size, where in _runs(cu_seqlens)
    ]
    return module.proj(parts[0] if len(parts) == 1 else torch.cat(parts))


def _windows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, size: int, scale: float
) -> torch.Tensor:
    """(patches, heads, head width) each -> (patches, width); attention within windows of `size`
    patches.
    """
    split = [rows.view(-1, size, *rows.shape[1:]).transpose(1, 2) for rows in (query, key, value)]
    return (
        F.scaled_dot_product_attention(*split, scale=scale).transpose(1, 2).reshape(len(query), -1)
    )


def _runs(cu_seqlens: torch.Tensor) -> list[tuple[int, slice]]:
    """[(window size, its patches)] of neighbouring windows of one size. Read from the device once,
    not in each layer.
    """
    if not hasattr(cu_seqlens, "runs"):
        cu_seqlens.runs = []
        start = 0
        for size, windows in itertools.groupby(cu_seqlens.diff().tolist()):
            end = start + size * len(list(windows))
            cu_seqlens.runs.append((size, slice(start, end)))
            start = end
    return cu_seqlens.runs


def _made_by(
    remake: Callable[..., torch.Tensor], made: torch.Tensor, *sources: torch.Tensor
) -> torch.Tensor:
    """`made`, with a note for the linears that read it: `remake(*sources)` gives the same values."""
    made.made_by = (remake, *(source.detach() for source in sources))
    return made


def _weighted_rows(weight: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return weight * (rows.float() * scale).to(rows.dtype)


def _swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return F.silu(gate) * up


class _RMSNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scale = torch.rsqrt(rows.float().pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(rows, weight, scale)
        ctx.mark_non_differentiable(scale)
        return _weighted_rows(weight, rows, scale), scale

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, scale = ctx.saved_tensors
        normed = rows.float() * scale
        grad_weight = grad_rows = None
        if ctx.needs_input_grad[1]:
            grad_weight = (grad * normed.to(rows.dtype)).flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            grad_normed = (grad * weight).float()
            grad_rows = (
                scale * (grad_normed - normed * (grad_normed * normed).mean(-1, keepdim=True))
            ).to(rows.dtype)
        return grad_rows, grad_weight, None


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return _swiglu(gate, up)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), grad * F.silu(gate)


class _Linear(Function):
    """Dtypes are spelt out in the backward pass, because autocast is over by then: the weight may
    be wider than `grad`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        remake: Callable[..., torch.Tensor],
        *sources: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(weight, *sources)
        ctx.remake = remake
        ctx.dtype = rows.dtype
        return F.linear(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        flat = grad.flatten(0, -2)
        grad_rows = (
            (grad @ weight.to(grad.dtype)).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        )
        rows = ctx.remake(*sources).to(grad.dtype).flatten(0, -2)
        grad_bias = flat.sum(0).to(weight.dtype) if ctx.needs_input_grad[2] else None
        return grad_rows, (flat.T @ rows).to(weight.dtype), grad_bias, None, *[None] * len(sources)
