"""Question trees: one trunk (system prompt and photo) and k branches (a question and its answer) in one sequence.

Most of the cost of a question is the photo, so questions about one photo share it. A branch sees the trunk and itself,
never another branch, and its positions go on from the trunk's end: every branch computes what it would compute as a
sample of its own, which the tests prove in fp32 for the loss and every gradient.
"""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dishvl_lib.vlm import inputs

TRUNK = 0


@dataclass
class Tree:
    """`input_ids`, `labels`, `branch` (length,): branch 0 is the trunk; `positions` (3, length): temporal, height, width."""

    input_ids: list[int]
    labels: list[int]
    branch: list[int]
    positions: torch.Tensor
    photo: inputs.Photo
    image_start: int


def grow(samples: Sequence[inputs.Sample]) -> Tree:
    """Join samples that ask about one and the same photo. Raises ValueError when their trunks differ."""
    first = samples[0]
    end = first.image_start + first.photo.num_tokens + 1
    ids, labels, branch = list(first.input_ids[:end]), list(first.labels[:end]), [TRUNK] * end
    parts = [trunk_positions(first, end)]
    following = int(parts[0].max()) + 1
    for number, sample in enumerate(samples, start=1):
        if sample.input_ids[:end] != ids[:end]:
            raise ValueError("the questions of a tree must be about one photo at one size")
        own = len(sample.input_ids) - end
        ids, labels, branch = ids + sample.input_ids[end:], labels + sample.labels[end:], branch + [number] * own
        parts.append((following + torch.arange(own)).expand(3, -1))
    return Tree(ids, labels, branch, torch.cat(parts, dim=1), first.photo, first.image_start)


def collate(trees: Sequence[Tree], pad_token_id: int) -> dict[str, torch.Tensor]:
    """A right-padded batch for `forward`.

    input_ids, labels, mm_token_type_ids (batch, length); position_ids (3, batch, length); attention_mask (batch, 1,
    length, length) bool; pixel_values (patches, 1176); image_grid_thw (batch, 3).
    """
    length = max(len(tree.input_ids) for tree in trees)
    ids = torch.full((len(trees), length), pad_token_id)
    labels, types_, branch = torch.full_like(ids, inputs.IGNORE), torch.zeros_like(ids), torch.full_like(ids, -1)
    positions = torch.zeros(3, len(trees), length, dtype=torch.long)
    for row, tree in enumerate(trees):
        n = len(tree.input_ids)
        ids[row, :n], labels[row, :n], branch[row, :n] = torch.tensor(tree.input_ids), torch.tensor(tree.labels), torch.tensor(tree.branch)
        positions[:, row, :n] = tree.positions
        types_[row, tree.image_start : tree.image_start + tree.photo.num_tokens] = 1
    return {
        "input_ids": ids,
        "labels": labels,
        "mm_token_type_ids": types_.int(),
        "position_ids": positions,
        "attention_mask": mask_of(branch),
        "pixel_values": torch.cat([tree.photo.pixel_values for tree in trees]),
        "image_grid_thw": torch.stack([tree.photo.grid_thw for tree in trees]),
    }


def mask_of(branch: torch.Tensor) -> torch.Tensor:
    """(batch, length) branch numbers, -1 for padding -> (batch, 1, length, length) bool, True where a row may look.

    Back only, at the trunk and the own branch; padding sees itself, or its softmax would be NaN.
    """
    length = branch.shape[1]
    back = torch.ones(length, length, dtype=torch.bool).tril()
    seen = (branch[:, None, :] == branch[:, :, None]) | (branch[:, None, :] == TRUNK)
    return (back & seen | torch.eye(length, dtype=torch.bool))[:, None]


def bind(model: nn.Module) -> None:
    """Give this model (the instance; its class stays transformers' own) the forward of question trees."""
    model.forward = types.MethodType(forward, model)


def forward(
    model: nn.Module, attention_mask: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None, **batch: Any
) -> dict[str, torch.Tensor]:
    """The loss of a collated batch: cross-entropy summed over the supervised tokens, divided by `num_items_in_batch`.

    That is their number in the whole global batch, so that neither the shape of the batch nor the number of branches
    changes the gradient; None takes this batch's. The head is computed where there is a label and nowhere else.
    `token_losses` (supervised tokens,), detached: each one's own, in the order in which they stand in the batch.
    """
    hidden = model.model(attention_mask={"full_attention": attention_mask}, use_cache=False, **batch).last_hidden_state
    wanted = labels[:, 1:]
    rows = wanted != inputs.IGNORE
    logits = model.lm_head(hidden[:, :-1][rows]).float()
    losses = nn.functional.cross_entropy(logits, wanted[rows], reduction="none")
    return {"loss": losses.sum() / (rows.sum() if num_items_in_batch is None else num_items_in_batch), "token_losses": losses.detach()}


def trunk_positions(sample: inputs.Sample, end: int) -> torch.Tensor:
    """(3, end): text counts up; the photo's tokens share one temporal place and take their row and column from there."""
    start, photo = sample.image_start, sample.photo
    rows, columns = (int(side) // photo.merge_size for side in photo.grid_thw[1:])
    grid = torch.stack([torch.zeros(rows * columns, dtype=torch.long), torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)])
    after = start + max(rows, columns)
    return torch.cat([torch.arange(start).expand(3, -1), start + grid, (after + torch.arange(end - start - rows * columns)).expand(3, -1)], dim=1)
