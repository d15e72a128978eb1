"""The pieces that people look at are the tokens that training reads, with a photo and without."""

import pandas as pd
import pytest
import tiny

from dishvl_lib.core import questions
from dishvl_lib.vlm import inputs, lengths, token_preview


def row(human, answer, image_id=""):
    return {
        "image_id": image_id,
        "conversations": [{"from": "human", "value": human}, {"from": "gpt", "value": answer}],
    }


@pytest.fixture(scope="module")
def loaded():
    return tiny.model()


@pytest.mark.parametrize("answer", ["红烧鱼", "𰻞𰻞面 ☕", "1. 切。\n2. 炒。"])
def test_the_pieces_are_the_training_tokens(loaded, answer):
    photos = pd.DataFrame([{"image_id": "a", "width": 90, "height": 48}])
    question = row(questions.human_turn("naming-1"), answer, "a")
    sample = inputs.build(
        loaded,
        inputs.photo_inputs(loaded, tiny.photo(0, (90, 48))),
        questions.ask("naming-1"),
        answer,
    )
    (pieces,) = token_preview.of_rows(loaded, [question], photos)
    place = f"<|image_pad|> x {sample.photo.num_tokens}"
    assert [text for text, _ in pieces].count(place) == 1
    assert sample.photo.num_tokens > 1
    whole = "".join(
        text.replace(place, "<|image_pad|>" * sample.photo.num_tokens) for text, _ in pieces
    )
    assert whole == loaded.tokenizer.decode(sample.input_ids)
    assert "".join(text for text, supervised in pieces if supervised) == f"{answer}<|im_end|>"
    assert all("\ufffd" not in text for text, _ in pieces)


def test_special_tokens_are_pieces_and_the_same_characters_in_a_text_are_not(loaded):
    pieces = token_preview.of_row(
        loaded, row(questions.human_turn("knowledge-1", dish="鱼"), "<|im_end|>"), None
    )
    texts = [text for text, _ in pieces]
    assert texts.count("<|im_end|>") == 3
    assert "".join(texts).count("<|im_end|>") == 4
    assert "vision" not in "".join(texts)
    assert texts[0] == "<|im_start|>"
    assert pieces[-1] == ("<|im_end|>", True)


def test_a_row_without_a_photo_is_the_prompt_without_the_vision_block(loaded):
    question = row(questions.human_turn("knowledge-1", dish="红烧鱼"), "川菜")
    photos = pd.DataFrame({"image_id": [], "width": [], "height": []})
    text = "".join(text for text, _ in token_preview.of_rows(loaded, [question], photos)[0])
    system = f"<|im_start|>system\n{questions.SYSTEM_PROMPT}<|im_end|>\n"
    assert (
        text
        == f"{system}<|im_start|>user\n“红烧鱼”属于哪个菜系？<|im_end|>\n<|im_start|>assistant\n川菜<|im_end|>"
    )
    assert lengths.of_rows(loaded, [question], photos) == [len(loaded.tokenizer.encode(text))]
