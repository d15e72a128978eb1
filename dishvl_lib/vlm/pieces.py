"""A question as the model reads it, token by token, for people to look at: what is prompt, what is
supervised.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dishvl_lib.vlm import inputs, lengths
from dishvl_lib.vlm.qwen import Qwen

UNFINISHED = "\ufffd"  # what the tokenizer shows for bytes that are not yet a whole character


def of_rows(
    qwen: Qwen, rows: Sequence[Mapping[str, Any]], photos: pd.DataFrame
) -> list[list[tuple[str, bool]]]:
    """`of_row` for every row, with the catalogue's width and height (photos: image_id, width,
    height).
    """
    sizes = {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}
    return [
        of_row(qwen, row, sizes[row["image_id"]] if row.get("image_id") else None) for row in rows
    ]


def of_row(
    qwen: Qwen, row: Mapping[str, Any], size: tuple[int, int] | None
) -> list[tuple[str, bool]]:
    """[(text, supervised)] of one question with its answer, in reading order, from the very tokens
    that training gets.

    size: (height, width) in pixels of the photo before resizing; None for a row without a photo.
    Each token is a piece, except that tokens which only together are a character are one, and so
    are the photo's places: `<|image_pad|> x 256`.
    """
    ids, labels = lengths.tokens(qwen, row, size)
    return list(_pieces(qwen, ids, [label != inputs.IGNORE for label in labels]))


def _pieces(
    qwen: Qwen, ids: Sequence[int], supervised: Sequence[bool]
) -> Iterator[tuple[str, bool]]:
    decode = qwen.tokenizer.decode
    start = 0
    while start < len(ids):
        end = start + 1
        while (
            end < len(ids)
            and supervised[end] == supervised[start]
            and _goes_on(qwen, ids, start, end)
        ):
            end += 1
        places = end - start if ids[start] == qwen.image_token_id else 0
        yield (
            (f"{decode(ids[start])} x {places}" if places else decode(ids[start:end])),
            supervised[start],
        )
        start = end


def _goes_on(qwen: Qwen, ids: Sequence[int], start: int, end: int) -> bool:
    """Whether the piece that began at `start` takes in the token at `end`."""
    if ids[start] == qwen.image_token_id:
        return ids[end] == qwen.image_token_id
    return qwen.tokenizer.decode(ids[start:end]).endswith(UNFINISHED)
