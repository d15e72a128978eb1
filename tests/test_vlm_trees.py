"""The project's most important equality: a tree computes what its questions compute one by one."""

import json
import os
from pathlib import Path

import pytest
import tiny
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from dishvl_lib.core import params, questions
from dishvl_lib.vlm import freeze, inputs, qwen, trees

SIZES = [(64, 48), (40, 90), (120, 56), (56, 56)]


def samples_of(loaded, seed, k, size):
    photo = inputs.photo_inputs(loaded, tiny.photo(seed, size))
    wordings = [
        questions.ask("naming-1"),
        *(questions.ask(f"menu-{1 + i % 8}", tiny.NAMES[: 2 + i % 4]) for i in range(k)),
    ][:k]
    return [
        inputs.build(loaded, photo, text, tiny.NAMES[(seed + i) % len(tiny.NAMES)])
        for i, text in enumerate(wordings)
    ]


def plain_loss_and_gradients(loaded, groups):
    """transformers' own model on every question as a sample of its own, the loss over all
    supervised tokens.
    """
    model = loaded.model
    model.zero_grad()
    total = sum(
        sum(label != inputs.IGNORE for label in sample.labels)
        for group in groups
        for sample in group
    )
    loss = 0.0
    for sample in (sample for group in groups for sample in group):
        batch = inputs.collate([sample], 0)
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        rows = labels != inputs.IGNORE
        part = (
            torch.nn.functional.cross_entropy(logits[rows], labels[rows], reduction="sum") / total
        )
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
    check_equal(loaded.model, groups, loss, gradients)


def check_equal(model, groups, loss, gradients):
    model.zero_grad()
    ours = model(**trees.collate([trees.grow(group) for group in groups], 0))["loss"]
    ours.backward()
    assert ours.item() == pytest.approx(loss, abs=1e-5)
    for name, parameter in model.named_parameters():
        wanted = gradients[name]
        assert (parameter.grad - wanted).norm() <= 1e-5 * wanted.norm() + 1e-9, name


@pytest.mark.parametrize("way", ["dense", "segments"])
def test_gradient_checkpointing_changes_nothing(way):
    loaded = tiny.model()
    groups = [samples_of(loaded, seed, 3 - seed, SIZES[seed]) for seed in range(2)]
    loss, gradients = plain_loss_and_gradients(loaded, groups)
    trees.bind(loaded.model, way)
    loaded.model.train()
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    assert loaded.model.model.language_model.layers[0].gradient_checkpointing
    check_equal(loaded.model, groups, loss, gradients)


REAL_FILES = Path(os.environ.get("DISHVL_TEST_DATA", "")) / "qwen2_5_vl_7b_files"


@pytest.fixture(scope="module")
def real():
    """The 7B's tokenizer, template, vocabulary and special tokens, on layers of a toy's width."""
    if not os.environ.get("DISHVL_TEST_DATA"):
        pytest.skip("DISHVL_TEST_DATA is not set: the real tokenizer files are not at hand")
    config = json.loads((REAL_FILES / "config.json").read_text())
    ids = {
        key: config[key]
        for key in (
            "image_token_id",
            "video_token_id",
            "vision_start_token_id",
            "vision_end_token_id",
        )
    }
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"], "mrope_section": [4, 6, 6]}
    text = {
        "vocab_size": config["vocab_size"],
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": rope,
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
    }
    torch.manual_seed(0)
    loaded = qwen.load_inputs(str(REAL_FILES), 3136, 28 * 28 * 12)
    loaded.model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    ).eval()
    return loaded


def official(loaded, photo, question, answer):
    """(input_ids, labels) from the real chat template alone: labels are what follows the generation
    prompt, up to the end token.
    """
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    turns_with_answer = [user, {"role": "assistant", "content": answer}]
    whole, prompt = (
        loaded.tokenizer.apply_chat_template(
            turns, add_generation_prompt=only, tokenize=False
        ).replace("<|image_pad|>", "<|image_pad|>" * photo.num_tokens)
        for turns, only in ((turns_with_answer, False), ([user], True))
    )
    assert whole.startswith(prompt)
    assert whole.endswith("<|im_end|>\n")
    ids = loaded.tokenizer.encode(whole)
    start = len(loaded.tokenizer.encode(prompt))
    return ids, [inputs.IGNORE] * start + ids[start:-1] + [inputs.IGNORE]


