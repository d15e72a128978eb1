"""`dishvl estimate PROFILE`: what the annotation would cost, and whether the training fits and how
long it takes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.core import artefacts, markers, names, paths, records, settings, stages

UNKNOWN = "-"
Values = Mapping[str, Mapping[str, Any]]


def report(
    values: Values,
    *,
    official: bool = False,
    trial: bool = False,
    gpu_gb: float = 0.0,
    network_gbit: float = 0.0,
    hosts: int = 2,
    photos_per_second: float = 0.0,
) -> str:
    """Text for the terminal. `official`: the training as the official script does it, ours beside
    it. `trial`: measure the rate by a few steps on this machine. `gpu_gb`: memory of the device to
    advise for (0: this machine's GPU, if any).
    """
    photos, dishes = _photos(values)
    parts = [f"{photos:,} photos of {dishes:,} dishes", annotation(values, dishes)]
    from dishvl_lib.training import advice, planner  # here: it takes torch seconds to load

    config, shapes, trees, cache = _training(values, photos)
    if trial:
        from dishvl_lib.training.trial import photos_per_second as measure

        if config.train_file == UNKNOWN:
            raise settings.SettingsError(
                "--trial trains a few steps on the real questions: run stages 01 to 03 first "
                "(dishvl run PROFILE --to 03)"
            )
        photos_per_second = measure(config)
    parts.append(
        _plan_text(
            "ours",
            planner.plan(
                config,
                shapes,
                photos=trees,
                photos_per_second=photos_per_second,
                photo_cache_bytes=cache,
            ),
        )
    )
    if official:
        parts.append(
            _plan_text(
                "the official script's way",
                planner.plan(config, shapes, photos=trees, official=True),
            )
        )
    memory = gpu_gb or advice.device_memory_gb()
    parts.append("\n".join(advice.advise(config, shapes, memory)) if memory else advice.NO_GPU)
    if network_gbit:
        parts.append(
            "\n".join(
                advice.network_advice(
                    config, planner.counts_of(config), hosts, network_gbit, photos_per_second
                )
            )
        )
    return "\n\n".join(parts)


def annotation(values: Values, dishes: int) -> str:
    """Likely cost of asking every annotator about every dish; no key is needed for that."""
    from dishvl_lib.annotation import annotate
    from dishvl_lib.endpoints import client

    given = values["01_annotation"]
    asked = [one for one in given["annotators"] if one.get("base_url") != "builtin"]
    if not asked:
        return "annotation: costs nothing"
    endpoints = [client.Endpoint(**one) for one in asked]
    table = annotate.estimate(endpoints, dishes, given["photos_per_dish"])
    return "annotation:\n" + table.round(2).to_string(index=False)


def _plan_text(name: str, plan: Any) -> str:
    hours = (
        f"{plan.hours:.1f} hours"
        if plan.hours
        else "hours: open; --trial measures this machine's speed, --photos-per-second N gives "
        "another's"
    )
    return f"training, {name}:\n{plan.table().to_string(index=False)}\n{hours}"


def _photos(values: Values) -> tuple[int, int]:
    """(photos, dishes) that would be annotated: of the catalogue when stage 01 has finished,
    otherwise of the folder as it is.
    """
    from dishvl_lib.annotation import layout
    from dishvl_lib.demo import builtin

    given = values["01_annotation"]
    table = _finished(values, "01_annotation", "catalog.parquet")
    if table is not None:
        own = table[~artefacts.at_site(table.split)]
        return len(own), own.dish_id.nunique()
    root = builtin.photos(given["image_root"], [])[0]
    follow_links = given.get("follow_links", False)
    found, _ = layout.list_photos(root, given.get("photos_csv", ""), follow_links=follow_links)
    folders = {one.folder for one in found}
    return len(found), len({names.clean_folder_name(folder) for folder in folders})


def _training(values: Values, photos: int) -> tuple[Any, list[Any], int, int]:
    """(configuration, the largest batch, trees an epoch, bytes of the photo cache): from the
    questions when stage 03 has finished, otherwise as it would make them.
    """
    from dishvl_lib.training import advice, config, shapes
    from dishvl_lib.vlm import qwen

    given = dict(values["04_training"])
    base = _base_model(given["base_model"])
    places = dict.fromkeys(
        ("image_root", "train_file", "validation_file", "output_folder"), UNKNOWN
    )
    catalog = _finished(values, "01_annotation", "catalog.parquet")
    rows = _finished(values, "03_dataset", "train.jsonl")
    if rows is not None:
        folder = stages.find_stage(given, "03_dataset")
        root = markers.read(stages.find_stage(given, "01_annotation"))["image_root"]
        places |= {
            "image_root": root,
            "train_file": str(folder / "train.jsonl"),
            "validation_file": str(folder / "validation.jsonl"),
        }
    made = config.from_parameters(given, base_model=base, **places)
    loaded = qwen.load_inputs(base, made.min_pixels, made.max_pixels)
    batch = {"questions_per_photo": made.questions_per_photo, "n": made.per_device_train_batch_size}
    if rows is None or catalog is None:
        menu_size = max(values["03_dataset"]["menu_size"], values["03_dataset"]["menu_size_to"])
        side = int(made.max_pixels**0.5)
        return (
            made,
            shapes.assumed(loaded, menu_size=menu_size, **batch),
            photos,
            advice.cache_bytes(made, [(side, side)] * photos, loaded),
        )
    sizes = [(one.width, one.height) for one in catalog.itertuples()]
    return (
        made,
        *shapes.largest(loaded, rows, shapes.sizes(catalog), **batch),
        advice.cache_bytes(made, sizes, loaded),
    )


def _base_model(value: str) -> str:
    from dishvl_lib.demo import builtin
    from dishvl_lib.vlm import qwen

    if value != builtin.BUILTIN:
        return qwen.locate(value)
    built = sorted(
        paths.cache("demo_base_model").glob("*/config.json"), key=lambda file: file.stat().st_mtime
    )
    if not built:
        raise settings.SettingsError(
            "base_model: builtin is not built before stage 03 has run; run dishvl demo, or "
            "give a folder"
        )
    return str(built[-1].parent)


def _finished(values: Values, stage: str, file: str) -> pd.DataFrame | list[dict] | None:
    try:
        path: Path = stages.find_stage(dict(values[stage]), stage) / file
    except stages.StageError:
        return None
    return records.read_jsonl(path) if path.suffix == ".jsonl" else records.read_table(path)
