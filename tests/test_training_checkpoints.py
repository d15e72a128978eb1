"""Checkpoints: their bytes, what is kept, what they belong to, and values that are not saved."""

import shutil

import pytest
import tiny
import torch
import trainings
from safetensors.torch import load_file

from dishvl_lib.core import records
from dishvl_lib.training import checkpoints, config, launch

BELONGS = {"seed": 0, "processes": 1}


@pytest.fixture
def folder(tmp_path):
    """Four checkpoints of a toy run."""
    for step in (2, 4, 6, 10):
        written = tmp_path / f"checkpoint-{step}"
        (written / checkpoints.RESUME).mkdir(parents=True)
        checkpoints.write_weights({"a": torch.full((3,), float(step))}, written, torch.float32)
        (written / checkpoints.RESUME / "optimizer.pt").write_bytes(b"moments")
        checkpoints.seal(written, BELONGS)
    return tmp_path


def test_the_newest_are_kept_whole_the_best_as_weights_and_no_other(folder):
    checkpoints.prune(folder, 2, "checkpoint-2")
    assert [path.name for path in checkpoints.numbered(folder)] == [
        "checkpoint-10",
        "checkpoint-6",
        "checkpoint-2",
    ]
    assert not (folder / "checkpoint-2" / checkpoints.RESUME).exists()
    assert not checkpoints.damage(folder / "checkpoint-2")
    assert load_file(folder / "checkpoint-2" / checkpoints.WEIGHTS)["a"].tolist() == [2.0, 2.0, 2.0]
    assert checkpoints.newest(folder, BELONGS).name == "checkpoint-10"


def test_a_copy_that_somebody_laid_there_is_no_checkpoint(folder):
    shutil.copytree(folder / "checkpoint-6", folder / "checkpoint-6 (copy)")
    (folder / "damaged-checkpoint-8").mkdir()
    assert [path.name for path in checkpoints.numbered(folder)] == [
        "checkpoint-10",
        "checkpoint-6",
        "checkpoint-4",
        "checkpoint-2",
    ]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (shutil.rmtree, "it is gone"),
        (
            lambda best: (best / checkpoints.WEIGHTS).write_bytes(b"cut"),
            "trained.safetensors is missing or damaged",
        ),
    ],
)
def test_a_lost_best_checkpoint_stops_the_resume_and_not_the_end(folder, harm, words):
    last = folder / "checkpoint-10"
    for best in (None, 10, 4):
        records.write_json(last / checkpoints.STATE, {"best_global_step": best})
        checkpoints.check_best(last)
    harm(folder / "checkpoint-4")
    with pytest.raises(
        checkpoints.CheckpointError,
        match=f"checkpoint-4, the best so far, cannot be used .{words}.*--redo 04",
    ):
        checkpoints.check_best(last)


def test_weights_alone_are_never_resumed_from(folder):
    for step in (6, 10):
        shutil.rmtree(folder / f"checkpoint-{step}" / checkpoints.RESUME)
    assert checkpoints.newest(folder, BELONGS).name == "checkpoint-4"


@pytest.mark.parametrize("file", [checkpoints.WEIGHTS, "resume/optimizer.pt"])
def test_one_changed_byte_is_seen(folder, file):
    path = folder / "checkpoint-10" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert checkpoints.damage(folder / "checkpoint-10") == f"{file} is missing or damaged"
    assert checkpoints.newest(folder, BELONGS).name == "checkpoint-6"


def test_another_number_of_processes_is_refused_by_name(folder):
    with pytest.raises(checkpoints.CheckpointError, match=r"with other processes \(was 1, is 2\)"):
        checkpoints.newest(folder, {**BELONGS, "processes": 2})


def test_values_that_are_not_finite_are_not_saved(tmp_path):
    with pytest.raises(
        checkpoints.CheckpointError,
        match="1 trained tensors hold values that are not finite, the first is b",
    ):
        checkpoints.write_weights(
            {"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, tmp_path, torch.float32
        )
    assert not any(tmp_path.iterdir())


def test_bytes_of_weights_and_of_the_resume_state(tmp_path):
    """Goal: 2 bytes a trained parameter for the weights, 14 for the resume state, and at most 2%
    more.
    """
    folder = tmp_path / "04_training"
    folder.mkdir()
    world = {
        "base_model": tiny.wide_folder(tmp_path / "base"),
        **tiny.data_set(tmp_path / "data", per_dish=1),
    }
    given = dict(
        num_train_epochs=1,
        dtype="bfloat16",
        per_device_train_batch_size=5,
        validation_questions=0,
    )
    settings = config.from_parameters({**tiny.TRAINING, **given}, output_folder=folder, **world)
    settings.write(folder / launch.CONFIG)
    status, output = trainings.train(folder / launch.CONFIG)
    assert status == 0, output
    (checkpoint,) = checkpoints.numbered(folder / "checkpoints")
    trained = records.read_json(folder / "trainable.json")["trained_parameters"]
    weights = (checkpoint / checkpoints.WEIGHTS).stat().st_size
    resume = sum(path.stat().st_size for path in (checkpoint / checkpoints.RESUME).iterdir())
    assert 2 * trained < weights <= 1.02 * 2 * trained
    assert 12 * trained < resume <= 1.02 * 14 * trained


def test_a_parameter_of_a_later_version_does_not_end_a_training(folder):
    wanted = {**BELONGS, "of_a_later_version": 0.5}
    assert checkpoints.newest(folder, wanted).name == "checkpoint-10"
