"""Runs that are killed at awkward moments go on and end with what an undisturbed run ends with."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from dishvl_lib.core import paths, records
from dishvl_lib.training import launch

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import chain

TRAINING = "04_training"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(outputs, profile) with run `toy` finished."""
    folder = tmp_path_factory.mktemp("kills")
    profile = chain.profile(folder / "profile", chain.draw(folder / "drawn"))
    done = chain.dishvl("run", profile, "--set", "num_train_epochs=4.0", outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "outputs", profile


def start(world, *arguments):
    command = [
        sys.executable,
        "-m",
        "dishvl_lib.cli",
        "run",
        str(world[1]),
        "--set",
        "num_train_epochs=4.0",
        *arguments,
    ]
    return subprocess.Popen(
        command,
        env=chain.environment(world[0]),
        cwd=paths.PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_everything(process, run_folder):
    """SIGKILL for the command, its kernel and a training process that has a session of its own."""
    family = psutil.Process(process.pid).children(recursive=True)
    holder = launch.running(run_folder / TRAINING)
    training = [psutil.Process(holder.pid)] if holder and holder.pid else []
    for victim in [psutil.Process(process.pid), *family, *training]:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait(30)


def wait_for(condition, seconds=200):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "the moment to kill at never came"
        time.sleep(0.05)


def weights(outputs, run):
    return chain.contents(outputs / run / TRAINING / "best")["model.safetensors"]


def test_a_training_killed_in_the_middle_of_an_epoch_ends_bit_equal(world):
    outputs, _ = world
    process = start(
        world, "--from", "04", "--to", "04", "--set", "run_name=cut", "--set", "upstream_run=toy"
    )
    folder = outputs / "cut" / TRAINING
    wait_for(
        lambda: (
            any(folder.glob("checkpoints/checkpoint-*/MANIFEST.json"))
            and (folder / "metrics.jsonl").exists()
        )
    )
    time.sleep(0.3)
    kill_everything(process, outputs / "cut")
    assert not (folder / "best").exists()
    assert not (folder / "_SUCCESS.json").exists()
    done = chain.dishvl(
        "run",
        world[1],
        "--from",
        "04",
        "--to",
        "04",
        "--set",
        "run_name=cut",
        "--set",
        "upstream_run=toy",
        "--set",
        "num_train_epochs=4.0",
        outputs=outputs,
    )
    assert done.returncode == 0, done.stderr
    assert "resuming from checkpoint-" in (folder / "training.log").read_text()
    assert weights(outputs, "cut") == weights(outputs, "toy")


def test_training_outlives_its_notebook_and_is_attached_to(world):
    outputs, _ = world
    process = start(
        world, "--from", "04", "--to", "04", "--set", "run_name=alone", "--set", "upstream_run=toy"
    )
    folder = outputs / "alone" / TRAINING
    wait_for(lambda: (folder / "metrics.jsonl").exists())
    os.killpg(process.pid, signal.SIGKILL)
    for child in psutil.process_iter(["cmdline"]):
        if (
            "ipykernel_launcher" in " ".join(child.info["cmdline"] or [])
            and child.ppid() == process.pid
        ):
            child.kill()
    process.wait(30)
    done = chain.dishvl(
        "run",
        world[1],
        "--from",
        "04",
        "--to",
        "04",
        "--set",
        "run_name=alone",
        "--set",
        "upstream_run=toy",
        "--set",
        "num_train_epochs=4.0",
        outputs=outputs,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "training.log").read_text().count("starting from the base model") == 1
    assert weights(outputs, "alone") == weights(outputs, "toy")


def without_costs(dish):
    """The second run takes the replies from the first one's journal: it pays nothing, and not a
    second later.
    """
    return {
        **dish,
        "source": [
            {
                key: value
                for key, value in answer.items()
                if key not in ("cost", "tokens", "seconds")
            }
            for answer in dish["source"]
        ],
    }


def test_a_chain_killed_again_and_again_ends_with_the_same_answers(world):
    outputs, _ = world
    moments = random.Random(0)
    for seconds in (moments.uniform(4, 9), moments.uniform(9, 16), moments.uniform(16, 30)):
        process = start(world, "--set", "run_name=battered")
        time.sleep(seconds)
        kill_everything(process, outputs / "battered")
    done = chain.dishvl(
        "run",
        world[1],
        "--set",
        "num_train_epochs=4.0",
        "--set",
        "run_name=battered",
        outputs=outputs,
    )
    assert done.returncode == 0, done.stderr
    first, second = (
        [
            {**row, "seconds": 0}
            for row in records.iter_jsonl(outputs / run / "05_evaluation" / "predictions.jsonl")
        ]
        for run in ("toy", "battered")
    )
    assert first == second
    dishes = [
        [
            without_costs(dish)
            for dish in records.iter_jsonl(outputs / run / "01_annotation" / "dishes.jsonl")
        ]
        for run in ("toy", "battered")
    ]
    assert dishes[0] == dishes[1]
    for stage, file in (("03_dataset", "train.jsonl"), ("03_dataset", "test.jsonl")):
        assert (
            chain.contents(outputs / "battered" / stage)[file]
            == chain.contents(outputs / "toy" / stage)[file]
        )


def test_answers_are_kept_one_by_one(world, tmp_path):
    """An evaluation cut in the middle of a line asks only what is missing."""
    from dishvl_lib.evaluation import asking
    from dishvl_lib.evaluation.predictors import Answer

    rows = records.read_jsonl(world[0] / "toy" / "03_dataset" / "test.jsonl")
    ids = []

    class Counting:
        def answer(self, batch):
            ids.extend(row["id"] for row in batch)
            return [Answer("红烧鱼") for _ in batch]

    whole = asking.predict("x", Counting(), rows, tmp_path / "whole.jsonl")
    text = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(text[: len(text) // 2])
    kept = (tmp_path / "cut.jsonl").read_bytes().count(b"\n")
    ids.clear()
    again = asking.predict("x", Counting(), rows, tmp_path / "cut.jsonl")
    assert len(ids) == len(rows) - kept
    assert kept > 0
    assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in whole]
