"""How large the question trees of a training are, counted without opening a photo."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dishvl_lib.core import questions
from dishvl_lib.core.types import RecordViews
from dishvl_lib.estimate.activations import TreeShape
from dishvl_lib.training.data import by_photo
from dishvl_lib.vlm import inputs, lengths
from dishvl_lib.vlm.qwen import QwenInputs

LOOKED_AT = 2000  # trees that are counted of a large data set


def largest(
    qwen: QwenInputs,
    rows: RecordViews,
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
    shapes = []
    for place in chosen:
        tree_rows = [rows[number] for number in items[place]]
        shapes.append(_tree(qwen, tree_rows, sizes))
    longest = sorted(shapes, key=lambda shape: shape.length, reverse=True)[:n]
    return (longest * n)[:n], len(items)


def longest_question(tree: TreeShape) -> TreeShape:
    """The photo with the longest of its questions alone."""
    labels = -(-tree.labels // len(tree.branches))
    return TreeShape(tree.grid, tree.trunk, (max(tree.branches),), labels)


def sizes(photos: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """image_id -> (height, width) in pixels, of a catalogue."""
    return {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}


def assumed(
    qwen: QwenInputs, *, questions_per_photo: int, menu_size: int, n: int
) -> list[TreeShape]:
    """`n` trees as stage 03 would make them, before it has run.

    The photo is as large as it may be, names have four characters, half the questions a menu.
    """
    side = int(qwen.image_processor.size["longest_edge"] ** 0.5)
    menu = [_name_of_four_characters(entry) for entry in range(menu_size)]
    rows = []
    for number in range(questions_per_photo):
        if number % 2 == 0:
            human = questions.human_turn("naming-1", [])
        else:
            human = questions.human_turn("menu-1", menu)
        rows.append({"image_id": "x", "conversations": [{"value": human}, {"value": menu[0]}]})
    return [_tree(qwen, rows, {"x": (side, side)})] * n


def _name_of_four_characters(number: int) -> str:
    """Another name for each number; U+4E00 is where the Chinese characters begin."""
    first = 0x4E00 + 4 * number
    return "".join(map(chr, range(first, first + 4)))


def _tree(qwen: QwenInputs, rows: RecordViews, sizes: Mapping[str, tuple[int, int]]) -> TreeShape:
    image_id = rows[0].get("image_id")
    size = sizes[image_id] if image_id else None
    grid = lengths.grid(qwen, *(size or (1, 1)))
    tokens = [lengths.tokens(qwen, row, size) for row in rows]
    end = qwen.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    first_ids = tokens[0][0]
    trunk = first_ids.index(end) + 1 if end in first_ids else 0
    photo = grid[0] * grid[1] // qwen.image_processor.merge_size**2 if trunk else 0
    num_labels = 0
    for _, labels in tokens:
        num_labels += sum(label != inputs.IGNORE for label in labels)
    branches = tuple(len(ids) - trunk for ids, _ in tokens)
    return TreeShape(grid, max(0, trunk - photo), branches, num_labels)
