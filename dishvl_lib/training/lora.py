"""LoRA as the way for small GPUs: adapters by peft, merged into `best/`.

Nobody needs peft to use the model.
"""

from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from dishvl_lib.core.types import Record, Records
from dishvl_lib.training.config import TrainingConfig

LANGUAGE = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
VISION = r".*visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj)"


def attach(model: torch.nn.Module, config: TrainingConfig) -> PeftModel:
    """Adapters of rank `lora_rank` on the language layers' linears.

    With `lora_vision` on the vision tower's attention and MLP too. (For the 7B at rank 64: 1.95% of
    the parameters, 2.49% with vision.)
    """
    pattern = f"({LANGUAGE})|({VISION})" if config.lora_vision else LANGUAGE
    return get_peft_model(
        model,
        LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha or config.lora_rank,
            target_modules=pattern,
        ),
    )


def contract(model: torch.nn.Module, config: TrainingConfig) -> Record:
    """trainable.json for adapters: counts, rank, learning rate."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    groups = {
        "lora": {
            "parameters": trained,
            "trained": True,
            "learning_rate": config.learning_rate,
            "rank": config.lora_rank,
            "vision": config.lora_vision,
        }
    }
    return {
        "groups": groups,
        "parameters": total,
        "trained_parameters": trained,
        "trained_share": round(trained / total, 6),
        "weight_decay": config.weight_decay,
    }


def optimizer_groups(model: torch.nn.Module, config: TrainingConfig) -> Records:
    """One AdamW group of all adapters."""
    return [
        {
            "params": [p for p in model.parameters() if p.requires_grad],
            "lr": config.learning_rate,
            "weight_decay": config.weight_decay,
            "name": "lora/decay",
        }
    ]


def merge(model: PeftModel) -> Any:
    """The base model with the adapters added to its weights."""
    return model.merge_and_unload()
