"""Fewer saved activations: norms, SwiGLU and trained linears keep less for the backward pass.

Norms and SwiGLU keep their inputs only, a trained linear what its input is made of. transformers'
layers keep many copies of one state for the backward pass: a norm its float32 input, its normalised
rows and its output, SwiGLU three tensors, the vision attention the whole `qkv`. All but the inputs
are elementwise functions that cost next to nothing to compute again. Nothing is approximated: the
tests prove every gradient equal in fp32. Forwards are bound to the module instances; their classes,
and the names of weights, stay transformers' own.
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
    """Give the layers of this model (the instance) forwards that save less.

    Adapters of peft included: bind after attaching them. Under ZeRO-3 DeepSpeed's hooks copy what
    goes from module to module: norms and SwiGLU still save their inputs only, linears save their
    inputs as always.
    """
    forwards: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
        qwen2_5_vl.Qwen2_5_VLRMSNorm: rms_norm,
        qwen2_5_vl.Qwen2_5_VLMLP: mlp,
        qwen2_5_vl.Qwen2MLP: mlp,
        qwen2_5_vl.Qwen2_5_VLVisionAttention: vision_attention,
        nn.Linear: linear,
    }
    for module in model.modules():
        forward = forwards.get(type(module))
        # `mlp` computes SiLU itself: a layer with another activation keeps its own forward.
        other_activation = forward is mlp and not isinstance(module.act_fn, SiLUActivation)
        if forward is not None and not other_activation:
            _set_forward(module, forward)


def batch_windows(model: nn.Module) -> None:
    """Neighbouring vision windows in one attention call, not one call each.

    It is the one of these forwards that is of use without training.
    """
    for module in model.modules():
        if type(module) is qwen2_5_vl.Qwen2_5_VLVisionAttention:
            _set_forward(module, vision_attention)


def _set_forward(module: nn.Module, forward: Callable[..., torch.Tensor]) -> None:
    module.forward = types.MethodType(forward, module)


def rms_norm(module: qwen2_5_vl.Qwen2_5_VLRMSNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    """`weight * x / sqrt(mean(x^2) + eps)` over the last dimension (Zhang & Sennrich 2019).

    Computed in float32.
    """
    normed, scale = _RMSNorm.apply(hidden_states, module.weight, module.variance_epsilon)
    return _made_by(_weighted_rows, normed, module.weight, hidden_states, scale)


def mlp(
    module: qwen2_5_vl.Qwen2_5_VLMLP | qwen2_5_vl.Qwen2MLP, hidden_states: torch.Tensor
) -> torch.Tensor:
    """`down(silu(gate(x)) * up(x))` (SwiGLU, Shazeer 2020)."""
    gate = module.gate_proj(hidden_states)
    up = module.up_proj(hidden_states)
    product = _SwiGLU.apply(gate, up)
    return module.down_proj(_made_by(_swiglu, product, gate, up))


def linear(module: nn.Linear, input: torch.Tensor) -> torch.Tensor:
    """`nn.Linear` that keeps what its input is made of, where its weight trains.

    An input that cannot be made again is kept itself.
    """
    made_by = getattr(input, "made_by", None)
    if made_by is None or not module.weight.requires_grad:
        return F.linear(input, module.weight, module.bias)
    return _Linear.apply(input, module.weight, module.bias, *made_by)


def vision_attention(
    module: qwen2_5_vl.Qwen2_5_VLVisionAttention,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **_: Any,
) -> torch.Tensor:
    """(patches, width) -> (patches, width), each window for itself.

    Neighbouring windows of one size are one batch.
    """
    qkv = module.qkv(hidden_states).view(len(hidden_states), 3, module.num_heads, -1)
    query, key, value = qkv.unbind(1)
    query, key = qwen2_5_vl.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    value = value.clone()  # the view would keep all of `qkv` alive
    parts = [
        _windows(query[patches], key[patches], value[patches], size, module.scaling)
        for size, patches in _runs(cu_seqlens)
    ]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return module.proj(joined)


def _windows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, size: int, scale: float
) -> torch.Tensor:
    """(patches, heads, head width) each -> (patches, width).

    Attention within windows of `size` patches.
    """
    attended = F.scaled_dot_product_attention(
        _by_window(query, size), _by_window(key, size), _by_window(value, size), scale=scale
    )
    return attended.transpose(1, 2).reshape(len(query), -1)


def _by_window(rows: torch.Tensor, size: int) -> torch.Tensor:
    """(patches, heads, head width) -> (windows, heads, size, head width)."""
    return rows.view(-1, size, *rows.shape[1:]).transpose(1, 2)


def _runs(cu_seqlens: torch.Tensor) -> list[tuple[int, slice]]:
    """[(window size, its patches)] of neighbouring windows of one size.

    Read from the device once, not in each layer: the tensor carries them from then on.
    """
    carrier: Any = cu_seqlens
    if not hasattr(carrier, "runs"):
        runs = []
        start = 0
        for size, windows in itertools.groupby(cu_seqlens.diff().tolist()):
            end = start + size * len(list(windows))
            runs.append((size, slice(start, end)))
            start = end
        carrier.runs = runs
    return carrier.runs


def _made_by(
    remake: Callable[..., torch.Tensor], result: torch.Tensor, *sources: torch.Tensor
) -> torch.Tensor:
    """`result`, with a note for the linears that read it: `remake(*sources)` gives the same."""
    carrier: Any = result
    carrier.made_by = (remake, *(source.detach() for source in sources))
    return result


def _weighted_rows(weight: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return weight * (rows.float() * scale).to(rows.dtype)


def _swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return F.silu(gate) * up


class _RMSNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean_square = rows.float().pow(2).mean(-1, keepdim=True)
        scale = torch.rsqrt(mean_square + epsilon)
        ctx.save_for_backward(rows, weight, scale)
        ctx.mark_non_differentiable(scale)
        return _weighted_rows(weight, rows, scale), scale

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, scale = ctx.saved_tensors
        normed = rows.float() * scale
        grad_weight = None
        grad_rows = None
        if ctx.needs_input_grad[1]:
            of_rows = grad * normed.to(rows.dtype)
            grad_weight = of_rows.flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            grad_normed = (grad * weight).float()
            along = (grad_normed * normed).mean(-1, keepdim=True)
            grad_rows = (scale * (grad_normed - normed * along)).to(rows.dtype)
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
    """A linear that makes its input again in the backward pass.

    Dtypes are spelt out there, because autocast is over by then: the weight may be wider than
    `grad`.
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
        grad_rows = None
        grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_rows = (grad @ weight.to(grad.dtype)).to(ctx.dtype)
        rows = ctx.remake(*sources).to(grad.dtype).flatten(0, -2)
        grad_weight = (flat.T @ rows).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = flat.sum(0).to(weight.dtype)
        return grad_rows, grad_weight, grad_bias, None, *[None] * len(sources)
