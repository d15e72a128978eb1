"""How many tokens each question takes, counted without opening a photo."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from dishvl_lib.core import questions
from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import Qwen

PHOTO_OF_ONE = 3  # tokens that the smallest photo takes: start, one place, end


def of_rows(qwen: Qwen, rows: Sequence[dict[str, Any]], photos: pd.DataFrame) -> list[int]:
    """Tokens of every row (prompt, photo places, answer, end), from the catalogue's width and height; a row may have no photo."""
    sizes = {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}
    return [_length(qwen, row, *sizes[row["image_id"]]) if row["image_id"] else _length(qwen, row, 28, 28) - PHOTO_OF_ONE for row in rows]


def grid(qwen: Qwen, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of 14-pixel patches of a photo of this size after resizing."""
    processor = qwen.image_processor
    size = smart_resize(height, width, processor.patch_size * processor.merge_size, processor.size["shortest_edge"], processor.size["longest_edge"])
    return size[0] // processor.patch_size, size[1] // processor.patch_size


def _length(qwen: Qwen, row: dict[str, Any], height: int, width: int) -> int:
    photo = inputs.Photo(torch.zeros(0), torch.tensor([1, *grid(qwen, height, width)]), qwen.image_processor.merge_size)
    human, gpt = (turn["value"] for turn in row["conversations"])
    return len(inputs.build(qwen, photo, questions.question_of(human), gpt).input_ids)
