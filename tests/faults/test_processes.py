"""Several processes on the CPU by gloo: the same losses as one, resumes, a killed process, rows
without a photo.
"""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from dishvl_lib.core import paths, records
from dishvl_lib.estimate import trial
from dishvl_lib.training import checkpoints, config, launch
from dishvl_lib.vlm import qwen

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import tiny

ZERO2 = "params/deepspeed/zero2.json"
ZERO3 = "params/deepspeed/zero3.json"
HALVES = {"num_processes": 2, "per_device_train_batch_size": 2}
EVALUATED = (
    "eval_loss",
    "eval_loss_menu",
    "eval_naming_accuracy",
    "eval_menu_accuracy",
    "eval_menu_n",
)


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """One thread a process, and DeepSpeed on the CPU even where there is a GPU."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return {
        "base_model": tiny.base_folder(folder / "base"),
        **tiny.data_set(folder / "data", per_dish=4),
    }


def configured(world, folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    given = dict(
        merger_learning_rate=2e-3,
        num_train_epochs=2,
        questions_per_photo=2,
        per_device_train_batch_size=4,
        logging_steps=1,
        warmup_ratio=0.1,
        validation_questions=5,
    )
    settings = config.from_parameters(
        {**tiny.TRAINING, **given, **changed}, output_folder=folder, **world
    )
    settings.write(folder / launch.CONFIG)
    return settings


def train(world, folder, **changed):
    """Rows of metrics.jsonl of a finished training."""
    done = subprocess.run(
        launch.command(configured(world, folder, **changed)),
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return launch.metrics(folder)


def losses(rows):
    return [row["loss"] for row in rows if "loss" in row]


@pytest.fixture(scope="module")
def single(world, tmp_path_factory):
    """(folder, metrics) of one process without DeepSpeed."""
    folder = tmp_path_factory.mktemp("one") / "04_training"
    return folder, train(world, folder)


@pytest.fixture(scope="module")
def sharded(world, tmp_path_factory):
    """(folder, metrics) of two processes under ZeRO-3 with the same global batch."""
    folder = tmp_path_factory.mktemp("sharded") / "04_training"
    return folder, train(world, folder, deepspeed=ZERO3, **HALVES)


def assert_equal_training(trained, wanted):
    assert losses(trained) == pytest.approx(losses(wanted), abs=1e-4)
    assert len(losses(trained)) == 10
    for mine, theirs in zip(
        *([row for row in rows if "eval_loss" in row] for rows in (trained, wanted)), strict=True
    ):
        assert [mine[key] for key in EVALUATED] == pytest.approx(
            [theirs[key] for key in EVALUATED], abs=1e-4
        )


def test_two_processes_under_zero3_equal_one(single, sharded, world):
    assert_equal_training(sharded[1], single[1])
    base, first, second = (
        qwen.load(str(folder)).model
        for folder in (world["base_model"], single[0] / "best", sharded[0] / "best")
    )
    for (name, start), a, b in zip(
        base.named_parameters(), first.parameters(), second.parameters(), strict=True
    ):
        assert torch.equal(start, b) != name.startswith("model.visual."), name
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0.05)


@pytest.mark.parametrize("deepspeed", ["", ZERO2])
def test_two_processes_without_shards_of_the_weights_equal_one(single, world, tmp_path, deepspeed):
    assert_equal_training(
        train(world, tmp_path / "04_training", deepspeed=deepspeed, **HALVES), single[1]
    )


@pytest.mark.parametrize("file", ["zero2_offload.json", "zero3_offload.json"])
def test_what_waits_in_the_hosts_memory_equals_one(single, world, tmp_path, file):
    assert_equal_training(
        train(world, tmp_path / "04_training", deepspeed=f"params/deepspeed/{file}"), single[1]
    )


def test_accumulated_halves_equal_one_batch(single, world, tmp_path):
    assert_equal_training(
        train(
            world,
            tmp_path / "04_training",
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
        ),
        single[1],
    )


def test_a_zero3_run_resumes_bit_equal_and_with_as_many_processes_only(sharded, world):
    folder, _ = sharded
    last, before = checkpoints.numbered(folder / "checkpoints")[:2]
    wanted = load_file(last / checkpoints.WEIGHTS)
    for path in last.rglob("*"):
        if path.is_file() and path.name.endswith(".pt"):
            path.write_bytes(b"cut")
    refused = subprocess.run(
        launch.command(configured(world, folder, deepspeed=ZERO3, per_device_train_batch_size=4)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert refused.returncode != 0
    assert (
        "with other per_device_train_batch_size (was 2, is 4), processes (was 2, is 1)"
        in refused.stderr
    )
    assert (folder / "checkpoints" / f"damaged-{last.name}").is_dir()
    assert before.is_dir()
    train(world, folder, deepspeed=ZERO3, **HALVES)
    again = load_file(last / checkpoints.WEIGHTS)
    assert again.keys() == wanted.keys()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_killed_process_ends_the_run_with_its_last_lines_and_the_run_goes_on(world, tmp_path):
    settings = configured(
        world, tmp_path / "04_training", num_train_epochs=4, save_steps=3, **HALVES
    )
    folder = tmp_path / "04_training"
    process = launch.start(settings)
    launcher = psutil.Process(process.pid)
    while not launch.metrics(folder):
        assert launch.running(folder), (folder / launch.LOG).read_text()
        time.sleep(0.05)
    workers = [
        child
        for child in launcher.children(recursive=True)
        if "dishvl_lib.training" in child.cmdline()
    ]
    psutil.Process(max(worker.pid for worker in workers)).send_signal(signal.SIGKILL)
    with pytest.raises(launch.TrainingFailed, match=r"its last lines:[\s\S]*SIGKILL"):
        launch.watch(folder, every_s=60, process=process)
        raise launch.TrainingFailed(launch.last_words(folder))
    assert not any(
        worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers
    )
    assert launch.run(settings, every_s=60).is_dir()
    assert (
        "resuming from checkpoint-" in (folder / launch.LOG).read_text()
        or launch.metrics(folder)[0]["step"] == 1
    )


def test_rows_without_a_photo_never_leave_a_process_waiting(world, tmp_path):
    """With one tree a step and process, one of them often has a text and the other a photo."""
    texts = [
        {
            "id": f"knowledge-{number}",
            "image_id": "",
            "dish_id": str(number),
            "kind": "knowledge",
            "menu": [],
            "template": "knowledge-1",
            "conversations": [
                {"from": "human", "value": f"{name}是什么菜系？"},
                {"from": "gpt", "value": "川菜"},
            ],
        }
        for number, name in enumerate(tiny.NAMES * 3)
    ]
    mixed = tmp_path / "train.jsonl"
    records.write_jsonl(mixed, records.read_jsonl(world["train_file"])[:20] + texts)
    rows = train(
        {**world, "train_file": mixed},
        tmp_path / "04_training",
        deepspeed=ZERO3,
        num_processes=2,
        per_device_train_batch_size=1,
        num_train_epochs=1,
    )
    assert any("loss_knowledge" in row and "loss_menu" not in row for row in rows)
    assert any("loss_menu" in row for row in rows)


def test_several_hosts_by_deepspeeds_launcher(single, world, tmp_path, monkeypatch):
    """Two hosts, both of them this machine: in place of ssh and pdsh scripts run on each what it
    would be sent.
    """
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "ssh").write_text("#!/bin/sh\necho 127.0.0.1\n")
    (bin_folder / "pdsh").write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        "place = sys.argv.index('-w')\n"
        "line = ' '.join(sys.argv[place + 2:])\n"
        "started = [subprocess.Popen(['bash', '-c', line.replace('%n', str(n))]) for n, _ in "
        "enumerate(sys.argv[place + 1].split(','))]\n"
        "sys.exit(max(one.wait() for one in started))\n"
    )
    for script in bin_folder.iterdir():
        script.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=1\n127.0.0.1 slots=1\n")
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    rows = train(
        world, tmp_path / "04_training", hostfile=str(hosts), per_device_train_batch_size=2
    )
    assert_equal_training(rows, single[1])


def test_a_trial_under_zero3_is_launched_as_the_training_is(world, tmp_path):
    assert (
        trial.photos_per_second(
            configured(world, tmp_path / "04_training", deepspeed=ZERO3, num_processes=2)
        )
        > 0
    )
