"""Questions without a photo: they compute what the plain model computes of the text alone, and the
blank photo adds nothing.
"""

import pytest
import tiny
import torch

from dishvl_lib.core import questions
from dishvl_lib.vlm import inputs, text_rows, trees

ASKED = [("红烧鱼是什么菜系？", "麻婆豆腐"), ("它的口味？", "红烧鱼"), ("怎么做？", "番茄炒蛋")]


def plain(loaded, question, answer):
    """Loss summed over the answer, by transformers' own model on the text alone."""
    encode = loaded.tokenizer.encode
    prompt = encode(
        f"<|im_start|>system\n{questions.SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n"
        f"{question}<|im_end|>\n<|im_start|>assistant\n",
        add_special_tokens=False,
    )
    target = inputs.answer_tokens(loaded, answer)
    logits = loaded.model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum"), len(
        target
    )


@pytest.mark.parametrize("k", [1, 3])
def test_loss_and_gradients_are_the_plain_models(k):
    loaded = tiny.model()
    parts = [plain(loaded, *pair) for pair in ASKED[:k]]
    loss = sum(part for part, _ in parts) / sum(n for _, n in parts)
    loss.backward()
    wanted = {
        name: None if p.grad is None else p.grad.clone()
        for name, p in loaded.model.named_parameters()
    }
    loaded.model.zero_grad()
    trees.bind(loaded.model)
    ours = loaded.model(**trees.collate([text_rows.grow(loaded, ASKED[:k])], 0))["loss"]
    ours.backward()
    assert ours.item() == pytest.approx(loss.item(), abs=1e-5)
    for name, parameter in loaded.model.named_parameters():
        if name.startswith("model.visual."):
            assert wanted[name] is None, name
            assert parameter.grad is not None, name
            assert not parameter.grad.any(), name
        else:
            assert (parameter.grad - wanted[name]).norm() <= 1e-5 * wanted[name].norm() + 1e-9, name


def test_supervised_are_the_answers_and_their_ends():
    loaded = tiny.model()
    tree = text_rows.grow(loaded, ASKED)
    supervised = [label for label in tree.labels if label != inputs.IGNORE]
    assert supervised == [
        token for _, answer in ASKED for token in inputs.answer_tokens(loaded, answer)
    ]
    assert tree.input_ids.count(loaded.image_token_id) == tree.photo.num_tokens == 1
    assert tree.input_ids[tree.image_start] == loaded.image_token_id
