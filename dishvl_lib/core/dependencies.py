"""What each stage is made from: its parameters and the files it reads, by content, and nothing
else.

A file that is not declared here cannot be opened by `Stage.input`, and one that is declared makes
the stage run again when its content changes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dishvl_lib.core import artefacts, base_run, markers, params, paths, records
from dishvl_lib.core.parameter import Role
from dishvl_lib.core.types import Record

CATALOGUE = ("catalog.parquet", "dishes.jsonl")
DECIDED = "decided_photos.csv"
# {stage: {earlier stage: patterns of the files that are read}}
READS: dict[str, dict[str, tuple[str, ...]]] = {
    paths.TRAYS: {},
    "01_annotation": {paths.TRAYS: (artefacts.CROPS_LIST, artefacts.CROPS)},
    "02_similar_dishes": {"01_annotation": CATALOGUE},
    "03_dataset": {
        "01_annotation": (*CATALOGUE, DECIDED),
        "02_similar_dishes": ("similar_dishes.csv", "features.npz", "skipped.csv"),
    },
    "04_training": {
        "01_annotation": ("dishes.jsonl",),
        "03_dataset": ("train.jsonl", "validation.jsonl"),
    },
    "05_evaluation": {
        paths.TRAYS: (artefacts.FRAMES, artefacts.BOXES, artefacts.CROPS),
        "01_annotation": CATALOGUE,
        "02_similar_dishes": (
            "similar_dishes.csv",
            "features.npz",
            "class_scores.npz",
            "clusters.csv",
            "pplcnet.pdparams",
        ),
        "03_dataset": (
            "validation.jsonl",
            "test.jsonl",
            "test_unseen.jsonl",
            "site_*.jsonl",
            DECIDED,
        ),
        "04_training": ("best/*", "trainable.json", "loss.png"),
    },
}
# What a stage looks at besides, for advice or for a curve of the report alone: it decides nothing
# that the stage makes.
LOOKED_AT: dict[str, dict[str, tuple[str, ...]]] = {
    "04_training": {"01_annotation": ("catalog.parquet",)},
    "05_evaluation": {"04_training": ("metrics.jsonl",)},
}
# Files that a stage has come to read since it was made by earlier versions: there they were not
# recorded, and that alone is no change.
NEWLY_READ: dict[str, tuple[str, ...]] = {
    "05_evaluation": ("02_similar_dishes/pplcnet.pdparams", "03_dataset/validation.jsonl"),
}
# What a stage reads of the run in `base_model: run:NAME`: (its stage, patterns of files).
BASE_RUN_READS: dict[str, tuple[str, tuple[str, ...]]] = {
    "01_annotation": ("01_annotation", ("catalog.parquet", artefacts.EARLIER_PHOTOS)),
    "03_dataset": ("04_training", ("best/*token*", "best/*.jinja", "best/preprocessor*")),
    "04_training": ("04_training", base_run.BEST_FILES),
    "05_evaluation": ("04_training", base_run.BEST_FILES),
}
NO_RUN = "no run"  # what a base model that is no run's is for the split of photos
DECISIONS = {"01_annotation": ("names", "photos"), "03_dataset": ("photos",)}
# Parameters whose change makes a finished stage write some files anew, and nothing else: {key:
# patterns}.
RENEWED: dict[str, dict[str, tuple[str, ...]]] = {
    "03_dataset": {"exports": ("exports/*",)},
    "05_evaluation": {"language": ("report.html",)},
}
NAMED_FILE_MARK = ": "  # in the key of an input that a parameter names: `names_csv: PATH`
PART_MARK = "#"  # in the key of an input of which a part counts: `01_annotation/dishes.jsonl#names`


def _names(dishes: Path) -> str:
    """What the dishes of dishes.jsonl are called, as a fingerprint."""
    names = [(row.get("dish_id"), row.get("name")) for row in records.iter_jsonl(dishes)]
    return records.fingerprint(names)


# Where a stage uses only a part of a file, that part's content decides: {stage: {file: (what is
# used, its fingerprint)}}. Photos that were moved or another text of a card train nothing otherwise.
PARTS: dict[str, dict[str, tuple[str, Callable[[Path], str]]]] = {
    "04_training": {"01_annotation/dishes.jsonl": ("names", _names)},
}
# Files that count in a folder that a parameter names: labels, and a detector.
COUNTED_SUFFIXES = (".json", ".txt", ".yaml", ".yml", ".names", ".data", ".onnx")
_PICTURES = (".png", ".html", ".log")


def stages_read(name: str, values: Record) -> list[str]:
    """The earlier stages that a stage starts from; 00 only where the run has trays."""
    has_trays = bool(values.get("trays_root"))
    return [stage for stage in READS[name] if has_trays or stage != paths.TRAYS]


def opened(name: str, stage: str) -> tuple[str, ...]:
    """Patterns of an earlier stage's files that a stage may open."""
    return READS[name][stage] + LOOKED_AT.get(name, {}).get(stage, ())


def content_parameters(name: str, values: Record) -> Record:
    """The parameters that decide what a stage makes."""
    without = params.with_role(name, Role.EARLIER, Role.RUNTIME_ONLY, Role.DISPLAY_ONLY)
    content = {key: value for key, value in values.items() if key not in without}
    if name == "01_annotation" and "base_model" in values:
        # Of all base models only a run's decides here: the split of its photos is kept.
        is_run = base_run.name_of(values["base_model"])
        content["base_model"] = values["base_model"] if is_run else NO_RUN
    return content


