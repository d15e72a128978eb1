"""A training that is killed at random moments, while it saves, or for want of disk, ends bit-equal
to one left alone.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from dishvl_lib.core import paths, records
from dishvl_lib.training import checkpoints, config, launch

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import tiny

STEPS = 160


@pytest.fixture(autouse=True, scope="module")
def light():
    """One thread in all trainings, the undisturbed one too: another number adds up in another
    order.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return {
        "base_model": tiny.base_folder(folder / "base"),
        **tiny.data_set(folder / "data", per_dish=4),
    }


def configured(world, folder, **changed):
    """Eight steps an epoch, a checkpoint every three: most of them lie inside an epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    given = dict(
        learning_rate=2e-3,
        num_train_epochs=STEPS / 8,
        questions_per_photo=1,
        per_device_train_batch_size=5,
        logging_steps=1,
        save_steps=3,
        eval_steps=50,
        validation_questions=5,
        photo_augmentation="views",
        dataloader_num_workers=1,
    )
    settings = config.from_parameters(
        {**tiny.TRAINING, **given, **changed}, output_folder=folder, **world
    )
    settings.write(folder / launch.CONFIG)
    return settings


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "04_training"
    done = subprocess.run(
        launch.command(configured(world, folder)), capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_bit_equal(folder, undisturbed):
    mine, theirs = (
        load_file(place / "checkpoints" / f"checkpoint-{STEPS}" / checkpoints.WEIGHTS)
        for place in (folder, undisturbed)
    )
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    rows, wanted = (
        {row["step"]: row["loss"] for row in launch.metrics(place) if "loss" in row}
        for place in (folder, undisturbed)
    )
    assert rows == wanted
    assert len(wanted) == STEPS


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def begin(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "dishvl_lib.training", str(folder / launch.CONFIG)],
        stdout=open(folder / "out.txt", "a"),
        stderr=subprocess.STDOUT,
        cwd=paths.PROJECT_ROOT,
        start_new_session=True,
    )


def test_five_kills_at_random_moments(world, undisturbed, tmp_path):
    folder = tmp_path / "04_training"
    moments = random.Random(1)
    settings = configured(world, folder)
    resumed = 0
    for number in range(5):
        process = begin(folder)
        step = max([row["step"] for row in launch.metrics(folder)], default=0)
        wanted = step + moments.randint(1, STEPS // 7)
        while (
            process.poll() is None
            and max([row["step"] for row in launch.metrics(folder)], default=0) < wanted
        ):
            time.sleep(0.02)
        time.sleep(moments.random() / 10)
        assert process.poll() is None, (folder / "out.txt").read_text()
        kill(process)
        resumed += number > 0
    assert (
        subprocess.run(
            launch.command(settings), capture_output=True, text=True, timeout=550
        ).returncode
        == 0
    )
    assert (folder / "out.txt").read_text().count("resuming from checkpoint-") == resumed
    assert_bit_equal(folder, undisturbed)


def test_a_kill_while_a_checkpoint_is_written(world, undisturbed, tmp_path):
    folder = tmp_path / "04_training"
    settings = configured(world, folder)
    process = begin(folder)
    while not (
        (folder / "checkpoints" / checkpoints.PART).is_dir()
        and len(checkpoints.numbered(folder / "checkpoints")) >= 2
    ):
        assert process.poll() is None, (folder / "out.txt").read_text()
    kill(process)
    half = folder / "checkpoints" / checkpoints.PART
    half.mkdir(exist_ok=True)
    (half / checkpoints.WEIGHTS).write_bytes(b"half a tensor")
    assert (
        subprocess.run(
            launch.command(settings), capture_output=True, text=True, timeout=550
        ).returncode
        == 0
    )
    assert not half.exists()
    assert_bit_equal(folder, undisturbed)


def test_a_full_disk_loses_no_older_checkpoint(world, undisturbed, tmp_path):
    """No file may grow beyond 60% of the largest one of a checkpoint: what a full disk does to the
    writer, an hour later.
    """
    folder = tmp_path / "04_training"
    settings = configured(world, folder)
    process = begin(folder)
    while len(checkpoints.numbered(folder / "checkpoints")) < 2:
        assert process.poll() is None, (folder / "out.txt").read_text()
        time.sleep(0.01)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit(folder), limit(folder)))
    assert process.wait(120) == 1
    sentences = [
        line
        for line in (folder / "out.txt").read_text().splitlines()
        if line.startswith("training cannot go on:")
    ]
    assert len(sentences) == 1
    assert "could not be written" in sentences[0]
    assert "the older checkpoints are whole" in sentences[0]
    kept = checkpoints.numbered(folder / "checkpoints")
    assert kept
    assert not any(checkpoints.damage(checkpoint) for checkpoint in kept)
    assert (
        subprocess.run(
            launch.command(settings), capture_output=True, text=True, timeout=550
        ).returncode
        == 0
    )
    assert_bit_equal(folder, undisturbed)


def limit(folder):
    newest = checkpoints.numbered(folder / "checkpoints")[0]
    return int(
        0.6
        * max(
            (newest / name).stat().st_size
            for name in records.read_json(newest / checkpoints.MANIFEST)["files"]
        )
    )
