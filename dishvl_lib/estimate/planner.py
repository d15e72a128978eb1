"""Will it fit, and how long will it take: memory by part, disk and hours, before anything is paid.

    plan = planner.plan(config, batch, photos=100_000)
    print(plan.table())          # `memory_advice` says what to do about it

Weights, gradients and optimizer are counted exactly, activations by `activations.saved`. What a
GPU's context and its allocator take beside (OVERHEAD_GB, SLACK) is a rule of thumb, not a
measurement.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

from dishvl_lib.core import records
from dishvl_lib.estimate import shapes
from dishvl_lib.estimate.activations import TreeShape, saved, skeleton
from dishvl_lib.training import model_setup
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import saved_activations

GB = 1e9
# CUDA context and libraries; share of the activations that the allocator cannot use
OVERHEAD_GB = 0.8
SLACK = 0.05
# host memory of a process with torch and transformers; of a worker that decodes photos
PROCESS_GB = 1.5
WORKER_GB = 0.4
WIDTH = {"float32": 4, "bfloat16": 2}
MOMENTS = 8  # bytes a trained parameter: AdamW's two, in float32
MASTER_AND_MOMENTS = 12  # the same and the weight itself in float32, as DeepSpeed keeps them
Row = tuple[str, str, float]
Counts = tuple[int, int]  # parameters, trained parameters


@dataclass
class Plan:
    """`rows`: (place, part, bytes); places are device (GPU, or CPU), host and disk.

    `advice`: sentences, most important first.
    """

    rows: list[Row]
    hours: float | None
    advice: list[str] = field(default_factory=list)

    def total(self, place: str) -> float:
        """Bytes of one place."""
        return sum(size for where, _, size in self.rows if where == place)

    def part(self, name: str) -> float:
        """Bytes of the parts whose name begins with `name`."""
        return sum(size for _, part, size in self.rows if part.startswith(name))

    def table(self) -> pd.DataFrame:
        """place, part, gb (10^9 bytes); each place's sum last."""
        places = dict.fromkeys(where for where, _, _ in self.rows)
        rows = []
        for place in places:
            for where, part, size in self.rows:
                if where == place:
                    rows.append((place, part, round(size / GB, 3)))
            rows.append((place, "in all", round(self.total(place) / GB, 3)))
        return pd.DataFrame(rows, columns=["place", "part", "gb"])


def plan(
    config: TrainingConfig,
    batch: Sequence[TreeShape],
    *,
    photos: int,
    official: bool = False,
    photos_per_second: float = 0.0,
    photo_cache_bytes: int = 0,
) -> Plan:
    """The memory, disk and time of a training.

    `batch`: the trees of the largest batch. `photos`: trees an epoch. `official`: as the official
    fine-tuning script does it: one question a photo, lm_head trains, logits everywhere,
    transformers' own activations, frozen weights saved twice. `photos_per_second`: measured (0: the
    hours stay open).
    """
    if official:
        batch = [shapes.longest_question(tree) for tree in batch]
        config = replace_config(config, gradient_checkpointing="none")
    model, counts = _prepared(config, official)
    rows = [
        *_weights_and_optimizer(config, counts, official),
        *_activations(config, model, batch, official),
        *_host(config, counts),
        *_disk(config, counts, official),
    ]
    if photo_cache_bytes:
        rows.append(("disk", "cache of resized photos", photo_cache_bytes))
    hours = None
    if photos_per_second:
        hours = photos * config.num_train_epochs / photos_per_second / 3600
    return Plan(rows, hours)


def counts_of(config: TrainingConfig) -> Counts:
    """(parameters, trained parameters) of the configured training."""
    return _prepared(config, official=False)[1]


def replace_config(config: TrainingConfig, **changed: Any) -> TrainingConfig:
    """The configuration with some values changed, checked again."""
    return TrainingConfig(**{**config.model_dump(), **changed})


@dataclass(frozen=True)
class Zero:
    """What a DeepSpeed JSON asks for: the ZeRO stage, and what goes to the host's memory.

    Stage 0: no DeepSpeed.
    """

    stage: int
    optimizer_on_host: bool = False
    weights_on_host: bool = False


def zero_of(config: TrainingConfig, official: bool = False) -> Zero:
    """The configured ZeRO; the official script trains under ZeRO-3, all on the device."""
    if official:
        return Zero(3)
    if not config.deepspeed:
        return Zero(0)
    section = records.read_json(config.deepspeed)["zero_optimization"]
    return Zero(
        section["stage"],
        optimizer_on_host=section.get("offload_optimizer", {}).get("device") == "cpu",
        weights_on_host=section.get("offload_param", {}).get("device") == "cpu",
    )


def resume_bytes(config: TrainingConfig, trained: int) -> int:
    """What a checkpoint holds for its resume, beside the trained weights.

    The moments, and the float32 weights where the checkpoint's own are bfloat16; DeepSpeed's ZeRO-2
    stores the module's weights too.
    """
    stage = zero_of(config).stage
    if stage == 3:
        return trained * MASTER_AND_MOMENTS
    if stage:
        return trained * (MASTER_AND_MOMENTS + WIDTH[config.dtype])
    return trained * (MASTER_AND_MOMENTS if config.dtype == "bfloat16" else MOMENTS)


