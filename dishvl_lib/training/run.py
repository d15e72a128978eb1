"""The training process: load, freeze, train, resume, and leave `best/` behind."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from dishvl_lib.core import images, records
from dishvl_lib.training import checkpoints, lora
from dishvl_lib.training.config import TrainingConfig, read
from dishvl_lib.training.data import DataError, QuestionTrees, collator
from dishvl_lib.training.trainer import STOP, Contract, DishTrainer, StopFile, TrainingStopped
from dishvl_lib.vlm import freeze, inputs, qwen, trees
from dishvl_lib.vlm.recognizer import METADATA

STOPPED = 3  # exit status when `dishvl stop` ended the run
EXPECTED = (
    qwen.ModelError,
    freeze.ContractError,
    DataError,
    images.ImageError,
    TrainingStopped,
    checkpoints.CheckpointError,
    records.RecordError,
    ValueError,
    OSError,
)


def main(config_file: str) -> int:
    """0 when `best/` is written, STOPPED after `dishvl stop`, 1 with one sentence on stderr when it cannot go on."""
    try:
        config = read(config_file)
        return train(config)
    except EXPECTED as error:
        print(f"training cannot go on: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1


def train(config: TrainingConfig) -> int:
    """Train as configured, from the newest whole checkpoint if there is one."""
    folder = Path(config.output_folder)
    set_seed(config.seed)
    arguments = training_arguments(config)  # before the model: ZeRO-3 partitions while loading
    loaded = qwen.load(config.base_model, min_pixels=config.min_pixels, max_pixels=config.max_pixels, dtype=config.dtype)
    model, report = prepare(loaded, config)
    announce(report, folder)
    trees.bind(loaded.model)
    rows = {"image_root": config.image_root, "qwen": loaded, "questions_per_photo": config.questions_per_photo, "photo_cache_mb": config.photo_cache_mb}
    train_rows = QuestionTrees(config.train_file, augmentation=config.photo_augmentation, **rows)
    validation_rows = QuestionTrees(config.validation_file, **rows)
    config_hash = data_hash(config)
    trainer = DishTrainer(
        model=model, args=arguments, train_dataset=train_rows, eval_dataset=validation_rows, data_collator=collator(loaded.tokenizer.pad_token_id),
        callbacks=[Contract(model), StopFile(folder)], config=config, config_hash=config_hash,
    )  # fmt: skip
    last = checkpoints.newest(folder / "checkpoints", config_hash)
    print(f"resuming from {last.name}" if last else "starting from the base model", flush=True)
    before = freeze.frozen_hash(model) if not config.deepspeed else ""
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if not config.deepspeed and freeze.frozen_hash(model) != before:
        raise freeze.ContractError("a frozen parameter has changed during training")
    stopped = (folder / STOP).exists()
    if stopped:
        print("stopped on request; running the stage again goes on from here", flush=True)
    elif trainer.is_world_process_zero():
        export_best(config, Path(trainer.state.best_model_checkpoint or checkpoints.newest(folder / "checkpoints", config_hash)))
    trainer.accelerator.wait_for_everyone()
    return STOPPED if stopped else 0


def prepare(loaded: qwen.Qwen, config: TrainingConfig) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The model with exactly the asked-for parts trainable (or LoRA adapters), and its contract.

    In bfloat16 without DeepSpeed the trained weights are kept in float32 (autocast computes in bfloat16): a step of
    1e-6 is lost in bfloat16's 8 bits. DeepSpeed keeps such a copy itself.
    """
    if config.lora_rank:
        model = lora.attach(loaded.model, config)
        report = lora.contract(model, config)
    else:
        freeze.apply(loaded.model, config.train_groups)
        model, report = loaded.model, freeze.contract(loaded.model, config.learning_rates, config.weight_decay)
    if config.dtype == "bfloat16" and not config.deepspeed:
        for parameter in model.parameters():
            parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    return model, report


def announce(report: dict[str, Any], folder: Path) -> None:
    """Store and print what trains, once."""
    if int(os.environ.get("RANK", 0)) == 0:
        records.write_json(folder / "trainable.json", report)
        print(f"training {report['trained_parameters']:,} of {report['parameters']:,} parameters ({report['trained_share']:.2%})", flush=True)


def training_arguments(config: TrainingConfig) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(Path(config.output_folder) / "checkpoints"),
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_ratio,
        max_grad_norm=config.max_grad_norm,
        weight_decay=config.weight_decay,
        bf16=config.dtype == "bfloat16",
        deepspeed=config.deepspeed or None,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=config.keep_checkpoints,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=config.dataloader_num_workers,
        prediction_loss_only=True,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=config.use_cpu,
        seed=config.seed,
    )


def data_hash(config: TrainingConfig) -> str:
    """What a checkpoint belongs to: data, base model and every parameter that shapes the optimisation."""
    free = {"output_folder", "image_root", "photo_cache_mb", "dataloader_num_workers", "logging_steps", "keep_checkpoints", "per_device_eval_batch_size"}
    parts = {key: value for key, value in config.model_dump().items() if key not in free}
    files = {name: records.sha256_file(getattr(config, name)) for name in ("train_file", "validation_file")}
    return records.fingerprint({**parts, **files})


def export_best(config: TrainingConfig, checkpoint: Path) -> None:
    """`best/`: a complete Hugging Face folder with the checkpoint's tensors in the base model, plus dishvl.json."""
    unset_hf_deepspeed_config()  # or the weights would be loaded in ZeRO-3's shards again
    loaded = qwen.load(config.base_model, min_pixels=config.min_pixels, max_pixels=config.max_pixels, dtype=config.dtype)
    model, _ = prepare(loaded, config)
    checkpoints.load_trained(model, checkpoint)
    loaded.model = (lora.merge(model) if config.lora_rank else model).to(getattr(torch, config.dtype))
    folder = Path(config.output_folder)
    part = folder / ".best.part"
    shutil.rmtree(part, ignore_errors=True)
    qwen.save(loaded, part)
    metadata = {"input_fingerprint": inputs.fingerprint(loaded), "min_pixels": config.min_pixels, "max_pixels": config.max_pixels, "temperature": 1.0,
                "checkpoint": checkpoint.name, "base_model": config.base_model}  # fmt: skip
    records.write_json(part / METADATA, metadata)
    shutil.rmtree(folder / "best", ignore_errors=True)
    part.rename(folder / "best")
    print(f"best checkpoint {checkpoint.name} written to {folder / 'best'}", flush=True)
