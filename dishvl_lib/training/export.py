"""`best/`: the best checkpoint as a Hugging Face folder that transformers loads as it is."""

import shutil
from pathlib import Path

import torch
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from dishvl_lib.core import records
from dishvl_lib.training import checkpoints, lora
from dishvl_lib.training.config import PLACES, TrainingConfig
from dishvl_lib.vlm import freeze, inputs, qwen
from dishvl_lib.vlm.recognizer import METADATA


def write_best(config: TrainingConfig, checkpoint: Path) -> Path:
    """`best/`: base weights with the checkpoint's tensors in them (adapters merged).

    Beside them tokenizer with chat template, image processor with the training's pixel limits,
    generation config, and dishvl.json with the resolved parameters. Raises `CheckpointError` for a
    damaged checkpoint.
    """
    problem = checkpoints.damage(checkpoint)
    if problem:
        raise checkpoints.CheckpointError(
            f"best/ cannot be made of {checkpoint}: {problem}; {checkpoints.RESTORE}"
        )
    unset_hf_deepspeed_config()  # or the weights would be loaded in ZeRO-3's shards again
    loaded = qwen.load(
        config.base_model,
        min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
        dtype=config.dtype,
    )
    if config.lora_rank:
        model = lora.attach(loaded.model, config)
        checkpoints.load_trained(model, checkpoint)
        loaded.model = lora.merge(model).to(getattr(torch, config.dtype))
    else:
        freeze.apply(loaded.model, config.train_groups)
        checkpoints.load_trained(loaded.model, checkpoint)
    folder = Path(config.output_folder)
    part = folder / ".best.part"
    shutil.rmtree(part, ignore_errors=True)
    qwen.save(loaded, part)
    records.write_json(part / METADATA, metadata(config, loaded, checkpoint.name))
    shutil.rmtree(folder / "best", ignore_errors=True)
    part.rename(folder / "best")
    return folder / "best"


def metadata(config: TrainingConfig, loaded: qwen.Qwen, checkpoint: str) -> dict:
    """dishvl.json: the input fingerprint that a load is checked against, and what made the model.

    Temperature 1 until `vlm.calibration` has fitted one.
    """
    of_this_machine = {*PLACES, "deepspeed", "hostfile"}
    parameters = {
        key: value for key, value in config.model_dump().items() if key not in of_this_machine
    }
    return {
        "input_fingerprint": inputs.fingerprint(loaded),
        "input_fingerprint_version": inputs.FINGERPRINT_VERSION,
        "crop_margin": config.crop_margin or None,
        "min_pixels": config.min_pixels,
        "max_pixels": config.max_pixels,
        "temperature": 1.0,
        "checkpoint": checkpoint,
        "base_model": config.base_model,
        "parameters": parameters,
    }
