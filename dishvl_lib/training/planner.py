"""Will it fit, and how long will it take: memory by part, disk and hours, before anything is paid.

    plan = planner.plan(config, batch, photos=100_000)
    print(plan.table())          # `advice` says what to do about it

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
from transformers import AutoConfig

from dishvl_lib.core import records
from dishvl_lib.training import prepare, shapes
from dishvl_lib.training.activations import TreeShape, saved, skeleton
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import lean

GB = 1e9
# CUDA context and libraries; share of the activations that the allocator cannot use
OVERHEAD_GB = 0.8
SLACK = 0.05
WIDTH = {"float32": 4, "bfloat16": 2}
MASTER_AND_MOMENTS = 12  # bytes a trained parameter: float32 weight and two AdamW moments


@dataclass
class Plan:
    """`rows`: (place, part, bytes); places are GPU (or CPU), host and disk. `advice`: sentences,
    most important first.
    """

    rows: list[tuple[str, str, float]]
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
        rows = []
        for place in dict.fromkeys(where for where, _, _ in self.rows):
            rows += [
                (where, part, round(size / GB, 3))
                for where, part, size in self.rows
                if where == place
            ]
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
        batch = [shapes.longest_question(one) for one in batch]
        config = replace_config(config, gradient_checkpointing="none")
    model, counts = _prepared(config, official)
    rows = [
        *_static(config, counts, official),
        *_dynamic(config, model, batch, official),
        *_host(config, counts),
    ]
    rows += _disk(config, counts, official) + (
        [("disk", "cache of resized photos", photo_cache_bytes)] if photo_cache_bytes else []
    )
    hours = (
        photos * config.num_train_epochs / photos_per_second / 3600 if photos_per_second else None
    )
    return Plan(rows, hours)


def counts_of(config: TrainingConfig) -> tuple[int, int]:
    """(parameters, trained parameters) of the configured training."""
    return _prepared(config, official=False)[1]


def _prepared(config: TrainingConfig, official: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    if official:
        config = replace_config(config, train_lm_head=True, lora_rank=0, deepspeed="official")
    return _built(
        replace_config(
            config, per_device_train_batch_size=1, gradient_accumulation_steps=1
        ).model_dump_json(),
        official,
    )


@functools.lru_cache(maxsize=8)
def _built(configuration: str, official: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    config = TrainingConfig.model_validate_json(configuration)
    base = skeleton(AutoConfig.from_pretrained(config.base_model), getattr(torch, config.dtype))
    total = sum(p.numel() for p in base.parameters())
    model, report = prepare.trainable(base, config)
    if not official:
        lean.bind(base)
    return base, (
        total + (report["trained_parameters"] if config.lora_rank else 0),
        report["trained_parameters"],
    )


def replace_config(config: TrainingConfig, **changed: Any) -> TrainingConfig:
    """The configuration with some values changed, checked again."""
    return TrainingConfig(**{**config.model_dump(), **changed})


@dataclass(frozen=True)
class Zero:
    """What a DeepSpeed JSON asks for: the ZeRO stage (0: no DeepSpeed), and what goes to the host's
    memory.
    """

    stage: int
    optimizer_on_host: bool = False
    weights_on_host: bool = False


def zero_of(config: TrainingConfig, official: bool = False) -> Zero:
    """The official script trains under ZeRO-3, all on the device."""
    if official or not config.deepspeed:
        return Zero(3 if official else 0)
    given = records.read_json(config.deepspeed)["zero_optimization"]
    return Zero(
        given["stage"],
        *(
            given.get(key, {}).get("device") == "cpu"
            for key in ("offload_optimizer", "offload_param")
        ),
    )


def _static(
    config: TrainingConfig, counts: tuple[int, int], official: bool
) -> list[tuple[str, str, float]]:
    (total, trained) = counts
    width = WIDTH[config.dtype]
    zero = zero_of(config, official)
    if not zero.stage:
        return [
            ("device", "weights, frozen", (total - trained) * width),
            ("device", "weights, trained, float32", trained * 4),
            ("device", "gradients, float32", trained * 4),
            ("device", "optimizer (two moments, float32)", trained * 8),
        ]
    ranks = config.num_processes
    return [
        (
            "host" if zero.weights_on_host else "device",
            "weights",
            total * width / (ranks if zero.stage == 3 else 1),
        ),
        ("device", "gradients", trained * width / ranks),
        (
            "host" if zero.optimizer_on_host else "device",
            "optimizer (float32 weights, two moments)",
            trained * MASTER_AND_MOMENTS / ranks,
        ),
    ]


def _dynamic(
    config: TrainingConfig, model: torch.nn.Module, batch: Sequence[TreeShape], official: bool
) -> list[tuple[str, str, float]]:
    kept = saved(model, batch, autocast=_autocast(config, official), every_row=official)
    rows = (
        len(batch) * max(one.length for one in batch)
        if official
        else sum(one.labels for one in batch)
    )
    made = [("device", f"activations, {part}", float(size)) for part, size in kept.items()]
    if config.gradient_checkpointing != "none":
        plain = replace_config(config, gradient_checkpointing="none")
        whole = saved(_prepared(plain, official)[0], batch, autocast=_autocast(config, official))
        depths = {
            "vision": model.config.vision_config.depth,
            "language": model.config.text_config.num_hidden_layers,
        }
        made.append(
            (
                "device",
                "activations, one layer computed again",
                max(whole[part] / depth for part, depth in depths.items()),
            )
        )
    made.append(
        (
            "device",
            "gradient of the logits",
            rows * model.config.text_config.vocab_size * (4 + WIDTH[config.dtype]),
        )
    )
    if not config.use_cpu:
        made.append(
            (
                "device",
                "context and allocator (rule of thumb)",
                OVERHEAD_GB * GB + SLACK * sum(kept.values()),
            )
        )
    return made


def _autocast(config: TrainingConfig, official: bool) -> bool:
    """DeepSpeed keeps bfloat16 weights and float32 copies of its own; without it products are cast."""
    return config.dtype == "bfloat16" and not zero_of(config, official).stage


def _host(config: TrainingConfig, counts: tuple[int, int]) -> list[tuple[str, str, float]]:
    loading = counts[0] * WIDTH[config.dtype]
    workers = config.num_processes * config.dataloader_num_workers * 0.4 * GB
    return [
        (
            "host",
            "weights while loading and while best/ is written",
            loading * (1 if config.use_cpu else config.num_processes),
        ),
        (
            "host",
            "python and libraries, each process (rule of thumb)",
            config.num_processes * 1.5 * GB,
        ),
        ("host", "workers that decode photos (rule of thumb)", workers),
    ]


def _disk(
    config: TrainingConfig, counts: tuple[int, int], official: bool
) -> list[tuple[str, str, float]]:
    (total, trained) = counts
    width = WIDTH[config.dtype]
    if official:
        one = total * width + trained * MASTER_AND_MOMENTS + (total - trained) * width
        return [("disk", "one checkpoint (model, optimizer, frozen weights again)", one)]
    weights = trained * width
    resume = resume_bytes(config, trained)
    return [
        ("disk", "one checkpoint, weights", weights),
        ("disk", "one checkpoint, resume state", resume),
        (
            "disk",
            f"{config.keep_checkpoints - 1} more checkpoints and the best one's weights",
            (config.keep_checkpoints - 1) * (weights + resume) + weights,
        ),
        ("disk", "best/", total * width),
    ]


def resume_bytes(config: TrainingConfig, trained: int) -> int:
    """Moments, and the float32 weights where the checkpoint's weights are not; DeepSpeed's ZeRO-2
    keeps the module's too.
    """
    if stage := zero_of(config).stage:
        return trained * (MASTER_AND_MOMENTS + (0 if stage == 3 else WIDTH[config.dtype]))
    return trained * (8 + (4 if config.dtype == "bfloat16" else 0))
