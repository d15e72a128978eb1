"""What to do about a plan: what fits this GPU or another one, whether a network bears several
hosts, what notebook 04 shows first.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from dishvl_lib.core import paths, records
from dishvl_lib.training import shapes
from dishvl_lib.training.activations import TreeShape
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.training.photos import cache_bytes as photos_room
from dishvl_lib.training.planner import GB, WIDTH, Plan, plan, replace_config
from dishvl_lib.vlm import qwen

OFFLOAD = "params/deepspeed/zero2_offload.json"
NO_GPU = "this machine has no GPU that torch can use; --gpu-gb N advises for one"


def first_look(config: TrainingConfig, photos: pd.DataFrame) -> Plan:
    """The plan of a training whose questions are written, with advice for this machine's GPU.
    `photos`: the catalogue.
    """
    loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)
    batch, trees = shapes.largest(
        loaded,
        records.read_jsonl(config.train_file),
        shapes.sizes(photos),
        questions_per_photo=config.questions_per_photo,
        n=config.per_device_train_batch_size,
    )
    made = plan(
        config,
        batch,
        photos=trees,
        photo_cache_bytes=cache_bytes(
            config, [(one.width, one.height) for one in photos.itertuples()], loaded
        ),
    )
    if (memory := device_memory_gb()) and not config.use_cpu:
        made.advice = advise(config, batch, memory)
    return made


def cache_bytes(config: TrainingConfig, sizes: Sequence[tuple[int, int]], loaded: qwen.Qwen) -> int:
    """Bytes of the cache of resized photos of these (width, height), within its budget."""
    return min(config.photo_cache_mb * 2**20, photos_room(sizes, loaded))


def advise(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> list[str]:
    """What fits a device of `memory_gb`: the asked-for settings, or the first that do on the way
    down.
    """
    asked = plan(config, batch, photos=0).total("device") / GB
    if asked <= memory_gb:
        larger = _largest(config, batch, memory_gb)
        more = (
            f"; up to {larger} photos a step would"
            if larger > config.per_device_train_batch_size
            else ""
        )
        return [
            f"fits: {asked:.1f} of {memory_gb:.3g} GB at "
            f"{config.per_device_train_batch_size} photos a step{more}"
        ]
    tried = [f"does not fit: {asked:.1f} of {memory_gb:.3g} GB"]
    photos = config.per_device_train_batch_size * config.gradient_accumulation_steps
    for words, changed in _smaller(config):
        size = min(photos, _largest(changed, batch, memory_gb))
        if size:
            accumulate = max(1, photos // size)
            return [
                *tried,
                f"set {words}per_device_train_batch_size: {size}, "
                f"gradient_accumulation_steps: {accumulate}",
            ]
    return [
        *tried,
        "no setting for one such device was found; take several with params/deepspeed/zero3.json",
    ]


def network_seconds(
    config: TrainingConfig, counts: tuple[int, int], hosts: int, network_gbit: float
) -> dict[str, float]:
    """{ZeRO-2, ZeRO-3: seconds a step between hosts}, if nothing is hidden behind the computing.

    ZeRO-2 reduces the gradients and gathers the new weights of what trains; ZeRO-3 gathers all
    weights twice, forward and backward, and reduces the gradients. Each takes bytes * (hosts - 1) /
    hosts over the slowest link.
    """
    total, trained = counts
    width = WIDTH[config.dtype]
    share = (hosts - 1) / hosts
    seconds = {"ZeRO-2": 2 * trained, "ZeRO-3": 2 * total + trained}
    return {
        name: values * width * share * 8 / (network_gbit * 1e9) for name, values in seconds.items()
    }


def network_advice(
    config: TrainingConfig,
    counts: tuple[int, int],
    hosts: int,
    network_gbit: float,
    photos_per_second: float,
) -> list[str]:
    """Whether to train over this network: 'do not' where it takes longer than the computing of a
    step.
    """
    photos = config.per_device_train_batch_size * config.gradient_accumulation_steps
    computing = photos / photos_per_second if photos_per_second else None
    said = []
    for name, seconds in network_seconds(config, counts, hosts, network_gbit).items():
        beside = (
            ""
            if computing is None
            else f", computing {computing:.1f} s: "
            + ("do not" if seconds > computing else "worth trying")
        )
        said.append(
            f"{name} over {hosts} hosts at {network_gbit:g} Gbit/s: {seconds:.1f} s a step "
            f"in the network{beside}"
        )
    return said


def device_memory_gb() -> float:
    """Memory of this machine's first GPU in GB; 0 without one."""
    return (
        torch.cuda.get_device_properties(0).total_memory / GB if torch.cuda.is_available() else 0.0
    )


def require_device(config: TrainingConfig) -> None:
    """Raises `ModelError` when the training wants a GPU and there is none, saying how large one
    would have to be.
    """
    if config.use_cpu or torch.cuda.is_available():
        return
    loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)
    needed = plan(
        config,
        shapes.assumed(
            loaded,
            questions_per_photo=config.questions_per_photo,
            menu_size=20,
            n=config.per_device_train_batch_size,
        ),
        photos=0,
    )
    raise qwen.ModelError(
        "this machine has no GPU that torch can use, and this training needs one with about "
        f"{needed.total('device') / GB:.0f} GB (dishvl estimate tells how it can do with "
        "less); use_cpu: true trains on the CPU, which only tiny models bear"
    )


def _largest(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> int:
    """The largest power of two of photos a step that fits, up to 64; 0 when not even one does. Each
    photo counts like the largest.
    """
    biggest = max(batch, key=lambda shape: shape.length)
    one, two = (plan(config, [biggest] * n, photos=0).total("device") for n in (1, 2))
    most = 1 + (memory_gb * GB - one) / (two - one)
    return 0 if most < 1 else 2 ** min(6, int(math.log2(most)))


def _smaller(config: TrainingConfig) -> list[tuple[str, TrainingConfig]]:
    """Settings that need less memory, the cheapest first, each with the words that set it."""
    steps: list[tuple[str, dict[str, Any]]] = [("", {})]
    steps += [
        (f"gradient_checkpointing: {part}, ", {"gradient_checkpointing": part})
        for part in ("vision", "both")
    ]
    offload = {"gradient_checkpointing": "both", "deepspeed": str(paths.resolve(OFFLOAD))}
    steps.append((f"gradient_checkpointing: both, deepspeed: {OFFLOAD}, ", offload))
    if not config.lora_rank:
        lora = {"gradient_checkpointing": "both", "lora_rank": 64, "lora_vision": True}
        steps.append(("gradient_checkpointing: both, lora_rank: 64, lora_vision: true, ", lora))
    return [(words, replace_config(config, **changed)) for words, changed in steps]
