"""Confusions from stage 04 of one run to stage 03 of another."""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts, dependencies, markers, params, paths, records, stages
from dishvl_lib.steps import dataset as steps
from dishvl_lib.steps import training

NAMES = {"a": "红烧鱼", "b": "土豆丝", "c": "红烧肉"}
PHOTOS = pd.DataFrame({"image_id": ["v", "t"], "split": ["validation", "test"]})
ANSWERS = pd.DataFrame(
    [("m-0", "v", "a", "b"), ("m-1", "v", "c", "c"), ("m-2", "t", "a", "c")],
    columns=list(artefacts.VALIDATION_ANSWER_COLUMNS),
)


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("DISHVL_OUTPUTS", str(tmp_path))
    return tmp_path


def finish_training(run_name, answers=ANSWERS):
    """A finished stage 04, with its answers unless there are none."""
    folder = paths.stage_folder(run_name, "04_training")
    folder.mkdir(parents=True)
    outputs = {}
    if answers is not None:
        file = folder / artefacts.VALIDATION_ANSWERS
        records.write_table(file, answers)
        outputs[file.name] = markers.describe(file)
    marker = {
        "stage": "04_training",
        "parameters": {},
        "inputs": {},
        "outputs": outputs,
        "counts": {},
        "cost": {},
        "seconds": 1.0,
        "finished_at": "",
        "best": {},
        "validation_loss": 1.0,
    }
    records.write_json(folder / "_SUCCESS.json", marker)


def stage_03(run_name="new", confusions_from="old"):
    values = {"run_name": run_name, "confusions_from": confusions_from}
    folder = paths.stage_folder(run_name, "03_dataset")
    folder.mkdir(parents=True, exist_ok=True)
    return stages.Stage("03_dataset", values, folder, {}, {}, done=False)


def test_the_answers_of_stage_04_say_which_dish_was_chosen():
    rows = [
        {"id": "m-0", "image_id": "v", "dish_id": "a", "menu": list(NAMES.values())},
        {"id": "m-1", "image_id": "v", "dish_id": "b", "menu": list(NAMES.values())},
    ]
    for row, answer in zip(rows, ("土豆丝", "土豆丝"), strict=True):
        row["conversations"] = artefacts.conversation("", NAMES[row["dish_id"]])
        row["answer"] = answer
    table = training.validation_answers(rows, NAMES)
    assert tuple(table.columns) == artefacts.VALIDATION_ANSWER_COLUMNS
    assert table.answer_id.tolist() == ["b", "b"]


def test_the_pairs_of_a_finished_run_are_read_kept_and_never_those_of_test_photos(outputs, capsys):
    finish_training("old")
    stage = stage_03()
    pairs = steps._confused_pairs(stage, PHOTOS, NAMES)
    assert pairs[["dish_id", "other_id"]].values.tolist() == [["a", "b"]]
    assert stage.path("confused_pairs.csv").exists()
    printed = capsys.readouterr().out
    assert (
        "old confuses 1 pairs of dishes, 1 times in 2 validation menus; 1 of 3 are not used"
        in printed
    )


def test_by_default_nothing_is_read(outputs):
    assert params.defaults("03_dataset")["confusions_from"] == ""
    stage = stage_03(confusions_from="")
    assert steps._confused_pairs(stage, PHOTOS, NAMES) is None
    assert not stage.path("confused_pairs.csv").exists()


def test_a_run_that_confuses_nothing_is_said(outputs):
    finish_training("old", ANSWERS[1:2])
    stage = stage_03()
    assert steps._confused_pairs(stage, PHOTOS, NAMES).empty
    assert stage.notes == ["old confuses no dishes of this run: menus are drawn as without it"]


def test_a_run_without_a_finished_training_or_without_answers_is_refused(outputs):
    with pytest.raises(stages.StageError, match="run old has no finished training"):
        steps._confused_pairs(stage_03(), PHOTOS, NAMES)
    finish_training("old", None)
    with pytest.raises(stages.StageError, match="an earlier version made that training"):
        steps._confused_pairs(stage_03(), PHOTOS, NAMES)


def test_answers_that_were_changed_since_are_refused(outputs):
    finish_training("old")
    file = paths.stage_folder("old", "04_training") / artefacts.VALIDATION_ANSWERS
    file.write_text(file.read_text("utf-8") + "m-9,v,b,c\n", "utf-8")
    with pytest.raises(stages.StageError, match="validation_answers"):
        steps._confused_pairs(stage_03(), PHOTOS, NAMES)


def test_a_run_cannot_learn_from_its_own_answers():
    values = params.defaults("03_dataset") | {"run_name": "r", "confusions_from": "r"}
    (problem,) = params.conflicts("03_dataset", values)
    assert "is this run itself" in problem


def test_other_answers_make_the_questions_again(outputs):
    values = {"run_name": "new", "confusions_from": "old"}
    assert dependencies.inputs_of("03_dataset", values, {}) == {}
    finish_training("old")
    before = dependencies.inputs_of("03_dataset", values, {})
    file = paths.stage_folder("old", "04_training") / artefacts.VALIDATION_ANSWERS
    records.write_table(file, ANSWERS[:1])
    after = dependencies.inputs_of("03_dataset", values, {})
    assert dependencies.changed_inputs("03_dataset", before, after) == ["confusions_from: old"]
    assert dependencies.inputs_of("04_training", {"run_name": "new"}, {}) == {}


def test_a_finished_training_of_an_earlier_version_is_not_asked_again(outputs):
    folder = paths.stage_folder("old", "04_training")
    records.write_json(folder / "calibration.json", {"n": 3})
    stage = stages.Stage("04_training", {"seed": 0}, folder, {}, {}, done=True)
    assert training.calibrate(stage, folder / "best", []) == {"n": 3}
    assert not stage.path(artefacts.VALIDATION_ANSWERS).exists()
