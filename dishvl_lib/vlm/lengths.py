"""How many tokens each question takes, counted without opening a photo."""

from collections.abc import Sequence

import pandas as pd
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import QwenInputs


class TooLong(ValueError):
    """Questions over the limit: they are refused, for a cut question is another question."""


def of_rows(qwen: QwenInputs, rows: RecordViews, photos: pd.DataFrame, limit: int = 0) -> list[int]:
    """Tokens of every row: prompt, photo places, answer, end.

    `photos`: width and height from the catalogue; a row may have no photo. Raises `TooLong` naming
    the longest rows when any has more than `limit` tokens (0: no limit).
    """
    sizes = {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}
    counts = []
    progress = Progress("question lengths", len(rows), "questions")
    for row in rows:
        progress.advance()
        size = sizes[row["image_id"]] if row.get("image_id") else None
        input_ids, _ = tokens(qwen, row, size)
        counts.append(len(input_ids))
    progress.close()
    if limit:
        _refuse_too_long(rows, counts, limit)
    return counts


def _refuse_too_long(rows: RecordViews, counts: Sequence[int], limit: int) -> None:
    too_long = []
    for row, count in zip(rows, counts, strict=True):
        if count > limit:
            too_long.append((count, row["id"]))
    if too_long:
        longest = sorted(too_long, reverse=True)[:3]
        shown = ", ".join(f"{row_id} ({count})" for count, row_id in longest)
        raise TooLong(
            f"{len(too_long)} of {len(rows)} questions have more than "
            f"max_question_tokens={limit} tokens: {shown}; lower max_pixels or the menu "
            "sizes, shorten the dishes' texts, or raise the limit"
        )


def tokens(
    qwen: QwenInputs, row: RecordView, size: tuple[int, int] | None
) -> tuple[list[int], list[int]]:
    """(input_ids, labels), each (length,), as `inputs.build` makes them of the row with its answer.

    The photo is not opened. size: its (height, width) in pixels before resizing; None for a row
    without a photo, which has no vision block.
    """
    grid_thw = torch.tensor([1, *grid(qwen, *(size or (1, 1)))])
    photo = inputs.Photo(torch.zeros(0), grid_thw, qwen.image_processor.merge_size)
    human, gpt = artefacts.human_turn_of(row), artefacts.answer_of(row)
    sample = inputs.build(qwen, photo, questions.question_of(human), gpt)
    if size is None:
        block = inputs.vision_block(sample)
        del sample.input_ids[block]
        del sample.labels[block]
    return sample.input_ids, sample.labels


def grid(qwen: QwenInputs, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of 14-pixel patches of a photo of this size after resizing."""
    processor = qwen.image_processor
    size = smart_resize(
        height,
        width,
        processor.patch_size * processor.merge_size,
        processor.size["shortest_edge"],
        processor.size["longest_edge"],
    )
    return size[0] // processor.patch_size, size[1] // processor.patch_size
