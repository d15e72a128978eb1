"""What `best/` and LoRA would be for the 7B, on the meta device: the public names, the published
counts.
"""

import os
from pathlib import Path

import pytest
import tiny
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.core_model_loading import revert_weight_conversion

from dishvl_lib.training import lora
from dishvl_lib.training.config import TrainingConfig

LAYER = (
    "self_attn.q_proj.weight",
    "self_attn.q_proj.bias",
    "self_attn.k_proj.weight",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.weight",
    "self_attn.v_proj.bias",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
)
BLOCK = (
    "norm1.weight",
    "norm2.weight",
    "attn.qkv.weight",
    "attn.qkv.bias",
    "attn.proj.weight",
    "attn.proj.bias",
    "mlp.gate_proj.weight",
    "mlp.gate_proj.bias",
    "mlp.up_proj.weight",
    "mlp.up_proj.bias",
    "mlp.down_proj.weight",
    "mlp.down_proj.bias",
)
PUBLIC = {
    *(f"model.layers.{n}.{name}" for n in range(28) for name in LAYER),
    *(f"visual.blocks.{n}.{name}" for n in range(32) for name in BLOCK),
    *(
        "model.embed_tokens.weight",
        "model.norm.weight",
        "lm_head.weight",
        "visual.patch_embed.proj.weight",
        "visual.merger.ln_q.weight",
    ),
    *(f"visual.merger.mlp.{n}.{name}" for n in (0, 2) for name in ("weight", "bias")),
}


@pytest.fixture
def model():
    root = os.environ.get("DISHVL_TEST_DATA")
    if not root:
        pytest.skip("DISHVL_TEST_DATA is not set: the 7B's configuration is not at hand")
    with torch.device("meta"):
        return Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig.from_pretrained(Path(root) / "qwen2_5_vl_7b_files")
        )


def adapters(vision):
    places = dict.fromkeys(
        ("base_model", "image_root", "train_file", "validation_file", "output_folder"), "x"
    )
    return TrainingConfig(**tiny.TRAINING, **places, lora_rank=64, lora_vision=vision)


def test_the_names_that_best_would_hold_are_the_public_ones(model):
    assert set(revert_weight_conversion(model, model.state_dict())) == PUBLIC
    assert len(PUBLIC) == 729


@pytest.mark.parametrize(
    ("vision", "trained", "share"), [(True, 206_086_144, 0.0249), (False, 161_480_704, 0.0195)]
)
def test_loras_share_of_the_7b(model, vision, trained, share):
    config = adapters(vision)
    report = lora.contract(lora.attach(model, config), config)
    assert report["trained_parameters"] == trained
    assert trained / (report["parameters"] - trained) == pytest.approx(share, abs=5e-5)


def test_merged_adapters_leave_the_public_names(model):
    config = adapters(True)
    assert (
        set(revert_weight_conversion(model, lora.merge(lora.attach(model, config)).state_dict()))
        == PUBLIC
    )
