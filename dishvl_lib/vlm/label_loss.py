"""The loss at label rows under a frozen head, with one pass over the head's weights instead of two.

The gradient of a cross-entropy is softmax(h W^T) W - W[label]: attention with the vocabulary as
keys and as values. A fused attention kernel gives it together with the logarithmic sums, so that a
head much larger than the processor's caches is read once and no logits are ever stored.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F

LARGE = 2**15  # entries of a vocabulary from which on the head's bytes are what a few rows cost


def label_losses(head: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(rows,) float32 cross-entropies of `head(rows)` against `labels`; `rows` (rows, hidden).

    In one pass where that is possible: a frozen float32 head without bias, large, whole and on the
    CPU.
    """
    if _one_pass(head, rows):
        return _Losses.apply(rows, head.weight, labels)
    return F.cross_entropy(head(rows).float(), labels, reduction="none")


def _one_pass(head: nn.Module, rows: torch.Tensor) -> bool:
    if type(head) is not nn.Linear or head.bias is not None or hasattr(head.weight, "ds_id"):
        return False
    weight = head.weight
    return (
        not weight.requires_grad
        and rows.device.type == "cpu"
        and rows.dtype == weight.dtype == torch.float32
        and len(weight) >= LARGE
        and len(rows) > 0
    )


class _Losses(Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        parts = _parts(len(weight))
        query = rows[None, None].expand(1, parts, -1, -1)
        vocabulary = weight.view(1, parts, len(weight) // parts, -1)
        means, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, vocabulary, vocabulary, scale=1.0
        )
        whole = sums.logsumexp(dim=1)
        weights = (sums - whole[:, None]).exp()
        mean = (means * weights[..., None]).sum(dim=1)[0]
        chosen = weight[labels]
        ctx.save_for_backward(mean - chosen)
        return whole[0] - (rows * chosen).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (direction,) = ctx.saved_tensors
        return gradient[:, None] * direction, None, None


def _parts(entries: int) -> int:
    """The vocabulary in equal parts, one a thread, as far as it can be halved.

    Each is a head of the attention.
    """
    parts = 1
    twice = 2
    while twice <= torch.get_num_threads() and entries % twice == 0:
        parts = twice
        twice = 2 * parts
    return parts
