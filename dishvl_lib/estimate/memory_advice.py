"""What fits this GPU or another one, and what to set where the asked-for settings do not fit."""

import math
from collections.abc import Sequence

import pandas as pd
import torch

from dishvl_lib.core import paths, records
from dishvl_lib.core.types import Record
from dishvl_lib.estimate import shapes
from dishvl_lib.estimate.activations import TreeShape
from dishvl_lib.estimate.planner import GB, Plan, plan, replace_config
from dishvl_lib.training import device, photos
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import qwen

OFFLOAD = "params/deepspeed/zero2_offload.json"
NO_GPU = "this machine has no GPU that torch can use; --gpu-gb N advises for one"
MOST_PHOTOS_A_STEP = 64  # beyond it the size is a question of the optimisation, not of memory


def first_look(config: TrainingConfig, catalog: pd.DataFrame) -> Plan:
    """The plan of a training whose questions are written, with advice for this machine's GPU.

    The planned GPU memory is left in the output folder too, for a training that finds no GPU.
    `catalog`: image_id, width, height of the photos.
    """
    loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)
    batch, trees = shapes.largest(
        loaded,
        records.read_jsonl(config.train_file),
        shapes.sizes(catalog),
        questions_per_photo=config.questions_per_photo,
        n=config.per_device_train_batch_size,
    )
    sizes = [(photo.width, photo.height) for photo in catalog.itertuples()]
    planned = plan(
        config, batch, photos=trees, photo_cache_bytes=cache_bytes(config, sizes, loaded)
    )
    device.write_plan(config, planned.total("device") / GB)
    memory_gb = device_memory_gb()
    if memory_gb and not config.use_cpu:
        planned.advice = advise(config, batch, memory_gb)
    return planned


def cache_bytes(
    config: TrainingConfig, sizes: Sequence[tuple[int, int]], loaded: qwen.QwenInputs
) -> int:
    """Bytes of the cache of resized photos of these (width, height), within its budget."""
    return min(config.photo_cache_mb * 2**20, photos.cache_bytes(sizes, loaded))


def advise(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> list[str]:
    """What fits a device of `memory_gb`: the asked-for settings, or the first that do.

    The settings that need less memory are tried in the order of what they cost.
    """
    asked_gb = plan(config, batch, photos=0).total("device") / GB
    if asked_gb <= memory_gb:
        return [_it_fits(config, batch, asked_gb, memory_gb)]
    sentences = [f"does not fit: {asked_gb:.1f} of {memory_gb:.3g} GB"]
    photos_a_step = config.per_device_train_batch_size * config.gradient_accumulation_steps
    for words, smaller in _smaller(config):
        size = min(photos_a_step, _largest(smaller, batch, memory_gb))
        if size:
            accumulate = max(1, photos_a_step // size)
            sentences.append(
                f"set {words}per_device_train_batch_size: {size}, "
                f"gradient_accumulation_steps: {accumulate}"
            )
            return sentences
    sentences.append(
        "no setting for one such device was found; take several with params/deepspeed/zero3.json"
    )
    return sentences


def device_memory_gb() -> float:
    """Memory of this machine's first GPU in GB; 0 without one."""
    if not torch.cuda.is_available():
        return 0.0
    return torch.cuda.get_device_properties(0).total_memory / GB


def _it_fits(
    config: TrainingConfig, batch: Sequence[TreeShape], asked_gb: float, memory_gb: float
) -> str:
    size = config.per_device_train_batch_size
    largest = _largest(config, batch, memory_gb)
    more = f"; up to {largest} photos a step would" if largest > size else ""
    return f"fits: {asked_gb:.1f} of {memory_gb:.3g} GB at {size} photos a step{more}"


def _largest(config: TrainingConfig, batch: Sequence[TreeShape], memory_gb: float) -> int:
    """The largest power of two of photos a step that fits; 0 when not even one does.

    Each photo counts like the largest. Memory grows by the same bytes with every photo, so that
    plans of one photo and of two tell all others.
    """
    biggest = max(batch, key=lambda shape: shape.length)
    of_one = plan(config, [biggest], photos=0).total("device")
    of_two = plan(config, [biggest, biggest], photos=0).total("device")
    most = 1 + (memory_gb * GB - of_one) / (of_two - of_one)
    if most < 1:
        return 0
    return min(MOST_PHOTOS_A_STEP, 2 ** int(math.log2(most)))


def _smaller(config: TrainingConfig) -> list[tuple[str, TrainingConfig]]:
    """Settings that need less memory, the cheapest first, each with the words that set it."""
    steps: list[tuple[str, Record]] = [("", {})]
    for part in ("vision", "both"):
        steps.append((f"gradient_checkpointing: {part}, ", {"gradient_checkpointing": part}))
    offload = {"gradient_checkpointing": "both", "deepspeed": str(paths.resolve(OFFLOAD))}
    steps.append((f"gradient_checkpointing: both, deepspeed: {OFFLOAD}, ", offload))
    if not config.lora_rank:
        lora = {"gradient_checkpointing": "both", "lora_rank": 64, "lora_vision": True}
        steps.append(("gradient_checkpointing: both, lora_rank: 64, lora_vision: true, ", lora))
    return [(words, replace_config(config, **changed)) for words, changed in steps]
