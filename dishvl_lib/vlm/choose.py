"""Choosing from a menu: the exact log-probability of every entry, from one forward pass.

The entries form a trie that ends in `<|im_end|>`. The photo is the trunk, every question a branch
on it, and the trie's nodes follow their question; a place sees its own way back to the root only,
and its position goes on from there, so every entry of every menu reads as if it stood alone.
`answer_together` asks several photos at once, each any menus and, beside them, for a name: that
grows token by token from the same pass.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from dishvl_lib.vlm import decoding, inputs, side_by_side, trees
from dishvl_lib.vlm.decoding import Growth
from dishvl_lib.vlm.qwen import Qwen

ROWS = 512  # places whose logits are held at once: 0.3 GB with the 7B's vocabulary
Menu = tuple[str, Sequence[str]]  # a question and its entries


class PassLimits(NamedTuple):
    """`padding`: places of it in a pass, about what a pass of its own costs beside them; `places`:
    in all, where more gain nothing.
    """

    padding: int
    places: int


ON_GPU = PassLimits(padding=2048, places=sys.maxsize)
# A pass costs little beside its places there, and smaller ones run side by side.
ON_CPU = PassLimits(padding=256, places=2048)


@dataclass
class Trie:
    """Nodes in an order where parents come first.

    `token` and `parent` (nodes,), parent -1 is the prompt; `path`: per entry its nodes.
    """

    token: list[int]
    parent: list[int]
    path: list[list[int]]

    def inner(self) -> tuple["Trie", dict[int, int]]:
        """(the trie of the nodes that have children, {their number here: their number there})."""
        kept = sorted({parent for parent in self.parent if parent >= 0})
        place = {node: number for number, node in enumerate(kept)}
        tokens = [self.token[node] for node in kept]
        parents = [place.get(self.parent[node], -1) for node in kept]
        return Trie(tokens, parents, []), place


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """The prefix tree of token sequences. Raises ValueError for two equal ones and for none."""
    if not sequences:
        raise ValueError("a menu needs at least one entry")
    trie = Trie([], [], [])
    place: dict[tuple[int, int], int] = {}
    for sequence in sequences:
        parent = -1
        path: list[int] = []
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
class PhotoQuery:
    """A photo with the questions about it.

    `namings`: questions that are answered freely; `menus`: (question, entries) each.
    """

    photo: inputs.Photo
    namings: Sequence[str] = ()
    menus: Sequence[Menu] = ()

    @property
    def questions(self) -> list[str]:
        """The menus' questions, then those for a name: what is last has no trie behind it."""
        return [*(question for question, _ in self.menus), *self.namings]


@dataclass
class PhotoAnswer:
    """`names`: the greedy answers; `scores`: per menu (entries,) float32 log-probabilities."""

    names: list[str] = field(default_factory=list)
    scores: list[torch.Tensor] = field(default_factory=list)


def log_probabilities(
    qwen: Qwen, photo: inputs.Photo, question: str, entries: Sequence[str]
) -> torch.Tensor:
    """(entries,) float32: each entry's log-probability after the question.

    Summed over the entry's tokens and `<|im_end|>`.
    """
    (scores,) = log_probabilities_many(qwen, photo, [(question, entries)])
    return scores


def log_probabilities_many(
    qwen: Qwen, photo: inputs.Photo, menus: Sequence[Menu]
) -> list[torch.Tensor]:
    """`log_probabilities` of several (question, entries) about one photo, in one forward pass."""
    query = PhotoQuery(photo, menus=menus)
    (answer,) = answer_together(qwen, [query])
    return answer.scores


class _Grown(NamedTuple):
    """A photo with its questions, and all that grows on it: its tries, where its image begins."""

    photo: inputs.Photo
    growth: Growth
    tries: list[Trie]
    image_start: int

    @property
    def length(self) -> int:
        return len(self.growth.token)


def answer_together(
    qwen: Qwen, queries: Sequence[PhotoQuery], max_new_tokens: int = decoding.MAX_NEW_TOKENS
) -> list[PhotoAnswer]:
    """Everything about several photos in one forward pass, and one more for each token of a name.

    The photos are padded to one length; where much would be padding, as beside a menu of hundreds,
    those of like length have a pass of their own. On a CPU such passes run side by side. None sees
    another, and those without questions take no part. Raises ValueError for a menu without entries
    or with two that are one to the tokenizer.
    """
    answers = [PhotoAnswer() for _ in queries]
    busy = [number for number, query in enumerate(queries) if query.questions]
    grown = [_grown(qwen, queries[number]) for number in busy]
    on_cpu = qwen.model.device.type == "cpu"
    lengths = [growing.length for growing in grown]
    groups = groups_of_like_length(lengths, ON_CPU if on_cpu else ON_GPU)

    def run(group: Sequence[int]) -> list[PhotoAnswer]:
        return _pass(qwen, [grown[place] for place in group], max_new_tokens)

    all_passed = side_by_side.passes(run, groups) if on_cpu else map(run, groups)
    for group, passed in zip(groups, all_passed, strict=True):
        for place, answer in zip(group, passed, strict=True):
            answers[busy[place]] = answer
    return answers


def groups_of_like_length(lengths: Sequence[int], limits: PassLimits = ON_GPU) -> list[list[int]]:
    """Which sequences share a pass, by their numbers: padded to the longest of its group, no group
    of several is over the limits.
    """
    groups: list[list[int]] = []
    padding = 0
    for number in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if groups:
            longest = lengths[groups[-1][0]]
            padding += longest - lengths[number]
            places = longest * (len(groups[-1]) + 1)
        if not groups or padding > limits.padding or places > limits.places:
            groups.append([])
            padding = 0
        groups[-1].append(number)
    return [sorted(group) for group in groups]


