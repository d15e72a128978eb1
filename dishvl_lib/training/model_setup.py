"""The model as it trains: exactly the asked-for parts, their precision, what is computed twice.

The parts are those of `vlm.freeze` or LoRA adapters.
"""

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from dishvl_lib.core.types import Record
from dishvl_lib.training import lora
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import freeze


def trainable(
    base: Qwen2_5_VLForConditionalGeneration, config: TrainingConfig
) -> tuple[torch.nn.Module, Record]:
    """(`base`, or around it its adapters, ready to train; trainable.json's content).

    Works on the meta device too. In bfloat16 without DeepSpeed the trained weights are kept in
    float32 (autocast computes in bfloat16): a step of 1e-6 is lost in bfloat16's 8 bits. DeepSpeed
    keeps such a copy itself.
    """
    model: torch.nn.Module = base
    if config.lora_rank:
        model = lora.attach(base, config)
        report = lora.contract(model, config)
    else:
        freeze.apply(base, config.train_groups)
        report = freeze.contract(base, config.learning_rates, config.weight_decay)
    if config.dtype == "bfloat16" and not config.deepspeed:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    parts: Record = {"vision": base.model.visual, "language": base.model.language_model}
    for name, part in parts.items():
        if config.gradient_checkpointing in (name, "both"):
            # Each part separately, not reentrant: so every gradient was measured to stay unchanged.
            part.activation_checkpointing_enable({"use_reentrant": False})
    return model, report
