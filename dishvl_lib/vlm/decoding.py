"""One forward pass over what has grown on several photos, and greedy names that go on from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import Qwen

MAX_NEW_TOKENS = 48


@dataclass
class Growth:
    """A photo's trunk with what grows on it.

    `token`, `before`: for every place its token and the place before it (-1: none). `positions`
    (3, length): temporal, height, width. `first`: where the trunk ends; `ends`: for every question
    the place of its last prompt token; `nodes`: for every trie {node: place}; `branches`: for every
    question how many places it takes with its trie.
    """

    token: list[int]
    before: list[int]
    positions: torch.Tensor
    first: int
    ends: list[int]
    nodes: list[dict[int, int]]
    branches: list[int]

    def mask(self) -> torch.Tensor:
        """(1, 1, length, length) bool, True where a place may look.

        At itself and at all before it on its own way to the root.
        """
        length = len(self.token)
        # In numpy, which copies a row in a tenth of torch's time.
        mask = np.zeros((length, length), bool)
        mask[: self.first, : self.first] = np.tri(self.first, dtype=bool)
        for place in range(self.first, length):
            mask[place] = mask[self.before[place]]
            mask[place, place] = True
        return torch.from_numpy(mask)[None, None]

    @property
    def segments(self) -> list[int]:
        """The lengths of the trunk and of each branch, in order."""
        return [self.first, *self.branches]


@dataclass
class Passed:
    """`hidden` (photos, length, hidden) of the last layer; `mask` (photos, length, length).

    `positions` (3, photos, length); `cache`: keys and values, None when they were not kept.
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
    """The pass itself, right padded; `keep`: whether keys and values are kept for more tokens."""
    model = qwen.model
    device = model.device
    ids, types, positions, mask = _padded(photos, image_starts, grown, qwen.tokenizer.pad_token_id)
    positions = positions.to(device)
    mask = mask.to(device)
    # On a GPU one call with a mask takes less time than many small ones.
    layout = {} if mask.is_cuda else {"segments": [growth.segments for growth in grown]}
    outputs = model.model(
        input_ids=ids.to(device),
        mm_token_type_ids=types.to(device),
        pixel_values=torch.cat([photo.pixel_values for photo in photos]).to(device, model.dtype),
        image_grid_thw=torch.stack([photo.grid_thw for photo in photos]).to(device),
        position_ids=positions,
        attention_mask={"full_attention": mask[:, None]},
        use_cache=keep,
        **layout,
    )
    cache = outputs.past_key_values if keep else None
    return Passed(outputs.last_hidden_state, mask, positions, cache)


def _padded(
    photos: Sequence[inputs.Photo],
    image_starts: Sequence[int],
    grown: Sequence[Growth],
    pad_token_id: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """input_ids, mm_token_type_ids, position_ids and mask of photos with what grows on them."""
    n = len(grown)
    longest = max(len(growth.token) for growth in grown)
    ids = torch.full((n, longest), pad_token_id)
    types = torch.zeros(n, longest, dtype=torch.int)
    positions = torch.zeros(3, n, longest, dtype=torch.long)
    # Padding sees itself, or its softmax would be NaN.
    mask = torch.eye(longest, dtype=torch.bool).repeat(n, 1, 1)
    for row, growth in enumerate(grown):
        length = len(growth.token)
        start = image_starts[row]
        ids[row, :length] = torch.tensor(growth.token)
        positions[:, row, :length] = growth.positions
        mask[row, :length, :length] = growth.mask()[0, 0]
        types[row, start : start + photos[row].num_tokens] = 1
    return ids, types, positions, mask


def greedy(
    qwen: Qwen,
    passed: Passed,
    ends: Sequence[tuple[int, int]],
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[str]:
    """The most probable token again and again, from each of `ends` until its turn ends.

    `ends`: (photo's number, place of a question's last prompt token) each. A new token sees what
    its question's end saw, and the tokens since; all step together, those that have ended with
    tokens that nobody reads.
    """
    if not ends:
        return []
    device = passed.hidden.device
    rows = torch.tensor([row for row, _ in ends], device=device)
    places = torch.tensor([place for _, place in ends], device=device)
    position = passed.positions[:, rows, places]
    hidden = passed.hidden[rows, places]
    visible = _keep_visible(passed.cache, rows, passed.mask[rows, places])
    answers: list[list[int]] = [[] for _ in ends]
    open_answers = set(range(len(ends)))
    for step in range(1, max_new_tokens + 1):
        tokens = qwen.model.lm_head(hidden).argmax(dim=-1)
        for number, token in enumerate(tokens.tolist()):
            if token == qwen.end_token_id:
                open_answers.discard(number)
            if number in open_answers:
                answers[number].append(token)
        if not open_answers or step == max_new_tokens:
            break
        visible = torch.cat([visible, torch.ones_like(visible[:, :1])], dim=1)
        hidden = _next(qwen, tokens, position + step, visible, passed.cache)
    return [qwen.decode(answer, skip_special_tokens=True).strip() for answer in answers]


def _keep_visible(cache: Any, rows: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Leave in the cache what each answer sees: (answers, most that one sees) bool, False for
    padding.

    `rows` (answers,): its photo's number; `visible` (answers, length): the places that it sees.
    Menus of hundreds of entries, which no name sees, are not copied with every new token.
    """
    most = int(visible.sum(dim=1).max())
    in_order = visible.int().argsort(dim=1, descending=True, stable=True)
    seen = in_order[:, :most]
    for layer in cache.layers:
        layer.keys = layer.keys[rows[:, None], :, seen].transpose(1, 2)
        layer.values = layer.values[rows[:, None], :, seen].transpose(1, 2)
    return visible.gather(1, seen)


def _next(
    qwen: Qwen, tokens: torch.Tensor, position: torch.Tensor, visible: torch.Tensor, cache: Any
) -> torch.Tensor:
    """(answers, hidden) after one more token each.

    `position` (3, answers), `visible` (answers, length so far) bool.
    """
    language = qwen.model.model.language_model
    outputs = language(
        inputs_embeds=language.embed_tokens(tokens)[:, None],
        position_ids=position[..., None],
        attention_mask={"full_attention": visible[:, None, None]},
        past_key_values=cache,
        use_cache=True,
    )
    return outputs.last_hidden_state[:, 0]