def _grown(qwen: Qwen, query: PhotoQuery) -> _Grown:
    samples = [inputs.build(qwen, query.photo, question) for question in query.questions]
    tries = [_menu_trie(qwen, entries) for _, entries in query.menus]
    return _Grown(query.photo, grow(samples, tries), tries, samples[0].image_start)


@torch.inference_mode()
def _pass(qwen: Qwen, grown: Sequence[_Grown], max_new_tokens: int) -> list[PhotoAnswer]:
    ends: list[tuple[int, int]] = []  # photo's number, place where a naming question ends
    for row, growing in enumerate(grown):
        ends_of_namings = growing.growth.ends[len(growing.tries) :]
        ends += [(row, end) for end in ends_of_namings]
    passed = decoding.prefill(
        qwen,
        [growing.photo for growing in grown],
        [growing.image_start for growing in grown],
        [growing.growth for growing in grown],
        keep=bool(ends),
    )
    answers = []
    for hidden, growing in zip(passed.hidden, grown, strict=True):
        scores = entry_scores(qwen, hidden, growing.growth, growing.tries)
        answers.append(PhotoAnswer(scores=scores))
    names = decoding.greedy(qwen, passed, ends, max_new_tokens)
    for (row, _), name in zip(ends, names, strict=True):
        answers[row].names.append(name)
    return answers


def _menu_trie(qwen: Qwen, entries: Sequence[str]) -> Trie:
    return build_trie(inputs.tokens_of_answers(qwen, entries))


def entry_scores(
    qwen: Qwen, hidden: torch.Tensor, grown: Growth, tries: Sequence[Trie]
) -> list[torch.Tensor]:
    """Per trie (entries,): the sum over each entry's nodes.

    `hidden` (length, hidden) of what has grown.
    """
    scores = []
    scores_of_nodes = node_scores(qwen, hidden, grown, tries)
    for trie, of_nodes in zip(tries, scores_of_nodes, strict=True):
        sums = [of_nodes[path].sum() for path in trie.path]
        scores.append(torch.stack(sums))
    return scores


def node_scores(
    qwen: Qwen, hidden: torch.Tensor, grown: Growth, tries: Sequence[Trie]
) -> Sequence[torch.Tensor]:
    """Per trie (nodes,): the log-probability of each node's token after its parent.

    The head is computed once a parent, whatever number of children it has.
    """
    if not tries:
        return []
    tokens: list[int] = []
    parents: list[int] = []
    # Questions beyond the last trie have no nodes that count.
    for trie, nodes, end in zip(tries, grown.nodes, grown.ends, strict=False):
        tokens += trie.token
        parents += [nodes.get(parent, end) for parent in trie.parent]
    wanted = torch.tensor(tokens, device=hidden.device)
    distinct, place = torch.tensor(parents, device=hidden.device).unique(return_inverse=True)
    scores = torch.empty(len(tokens), device=hidden.device)
    for start in range(0, len(distinct), ROWS):
        states = hidden[distinct[start : start + ROWS]]
        logits = qwen.model.lm_head(states).float()
        is_after = place >= start
        is_before = place < start + ROWS
        here = is_after & is_before
        row = place[here] - start
        whole = logits.logsumexp(dim=-1)
        of_token = logits[row, wanted[here]]
        scores[here] = of_token - whole[row]
    sizes = [len(trie.token) for trie in tries]
    return scores.cpu().split(sizes)


def grow(samples: Sequence[inputs.Sample], tries: Sequence[Trie]) -> Growth:
    """One trunk, and on it each question with the nodes of its trie that have children.

    Leaves are only predicted. Questions beyond the last trie stand alone.
    """
    sample = samples[0]
    first = sample.image_start + sample.photo.num_tokens + 1
    grown = Growth(
        token=list(sample.input_ids[:first]),
        before=list(range(-1, first - 1)),
        positions=trees.trunk_positions(sample, first),
        first=first,
        ends=[],
        nodes=[],
        branches=[],
    )
    depth: dict[int, int] = {first - 1: 0}
    alone = [Trie([], [], []) for _ in samples[len(tries) :]]
    for sample, trie in zip(samples, [*tries, *alone], strict=True):
        start = len(grown.token)
        last = first - 1
        for token in sample.input_ids[first:]:
            last = _add(grown, depth, token, last)
        inner, numbers = trie.inner()
        places: list[int] = []
        for token, parent in zip(inner.token, inner.parent, strict=True):
            before = last if parent < 0 else places[parent]
            place = _add(grown, depth, token, before)
            places.append(place)
        grown.ends.append(last)
        grown.nodes.append({node: places[number] for node, number in numbers.items()})
        grown.branches.append(len(grown.token) - start)
    # What grows goes on counting where the trunk's positions end, by its depth and not its place.
    depths_grown = [depth[place] for place in range(first, len(grown.token))]
    depths = torch.tensor(depths_grown, dtype=torch.long)
    positions = int(grown.positions.max()) + depths
    grown.positions = torch.cat([grown.positions, positions.expand(3, -1)], dim=1)
    return grown


def _add(grown: Growth, depth: dict[int, int], token: int, before: int) -> int:
    place = len(grown.token)
    grown.token.append(token)
    grown.before.append(before)
    depth[place] = depth[before] + 1
    return place
