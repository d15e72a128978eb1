"""A question as the model reads it, token by token: what is prompt, what is supervised."""

from collections.abc import Iterator

import pandas as pd

from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.vlm import inputs, lengths
from dishvl_lib.vlm.qwen import QwenInputs

UNFINISHED = "\ufffd"  # what the tokenizer shows for bytes that are not yet a whole character
Piece = tuple[str, bool]  # text, whether it is supervised


def of_rows(qwen: QwenInputs, rows: RecordViews, photos: pd.DataFrame) -> list[list[Piece]]:
    """`of_row` for every row, with the sizes of the catalogue (image_id, width, height)."""
    sizes = {photo.image_id: (photo.height, photo.width) for photo in photos.itertuples()}
    previews = []
    for row in rows:
        size = sizes[row["image_id"]] if row.get("image_id") else None
        previews.append(of_row(qwen, row, size))
    return previews


def of_row(qwen: QwenInputs, row: RecordView, size: tuple[int, int] | None) -> list[Piece]:
    """[(text, supervised)] of one question with its answer, in reading order.

    They are the very tokens that training gets. size: (height, width) in pixels of the photo before
    resizing; None for a row without a photo. Each token is a piece, except that tokens which only
    together are a character are one, and so are the photo's places: `<|image_pad|> x 256`.
    """
    ids, labels = lengths.tokens(qwen, row, size)
    return list(_pieces(qwen, ids, [label != inputs.IGNORE for label in labels]))


def _pieces(qwen: QwenInputs, ids: list[int], supervised: list[bool]) -> Iterator[Piece]:
    start = 0
    while start < len(ids):
        is_supervised = supervised[start]
        end = start + 1
        while end < len(ids) and supervised[end] == is_supervised:
            if not _goes_on(qwen, ids, start, end):
                break
            end += 1
        yield _text(qwen, ids[start:end]), is_supervised
        start = end


def _goes_on(qwen: QwenInputs, ids: list[int], start: int, end: int) -> bool:
    """Whether the piece that began at `start` takes in the token at `end`."""
    if ids[start] == qwen.image_token_id:
        return ids[end] == qwen.image_token_id
    return qwen.decode(ids[start:end]).endswith(UNFINISHED)


def _text(qwen: QwenInputs, ids: list[int]) -> str:
    if ids[0] == qwen.image_token_id:
        return f"{qwen.decode(ids[:1])} x {len(ids)}"
    return qwen.decode(ids)
