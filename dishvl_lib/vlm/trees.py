"""Question trees: one trunk (system prompt and photo) and k branches in one sequence.

A branch is a question and its answer. Most of the cost of a question is the photo, so questions
about one photo share it. A branch sees the trunk and itself, never another branch, and its
positions go on from the trunk's end: every branch computes what it would compute as a sample of its
own, which the tests prove in fp32 for the loss and every gradient.

Two ways of attention give the same numbers. `dense`: one call with a mask of length x length.
`segments`: per photo a causal call for the trunk, and one for its branches, each against [trunk;
itself]; neither needs a mask, which is what the fast kernels of a GPU ask for.
"""

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention.bias import causal_lower_right
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dishvl_lib.core import params
from dishvl_lib.vlm import inputs, label_loss, saved_activations

TRUNK = 0
PADDING = -1
ATTENTION = "question_tree"  # the name under which transformers finds `attention`


@dataclass
class Tree:
    """`input_ids`, `labels`, `branch` (length,): branch 0 is the trunk.

    `positions` (3, length): temporal, height, width. `image_start`: where the photo's places begin.
    """

    input_ids: list[int]
    labels: list[int]
    branch: list[int]
    positions: torch.Tensor
    photo: inputs.Photo
    image_start: int


def grow(samples: Sequence[inputs.Sample]) -> Tree:
    """Join samples that ask about one and the same photo.

    Raises ValueError when their trunks differ.
    """
    first = samples[0]
    end = first.image_start + first.photo.num_tokens + 1
    ids = list(first.input_ids[:end])
    labels = list(first.labels[:end])
    branch = [TRUNK] * end
    parts = [trunk_positions(first, end)]
    following = int(parts[0].max()) + 1
    for number, sample in enumerate(samples, start=1):
        if sample.input_ids[:end] != ids[:end]:
            raise ValueError("the questions of a tree must be about one photo at one size")
        length = len(sample.input_ids) - end
        ids += sample.input_ids[end:]
        labels += sample.labels[end:]
        branch += [number] * length
        parts.append((following + torch.arange(length)).expand(3, -1))
    return Tree(ids, labels, branch, torch.cat(parts, dim=1), first.photo, first.image_start)


def collate(trees: Sequence[Tree], pad_token_id: int) -> dict[str, torch.Tensor]:
    """A right-padded batch for `forward`.

    input_ids, labels, mm_token_type_ids (batch, length); branch (batch, length): 0 trunk, 1..
    branches, -1 padding; position_ids (3, batch, length); pixel_values (patches, 1176);
    image_grid_thw (batch, 3).
    """
    length = max(len(tree.input_ids) for tree in trees)
    ids = torch.full((len(trees), length), pad_token_id)
    labels = torch.full_like(ids, inputs.IGNORE)
    types_ = torch.zeros_like(ids)
    branch = torch.full_like(ids, PADDING)
    positions = torch.zeros(3, len(trees), length, dtype=torch.long)
    for row, tree in enumerate(trees):
        n = len(tree.input_ids)
        ids[row, :n] = torch.tensor(tree.input_ids)
        labels[row, :n] = torch.tensor(tree.labels)
        branch[row, :n] = torch.tensor(tree.branch)
        positions[:, row, :n] = tree.positions
        types_[row, tree.image_start : tree.image_start + tree.photo.num_tokens] = 1
    return {
        "input_ids": ids,
        "labels": labels,
        "mm_token_type_ids": types_.int(),
        "position_ids": positions,
        "branch": branch,
        "pixel_values": torch.cat([tree.photo.pixel_values for tree in trees]),
        "image_grid_thw": torch.stack([tree.photo.grid_thw for tree in trees]),
    }


def mask_of(branch: torch.Tensor) -> torch.Tensor:
    """(batch, length) branch numbers -> (batch, 1, length, length) bool, True where a row may look.

    Back only, at the trunk and the own branch. Padding (-1) sees itself, or its softmax would be
    NaN.
    """
    length = branch.shape[1]
    device = branch.device
    back = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=device)
    same_branch = branch[:, None, :] == branch[:, :, None]
    in_trunk = branch[:, None, :] == TRUNK
    seen = back & (same_branch | in_trunk)
    return (seen | itself)[:, None]


def segments_of(branch: torch.Tensor) -> list[list[int]]:
    """(batch, length) branch numbers -> per row the lengths of trunk and branches, in order."""
    segments = []
    for row in branch.cpu():
        without_padding = row[row != PADDING]
        segments.append(without_padding.bincount().tolist())
    return segments


def bind(model: Qwen2_5_VLForConditionalGeneration, tree_attention: str = "auto") -> None:
    """Give this model (the instance) the forward of question trees, and layers that save less.

    Its class stays transformers' own. `tree_attention`: `dense`, `segments`, or `auto`: segments on
    CUDA, dense elsewhere. Raises ValueError for another.
    """
    if tree_attention not in params.TREE_ATTENTION:
        raise ValueError(
            f"tree_attention is {tree_attention!r}; give one of {', '.join(params.TREE_ATTENTION)}"
        )
    bind_attention(model)
    instance: Any = model  # a subclass would lose names of weights when transformers saves it
    instance.forward = types.MethodType(forward, model)
    instance.tree_attention = tree_attention
    saved_activations.bind(model)


