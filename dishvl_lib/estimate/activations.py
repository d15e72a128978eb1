"""What autograd keeps between forward and backward, counted on the meta device.

The real modules run there at any size, without memory. The attention is a stand-in that keeps what
fused attention keeps (queries, keys, values, output, one number per row); everything else is the
model's own code, so that whatever changes in it changes the count.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import get_vision_position_ids

KEPT = "kept_by_fused_attention"
PATCH_NUMBERS = 1176  # of one patch: 3 colours, 2 frames, 14 x 14 pixels


@dataclass(frozen=True)
class TreeShape:
    """One photo with its questions.

    `grid` (rows, columns) in patches, `trunk` tokens beside the photo's, tokens of each branch,
    labels of all branches.
    """

    grid: tuple[int, int]
    trunk: int
    branches: tuple[int, ...]
    labels: int

    @property
    def photo_tokens(self) -> int:
        return self.grid[0] * self.grid[1] // 4

    @property
    def length(self) -> int:
        return self.trunk + self.photo_tokens + sum(self.branches)


def skeleton(config: Qwen2_5_VLConfig, dtype: torch.dtype) -> Qwen2_5_VLForConditionalGeneration:
    """The model of a configuration on the meta device, with the counting attention."""
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    nn.Module.to(model, dtype)  # transformers' own `to` hides its arguments from a type checker
    AttentionInterface.register(KEPT, _attention)
    model.set_attn_implementation({name: KEPT for name in ("", "text_config", "vision_config")})
    return model.train()


def saved(
    model: Qwen2_5_VLForConditionalGeneration,
    batch: Sequence[TreeShape],
    *,
    autocast: bool = False,
    every_row: bool = False,
) -> dict[str, int]:
    """{vision, language, head: bytes kept for the backward pass} of one forward over the batch.

    `autocast`: products are computed in bfloat16 whatever the weights are kept in. `every_row`:
    logits at every place, as transformers computes them, instead of where there is a label.
    """
    dtype = model.model.language_model.embed_tokens.weight.dtype
    width = model.lm_head.in_features
    length = max(tree.length for tree in batch)
    rows = len(batch) * length if every_row else sum(tree.labels for tree in batch)
    ways = {"dtype": dtype, "device": "meta"}
    embedded = torch.empty(len(batch), length, width, requires_grad=_vision_trains(model), **ways)
    hidden = torch.empty(rows, width, requires_grad=True, **ways)
    seen = Seen(model)
    with seen.watching(), _Autocast() if autocast else contextlib.nullcontext():
        return {
            "vision": seen.bytes_of(lambda: _vision(model, batch, dtype)),
            "language": seen.bytes_of(lambda: _language(model, embedded)),
            "head": seen.bytes_of(lambda: _head(model, hidden)),
        }


class Seen:
    """Storages that autograd has saved, each once, without the model's own parameters."""

    def __init__(self, model: nn.Module):
        self.parameters = {p.untyped_storage()._cdata for p in model.parameters()}
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.results: list[Any] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor):
            yield

    def bytes_of(self, forward: Callable[[], Any]) -> int:
        """Bytes that this forward adds.

        What it returns is kept alive, as it is until the backward pass.
        """
        before = self.total
        self.results.append(forward())
        return self.total - before

    @property
    def total(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())

    def _note(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.parameters:
            self.storages[storage._cdata] = storage
        return tensor


class _Autocast(TorchFunctionMode):
    """What torch.autocast does to linear layers, which it does not do on the meta device."""

    PRODUCTS = (nn.functional.linear, nn.functional.conv3d, torch.matmul)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict | None = None
    ) -> Any:
        if func in self.PRODUCTS:
            args = [_in_bfloat16(argument) for argument in args]
        return func(*args, **(kwargs or {}))


def _in_bfloat16(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor) and argument.is_floating_point():
        return argument.to(torch.bfloat16)
    return argument


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        out = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, out, sums, mask)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    return _Fused.apply(query, key, value, attention_mask).transpose(1, 2).contiguous(), None


def _vision(
    model: Qwen2_5_VLForConditionalGeneration, batch: Sequence[TreeShape], dtype: torch.dtype
) -> torch.Tensor:
    grid = torch.tensor([(1, *tree.grid) for tree in batch])
    merge = model.model.visual.spatial_merge_size
    positions = get_vision_position_ids(grid, merge).to("meta")
    num_patches = int(grid.prod(dim=1).sum())
    patches = torch.empty(num_patches, PATCH_NUMBERS, dtype=dtype, device="meta")
    return model.model.visual(patches, grid, position_ids=positions).pooler_output


def _language(model: Qwen2_5_VLForConditionalGeneration, embedded: torch.Tensor) -> torch.Tensor:
    rows, length, _ = embedded.shape
    positions = torch.empty(3, rows, length, dtype=torch.long, device="meta")
    mask = torch.empty(rows, 1, length, length, dtype=torch.bool, device="meta")
    return model.model.language_model(
        inputs_embeds=embedded,
        position_ids=positions,
        attention_mask={"full_attention": mask},
        use_cache=False,
    ).last_hidden_state


def _head(model: Qwen2_5_VLForConditionalGeneration, hidden: torch.Tensor) -> torch.Tensor:
    logits = model.lm_head(hidden).float()
    labels = torch.empty(len(hidden), dtype=torch.long, device="meta")
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def _vision_trains(model: Qwen2_5_VLForConditionalGeneration) -> bool:
    return any(p.requires_grad for p in model.model.visual.parameters())