def _prepared(
    config: TrainingConfig, official: bool
) -> tuple[Qwen2_5_VLForConditionalGeneration, Counts]:
    """(the model without weights, its counts), built once for all batch sizes."""
    if official:
        config = replace_config(config, train_lm_head=True, lora_rank=0, deepspeed="official")
    config = replace_config(config, per_device_train_batch_size=1, gradient_accumulation_steps=1)
    return _built(config.model_dump_json(), official)


@functools.lru_cache(maxsize=8)
def _built(configuration: str, official: bool) -> tuple[Qwen2_5_VLForConditionalGeneration, Counts]:
    config = TrainingConfig.model_validate_json(configuration)
    base = skeleton(AutoConfig.from_pretrained(config.base_model), getattr(torch, config.dtype))
    total = sum(parameter.numel() for parameter in base.parameters())
    _, report = model_setup.trainable(base, config)
    trained = report["trained_parameters"]
    if not official:
        saved_activations.bind(base)
    if config.lora_rank:
        total += trained
    return base, (total, trained)


def _weights_and_optimizer(config: TrainingConfig, counts: Counts, official: bool) -> list[Row]:
    total, trained = counts
    width = WIDTH[config.dtype]
    zero = zero_of(config, official)
    if not zero.stage:
        return [
            ("device", "weights, frozen", (total - trained) * width),
            ("device", "weights, trained, float32", trained * 4),
            ("device", "gradients, float32", trained * 4),
            ("device", "optimizer (two moments, float32)", trained * MOMENTS),
        ]
    ranks = config.num_processes
    weights = total * width / (ranks if zero.stage == 3 else 1)
    optimizer = trained * MASTER_AND_MOMENTS / ranks
    weights_place = "host" if zero.weights_on_host else "device"
    optimizer_place = "host" if zero.optimizer_on_host else "device"
    return [
        (weights_place, "weights", weights),
        ("device", "gradients", trained * width / ranks),
        (optimizer_place, "optimizer (float32 weights, two moments)", optimizer),
    ]


def _activations(
    config: TrainingConfig,
    model: Qwen2_5_VLForConditionalGeneration,
    batch: Sequence[TreeShape],
    official: bool,
) -> list[Row]:
    kept = saved(model, batch, autocast=_autocast(config, official), every_row=official)
    rows: list[Row] = []
    for part, size in kept.items():
        rows.append(("device", f"activations, {part}", float(size)))
    if config.gradient_checkpointing != "none":
        layer = _largest_layer(config, model, batch, official)
        rows.append(("device", "activations, one layer computed again", layer))
    logits = sum(tree.labels for tree in batch)
    if official:
        logits = len(batch) * max(tree.length for tree in batch)
    # The logits' gradient is float32, and is cast to the head's width before its product.
    gradient = logits * model.lm_head.out_features * (4 + WIDTH[config.dtype])
    rows.append(("device", "gradient of the logits", gradient))
    if not config.use_cpu:
        beside = OVERHEAD_GB * GB + SLACK * sum(kept.values())
        rows.append(("device", "context and allocator (rule of thumb)", beside))
    return rows


def _largest_layer(
    config: TrainingConfig,
    model: Qwen2_5_VLForConditionalGeneration,
    batch: Sequence[TreeShape],
    official: bool,
) -> float:
    """Bytes of the layer that keeps most while the backward pass computes it again."""
    plain = replace_config(config, gradient_checkpointing="none")
    prepared, _ = _prepared(plain, official)
    whole = saved(prepared, batch, autocast=_autocast(config, official))
    vision = whole["vision"] / len(model.model.visual.blocks)
    language = whole["language"] / len(model.model.language_model.layers)
    return max(vision, language)


def _autocast(config: TrainingConfig, official: bool) -> bool:
    """Whether products are cast: DeepSpeed keeps bfloat16 weights and float32 copies instead."""
    return config.dtype == "bfloat16" and not zero_of(config, official).stage


def _host(config: TrainingConfig, counts: Counts) -> list[Row]:
    processes = config.num_processes
    total, _ = counts
    copies = 1 if config.use_cpu else processes
    loading = total * WIDTH[config.dtype] * copies
    libraries = processes * PROCESS_GB * GB
    workers = processes * config.dataloader_num_workers * WORKER_GB * GB
    return [
        ("host", "weights while loading and while best/ is written", loading),
        ("host", "python and libraries, each process (rule of thumb)", libraries),
        ("host", "workers that decode photos (rule of thumb)", workers),
    ]


def _disk(config: TrainingConfig, counts: Counts, official: bool) -> list[Row]:
    total, trained = counts
    width = WIDTH[config.dtype]
    if official:
        frozen = total - trained
        checkpoint = total * width + trained * MASTER_AND_MOMENTS + frozen * width
        return [("disk", "one checkpoint (model, optimizer, frozen weights again)", checkpoint)]
    weights = trained * width
    resume = resume_bytes(config, trained)
    more = config.keep_checkpoints - 1
    kept = more * (weights + resume) + weights
    return [
        ("disk", "one checkpoint, weights", weights),
        ("disk", "one checkpoint, resume state", resume),
        ("disk", f"{more} more checkpoints and the best one's weights", kept),
        ("disk", "best/", total * width),
    ]