def bind_attention(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Give this model's language model (the instance) the `attention` of this file."""
    model.model.language_model.config._attn_implementation = ATTENTION


def forward(
    model: Qwen2_5_VLForConditionalGeneration,
    branch: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    **batch: Any,
) -> dict[str, torch.Tensor]:
    """The loss of a collated batch: cross-entropy summed over the supervised tokens, divided.

    By `num_items_in_batch`, their number in the whole global batch, so that neither the shape of
    the batch nor the number of branches changes the gradient; None takes this batch's. The head is
    computed where there is a label and nowhere else. `token_losses` (supervised tokens,), detached:
    each one's own, in the order in which they stand in the batch.
    """
    segmented = model.tree_attention == "segments" or (
        model.tree_attention == "auto" and branch.is_cuda
    )
    layout = {"segments": segments_of(branch)} if segmented else {}
    mask = {"full_attention": None if segmented else mask_of(branch)}
    hidden = model.model(attention_mask=mask, use_cache=False, **layout, **batch).last_hidden_state
    # A place predicts the next one; across the border of two branches there is no label.
    wanted = labels[:, 1:]
    labelled = wanted != inputs.IGNORE
    losses = label_loss.label_losses(model.lm_head, hidden[:, :-1][labelled], wanted[labelled])
    count = labelled.sum() if num_items_in_batch is None else num_items_in_batch
    return {"loss": losses.sum() / count, "token_losses": losses.detach()}


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    segments: list[list[int]] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The language model's attention in transformers' interface.

    (batch, heads, length, head width) -> (batch, length, heads, head width). Without `segments` it
    is transformers' own, but that a CPU with a mask reads key and value heads where they are, and
    repeats none (on CUDA a mask and shared heads together would lose the fast kernels). `segments`:
    per row the lengths of trunk and branches, which are causal without a mask; with one it says
    what a branch sees of itself.
    """
    attend = functools.partial(
        nn.functional.scaled_dot_product_attention,
        scale=scaling,
        dropout_p=dropout,
        enable_gqa=True,
    )
    if segments is not None:
        photos = []
        for row, (trunk, *branches) in enumerate(segments):
            photo = (query[row], key[row], value[row])
            if attention_mask is None:
                attended = _by_segments(attend, *photo, trunk, branches)
            else:
                attended = _by_masked_segments(
                    attend, *photo, attention_mask[row, 0], trunk, branches
                )
            photos.append(attended)
        return pad_sequence(photos, batch_first=True), None
    if attention_mask is None or query.device.type != "cpu":
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
    return attend(query, key, value, attn_mask=attention_mask).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _by_segments(
    attend: Callable[..., torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    trunk: int,
    branches: Sequence[int],
) -> torch.Tensor:
    """One photo: (heads, length, head width) -> (its tokens, heads, head width).

    `trunk`, `branches`: their lengths. Branches are right-padded to one length: under a causal mask
    nothing real sees the padding.
    """
    of_trunk = attend(
        query[None, :, :trunk], key[None, :, :trunk], value[None, :, :trunk], is_causal=True
    )
    branch_query = _branches(query[:, trunk:], branches)
    seen_key = _trunk_and_branches(key, trunk, branches)
    seen_value = _trunk_and_branches(value, trunk, branches)
    mask = causal_lower_right(branch_query.shape[2], seen_key.shape[2])
    of_branches = attend(branch_query, seen_key, seen_value, attn_mask=mask).transpose(1, 2)
    parts = [of_trunk[0].transpose(0, 1)]
    for rows, length in zip(of_branches, branches, strict=True):
        parts.append(rows[:length])
    return torch.cat(parts)


def _by_masked_segments(
    attend: Callable[..., torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    trunk: int,
    branches: Sequence[int],
) -> torch.Tensor:
    """The same where `mask` (length, length) bool says what a branch sees of itself: one call for
    each, since most of the mask, which no branch sees of another, would be computed for nothing.
    """
    of_trunk = attend(
        query[None, :, :trunk], key[None, :, :trunk], value[None, :, :trunk], is_causal=True
    )
    parts = [of_trunk[0]]
    start = trunk
    for length in branches:
        end = start + length
        seen_key = torch.cat([key[:, :trunk], key[:, start:end]], dim=1)
        seen_value = torch.cat([value[:, :trunk], value[:, start:end]], dim=1)
        seen = torch.cat([mask[start:end, :trunk], mask[start:end, start:end]], dim=1)
        of_branch = attend(
            query[None, :, start:end], seen_key[None], seen_value[None], attn_mask=seen
        )
        parts.append(of_branch[0])
        start = end
    return torch.cat(parts, dim=1).transpose(0, 1)


def _trunk_and_branches(rows: torch.Tensor, trunk: int, branches: Sequence[int]) -> torch.Tensor:
    """(heads, length, head width) -> (branches, heads, trunk + longest branch, head width)."""
    shared = rows[None, :, :trunk].expand(len(branches), -1, -1, -1)
    return torch.cat([shared, _branches(rows[:, trunk:], branches)], dim=2)


def _branches(rows: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(heads, at least sum of lengths, head width) -> (branches, heads, longest, head width)."""
    real = rows[:, : sum(lengths)]
    parts = real.transpose(0, 1).split(list(lengths))
    return pad_sequence(parts, batch_first=True).transpose(1, 2)


def trunk_positions(sample: inputs.Sample, end: int) -> torch.Tensor:
    """(3, end): text counts up; the photo's tokens share one temporal place.

    They take their row and column from there.
    """
    start = sample.image_start
    photo = sample.photo
    rows, columns = (int(side) // photo.merge_size for side in photo.grid_thw[1:])
    same_time = torch.zeros(rows * columns, dtype=torch.long)
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    before = torch.arange(start).expand(3, -1)
    of_photo = start + torch.stack([same_time, row, column])
    # Text goes on after the longer side of the photo, not after its number of tokens.
    following = start + max(rows, columns)
    n_after = end - start - rows * columns
    after = (following + torch.arange(n_after)).expand(3, -1)
    return torch.cat([before, of_photo, after], dim=1)
