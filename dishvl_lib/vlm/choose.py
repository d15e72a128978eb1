"""Choosing from a menu: the exact log-probability of every entry, from one forward pass.

The entries form a trie that ends in `<|im_end|>`. The photo is the trunk, every question a branch
on it, and the trie's nodes follow their question; a place sees its own way back to the root only,
and its position goes on from there, so every entry of every menu reads as if it stood alone.
`together` asks several photos at once, each any menus and, beside them, for a name: that grows
token by token from the same pass.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dishvl_lib.vlm import decoding, inputs, trees
from dishvl_lib.vlm.decoding import Growth
from dishvl_lib.vlm.qwen import Qwen

ROWS = 512  # places whose logits are held at once: 0.3 GB with the 7B's vocabulary


@dataclass
class Trie:
    """Nodes in an order where parents come first. `token` and `parent` (nodes,), parent -1 is the
    prompt; `path`: per entry its nodes.
    """

    token: list[int]
    parent: list[int]
    path: list[list[int]]

    def inner(self) -> tuple["Trie", dict[int, int]]:
        """(the trie of the nodes that have children, {their number here: their number there})."""
        kept = sorted({parent for parent in self.parent if parent >= 0})
        place = {node: number for number, node in enumerate(kept)}
        return Trie(
            [self.token[node] for node in kept],
            [place.get(self.parent[node], -1) for node in kept],
            [],
        ), place


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """The prefix tree of token sequences. Raises ValueError for two equal ones and for none."""
    if not sequences:
        raise ValueError("a menu needs at least one entry")
    trie = Trie([], [], [])
    place = {}
    for sequence in sequences:
        parent = -1
        path = []
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
class Asked:
    """A photo with what is asked about it: `namings`, questions that are answered freely; `menus`,
    (question, entries) each.
    """

    photo: inputs.Photo
    namings: Sequence[str] = ()
    menus: Sequence[tuple[str, Sequence[str]]] = ()


@dataclass
class Told:
    """`names`: the greedy answers; `scores`: per menu (entries,) float32, summed log-probabilities."""

    names: list[str] = field(default_factory=list)
    scores: list[torch.Tensor] = field(default_factory=list)


def log_probabilities(
    qwen: Qwen, photo: inputs.Photo, question: str, entries: Sequence[str]
) -> torch.Tensor:
    """(entries,) float32: the summed log-probability of each entry's tokens and `<|im_end|>` after
    the question.
    """
    return log_probabilities_many(qwen, photo, [(question, entries)])[0]


def log_probabilities_many(
    qwen: Qwen, photo: inputs.Photo, asked: Sequence[tuple[str, Sequence[str]]]
) -> list[torch.Tensor]:
    """`log_probabilities` of several questions (text, entries) about one photo, which is computed
    once for all of them.
    """
    return together(qwen, [Asked(photo, menus=asked)])[0].scores


@torch.inference_mode()
def together(
    qwen: Qwen, asked: Sequence[Asked], max_new_tokens: int = decoding.MAX_NEW_TOKENS
) -> list[Told]:
    """Everything about several photos in one forward pass, and one more per token of the longest
    name.

    The photos are padded to one length; none sees another, and those about which nothing is asked
    take no part. Raises ValueError for a menu without entries or with two that are one to the
    tokenizer.
    """
    busy = [number for number, one in enumerate(asked) if one.namings or one.menus]
    made = (
        dict(
            zip(busy, _pass(qwen, [asked[number] for number in busy], max_new_tokens), strict=True)
        )
        if busy
        else {}
    )
    return [made.get(number, Told()) for number in range(len(asked))]


def _pass(qwen: Qwen, asked: Sequence[Asked], max_new_tokens: int) -> list[Told]:
    tries = [
        [
            build_trie([inputs.answer_tokens(qwen, entry) for entry in entries])
            for _, entries in one.menus
        ]
        for one in asked
    ]
    samples = [[inputs.build(qwen, one.photo, text) for text in _questions(one)] for one in asked]
    grown = [grow(own, own_tries) for own, own_tries in zip(samples, tries, strict=True)]
    ends = [(row, end) for row, own in enumerate(grown) for end in own.ends[len(tries[row]) :]]
    passed = decoding.prefill(
        qwen,
        [one.photo for one in asked],
        [own[0].image_start for own in samples],
        grown,
        keep=bool(ends),
    )
    told = [
        Told(scores=entry_scores(qwen, passed.hidden[row], *pair))
        for row, pair in enumerate(zip(grown, tries, strict=True))
    ]
    for (row, _), name in zip(
        ends, decoding.greedy(qwen, passed, ends, max_new_tokens), strict=True
    ):
        told[row].names.append(name)
    return told


def _questions(asked: Asked) -> list[str]:
    """The menus' questions, then those for a name: what stands last has nothing of a trie behind
    it.
    """
    return [*(text for text, _ in asked.menus), *asked.namings]


def entry_scores(
    qwen: Qwen, hidden: torch.Tensor, grown: Growth, tries: Sequence[Trie]
) -> list[torch.Tensor]:
    """Per trie (entries,): the sum over each entry's nodes. `hidden` (length, hidden) of what has
    grown.
    """
    return [
        torch.stack([own[path].sum() for path in trie.path])
        for own, trie in zip(node_scores(qwen, hidden, grown, tries), tries, strict=True)
    ]


def node_scores(
    qwen: Qwen, hidden: torch.Tensor, grown: Growth, tries: Sequence[Trie]
) -> Sequence[torch.Tensor]:
    """Per trie (nodes,): the log-probability of each node's token after its parent; the head is
    computed once a parent.
    """
    if not tries:
        return []
    parents = [
        [grown.nodes[number].get(parent, grown.ends[number]) for parent in trie.parent]
        for number, trie in enumerate(tries)
    ]
    distinct, place = torch.tensor(
        [one for own in parents for one in own], device=hidden.device
    ).unique(return_inverse=True)
    tokens = torch.tensor([token for trie in tries for token in trie.token], device=hidden.device)
    scores = torch.empty(len(tokens), device=hidden.device)
    for start in range(0, len(distinct), ROWS):
        own = (place >= start) & (place < start + ROWS)
        logits = qwen.model.lm_head(hidden[distinct[start : start + ROWS]]).float()
        scores[own] = (
            logits[place[own] - start, tokens[own]] - logits.logsumexp(dim=-1)[place[own] - start]
        )
    return scores.cpu().split([len(trie.token) for trie in tries])


def grow(samples: Sequence[inputs.Sample], tries: Sequence[Trie]) -> Growth:
    """One trunk, and on it each question with the nodes of its trie that have children: leaves are
    only predicted.

    Questions beyond the last trie stand alone.
    """
    first = samples[0].image_start + samples[0].photo.num_tokens + 1
    grown = Growth(
        list(samples[0].input_ids[:first]),
        list(range(-1, first - 1)),
        trees.trunk_positions(samples[0], first),
        first,
        [],
        [],
    )
    depth: dict[int, int] = {first - 1: 0}
    for sample, trie in itertools.zip_longest(samples, tries, fillvalue=Trie([], [], [])):
        last = first - 1
        for token in sample.input_ids[first:]:
            last = _add(grown, depth, token, last)
        inner, numbers = trie.inner()
        places: list[int] = []
        for token, parent in zip(inner.token, inner.parent, strict=True):
            places.append(_add(grown, depth, token, last if parent < 0 else places[parent]))
        grown.ends.append(last)
        grown.nodes.append({node: places[number] for node, number in numbers.items()})
    own = int(grown.positions.max()) + torch.tensor(
        [depth[place] for place in range(first, len(grown.token))], dtype=torch.long
    )
    grown.positions = torch.cat([grown.positions, own.expand(3, -1)], dim=1)
    return grown


def _add(grown: Growth, depth: dict[int, int], token: int, before: int) -> int:
    place = len(grown.token)
    grown.token.append(token)
    grown.before.append(before)
    depth[place] = depth[before] + 1
    return place
