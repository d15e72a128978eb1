"""Choosing from a menu: the exact log-probability of every entry, from one forward pass.

The entries form a trie that ends in `<|im_end|>`. The photo is the trunk, every question a branch on it, and the trie's
nodes follow their question; a place sees its own way back to the root only, and its position goes on from there, so
every entry of every menu reads as if it stood alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dishvl_lib.vlm import inputs, trees
from dishvl_lib.vlm.qwen import Qwen


@dataclass
class Trie:
    """Nodes in an order where parents come first. `token` and `parent` (nodes,), parent -1 is the prompt; `path`: per entry its nodes."""

    token: list[int]
    parent: list[int]
    path: list[list[int]]

    def inner(self) -> tuple["Trie", dict[int, int]]:
        """(the trie of the nodes that have children, {their number here: their number there})."""
        kept = sorted({parent for parent in self.parent if parent >= 0})
        place = {node: number for number, node in enumerate(kept)}
        return Trie([self.token[node] for node in kept], [place.get(self.parent[node], -1) for node in kept], []), place


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """The prefix tree of token sequences. Raises ValueError for two equal ones and for none."""
    if not sequences:
        raise ValueError("a menu needs at least one entry")
    trie, place = Trie([], [], []), {}
    for sequence in sequences:
        parent, path = -1, []
        for token in sequence:
            key = (parent, token)
            if key not in place:
                place[key] = len(trie.token)
                trie.token.append(token)
                trie.parent.append(parent)
            parent = place[key]
            path.append(parent)
        if path in trie.path:
            raise ValueError("two entries of the menu are the same to the tokenizer; remove one")
        trie.path.append(path)
    return trie


@dataclass
class Growth:
    """A photo's trunk with what grows on it: for every place its token and the place before it (-1: none).

    `positions` (3, length): temporal, height, width. `first`: where the trunk ends; `ends`: for every question the place
    of its last prompt token.
    """

    token: list[int]
    before: list[int]
    positions: torch.Tensor
    first: int
    ends: list[int]
    nodes: list[dict[int, int]]

    def mask(self) -> torch.Tensor:
        """(1, 1, length, length) bool, True where a place may look: at itself and at all before it on its own way to the root."""
        length = len(self.token)
        mask = torch.zeros(length, length, dtype=torch.bool)
        mask[: self.first, : self.first] = torch.ones(self.first, self.first).tril().bool()
        for place in range(self.first, length):
            mask[place] = mask[self.before[place]]
            mask[place, place] = True
        return mask[None, None]


def log_probabilities(qwen: Qwen, photo: inputs.Photo, question: str, entries: Sequence[str]) -> torch.Tensor:
    """(entries,) float32: the summed log-probability of each entry's tokens and `<|im_end|>` after the question."""
    return log_probabilities_many(qwen, photo, [(question, entries)])[0]


@torch.inference_mode()
def log_probabilities_many(qwen: Qwen, photo: inputs.Photo, asked: Sequence[tuple[str, Sequence[str]]]) -> list[torch.Tensor]:
    """`log_probabilities` of several questions (text, entries) about one photo, which is computed once for all of them."""
    tries = [build_trie([inputs.answer_tokens(qwen, entry) for entry in entries]) for _, entries in asked]
    samples = [inputs.build(qwen, photo, question) for question, _ in asked]
    grown = grow(samples, tries)
    hidden, model = _hidden(qwen, photo, samples[0].image_start, grown), qwen.model
    parents = [[grown.nodes[number].get(parent, grown.ends[number]) for parent in trie.parent] for number, trie in enumerate(tries)]
    distinct, place = torch.tensor([one for own in parents for one in own], device=model.device).unique(return_inverse=True)
    logits = model.lm_head(hidden[distinct]).float().log_softmax(dim=-1)
    tokens = torch.tensor([token for trie in tries for token in trie.token], device=model.device)
    rows = logits[place, tokens].cpu().split([len(trie.token) for trie in tries])
    return [torch.stack([own[path].sum() for path in trie.path]) for own, trie in zip(rows, tries, strict=True)]


def grow(samples: Sequence[inputs.Sample], tries: Sequence[Trie]) -> Growth:
    """One trunk, and on it each question with the nodes of its trie that have children: leaves are only predicted."""
    first = samples[0].image_start + samples[0].photo.num_tokens + 1
    grown = Growth(list(samples[0].input_ids[:first]), list(range(-1, first - 1)), trees.trunk_positions(samples[0], first), first, [], [])
    depth: dict[int, int] = {first - 1: 0}
    for sample, trie in zip(samples, tries, strict=True):
        last = first - 1
        for token in sample.input_ids[first:]:
            last = _add(grown, depth, token, last)
        inner, numbers = trie.inner()
        places: list[int] = []
        for token, parent in zip(inner.token, inner.parent, strict=True):
            places.append(_add(grown, depth, token, last if parent < 0 else places[parent]))
        grown.ends.append(last)
        grown.nodes.append({node: places[number] for node, number in numbers.items()})
    own = int(grown.positions.max()) + torch.tensor([depth[place] for place in range(first, len(grown.token))], dtype=torch.long)
    grown.positions = torch.cat([grown.positions, own.expand(3, -1)], dim=1)
    return grown


def _add(grown: Growth, depth: dict[int, int], token: int, before: int) -> int:
    place = len(grown.token)
    grown.token.append(token)
    grown.before.append(before)
    depth[place] = depth[before] + 1
    return place


def _hidden(qwen: Qwen, photo: inputs.Photo, image_start: int, grown: Growth) -> torch.Tensor:
    """(length, hidden) of the language model's last layer."""
    model, device = qwen.model, qwen.model.device
    types = torch.zeros(1, len(grown.token), dtype=torch.int)
    types[0, image_start : image_start + photo.num_tokens] = 1
    return model.model(
        input_ids=torch.tensor([grown.token], device=device),
        mm_token_type_ids=types.to(device),
        pixel_values=photo.pixel_values.to(device, model.dtype),
        image_grid_thw=photo.grid_thw[None].to(device),
        position_ids=grown.positions[:, None].to(device),
        attention_mask={"full_attention": grown.mask().to(device)},
        use_cache=False,
    ).last_hidden_state[0]
