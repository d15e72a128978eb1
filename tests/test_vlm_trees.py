"""The project's most important equality: a tree computes what its questions compute one by one."""

import pytest
import tiny
import torch

from dishvl_lib.core import questions
from dishvl_lib.vlm import freeze, inputs, trees

SIZES = [(64, 48), (40, 90), (120, 56), (56, 56)]


def samples_of(loaded, seed, k, size):
    photo = inputs.photo_inputs(loaded, tiny.photo(seed, size))
    asked = [questions.ask("naming-1"), *(questions.ask(f"menu-{1 + i % 8}", tiny.NAMES[: 2 + i % 4]) for i in range(k))][:k]
    return [inputs.build(loaded, photo, text, tiny.NAMES[(seed + i) % len(tiny.NAMES)]) for i, text in enumerate(asked)]


def plain_loss_and_gradients(loaded, groups):
    """transformers' own model on every question as a sample of its own, the loss over all supervised tokens."""
    model = loaded.model
    model.zero_grad()
    total = sum(sum(label != inputs.IGNORE for label in sample.labels) for group in groups for sample in group)
    loss = 0.0
    for sample in (sample for group in groups for sample in group):
        batch = inputs.collate([sample], 0)
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        rows = labels != inputs.IGNORE
        part = torch.nn.functional.cross_entropy(logits[rows], labels[rows], reduction="sum") / total
        part.backward()
        loss += part.item()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize("way", ["dense", "segments"])
def test_loss_and_every_gradient_equal_the_plain_models(k, photos, way):
    loaded = tiny.model()
    groups = [samples_of(loaded, seed, max(1, k - seed), SIZES[seed]) for seed in range(photos)]
    loss, gradients = plain_loss_and_gradients(loaded, groups)
    trees.bind(loaded.model, way)
    loaded.model.zero_grad()
    ours = loaded.model(**trees.collate([trees.grow(group) for group in groups], 0))["loss"]
    ours.backward()
    assert ours.item() == pytest.approx(loss, abs=1e-5)
    for name, parameter in loaded.model.named_parameters():
        wanted = gradients[name]
        assert (parameter.grad - wanted).norm() <= 1e-5 * wanted.norm() + 1e-9, name


def test_the_trunks_positions_are_transformers(k=3):
    loaded = tiny.model()
    for seed, size in enumerate(SIZES):
        (sample,) = samples_of(loaded, seed, 1, size)
        batch = inputs.collate([sample], 0)
        wanted, _ = loaded.model.model.get_rope_index(batch["input_ids"], batch["mm_token_type_ids"], batch["image_grid_thw"])
        assert torch.equal(trees.grow([sample]).positions, wanted[:, 0])


def test_branches_do_not_see_each_other():
    loaded = tiny.model()
    one, other = samples_of(loaded, 0, 2, SIZES[0])
    changed = inputs.build(loaded, one.photo, "完全不同的问题？", "麻婆豆腐")
    trees.bind(loaded.model)
    with torch.no_grad():
        hidden = [
            loaded.model.model(**_model_inputs(trees.collate([trees.grow([first, other])], 0))).last_hidden_state[0, -len(other.labels) + 24 :]
            for first in (one, changed)
        ]
    n = min(map(len, hidden))
    assert torch.allclose(hidden[0][-n:], hidden[1][-n:], atol=1e-5)


def _model_inputs(batch):
    return {
        **{key: value for key, value in batch.items() if key not in ("labels", "branch")},
        "attention_mask": {"full_attention": trees.mask_of(batch["branch"])},
        "use_cache": False,
    }


def test_the_mask_is_back_only_trunk_and_own_branch():
    mask = trees.mask_of(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert mask == [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 0, 1]]


def test_questions_about_different_photos_are_refused():
    loaded = tiny.model()
    (first,), (second,) = samples_of(loaded, 0, 1, SIZES[1]), samples_of(loaded, 1, 1, SIZES[3])
    with pytest.raises(ValueError, match="one photo at one size"):
        trees.grow([first, second])


def test_a_bound_model_still_saves_and_loads_as_transformers_own(tmp_path):
    loaded = tiny.model()
    freeze.apply(loaded.model, {"visual": True, "merger": True, "language_model": False, "lm_head": False})
    trees.bind(loaded.model)
    loaded.model.save_pretrained(tmp_path)
    from transformers import Qwen2_5_VLForConditionalGeneration

    again, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), again.parameters(), strict=True))
