"""The training process: load, freeze, train, resume, and leave `best/` behind."""

import gc
import json
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback

from dishvl_lib.core import images, params, records
from dishvl_lib.core.parameter import Role
from dishvl_lib.core.types import Record
from dishvl_lib.training import (
    checkpoints,
    device,
    export,
    launch,
    model_setup,
    outcome,
    reporting,
)
from dishvl_lib.training.callbacks import (
    Contract,
    LastValidation,
    Patience,
    StopFile,
    TrainingStopped,
)
from dishvl_lib.training.config import PLACES, STAGE, TrainingConfig, read
from dishvl_lib.training.data import DataError, QuestionTrees, collator
from dishvl_lib.training.heartbeat import Heartbeat
from dishvl_lib.training.trainer import DishTrainer
from dishvl_lib.training.validation import Validation
from dishvl_lib.vlm import freeze, patch_product, qwen, trees

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
    """0 when `best/` is written, STOPPED after `dishvl stop`.

    1 with one sentence on stderr when it cannot go on.
    """
    folder = Path(config_file).parent
    try:
        config = read(config_file)
        folder = Path(config.output_folder)
        return train(config)
    except EXPECTED as error:
        return launch.refuse(error, folder)


def train(config: TrainingConfig) -> int:
    """Train as configured, from the newest whole checkpoint if there is one."""
    folder = Path(config.output_folder)
    beat = Heartbeat(folder)
    beat("loading the model")
    trainer = begin(config)
    resume_from = trainer.newest_checkpoint()
    if resume_from:
        checkpoints.check_best(resume_from)
    if trainer.is_world_process_zero():
        announce_start(resume_from, folder)
    if not (resume_from and patience_spent(config, resume_from)):
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    destroy_process_group()
    if launch.asked_to_stop(folder):
        outcome.end(folder, outcome.STOPPED)
        print("stopped on request; running the stage again goes on from here", flush=True)
        return STOPPED
    if not trainer.is_world_process_zero():
        return 0
    step = best_step(trainer, resume_from)
    checkpoint = trainer.folder / f"checkpoint-{step}"
    del trainer
    # the trained model and its optimizer go before the base model is loaded a second time
    gc.collect()
    beat("writing best/")
    best = export.write_best(config, checkpoint)
    print(
        f"best checkpoint, by {config.metric_for_best_model}: step {step}; written to {best}",
        flush=True,
    )
    return 0


def announce_start(resume_from: Path | None, folder: Path) -> None:
    """Say where the training starts, and drop what it will write again."""
    if resume_from:
        print(f"resuming from {resume_from.name}", flush=True)
        step = int(resume_from.name.split("-")[1])
    else:
        print("starting from the base model", flush=True)
        step = 0
    forget_after(folder / launch.METRICS, step)


def best_step(trainer: DishTrainer, resume_from: Path | None) -> int | None:
    """The step of the best validation; of the checkpoint's, where nothing was left to train."""
    if trainer.state.best_global_step or resume_from is None:
        return trainer.state.best_global_step
    return records.read_json(resume_from / checkpoints.STATE)["best_global_step"]


def destroy_process_group() -> None:
    """Leave the group of processes, all at once.

    A process that exits while still in the group can abort and take the others with it, and with
    them `best/`.
    """
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def patience_spent(config: TrainingConfig, checkpoint: Path) -> bool:
    """Whether a training had ended by early stopping here: only `best/` is left to make."""
    state = records.read_json(checkpoint / checkpoints.STATE)
    counted = Patience.counted(state["stateful_callbacks"])
    return 0 < config.early_stopping_patience <= counted


def begin(config: TrainingConfig) -> DishTrainer:
    """The trainer, on a device that can bear it; with DeepSpeed among the launched processes."""
    device.require(config)
    if _first_process():
        reporting.prepare(config)
    set_seed(config.seed)
    arguments = training_arguments(config)  # before the model: ZeRO-3 partitions while loading
    if config.deepspeed:
        import deepspeed

        # or it would count one process while partitioning
        deepspeed.init_distributed("gloo" if config.use_cpu else None)
    return build(config, arguments)


def build(config: TrainingConfig, arguments: TrainingArguments) -> DishTrainer:
    """The trainer with its model, question trees, contract and validation."""
    folder = Path(config.output_folder)
    loaded = qwen.load(
        config.base_model,
        min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
        dtype=config.dtype,
    )
    model, report = model_setup.trainable(loaded.model, config)
    announce(report, folder)
    trees.bind(loaded.model, config.tree_attention)
    patch_product.bind(loaded.model)
    train_rows, validation_rows = question_trees(config, loaded)
    check_metric(config, validation_rows)
    validation = Validation(
        loaded,
        validation_rows.rows,
        Path(config.image_root),
        most=config.validation_questions,
        batch_size=config.per_device_eval_batch_size,
        seed=config.seed,
        beat=Heartbeat(folder),
    )
    return DishTrainer(
        model=model,
        args=arguments,
        train_dataset=train_rows,
        eval_dataset=validation_rows,
        data_collator=collator(loaded.tokenizer.pad_token_id),
        callbacks=watchers(config, model, report),
        config=config,
        belongs=belongs(config),
        validation=validation,
    )


