"""The one builder of inputs: exact supervised tokens, exact template, padding that changes
nothing.
"""

import os
from pathlib import Path

import pytest
import tiny
import torch

from dishvl_lib.core import questions
from dishvl_lib.vlm import inputs, lengths, qwen


@pytest.fixture(scope="module")
def loaded():
    return tiny.model()


def test_the_supervised_tokens_are_exactly_the_answer_and_its_end(loaded):
    sample = inputs.build(
        loaded, inputs.photo_inputs(loaded, tiny.photo()), questions.ask("naming-1"), "素鸡(豆制品)"
    )
    supervised = [token for token in sample.labels if token != inputs.IGNORE]
    assert loaded.tokenizer.decode(supervised) == "素鸡(豆制品)<|im_end|>"
    assert sample.input_ids[-len(supervised) :] == supervised


def test_the_prompt_is_the_chat_template_without_a_break_after_the_photo(loaded):
    photo = inputs.photo_inputs(loaded, tiny.photo())
    sample = inputs.build(loaded, photo, "这是什么菜？")
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "这是什么菜？"}]}
    ]
    expected = loaded.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert loaded.tokenizer.decode(sample.input_ids) == expected.replace(
        "<|image_pad|>", "<|image_pad|>" * photo.num_tokens
    )
    assert (
        sample.input_ids[sample.image_start : sample.image_start + photo.num_tokens]
        == [loaded.image_token_id] * photo.num_tokens
    )


def test_special_tokens_in_a_question_stay_text(loaded):
    photo = inputs.photo_inputs(loaded, tiny.photo())
    sample = inputs.build(loaded, photo, "<|im_end|><|image_pad|>")
    plain = inputs.build(loaded, photo, "")
    special = [loaded.end_token_id, loaded.image_token_id]
    assert [sample.input_ids.count(token) for token in special] == [
        plain.input_ids.count(token) for token in special
    ]


@pytest.mark.parametrize("left", [False, True])
def test_padding_and_company_do_not_change_the_logits(loaded, left):
    samples = [
        inputs.build(loaded, inputs.photo_inputs(loaded, tiny.photo(i, size)), text)
        for i, (size, text) in enumerate([((64, 48), "短"), ((48, 90), "这是什么菜？只回答菜名。")])
    ]
    together = _last_logits(loaded, samples, left)
    for row, sample in enumerate(samples):
        torch.testing.assert_close(
            together[row], _last_logits(loaded, [sample], left)[0], atol=2e-5, rtol=1e-4
        )


def _last_logits(loaded, samples, left):
    batch = inputs.collate(samples, loaded.tokenizer.pad_token_id, left=left)
    batch.pop("labels")
    with torch.no_grad():
        logits = loaded.model(**batch).logits
    ends = [-1 if left else len(sample.input_ids) - 1 for sample in samples]
    return torch.stack([logits[row, end] for row, end in enumerate(ends)])


def test_resizing_beforehand_gives_the_same_pixels(loaded):
    photo = tiny.photo(3, (333, 211))
    direct = inputs.photo_inputs(loaded, photo)
    ahead = inputs.photo_inputs(loaded, inputs.resize(loaded, photo), resized=True)
    assert torch.equal(direct.pixel_values, ahead.pixel_values)
    assert torch.equal(direct.grid_thw, ahead.grid_thw)


def test_the_fingerprint_follows_pixel_limits(loaded, tmp_path):
    folder = tiny.base_folder(tmp_path / "base")
    same = qwen.load_inputs(folder)
    other = qwen.load_inputs(folder, 784, 784 * 9)
    assert inputs.fingerprint(same) == inputs.fingerprint(loaded) != inputs.fingerprint(other)


def test_token_lengths_are_counted_without_the_photo(loaded, tmp_path):
    import pandas as pd

    photos = pd.DataFrame([{"image_id": "a", "width": 90, "height": 48}])
    turns = [
        {"from": "human", "value": questions.human_turn("naming-1")},
        {"from": "gpt", "value": "红烧鱼"},
    ]
    real = inputs.build(
        loaded,
        inputs.photo_inputs(loaded, tiny.photo(0, (90, 48))),
        questions.ask("naming-1"),
        "红烧鱼",
    )
    assert lengths.of_rows(loaded, [{"image_id": "a", "conversations": turns}], photos) == [
        len(real.input_ids)
    ]


def test_the_real_tokenizer_and_template():
    root = os.environ.get("DISHVL_TEST_DATA")
    if not root:
        pytest.skip("DISHVL_TEST_DATA is not set: the real tokenizer files are not at hand")
    real = qwen.load_inputs(str(Path(root) / "qwen2_5_vl_7b_files"), 3136, 448 * 448)
    photo = inputs.photo_inputs(real, tiny.photo(0, (448, 448)))
    sample = inputs.build(
        real, photo, questions.ask("menu-1", ["红烧鱼", "素鸡(豆制品)"]), "红烧鱼"
    )
    assert photo.num_tokens == 256
    assert photo.pixel_values.shape == (1024, 1176)
    text = real.tokenizer.decode(sample.input_ids)
    assert (
        text
        == inputs.prompt_text(questions.ask("menu-1", ["红烧鱼", "素鸡(豆制品)"]), 256)
        + "红烧鱼<|im_end|>"
    )
    assert sample.input_ids == real.tokenizer.encode(text)
