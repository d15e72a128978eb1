"""A finished run whose model another run trains on from: `base_model: run:NAME`.

What is taken of it: `04_training/best/`, and which photos it trains, validates and tests on.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dishvl_lib.core import artefacts, markers, paths, records
from dishvl_lib.core.markers import StageError
from dishvl_lib.core.rules import RUN_PREFIX
from dishvl_lib.core.types import Record

CATALOGUE = "01_annotation"
DATASET = "03_dataset"
TRAINING = "04_training"
BEST = "best"
BEST_FILES = (f"{BEST}/*",)
# The files that say what a run has trained on: (reading stage, its record of a file, who wrote it).
_TRAINED_FROM = (
    (TRAINING, DATASET, "train.jsonl"),
    (TRAINING, DATASET, "validation.jsonl"),
    (DATASET, CATALOGUE, "catalog.parquet"),
)


def name_of(base_model: object) -> str:
    """The run in `run:NAME`; '' where a base model is anything else."""
    text = base_model if isinstance(base_model, str) else ""
    return text.removeprefix(RUN_PREFIX) if text.startswith(RUN_PREFIX) else ""


def absences(values: Record) -> list[str]:
    """A sentence for what keeps a stage from training on from the run that its `base_model` names;
    [] when nothing does.
    """
    run_name = name_of(values.get("base_model"))
    if not run_name:
        return []
    problem = _absence(run_name)
    if problem:
        return [f"base_model: {RUN_PREFIX}{run_name} {problem}"]
    differing = _other_pixels(values, run_name)
    return [differing] if differing else []


def _absence(run_name: str) -> str:
    if not paths.run_folder(run_name).is_dir():
        return f"names no run: there is no folder {paths.run_folder(run_name)}"
    try:
        best(run_name)
        _check_unchanged(run_name)
    except StageError as error:
        return f"cannot be trained on from: {error}"
    return ""


def best(run_name: str) -> Path:
    """The folder of a finished run's model. Raises `StageError` when the training has not finished,
    or a file of the model is not as it was written.
    """
    folder = paths.stage_folder(run_name, TRAINING)
    if not markers.finished(folder):
        raise StageError(
            f"run {run_name} has no finished training in {folder}; finish it (dishvl run PROFILE "
            f"--set run_name={run_name} --to 04) or name another run"
        )
    markers.check_outputs(folder, patterns=BEST_FILES)
    return folder / BEST


def fingerprint(run_name: str, stage: str, patterns: Sequence[str]) -> str:
    """Which content a run's stage has in the files that fit `patterns`, as its marker recorded it;
    '' when the stage is not there.
    """
    try:
        written = markers.read(_stage(run_name, stage))["outputs"]
    except StageError:
        return ""
    shas = {}
    for file, described in written.items():
        if markers.matches(file, patterns):
            shas[file] = described["sha256"]
    return records.fingerprint(shas)


def _other_pixels(values: Record, run_name: str) -> str:
    """A sentence where photos are read at other sizes than the run trained at; '' otherwise."""
    limits = [key for key in ("min_pixels", "max_pixels") if key in values]
    trained = markers.read(paths.stage_folder(run_name, TRAINING))["best"]
    differing = [key for key in limits if trained.get(key) != values[key]]
    if not differing:
        return ""
    wanted = " and ".join(f"{key}: {trained.get(key)}" for key in limits)
    return (
        f"base_model: run {run_name} was trained on photos of another size than {differing[0]} "
        f"{values[differing[0]]} gives; set {wanted}, as its model reads them"
    )


def known_photos(run_name: str) -> pd.DataFrame:
    """EARLIER_COLUMNS: the photos that a run trains, validates and tests on, and those that it knew
    itself from the run that it was trained on from. Raises `StageError`.
    """
    folder = _stage(run_name, CATALOGUE)
    markers.check_outputs(folder, patterns=("catalog.parquet", artefacts.EARLIER_PHOTOS))
    columns = list(artefacts.EARLIER_COLUMNS)
    photos = records.read_table(folder / "catalog.parquet", columns[1:])
    at_home = photos[photos.split.isin(artefacts.SPLITS)].assign(run=run_name)
    file = folder / artefacts.EARLIER_PHOTOS
    if not file.exists():
        return at_home[columns].reset_index(drop=True)
    before = records.read_table(file, columns)
    # What it trained on counts, wherever a later run has put it.
    trained = before[before.split == "train"]
    unknown = before[~before.sha256.isin(at_home.sha256) & (before.split != "train")]
    return pd.concat([at_home, trained, unknown], ignore_index=True)[columns]


def _stage(run_name: str, stage: str) -> Path:
    """A finished stage of a run, or of the run that it took its earlier stages from."""
    folder = paths.stage_folder(run_name, stage)
    if not markers.finished(folder) and stage != TRAINING:
        training = markers.read(paths.stage_folder(run_name, TRAINING))
        lender = training["parameters"].get("upstream_run")
        folder = paths.stage_folder(lender, stage) if lender else folder
    if not markers.finished(folder):
        raise StageError(
            f"run {run_name} has no finished {stage} in {folder}, so that nobody can say what it "
            "was trained on; name another run, or give its model as a folder"
        )
    return folder


def _check_unchanged(run_name: str) -> None:
    """Raises `StageError` when a run's photos or questions were made again since it was trained:
    what it trained on is not known then.
    """
    for reader, writer, file in _TRAINED_FROM:
        recorded = markers.read(_stage(run_name, reader))["inputs"].get(f"{writer}/{file}")
        written = markers.read(_stage(run_name, writer))["outputs"].get(file, {}).get("sha256")
        if recorded != written:
            raise StageError(
                f"{writer}/{file} of run {run_name} is not the one that its {reader} was made "
                "from, so that nobody can say what it was trained on; train it again (dishvl run "
                f"PROFILE --set run_name={run_name} --to 04 --redo 04), or name another run"
            )
