"""What a profile's training would take, as text for the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dishvl_lib.core import markers, records, settings, stages
from dishvl_lib.core.types import RecordView
from dishvl_lib.estimate import memory_advice, network, planner, shapes, trial
from dishvl_lib.estimate.activations import TreeShape
from dishvl_lib.training import config as training_config
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import qwen

UNKNOWN = "-"
PLACES = ("image_root", "train_file", "validation_file", "output_folder")
Values = Mapping[str, RecordView]


@dataclass(frozen=True)
class Case:
    """What is planned for: a training, its largest batch, trees an epoch, bytes of photo cache."""

    config: TrainingConfig
    batch: list[TreeShape]
    trees: int
    cache_bytes: int


def case_of(values: Values, base_model: str, photos: int) -> Case:
    """The training of a profile: of the questions when stage 03 has finished.

    Otherwise of `photos` photos with questions as stage 03 would make them.
    """
    params = dict(values["04_training"])
    catalog = finished_table(values, "01_annotation", "catalog.parquet")
    rows = finished_rows(values, "03_dataset", "train.jsonl")
    places = dict.fromkeys(PLACES, UNKNOWN)
    if rows is not None:
        folder = stages.find_stage(params, "03_dataset")
        annotation = stages.find_stage(params, "01_annotation")
        places["image_root"] = markers.read(annotation)["image_root"]
        places["train_file"] = str(folder / "train.jsonl")
        places["validation_file"] = str(folder / "validation.jsonl")
    config = training_config.from_parameters(params, base_model=base_model, **places)
    loaded = qwen.load_inputs(base_model, config.min_pixels, config.max_pixels)
    size = config.per_device_train_batch_size
    per_photo = config.questions_per_photo
    if rows is None or catalog is None:
        menus = values["03_dataset"]
        menu_size = max(menus["menu_size"], menus["menu_size_to"])
        batch = shapes.assumed(loaded, menu_size=menu_size, questions_per_photo=per_photo, n=size)
        side = int(config.max_pixels**0.5)
        cache = memory_advice.cache_bytes(config, [(side, side)] * photos, loaded)
        return Case(config, batch, photos, cache)
    sizes = [(photo.width, photo.height) for photo in catalog.itertuples()]
    cache = memory_advice.cache_bytes(config, sizes, loaded)
    batch, trees = shapes.largest(
        loaded, rows, shapes.sizes(catalog), questions_per_photo=per_photo, n=size
    )
    return Case(config, batch, trees, cache)


def paragraphs(
    case: Case,
    *,
    official: bool,
    gpu_gb: float,
    network_gbit: float,
    hosts: int,
    photos_per_second: float,
) -> list[str]:
    """The plan, the official script's beside it, and advice for memory and network.

    `gpu_gb`, `network_gbit` and `photos_per_second`: 0 where they are not known.
    """
    config = case.config
    ours = planner.plan(
        config,
        case.batch,
        photos=case.trees,
        photos_per_second=photos_per_second,
        photo_cache_bytes=case.cache_bytes,
    )
    texts = [_plan_text("ours", ours)]
    if official:
        theirs = planner.plan(config, case.batch, photos=case.trees, official=True)
        texts.append(_plan_text("the official script's way", theirs))
    memory_gb = gpu_gb or memory_advice.device_memory_gb()
    if memory_gb:
        texts.append("\n".join(memory_advice.advise(config, case.batch, memory_gb)))
    else:
        texts.append(memory_advice.NO_GPU)
    if network_gbit:
        counts = planner.counts_of(config)
        sentences = network.advice(config, counts, hosts, network_gbit, photos_per_second)
        texts.append("\n".join(sentences))
    return texts


def measured_rate(case: Case) -> float:
    """Photos a second of a few steps on this machine. Raises `SettingsError` without questions."""
    if case.config.train_file == UNKNOWN:
        raise settings.SettingsError(
            "--trial trains a few steps on the real questions: run stages 01 to 03 first "
            "(dishvl run PROFILE --to 03)"
        )
    return trial.photos_per_second(case.config)


def finished_table(values: Values, stage: str, file: str) -> pd.DataFrame | None:
    """A table of a finished stage; None before it has finished."""
    path = _finished_file(values, stage, file)
    return None if path is None else records.read_table(path)


def finished_rows(values: Values, stage: str, file: str) -> list[dict] | None:
    """The rows of a finished stage's .jsonl; None before it has finished."""
    path = _finished_file(values, stage, file)
    return None if path is None else records.read_jsonl(path)


def _finished_file(values: Values, stage: str, file: str) -> Path | None:
    try:
        return stages.find_stage(dict(values[stage]), stage) / file
    except stages.StageError:
        return None


def _plan_text(name: str, plan: planner.Plan) -> str:
    hours = (
        "hours: open; --trial measures this machine's speed, --photos-per-second N gives another's"
    )
    if plan.hours:
        hours = f"{plan.hours:.1f} hours"
    return f"training, {name}:\n{plan.table().to_string(index=False)}\n{hours}"
