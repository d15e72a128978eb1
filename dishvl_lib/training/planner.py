"""Will it fit, and how long will it take: memory by part, disk and hours, before anything is paid.

    plan = planner.plan(config, batch, photos=100_000)
    print(plan.table()); print(plan.advice)

Weights, gradients and optimizer are counted exactly, activations by `activations.saved`. What a GPU's context and its
allocator take beside (OVERHEAD_GB, SLACK) is a rule of thumb, not a measurement.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import AutoConfig

from dishvl_lib.core import records
from dishvl_lib.training import prepare, shapes
from dishvl_lib.training.activations import TreeShape, saved, skeleton
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.training.photos import cache_bytes as photos_room
from dishvl_lib.vlm import lean, qwen

GB = 1e9
OVERHEAD_GB, SLACK = 0.8, 0.05  # CUDA context and libraries; share of the activations that the allocator cannot use
WIDTH = {"float32": 4, "bfloat16": 2}
NO_GPU = "this machine has no GPU that torch can use; --gpu-gb N advises for one"
MASTER_AND_MOMENTS = 12  # bytes a trained parameter: float32 weight and two AdamW moments


@dataclass
class Plan:
    """`rows`: (place, part, bytes); places are GPU (or CPU), host and disk. `advice`: sentences, most important first."""

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
            rows += [(where, part, round(size / GB, 3)) for where, part, size in self.rows if where == place]
            rows.append((place, "in all", round(self.total(place) / GB, 3)))
        return pd.DataFrame(rows, columns=["place", "part", "gb"])


def plan(
    config: TrainingConfig, batch: Sequence[TreeShape], *, photos: int, official: bool = False, photos_per_second: float = 0.0, photo_cache_bytes: int = 0
) -> Plan:
    """The memory, disk and time of a training.

    `batch`: the trees of the largest batch. `photos`: trees an epoch. `official`: as the official fine-tuning script does
    it: one question a photo, lm_head trains, logits everywhere, transformers' own activations, frozen weights saved twice. `photos_per_second`:
    measured (0: the hours stay open).
    """
    if official:
        batch = [shapes.longest_question(one) for one in batch]
    model, counts = _prepared(config, official)
    rows = [*_static(config, counts, official), *_dynamic(config, model, batch, official), *_host(config, counts)]
    rows += _disk(config, counts, official) + ([("disk", "cache of resized photos", photo_cache_bytes)] if photo_cache_bytes else [])
    hours = photos * config.num_train_epochs / photos_per_second / 3600 if photos_per_second else None
    return Plan(rows, hours)


def first_look(config: TrainingConfig, photos: pd.DataFrame) -> Plan:
    """The plan of a training whose questions are written, with advice for this machine's GPU. `photos`: the catalogue."""
    loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)
    batch, trees = shapes.largest(
        loaded,
        records.read_jsonl(config.train_file),
        shapes.sizes(photos),
        questions_per_photo=config.questions_per_photo,
        n=config.per_device_train_batch_size,
    )
    made = plan(config, batch, photos=trees, photo_cache_bytes=cache_bytes(config, [(one.width, one.height) for one in photos.itertuples()], loaded))
    if (memory := device_memory_gb()) and not config.use_cpu:
        made.advice = advise(config, batch, memory)
    return made


def cache_bytes(config: TrainingConfig, sizes: Sequence[tuple[int, int]], loaded: qwen.Qwen) -> int:
    """Bytes of the cache of resized photos of these (width, height), within its budget."""
    return min(config.photo_cache_mb * 2**20, photos_room(sizes, loaded))


