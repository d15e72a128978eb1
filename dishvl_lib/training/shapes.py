"""How large the question trees of a training are, counted without opening a photo: what the planner
plans for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import questions
from dishvl_lib.training.activations import TreeShape
from dishvl_lib.training.data import by_photo
from dishvl_lib.vlm import inputs, lengths
from dishvl_lib.vlm.qwen import Qwen

LOOKED_AT = 2000  # trees that are counted of a large data set


def largest(
    qwen: Qwen,
    rows: Sequence[Mapping[str, Any]],
    sizes: Mapping[str, tuple[int, int]],
    *,
    questions_per_photo: int,
    n: int,
    seed: int = 0,
) -> tuple[list[TreeShape], int]:
    """(the `n` longest trees among those looked at, number of trees an epoch).

    `sizes`: image_id -> (height, width) in pixels. Of more than LOOKED_AT trees a random part is
    counted.
    """
    items = by_photo(rows, questions_per_photo)
    chosen = np.random.default_rng(seed).permutation(len(items))[:LOOKED_AT]
    shapes = [_tree(qwen, [rows[number] for number in items[place]], sizes) for place in chosen]
    longest = sorted(shapes, key=lambda shape: shape.length, reverse=True)[:n]
    return (longest * n)[:n], len(items)


def longest_question(tree: TreeShape) -> TreeShape:
    """The photo with the longest of its questions alone."""
    return TreeShape(
        tree.grid, tree.trunk, (max(tree.branches),), -(-tree.labels // len(tree.branches))
    )


def sizes(photos: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """image_id -> (height, width) in pixels, of a catalogue."""
    return {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}


def assumed(qwen: Qwen, *, questions_per_photo: int, menu_size: int, n: int) -> list[TreeShape]:
    """`n` trees as stage 03 would make them, before it has run: the largest photo, names of four
    characters, half the questions with a menu.
    """
    side = int(qwen.image_processor.size["longest_edge"] ** 0.5)
    menu = [
        "".join(chr(0x4E00 + 4 * entry + place) for place in range(4)) for entry in range(menu_size)
    ]
    kinds = ["naming" if number % 2 == 0 else "menu" for number in range(questions_per_photo)]
    rows = [
        {
            "image_id": "x",
            "conversations": [
                {"value": questions.human_turn(f"{kind}-1", menu if kind == "menu" else [])},
                {"value": menu[0]},
            ],
        }
        for kind in kinds
    ]
    return [_tree(qwen, rows, {"x": (side, side)})] * n


def _tree(
    qwen: Qwen, rows: Sequence[Mapping[str, Any]], sizes: Mapping[str, tuple[int, int]]
) -> TreeShape:
    size = sizes[rows[0]["image_id"]] if rows[0].get("image_id") else None
    grid = lengths.grid(qwen, *(size or (1, 1)))
    tokens = [lengths.tokens(qwen, row, size) for row in rows]
    end = qwen.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    first = tokens[0][0]
    trunk = first.index(end) + 1 if end in first else 0
    labels = sum(label != inputs.IGNORE for _, own in tokens for label in own)
    photo = grid[0] * grid[1] // qwen.image_processor.merge_size**2 if trunk else 0
    return TreeShape(
        grid, max(0, trunk - photo), tuple(len(ids) - trunk for ids, _ in tokens), labels
    )
