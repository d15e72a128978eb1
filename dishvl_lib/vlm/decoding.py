"""One forward pass over what has grown on several photos, and greedy names that go on from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import Qwen

MAX_NEW_TOKENS = 48


@dataclass
class Growth:
    """A photo's trunk with what grows on it: for every place its token and the place before it (-1:
    none).

    `positions` (3, length): temporal, height, width. `first`: where the trunk ends; `ends`: for
    every question the place of its last prompt token.
    """

    token: list[int]
    before: list[int]
    positions: torch.Tensor
    first: int
    ends: list[int]
    nodes: list[dict[int, int]]

    def mask(self) -> torch.Tensor:
        """(1, 1, length, length) bool, True where a place may look: at itself and at all before it
        on its own way to the root.
        """
        length = len(self.token)
        mask = torch.zeros(length, length, dtype=torch.bool)
        mask[: self.first, : self.first] = torch.ones(self.first, self.first).tril().bool()
        for place in range(self.first, length):
            mask[place] = mask[self.before[place]]
            mask[place, place] = True
        return mask[None, None]


@dataclass
class Passed:
    """`hidden` (photos, length, hidden) of the last layer; `mask` (photos, length, length);
    `positions` (3, photos, length); `cache`: keys and values.
    """

    hidden: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    cache: Any


def prefill(
    qwen: Qwen,
    photos: Sequence[inputs.Photo],
    image_starts: Sequence[int],
    grown: Sequence[Growth],
    keep: bool,
) -> Passed:
    """The pass itself, right padded; `keep`: whether keys and values are kept for what is still to
    come.
    """
    model = qwen.model
    device = qwen.model.device
    n = len(grown)
    length = max(len(one.token) for one in grown)
    ids = torch.full((n, length), qwen.tokenizer.pad_token_id)
    types = torch.zeros(n, length, dtype=torch.int)
    positions = torch.zeros(3, n, length, dtype=torch.long)
    mask = torch.eye(length, dtype=torch.bool).repeat(
        n, 1, 1
    )  # padding sees itself, or its softmax would be NaN
    for row, (one, photo, start) in enumerate(zip(grown, photos, image_starts, strict=True)):
        own = len(one.token)
        ids[row, :own] = torch.tensor(one.token)
        positions[:, row, :own] = one.positions
        mask[row, :own, :own] = one.mask()[0, 0]
        types[row, start : start + photo.num_tokens] = 1
    mask = mask.to(device)
    positions = positions.to(device)
    made = model.model(
        input_ids=ids.to(device),
        mm_token_type_ids=types.to(device),
        pixel_values=torch.cat([photo.pixel_values for photo in photos]).to(device, model.dtype),
        image_grid_thw=torch.stack([photo.grid_thw for photo in photos]).to(device),
        position_ids=positions,
        attention_mask={"full_attention": mask[:, None]},
        use_cache=keep,
    )
    return Passed(made.last_hidden_state, mask, positions, made.past_key_values if keep else None)


def greedy(
    qwen: Qwen,
    passed: Passed,
    ends: Sequence[tuple[int, int]],
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[str]:
    """The most probable token again and again, from each of `ends` (photo's number, place of its
    question's end) until its turn ends.

    A new token sees what its question's end saw, and the tokens since; all step together, those
    that have ended with tokens that nobody reads.
    """
    if not ends:
        return []
    rows, places = (
        torch.tensor(part, device=passed.hidden.device) for part in zip(*ends, strict=True)
    )
    seen = passed.mask[rows, places]
    at = passed.positions[:, rows, places]
    hidden = passed.hidden[rows, places]
    passed.cache.batch_select_indices(rows)
    answers: list[list[int]] = [[] for _ in ends]
    open_rows = set(range(len(ends)))
    for step in range(1, max_new_tokens + 1):
        tokens = qwen.model.lm_head(hidden).argmax(dim=-1)
        for row, token in enumerate(tokens.tolist()):
            open_rows -= {row} if token == qwen.end_token_id else set()
            answers[row] += [token] if row in open_rows else []
        if not open_rows or step == max_new_tokens:
            break
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
        hidden = _next(qwen, tokens, at + step, seen, passed.cache)
    return [qwen.tokenizer.decode(answer, skip_special_tokens=True).strip() for answer in answers]


def _next(
    qwen: Qwen, tokens: torch.Tensor, at: torch.Tensor, seen: torch.Tensor, cache: Any
) -> torch.Tensor:
    """(rows, hidden) after one more token a row; `at` (3, rows), `seen` (rows, length so far)."""
    language = qwen.model.model.language_model
    made = language(
        inputs_embeds=language.embed_tokens(tokens)[:, None],
        position_ids=at[..., None],
        attention_mask={"full_attention": seen[:, None, None]},
        past_key_values=cache,
        use_cache=True,
    )
    return made.last_hidden_state[:, 0]