def advise(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> list[str]:
    """What fits a device of `memory_gb`: the asked-for settings, or the first that do on the way down."""
    asked = plan(config, batch, photos=0).total("device") / GB
    if asked <= memory_gb:
        larger = _largest(config, batch, memory_gb)
        more = f"; up to {larger} photos a step would" if larger > config.per_device_train_batch_size else ""
        return [f"fits: {asked:.1f} of {memory_gb:.3g} GB at {config.per_device_train_batch_size} photos a step{more}"]
    tried = [f"does not fit: {asked:.1f} of {memory_gb:.3g} GB"]
    for words, changed in _smaller(config):
        size = _largest(changed, batch, memory_gb)
        if size:
            accumulate = max(1, config.per_device_train_batch_size * config.gradient_accumulation_steps // size)
            return [*tried, f"set {words}per_device_train_batch_size: {size}, gradient_accumulation_steps: {accumulate}"]
    return [*tried, "no setting for one such device was found; take several with params/deepspeed/zero3.json"]


def network_seconds(config: TrainingConfig, counts: tuple[int, int], hosts: int, network_gbit: float) -> dict[str, float]:
    """{ZeRO-2, ZeRO-3: seconds a step between hosts}, if nothing is hidden behind the computing.

    ZeRO-2 reduces the gradients and gathers the new weights of what trains; ZeRO-3 gathers all weights twice, forward
    and backward, and reduces the gradients. Each takes bytes * (hosts - 1) / hosts over the slowest link.
    """
    total, trained = counts
    width, share = WIDTH[config.dtype], (hosts - 1) / hosts
    seconds = {"ZeRO-2": 2 * trained, "ZeRO-3": 2 * total + trained}
    return {name: values * width * share * 8 / (network_gbit * 1e9) for name, values in seconds.items()}


def network_advice(config: TrainingConfig, counts: tuple[int, int], hosts: int, network_gbit: float, photos_per_second: float) -> list[str]:
    """Whether to train over this network: 'do not' where it takes longer than the computing of a step."""
    photos = config.per_device_train_batch_size * config.gradient_accumulation_steps
    computing = photos / photos_per_second if photos_per_second else None
    said = []
    for name, seconds in network_seconds(config, counts, hosts, network_gbit).items():
        beside = "" if computing is None else f", computing {computing:.1f} s: " + ("do not" if seconds > computing else "worth trying")
        said.append(f"{name} over {hosts} hosts at {network_gbit:g} Gbit/s: {seconds:.1f} s a step in the network{beside}")
    return said


def device_memory_gb() -> float:
    """Memory of this machine's first GPU in GB; 0 without one."""
    return torch.cuda.get_device_properties(0).total_memory / GB if torch.cuda.is_available() else 0.0


def require_device(config: TrainingConfig) -> None:
    """Raises `ModelError` when the training wants a GPU and there is none, saying how large one would have to be."""
    if config.use_cpu or torch.cuda.is_available():
        return
    loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)
    needed = plan(config, shapes.assumed(loaded, questions_per_photo=config.questions_per_photo, menu_size=20, n=config.per_device_train_batch_size), photos=0)
    raise qwen.ModelError(
        f"this machine has no GPU that torch can use, and this training needs one with about {needed.total('device') / GB:.0f} GB (dishvl estimate tells how it can do with less); use_cpu: true trains on the CPU, which only tiny models bear"
    )


def counts_of(config: TrainingConfig) -> tuple[int, int]:
    """(parameters, trained parameters) of the configured training."""
    return _prepared(config, official=False)[1]


def _prepared(config: TrainingConfig, official: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    if official:
        config = replace_config(config, train_lm_head=True, lora_rank=0, deepspeed=config.deepspeed or "zero3")
    return _built(replace_config(config, per_device_train_batch_size=1, gradient_accumulation_steps=1).model_dump_json(), official)


@functools.lru_cache(maxsize=8)
def _built(configuration: str, official: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    config = TrainingConfig.model_validate_json(configuration)
    base = skeleton(AutoConfig.from_pretrained(config.base_model), getattr(torch, config.dtype))
    total = sum(p.numel() for p in base.parameters())
    model, report = prepare.trainable(base, config)
    if not official:
        lean.bind(base)
    return base, (total + (report["trained_parameters"] if config.lora_rank else 0), report["trained_parameters"])


def replace_config(config: TrainingConfig, **changed: Any) -> TrainingConfig:
    """The configuration with some values changed, checked again."""
    return TrainingConfig(**{**config.model_dump(), **changed})


def _static(config: TrainingConfig, counts: tuple[int, int], official: bool) -> list[tuple[str, str, float]]:
    (total, trained), width = counts, WIDTH[config.dtype]
    if config.deepspeed or official:
        stage3 = official or "3" in Path(config.deepspeed).stem
        ranks = config.num_processes
        return [
            ("device", "weights", total * width / (ranks if stage3 else 1)),
            ("device", "gradients", trained * width / ranks),
            ("device", "optimizer (float32 weights, two moments)", trained * MASTER_AND_MOMENTS / ranks),
        ]
    return [
        ("device", "weights, frozen", (total - trained) * width),
        ("device", "weights, trained, float32", trained * 4),
        ("device", "gradients, float32", trained * 4),
        ("device", "optimizer (two moments, float32)", trained * 8),
    ]


def _dynamic(config: TrainingConfig, model: torch.nn.Module, batch: Sequence[TreeShape], official: bool) -> list[tuple[str, str, float]]:
    kept = saved(model, batch, autocast=config.dtype == "bfloat16" and not (config.deepspeed or official), every_row=official)
    rows = len(batch) * max(one.length for one in batch) if official else sum(one.labels for one in batch)
    made = [("device", f"activations, {part}", float(size)) for part, size in kept.items()]
    if config.gradient_checkpointing != "none":
        plain = replace_config(config, gradient_checkpointing="none")
        whole = saved(_prepared(plain, official)[0], batch, autocast=config.dtype == "bfloat16" and not config.deepspeed)
        depths = {"vision": model.config.vision_config.depth, "language": model.config.text_config.num_hidden_layers}
        made.append(("device", "activations, one layer computed again", max(whole[part] / depth for part, depth in depths.items())))
    made.append(("device", "gradient of the logits", rows * model.config.text_config.vocab_size * (4 + WIDTH[config.dtype])))
    if not config.use_cpu:
        made.append(("device", "context and allocator (rule of thumb)", OVERHEAD_GB * GB + SLACK * sum(kept.values())))
    return made


def _host(config: TrainingConfig, counts: tuple[int, int]) -> list[tuple[str, str, float]]:
    loading = counts[0] * WIDTH[config.dtype]
    workers = config.num_processes * config.dataloader_num_workers * 0.4 * GB
    return [
        ("host", "weights while loading and while best/ is written", loading * (1 if config.use_cpu else config.num_processes)),
        ("host", "python and libraries, each process (rule of thumb)", config.num_processes * 1.5 * GB),
        ("host", "workers that decode photos (rule of thumb)", workers),
    ]


def _disk(config: TrainingConfig, counts: tuple[int, int], official: bool) -> list[tuple[str, str, float]]:
    (total, trained), width = counts, WIDTH[config.dtype]
    if official:
        one = total * width + trained * MASTER_AND_MOMENTS + (total - trained) * width
        return [("disk", "one checkpoint (model, optimizer, frozen weights again)", one)]
    weights, resume = trained * width, resume_bytes(config, trained)
    return [
        ("disk", "one checkpoint, weights", weights),
        ("disk", "one checkpoint, resume state", resume),
        ("disk", f"{config.keep_checkpoints - 1} more checkpoints and the best one's weights", (config.keep_checkpoints - 1) * (weights + resume) + weights),
        ("disk", "best/", total * width),
    ]


def resume_bytes(config: TrainingConfig, trained: int) -> int:
    """Moments, and the float32 weights where the checkpoint's weights are not; DeepSpeed's ZeRO-2 keeps the module's too."""
    if config.deepspeed:
        return trained * (MASTER_AND_MOMENTS + (0 if "3" in Path(config.deepspeed).stem else WIDTH[config.dtype]))
    return trained * (8 + (4 if config.dtype == "bfloat16" else 0))


def _largest(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> int:
    """The largest power of two of photos a step that fits, up to 64; 0 when not even one does. Each photo counts like the largest."""
    biggest = max(batch, key=lambda shape: shape.length)
    one, two = (plan(config, [biggest] * n, photos=0).total("device") for n in (1, 2))
    most = 1 + (memory_gb * GB - one) / (two - one)
    return 0 if most < 1 else 2 ** min(6, int(math.log2(most)))


def _smaller(config: TrainingConfig) -> list[tuple[str, TrainingConfig]]:
    """Settings that need less memory, the cheapest first, each with the words that set it."""
    steps: list[tuple[str, dict[str, Any]]] = [("", {})]
    steps += [(f"gradient_checkpointing: {part}, ", {"gradient_checkpointing": part}) for part in ("vision", "both")]
    if not config.lora_rank:
        lora = {"gradient_checkpointing": "both", "lora_rank": 64, "lora_vision": True}
        steps.append(("gradient_checkpointing: both, lora_rank: 64, lora_vision: true, ", lora))
    return [(words, replace_config(config, **changed)) for words, changed in steps]
