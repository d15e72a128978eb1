"""Lean layers: the same numbers as transformers' own, and only inputs kept for the backward
pass.
"""

import copy

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from dishvl_lib.core import questions
from dishvl_lib.training import lora
from dishvl_lib.vlm import freeze, inputs, saved_activations, trees

TRAINED = {"visual": True, "merger": True, "language_model": False, "lm_head": False}
EVERYTHING = dict.fromkeys(TRAINED, True)


def batch_of(loaded):
    """Two photos of different sizes, so that the windows of the vision tower are ragged."""
    photos = [
        inputs.photo_inputs(loaded, tiny.photo(seed, size))
        for seed, size in enumerate([(64, 48), (120, 56)])
    ]
    samples = [
        inputs.build(loaded, photo, questions.ask(f"naming-{n}"), name)
        for n, (photo, name) in enumerate(zip(photos, tiny.NAMES, strict=False), start=1)
    ]
    return inputs.collate(samples, loaded.tokenizer.pad_token_id)


def adapters(model):
    torch.manual_seed(0)
    adapted = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=4, target_modules=f"({lora.LANGUAGE})|({lora.VISION})")
    )
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)  # zero at first, which would hide lora_A's gradient
    return adapted


def loss_and_gradients(model, batch):
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.item(), {
        name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["vision", "everything", "lora"])
def test_loss_and_every_gradient_stay_the_same(kind, checkpointing):
    loaded = tiny.model()
    freeze.apply(loaded.model, EVERYTHING if kind == "everything" else TRAINED)
    model = (adapters(loaded.model) if kind == "lora" else loaded.model).train()
    batch = batch_of(loaded)
    loss, gradients = loss_and_gradients(model, batch)
    if checkpointing:
        loaded.model.activation_checkpointing_enable({"use_reentrant": False})
        assert loaded.model.model.visual.blocks[0].gradient_checkpointing
        assert loaded.model.model.language_model.layers[0].gradient_checkpointing
    saved_activations.bind(model)
    ours, ours_gradients = loss_and_gradients(model, batch)
    assert ours == pytest.approx(loss, abs=1e-5)
    assert ours_gradients.keys() == gradients.keys()
    assert len(gradients) >= {"vision": 20, "everything": 40, "lora": 40}[kind]
    for name, wanted in gradients.items():
        assert (ours_gradients[name] - wanted).norm() <= 1e-5 * wanted.norm() + 1e-9, name


def kept_bytes(module, run) -> int:
    """Bytes of the distinct storages that autograd keeps, the module's parameters not counted."""
    seen = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def keep(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(storage.nbytes() for address, storage in seen.items() if address not in weights)


def test_a_trained_vision_block_keeps_six_rows_of_its_width_and_two_of_its_inner_width():
    """Both norms' inputs, query, key, value and what attention gives; gate and up. Nothing else, to
    the byte.
    """
    model = tiny.model().model.train()
    block = model.model.visual.blocks[0]
    width = 32
    inner = 96
    patches = 64
    hidden = torch.randn(patches, width, requires_grad=True)
    where = {
        "cu_seqlens": torch.tensor([0, 16, 32, 48, 64]),
        "position_embeddings": (torch.randn(patches, 32), torch.randn(patches, 32)),
    }
    plain = kept_bytes(block, lambda: block(hidden + 0, **where))
    saved_activations.bind(model)
    per_patch = 6 * width + 2 * inner + 3  # the norms' two scales, the attention's logsumexp
    angles = 2 * patches * width
    assert (
        kept_bytes(block, lambda: block(hidden + 0, **where))
        == 4 * (patches * per_patch + angles)
        < 0.55 * plain
    )


def test_a_frozen_language_layers_mlp_keeps_gate_and_up_alone():
    model = tiny.model().model.train()
    layer = model.model.language_model.layers[0].mlp.requires_grad_(False)
    saved_activations.bind(model)
    hidden = torch.randn(1, 50, 32, requires_grad=True)
    assert kept_bytes(layer, lambda: layer(hidden)) == 4 * 50 * 2 * 96


def test_generation_is_the_same_to_the_bit():
    loaded = tiny.model()
    samples = [
        inputs.build(loaded, inputs.photo_inputs(loaded, tiny.photo(n)), questions.ask("naming-1"))
        for n in range(2)
    ]
    batch = inputs.collate(samples, loaded.tokenizer.pad_token_id, left=True)
    batch.pop("labels")
    options = {
        "max_new_tokens": 8,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    plain = loaded.model.generate(**batch, **options)
    saved_activations.bind(loaded.model)
    loaded.model.config.text_config._attn_implementation = trees.ATTENTION
    ours = loaded.model.generate(**batch, **options)
    assert torch.equal(plain.sequences, ours.sequences)
    assert plain.sequences.shape[1] > batch["input_ids"].shape[1]
    assert all(
        torch.equal(first, second) for first, second in zip(plain.logits, ours.logits, strict=True)
    )


def test_a_bound_model_can_be_copied_and_the_copy_is_its_own():
    loaded = tiny.model()
    saved_activations.bind(loaded.model)
    other = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    batch = batch_of(loaded)
    assert loaded.model(**batch).loss != other(**batch).loss


def test_under_autocast_with_float32_weights_the_gradients_are_as_near_as_transformers():
    """What training in bfloat16 does: bfloat16 computing, float32 weights. The yardstick is the
    float32 gradient.
    """
    loaded = tiny.model()
    freeze.apply(loaded.model, TRAINED)
    loaded.model.train()
    batch = batch_of(loaded)
    _, exact = loss_and_gradients(loaded.model, batch)
    apart = []
    for bind in (lambda model: None, saved_activations.bind):
        bind(loaded.model)
        with torch.autocast("cpu", torch.bfloat16):
            _, gradients = loss_and_gradients(loaded.model, batch)
        assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
        apart.append(
            torch.stack(
                [
                    (gradients[name] - wanted).norm() / wanted.norm()
                    for name, wanted in exact.items()
                ]
            ).median()
        )
    assert apart[1] <= 1.25 * apart[0]


def test_windows_in_one_call_are_windows_one_by_one():
    """Photos of several sizes in one batch, with windows that are cut at the edge."""
    loaded = tiny.model()
    photos = [
        inputs.photo_inputs(loaded, tiny.photo(seed, size))
        for seed, size in enumerate([(64, 48), (150, 40), (120, 120), (56, 56)])
    ]
    pixels = torch.cat([photo.pixel_values for photo in photos])
    grid = torch.stack([photo.grid_thw for photo in photos])
    with torch.no_grad():
        plain = loaded.model.model.visual(pixels, grid).pooler_output
        saved_activations.batch_windows(loaded.model)
        assert torch.allclose(
            loaded.model.model.visual(pixels, grid).pooler_output, plain, atol=1e-5
        )
