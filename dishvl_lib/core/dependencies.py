"""What each stage is made from: its parameters and the files it reads, by content, and nothing
else.

A file that is not declared here cannot be opened by `Stage.input`, and one that is declared makes
the stage run again when its content changes.
"""

from pathlib import Path
from typing import Any

from dishvl_lib.core import markers, paths, records

CATALOGUE = ("catalog.parquet", "dishes.jsonl")
# {stage: {earlier stage: patterns of the files that are read}}
READS: dict[str, dict[str, tuple[str, ...]]] = {
    "01_annotation": {},
    "02_similar_dishes": {"01_annotation": CATALOGUE},
    "03_dataset": {
        "01_annotation": CATALOGUE,
        "02_similar_dishes": ("similar_dishes.csv", "features.npz", "skipped.csv"),
    },
    "04_training": {
        "01_annotation": CATALOGUE,
        "03_dataset": ("train.jsonl", "validation.jsonl"),
    },
    "05_evaluation": {
        "01_annotation": CATALOGUE,
        "02_similar_dishes": (
            "similar_dishes.csv",
            "features.npz",
            "class_scores.npz",
            "clusters.csv",
        ),
        "03_dataset": ("test.jsonl", "test_unseen.jsonl", "site_*.jsonl"),
        "04_training": ("best/*", "trainable.json", "loss.png"),
    },
}
DECISIONS = {"01_annotation": ("names", "photos"), "03_dataset": ("photos",)}
# Parameters that name a file: what is in it is an input too.
FILE_KEYS = {
    "01_annotation": ("names_csv", "photos_csv", "near_features"),
    "02_similar_dishes": ("weights", "init_weights", "preprocess_yaml"),
    "04_training": ("deepspeed",),
}
# Parameters that change what is shown or where things lie, not what is made.
NOT_CONTENT = {"run_name", "upstream_run", "browse", "language", "budget", "exports"}
# Of these, the ones whose change makes a finished stage write some files anew: {key: patterns}.
RENEWED: dict[str, dict[str, tuple[str, ...]]] = {
    "03_dataset": {"exports": ("exports/*",)},
    "05_evaluation": {"language": ("report.html",)},
}
# Common parameters that a stage does not use itself: they reach it through earlier stages' files,
# or not at all.
_PHOTO_KEYS = {"image_root", "sites", "max_dishes", "max_photos_per_dish"}
_MODEL_KEYS = {"base_model", "min_pixels", "max_pixels"}
UNUSED = {
    "01_annotation": _MODEL_KEYS,
    "02_similar_dishes": _PHOTO_KEYS | _MODEL_KEYS,
    "03_dataset": _PHOTO_KEYS,
    "04_training": _PHOTO_KEYS,
    "05_evaluation": _PHOTO_KEYS,
}
# Parameters that decide how a stage works, not what it makes: they may change between a kill and
# the resume.
MANNER = {
    "02_similar_dishes": {"max_missing_share"},
    "04_training": {
        "dataloader_num_workers",
        "photo_cache_mb",
        "logging_steps",
        "save_steps",
        "keep_checkpoints",
        "per_device_eval_batch_size",
        "num_processes",
        "hostfile",
        "max_missing_share",
    },
    "05_evaluation": {"batch_size", "max_missing_share"},
}
_PICTURES = (".png", ".html", ".log")


def content_parameters(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that decide what a stage makes."""
    without = NOT_CONTENT | UNUSED[name] | MANNER.get(name, set())
    return {key: value for key, value in params.items() if key not in without}


def changed_parameters(
    name: str, old: dict[str, Any], new: dict[str, Any], defaults: dict[str, Any]
) -> list[str]:
    """`key: old -> new` for every parameter that decides what the stage makes and differs.

    A parameter that the stage did not have when `old` was recorded stood, so to say, at its
    default, and one that it has no more decides nothing: an upgrade by itself changes nothing.
    """
    before = content_parameters(name, {**defaults, **old})
    now = content_parameters(name, new)
    differing = [key for key in sorted(now) if before.get(key) != now[key]]
    return [f"{key}: {before.get(key)!r} -> {now[key]!r}" for key in differing]


def inputs_of(name: str, params: dict[str, Any], upstream: dict[str, Path]) -> dict[str, str]:
    """{file: sha256} of what a stage starts from: files of earlier stages, people's decisions,
    files in parameters.
    """
    inputs = {}
    for stage, folder in upstream.items():
        outputs = markers.read(folder)["outputs"]
        for file, written in outputs.items():
            if counts_as_input(name, f"{stage}/{file}"):
                inputs[f"{stage}/{file}"] = written["sha256"]
    for kind in DECISIONS.get(name, ()):
        file = paths.decisions_file(params["run_name"], kind)
        if file.exists():
            inputs[f"decisions/{file.name}"] = records.sha256_file(file)
    for key in FILE_KEYS.get(name, ()):
        inputs |= _named_file(key, params.get(key))
    if name == "05_evaluation":
        for site in params.get("sites", ()):
            inputs |= _named_file("menu_csv", site.get("menu_csv"))
    return inputs


def counts_as_input(name: str, key: str) -> bool:
    """Whether a key of a marker's `inputs` is one that the stage's content depends on.

    An earlier version recorded every file of the stages before; those that are not read do not
    count.
    """
    stage, _, file = key.partition("/")
    if stage not in paths.STAGES:
        return True
    if Path(file).suffix in _PICTURES:
        return False
    return markers.matches(file, READS[name].get(stage, ()))


def changed_inputs(name: str, old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The inputs that differ from those recorded.

    A file that a parameter names and that was not recorded is one that an earlier version did not
    record: the parameter itself is compared elsewhere.
    """
    before = {key: value for key, value in old.items() if counts_as_input(name, key)}
    unrecorded = {key for key in new if ": " in key and key not in before}
    return sorted(
        key for key in (before.keys() | new.keys()) - unrecorded if before.get(key) != new.get(key)
    )


def renewed(name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """{key: patterns} of the files that a finished stage writes anew, since the parameter `key`
    differs.
    """
    keys = RENEWED.get(name, {})
    return {key: keys[key] for key in keys if key in new and old.get(key) != new[key]}


def _named_file(key: str, value: Any) -> dict[str, str]:
    """{`key: path`: sha256} of a file that a parameter names; {} when it names none."""
    if not isinstance(value, str) or not value:
        return {}
    file = paths.resolve(value)
    return {f"{key}: {value}": records.sha256_file(file)} if file.is_file() else {}