def question_trees(
    config: TrainingConfig, loaded: qwen.QwenInputs
) -> tuple[QuestionTrees, QuestionTrees]:
    """(training rows, validation rows); those of validation are never augmented nor read fast."""
    common: Record = {
        "image_root": config.image_root,
        "qwen": loaded,
        "questions_per_photo": config.questions_per_photo,
        "photo_cache_mb": config.photo_cache_mb,
    }
    train_rows = QuestionTrees(
        config.train_file,
        augmentation=config.photo_augmentation,
        view_strength=config.view_strength,
        photo_decoding=config.photo_decoding,
        seed=config.seed,
        **common,
    )
    return train_rows, QuestionTrees(config.validation_file, **common)


def watchers(
    config: TrainingConfig, model: torch.nn.Module, report: Record
) -> list[TrainerCallback]:
    """The callbacks: contract, stop file, last validation, TensorBoard and, if asked, patience."""
    folder = Path(config.output_folder)
    rates = {"lora": config.learning_rate} if config.lora_rank else config.learning_rates
    callbacks: list[TrainerCallback] = [
        Contract(model, report, rates, config.max_grad_norm),
        StopFile(folder),
        LastValidation(),
        board(folder),
    ]
    if config.early_stopping_patience:
        callbacks.append(Patience(config.early_stopping_patience))
    return callbacks


def check_metric(config: TrainingConfig, rows: QuestionTrees) -> None:
    """Raise `DataError` when no validation question can be measured by metric_for_best_model.

    Better now than after an epoch.
    """
    kind = config.metric_for_best_model.removesuffix("_accuracy")
    measurable = {row["kind"] for row in rows.rows if row.get("image")}
    if kind != "loss" and kind not in measurable:
        raise DataError(
            f"{rows.file} holds no {kind} question, which metric_for_best_model: "
            f"{config.metric_for_best_model} needs; set it to loss"
        )


def announce(report: Record, folder: Path) -> None:
    """Store and print what trains, once."""
    if not _first_process():
        return
    records.write_json(folder / "trainable.json", report)
    for name, group in report["groups"].items():
        state = f"trained at {group['learning_rate']:g}" if group["trained"] else "frozen"
        print(f"{name:<15}{group['parameters']:>15,} parameters  {state}", flush=True)
    print(
        f"training {report['trained_parameters']:,} of {report['parameters']:,} "
        f"parameters ({report['trained_share']:.2%})",
        flush=True,
    )


def board(folder: Path) -> TensorBoardCallback:
    """TensorBoard's files, in `tensorboard/`, written by the first process only."""
    writer = SummaryWriter(str(folder / launch.BOARD)) if _first_process() else None
    return TensorBoardCallback(writer)


def _first_process() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


def training_arguments(config: TrainingConfig) -> TrainingArguments:
    """transformers' arguments; without the filter that logs a NaN training as loss 0.0."""
    return TrainingArguments(
        output_dir=str(Path(config.output_folder) / "checkpoints"),
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_ratio,
        max_grad_norm=config.max_grad_norm,
        weight_decay=config.weight_decay,
        bf16=config.dtype == "bfloat16",
        deepspeed=config.deepspeed or None,
        eval_strategy="steps" if config.eval_steps else "epoch",
        eval_steps=config.eval_steps or None,
        save_strategy="steps" if config.save_steps else "epoch",
        save_steps=config.save_steps or 500,
        metric_for_best_model=f"eval_{config.metric_for_best_model}",
        greater_is_better=config.metric_for_best_model != "loss",
        logging_steps=config.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        dataloader_num_workers=config.dataloader_num_workers,
        dataloader_persistent_workers=config.dataloader_num_workers > 0,
        prediction_loss_only=True,
        remove_unused_columns=False,
        report_to=reporting.places(config),
        run_name=reporting.run_name(config),
        disable_tqdm=True,
        use_cpu=config.use_cpu,
        seed=config.seed,
    )


def belongs(config: TrainingConfig) -> Record:
    """What a checkpoint belongs to: data, base model, processes, parameters of the optimisation."""
    may_change = {*PLACES, *params.with_role(STAGE, Role.RUNTIME_ONLY)}
    parts = {key: value for key, value in config.model_dump().items() if key not in may_change}
    parts["deepspeed"] = records.sha256_file(config.deepspeed) if config.deepspeed else ""
    return {
        **parts,
        "train_file": records.sha256_file(config.train_file),
        "validation_file": records.sha256_file(config.validation_file),
        "base_model": qwen.identity(config.base_model),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
    }


def forget_after(file: Path, step: int) -> None:
    """Drop the rows of metrics.jsonl that a resume from `step` will write again."""
    lines = []
    for row in launch.metrics(file.parent):
        if row["step"] <= step:
            lines.append(json.dumps(row) + "\n")
    if file.exists():
        with records.atomic_path(file) as temporary:
            temporary.write_text("".join(lines), "utf-8")
