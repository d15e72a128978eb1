"""The run that another one trains on from: what it must be, what counts of it, what it knew."""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts, base_run, dependencies, markers, params, paths, records

NAME = "first"
SIZES = {"min_pixels": 3136, "max_pixels": 12544}
VALUES = {"run_name": "second", "base_model": f"run:{NAME}", **SIZES}


def photos(*splits, run=""):
    """A photo for each split, told apart by their bytes."""
    rows = [
        {column: f"{split}-{n}" for column in artefacts.EARLIER_COLUMNS}
        for n, split in enumerate(splits)
    ]
    return pd.DataFrame(rows).assign(split=splits, run=run)


def finish(stage, run_name=NAME, inputs=None, parameters=None, **files):
    """Write a stage's files (bytes or tables) and its marker."""
    folder = paths.stage_folder(run_name, stage)
    for file, content in files.items():
        place = folder / file.replace("__", "/").replace("_dot_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            records.write_table(place, content)
        else:
            place.write_bytes(content)
    written = [
        file for file in folder.rglob("*") if file.is_file() and file.name != markers.SUCCESS
    ]
    marker = {
        "stage": stage,
        "parameters": parameters or {},
        "inputs": inputs or {},
        "outputs": {str(file.relative_to(folder)): markers.describe(file) for file in written},
        "counts": {},
        "cost": {},
        "seconds": 1.0,
        "finished_at": "2026-01-01",
        "image_root": "photos",
        "best": SIZES,
    }
    records.write_json(folder / markers.SUCCESS, marker)
    return folder


def sha(stage, file, run_name=NAME):
    return records.sha256_file(paths.stage_folder(run_name, stage) / file)


@pytest.fixture
def first():
    """A run that has finished its training."""
    finish("01_annotation", catalog_dot_parquet=photos("train", "validation", "test", "held_out"))
    catalogue = sha("01_annotation", "catalog.parquet")
    questions = {"train_dot_jsonl": b"a", "validation_dot_jsonl": b"b"}
    finish("03_dataset", inputs={"01_annotation/catalog.parquet": catalogue}, **questions)
    train_on_questions()


def train_on_questions(weights=b"w", parameters=None):
    read = {
        f"03_dataset/{file}": sha("03_dataset", file)
        for file in ("train.jsonl", "validation.jsonl")
    }
    best = {
        "best__config_dot_json": b"{}",
        "best__model_dot_safetensors": weights,
        "best__tokenizer_dot_json": b"t",
    }
    return finish("04_training", inputs=read, parameters=parameters, **best)


def inputs_of(stage):
    return dependencies.inputs_of(stage, VALUES, {})


def test_a_name_stands_behind_run(first):
    assert base_run.name_of("run:first") == NAME
    assert base_run.name_of("Qwen/Qwen2.5-VL-7B-Instruct") == ""
    assert base_run.name_of(None) == ""


def test_a_finished_run_is_taken(first):
    assert base_run.absences(VALUES) == []
    assert base_run.best(NAME) == paths.stage_folder(NAME, "04_training") / "best"


def test_a_run_that_is_not_there_is_said():
    (problem,) = base_run.absences(VALUES)
    assert problem.startswith("base_model: run:first names no run: there is no folder")


def test_a_changed_model_is_refused(first):
    (base_run.best(NAME) / "config.json").write_text("{ }")
    (problem,) = base_run.absences(VALUES)
    assert "config.json was changed since the stage finished" in problem


def test_other_pixel_limits_are_refused_with_the_ones_that_are_needed(first):
    (problem,) = base_run.absences({**VALUES, "max_pixels": 50176})
    assert problem == (
        "base_model: run first was trained on photos of another size than max_pixels 50176 gives; "
        "set min_pixels: 3136 and max_pixels: 12544, as its model reads them"
    )


@pytest.mark.parametrize(
    ("stage", "changed"),
    [
        ("01_annotation", {"catalog_dot_parquet": photos("train")}),
        ("03_dataset", {"train_dot_jsonl": b"other"}),
    ],
)
def test_a_run_whose_photos_or_questions_were_made_again_is_refused(first, stage, changed):
    recorded = markers.read(paths.stage_folder(NAME, stage))["inputs"]
    finish(stage, inputs=recorded, **changed)
    (problem,) = base_run.absences(VALUES)
    assert "so that nobody can say what it was trained on; train it again" in problem


def test_stages_taken_from_another_run_are_found_there(first):
    paths.run_folder(NAME).rename(paths.run_folder("lender"))
    lent = paths.stage_folder("lender", "04_training")
    marker = records.read_json(lent / markers.SUCCESS)
    marker["parameters"] = {"upstream_run": "lender"}
    records.write_json(lent / markers.SUCCESS, marker)
    paths.run_folder(NAME).mkdir()
    lent.rename(paths.stage_folder(NAME, "04_training"))
    assert base_run.absences(VALUES) == []
    assert len(base_run.known_photos(NAME)) == 3


def test_its_content_counts_where_it_is_read(first):
    before = {stage: inputs_of(stage) for stage in dependencies.BASE_RUN_READS}
    train_on_questions(weights=b"other")
    after = {stage: inputs_of(stage) for stage in dependencies.BASE_RUN_READS}
    differing = [stage for stage in before if before[stage] != after[stage]]
    assert differing == ["04_training", "05_evaluation"]
    assert set(before["01_annotation"]) == {"base_model: run:first"}


def test_a_run_that_has_gone_makes_nothing_again(first):
    before = inputs_of("04_training")
    paths.run_folder(NAME).rename(paths.run_folder("elsewhere"))
    assert dependencies.changed_inputs("04_training", before, inputs_of("04_training")) == []


@pytest.mark.parametrize(
    ("old", "new", "n_changed"),
    [
        ("builtin", "/models/7b", 0),
        ("builtin", "run:first", 1),
        ("run:first", "builtin", 1),
        ("run:first", "run:other", 1),
        ("run:first", "run:first", 0),
    ],
)
def test_of_base_models_only_runs_decide_the_split(old, new, n_changed):
    values = params.defaults("01_annotation")
    recorded = dependencies.content_parameters("01_annotation", {**values, "base_model": old})
    now = {**values, "base_model": new}
    assert len(dependencies.changed_parameters("01_annotation", recorded, now)) == n_changed


def test_photos_that_are_held_out_are_not_known(first):
    known = base_run.known_photos(NAME)
    assert known.split.tolist() == ["train", "validation", "test"]
    assert set(known.run) == {NAME}


def test_what_an_earlier_run_knew_is_handed_on(first):
    earlier = photos("train", "test", run="zeroth").assign(sha256=["gone too", "gone"])
    finish("01_annotation", earlier_photos_dot_parquet=earlier)
    known = base_run.known_photos(NAME)
    assert set(known.sha256[known.run == "zeroth"]) == {"gone", "gone too"}


def test_what_an_earlier_run_trained_on_stays_trained_on(first):
    earlier = photos("train", run="zeroth").assign(sha256="test-2")
    finish("01_annotation", earlier_photos_dot_parquet=earlier)
    known = base_run.known_photos(NAME)
    assert set(known.split[known.sha256 == "test-2"]) == {"train", "test"}
