"""Question lengths: a question over the limit is refused by name, never cut."""

import pandas as pd
import pytest
import tiny

from dishvl_lib.core import records
from dishvl_lib.vlm import lengths


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rows = records.read_jsonl(tiny.data_set(tmp_path_factory.mktemp("lengths"))["train_file"])
    photos = pd.DataFrame(
        [{"image_id": row["image_id"], "height": 48, "width": 64} for row in rows]
    ).drop_duplicates()
    return tiny.model(), rows, photos


def test_the_longest_allowed_question_passes_and_one_token_less_refuses_it(world):
    loaded, rows, photos = world
    tokens = lengths.of_rows(loaded, rows, photos)
    longest = max(tokens)
    assert lengths.of_rows(loaded, rows, photos, limit=longest) == tokens
    with pytest.raises(lengths.TooLong) as refused:
        lengths.of_rows(loaded, rows, photos, limit=longest - 1)
    over = [row["id"] for row, n in zip(rows, tokens, strict=True) if n == longest]
    assert str(refused.value).startswith(
        f"{len(over)} of {len(rows)} questions have more than "
        f"max_question_tokens={longest - 1} tokens: "
    )
    assert f"{max(over)} ({longest})" in str(refused.value)