def changed_parameters(name: str, old: Record, new: Record) -> list[str]:
    """`key: old -> new` for every parameter that decides what the stage makes and differs.

    A parameter that the stage did not have when `old` was recorded stood, so to say, at its
    default, and one that it has no more decides nothing: an upgrade by itself changes nothing.
    """
    before = content_parameters(name, {**params.defaults(name), **old})
    now = content_parameters(name, new)
    differing = [key for key in sorted(now) if before.get(key) != now[key]]
    return [f"{key}: {before.get(key)!r} -> {now[key]!r}" for key in differing]


def inputs_of(name: str, values: Record, upstream: dict[str, Path]) -> dict[str, str]:
    """{file: sha256} of what a stage starts from: files of earlier stages, people's decisions,
    files in parameters.
    """
    inputs = {}
    parts = PARTS.get(name, {})
    for stage, folder in upstream.items():
        outputs = markers.read(folder)["outputs"]
        for file, written in outputs.items():
            key = f"{stage}/{file}"
            part, fingerprint = parts.get(key, ("", None))
            if fingerprint:
                inputs[f"{key}{PART_MARK}{part}"] = fingerprint(folder / file)
            elif counts_as_input(name, key):
                inputs[key] = written["sha256"]
    for kind in DECISIONS.get(name, ()):
        file = paths.decisions_file(values["run_name"], kind)
        if file.exists():
            inputs[f"decisions/{file.name}"] = records.sha256_file(file)
    for key in params.content_files(name):
        inputs |= _named_file(key, values.get(key))
    if values.get("confusions_from"):
        inputs |= _answers_of(values["confusions_from"])
    for key in params.content_places(name):
        inputs |= _named_place(key, values.get(key))
    inputs |= _of_base_run(name, values)
    if name == "05_evaluation":
        for site in values.get("sites", ()):
            inputs |= _named_file("menu_csv", site.get("menu_csv"))
    return inputs


def counts_as_input(name: str, key: str) -> bool:
    """Whether a key of a marker's `inputs` is one that the stage's content depends on.

    An earlier version recorded every file of the stages before; those that are not read do not
    count.
    """
    stage, _, file = key.partition("/")
    if stage not in paths.ALL_STAGES:
        return True
    if Path(file).suffix in _PICTURES:
        return False
    if _is_part(name, key):
        return True
    if key in PARTS.get(name, {}):
        return False  # an earlier version recorded it whole
    return markers.matches(file, READS[name].get(stage, ()))


def changed_inputs(name: str, old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The inputs that differ from those recorded.

    A file that a parameter names counts only where it stands on both sides: an earlier version did
    not record it, and one that has gone since cannot be read again. The parameter itself is
    compared elsewhere. Of NEWLY_READ the same, and of a file's part.
    """
    before = {key: value for key, value in old.items() if counts_as_input(name, key)}
    one_sided = {key for key in before.keys() ^ new.keys() if NAMED_FILE_MARK in key}
    one_sided |= {key for key in before.keys() ^ new.keys() if _is_part(name, key)}
    one_sided |= {key for key in NEWLY_READ.get(name, ()) if key not in before}
    compared = (before.keys() | new.keys()) - one_sided
    return sorted(key for key in compared if before.get(key) != new.get(key))


def _is_part(name: str, key: str) -> bool:
    file, mark, _ = key.rpartition(PART_MARK)
    return bool(mark) and file in PARTS.get(name, {})


def renewed(name: str, old: Record, new: Record) -> dict[str, tuple[str, ...]]:
    """{key: patterns} of the files that a finished stage writes anew, since the parameter `key`
    differs.
    """
    differing = {}
    for key, patterns in RENEWED.get(name, {}).items():
        if key in new and old.get(key) != new[key]:
            differing[key] = patterns
    return differing


def _answers_of(run_name: str) -> dict[str, str]:
    """{`confusions_from: RUN`: sha256} of what another run answered on validation; {} without."""
    file = paths.stage_folder(run_name, "04_training") / artefacts.VALIDATION_ANSWERS
    if not file.is_file():
        return {}
    return {f"confusions_from{NAMED_FILE_MARK}{run_name}": records.sha256_file(file)}


def _of_base_run(name: str, values: Record) -> dict[str, str]:
    """{`base_model: run:NAME`: fingerprint} of what a stage reads of that run; {} without."""
    run_name = base_run.name_of(values.get("base_model"))
    if not run_name or name not in BASE_RUN_READS:
        return {}
    content = base_run.fingerprint(run_name, *BASE_RUN_READS[name])
    key = f"base_model{NAMED_FILE_MARK}{values['base_model']}"
    return {key: content} if content else {}


def _named_place(key: str, value: Any) -> dict[str, str]:
    """{`key: path`: fingerprint} of a file, or of the labels or detector in a folder; {} for
    none."""
    if not value or not paths.resolve(value).is_dir():
        return _named_file(key, value)
    folder = paths.resolve(value)
    content = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in COUNTED_SUFFIXES and file.is_file():
            content.append((file.relative_to(folder).as_posix(), records.sha256_file(file)))
    return {f"{key}{NAMED_FILE_MARK}{value}": records.fingerprint(content)}


def _named_file(key: str, value: Any) -> dict[str, str]:
    """{`key: path`: sha256} of a file that a parameter names; {} when it names none."""
    if not isinstance(value, str) or not value:
        return {}
    file = paths.resolve(value)
    if not file.is_file():
        return {}
    return {f"{key}{NAMED_FILE_MARK}{value}": records.sha256_file(file)}
