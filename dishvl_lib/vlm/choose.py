"""Choosing from a menu: the exact log-probability of every entry, from one forward pass.

The entries form a trie that ends in `<|im_end|>`. Its nodes follow the prompt in one sequence; a node sees the prompt
and its own ancestors only, and its position goes on from the prompt's end, so every entry reads as if it stood alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import Qwen


@dataclass
class Trie:
    """Nodes in an order where parents come first. `token` and `parent` (nodes,), parent -1 is the prompt; `path`: per entry its nodes."""

    token: list[int]
    parent: list[int]
    path: list[list[int]]

    @property
    def depth(self) -> list[int]:
        """Distance of every node from the prompt's last token, 1 for a first token."""
        found: list[int] = []
        for parent in self.parent:
            found.append(1 if parent < 0 else found[parent] + 1)
        return found


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


@torch.inference_mode()
def log_probabilities(qwen: Qwen, photo: inputs.Photo, question: str, entries: Sequence[str]) -> torch.Tensor:
    """(entries,) float32: the summed log-probability of each entry's tokens and `<|im_end|>` after the question."""
    trie = build_trie([inputs.answer_tokens(qwen, entry) for entry in entries])
    prompt = inputs.build(qwen, photo, question)
    rows = _node_log_probabilities(qwen, prompt, trie)
    return torch.stack([rows[path].sum() for path in trie.path])


def _node_log_probabilities(qwen: Qwen, prompt: inputs.Sample, trie: Trie) -> torch.Tensor:
    """(nodes,): log-probability of each node's token after its parent. Leaves are only predicted, so they are not computed."""
    model, device, length = qwen.model, qwen.model.device, len(prompt.input_ids)
    inner, place_of = trie.inner()
    batch = {key: value.to(device) for key, value in inputs.collate([prompt], qwen.tokenizer.pad_token_id).items()}
    prompt_positions, _ = model.model.get_rope_index(batch["input_ids"], batch["mm_token_type_ids"], batch["image_grid_thw"])
    node_positions = prompt_positions.max() + torch.tensor(inner.depth, device=device, dtype=torch.long)
    hidden = model.model(
        input_ids=torch.cat([batch["input_ids"], torch.tensor([inner.token], device=device, dtype=torch.long)], dim=1),
        pixel_values=batch["pixel_values"].to(model.dtype),
        image_grid_thw=batch["image_grid_thw"],
        position_ids=torch.cat([prompt_positions, node_positions.expand(3, 1, -1)], dim=2),
        attention_mask={"full_attention": trie_mask(length, inner).to(device)},
        use_cache=False,
    ).last_hidden_state[0]
    parents = torch.tensor([length - 1 if parent < 0 else length + place_of[parent] for parent in trie.parent], device=device)
    distinct, place = parents.unique(return_inverse=True)
    logits = model.lm_head(hidden[distinct]).float().log_softmax(dim=-1)
    return logits[place, torch.tensor(trie.token, device=device)].cpu()


def trie_mask(prompt_length: int, trie: Trie) -> torch.Tensor:
    """(1, 1, length, length) bool, True where a row may look: prompt causal, nodes at prompt, ancestors and themselves."""
    nodes = len(trie.token)
    mask = torch.zeros(prompt_length + nodes, prompt_length + nodes, dtype=torch.bool)
    mask[:prompt_length, :prompt_length] = torch.ones(prompt_length, prompt_length).tril().bool()
    for node, parent in enumerate(trie.parent):
        row = prompt_length + node
        if parent < 0:
            mask[row, :prompt_length] = True
        else:
            mask[row] = mask[prompt_length + parent]
        mask[row, row] = True
    return mask[None, None]