def test_trees_equal_the_real_chat_template_token_by_token_and_in_every_gradient(real):
    """Ours end at `<|im_end|>`; the template's own line break after it is predicted by nothing and
    sees no label.
    """
    groups = []
    total = 0
    loss = 0.0
    menus = [(), ("红烧鱼", "素鸡(豆制品)"), ("鱼香肉丝", "GX4_6", "凉拌鸡胗")]
    real.model.zero_grad()
    for seed, size in enumerate([(90, 60), (60, 120)]):
        photo = inputs.photo_inputs(real, tiny.photo(seed, size))
        pairs = [
            (
                questions.ask(f"{'menu' if menu else 'naming'}-{1 + seed}", menu),
                (menu or ("麻婆豆腐",))[-1],
            )
            for menu in menus[seed:]
        ]
        groups.append([inputs.build(real, photo, question, answer) for question, answer in pairs])
        for sample, (question, answer) in zip(groups[-1], pairs, strict=True):
            ids, labels = official(real, photo, question, answer)
            assert sample.input_ids == ids[:-1]
            assert sample.labels == labels[:-1]
            assert (
                real.tokenizer.decode([label for label in labels if label != inputs.IGNORE])
                == f"{answer}<|im_end|>"
            )
            batch = inputs.collate(
                [inputs.Sample(ids, labels, photo, sample.image_start)], real.tokenizer.pad_token_id
            )
            count = sum(label != inputs.IGNORE for label in labels)
            part = real.model(**batch).loss * count
            part.backward()
            loss = loss + part.item()
            total = total + count
    gradients = {name: p.grad / total for name, p in real.model.named_parameters()}
    for way in ("dense", "segments"):
        trees.bind(real.model, way)
        check_equal(real.model, groups, loss / total, gradients)


def test_the_way_of_attention_is_dense_on_a_cpu_unless_asked_otherwise(monkeypatch):
    loaded = tiny.model()
    batch = trees.collate([trees.grow(samples_of(loaded, 0, 2, SIZES[0]))], 0)
    masks = []
    make = trees.mask_of
    monkeypatch.setattr(trees, "mask_of", lambda branch: masks.append(way) or make(branch))
    for way in params.TREE_ATTENTION:
        trees.bind(loaded.model, way)
        loaded.model(**batch)
    assert masks == ["auto", "dense"]
    with pytest.raises(
        ValueError, match="tree_attention is 'flash'; give one of auto, dense, segments"
    ):
        trees.bind(loaded.model, "flash")


def test_segments_are_read_from_the_branch_numbers():
    assert trees.segments_of(torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, 1, -1, -1]])) == [
        [3, 1, 2],
        [1, 3],
    ]


def test_the_trunks_positions_are_transformers(k=3):
    loaded = tiny.model()
    for seed, size in enumerate(SIZES):
        (sample,) = samples_of(loaded, seed, 1, size)
        batch = inputs.collate([sample], 0)
        wanted, _ = loaded.model.model.get_rope_index(
            batch["input_ids"], batch["mm_token_type_ids"], batch["image_grid_thw"]
        )
        assert torch.equal(trees.grow([sample]).positions, wanted[:, 0])


def test_branches_do_not_see_each_other():
    loaded = tiny.model()
    sample, other = samples_of(loaded, 0, 2, SIZES[0])
    changed = inputs.build(loaded, sample.photo, "完全不同的问题？", "麻婆豆腐")
    trees.bind(loaded.model)
    with torch.no_grad():
        hidden = [
            loaded.model.model(
                **_model_inputs(trees.collate([trees.grow([first, other])], 0))
            ).last_hidden_state[0, -len(other.labels) + 24 :]
            for first in (sample, changed)
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
    assert mask == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_questions_about_different_photos_are_refused():
    loaded = tiny.model()
    (first,) = samples_of(loaded, 0, 1, SIZES[1])
    (second,) = samples_of(loaded, 1, 1, SIZES[3])
    with pytest.raises(ValueError, match="one photo at one size"):
        trees.grow([first, second])


def test_a_bound_model_still_saves_and_loads_as_transformers_own(tmp_path):
    loaded = tiny.model()
    freeze.apply(
        loaded.model, {"visual": True, "merger": True, "language_model": False, "lm_head": False}
    )
    trees.bind(loaded.model)
    loaded.model.save_pretrained(tmp_path)
    from transformers import Qwen2_5_VLForConditionalGeneration

    again, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert trees.ATTENTION not in (tmp_path / "config.json").read_text()
    assert again.config.text_config._attn_implementation == "sdpa"
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert all(
        torch.equal(a, b)
        for a, b in zip(loaded.model.parameters(), again.parameters(), strict=True)
    )
