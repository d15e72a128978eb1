"""DeepSpeed ZeRO-3 on the CPU by gloo: the same data, the same trained parts, a complete best/."""

import os
import subprocess
import sys

import pytest
import torch

from dishvl_lib.core import paths
from dishvl_lib.training import config, launch
from dishvl_lib.vlm import qwen

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import tiny


def train(world, folder, **changed):
    folder.mkdir(parents=True)
    given = dict(learning_rate=1e-3, merger_learning_rate=2e-3, vision_learning_rate=0.0, num_train_epochs=2, min_pixels=3136, max_pixels=3136,
                 per_device_train_batch_size=6, logging_steps=1, use_cpu=True, warmup_ratio=0.1)  # fmt: skip
    made = config.from_parameters({**given, **changed}, output_folder=folder, **world)
    made.write(folder / "config.json")
    done = subprocess.run(
        launch.command(made), capture_output=True, text=True, timeout=550, env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [row["loss"] for row in launch.metrics(folder) if "loss" in row]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return {"base_model": tiny.base_folder(folder / "base"), **tiny.data_set(folder / "data")}


def test_zero3_trains_as_plain_training_does(world, tmp_path):
    plain = train(world, tmp_path / "plain")
    sharded = train(world, tmp_path / "zero3", deepspeed="params/deepspeed/zero3.json")
    assert len(plain) == len(sharded) > 3
    assert sharded == pytest.approx(plain, abs=1e-3)
    base, first, second = (qwen.load(str(folder)).model for folder in (world["base_model"], tmp_path / "plain" / "best", tmp_path / "zero3" / "best"))
    for (name, start), a, b in zip(base.named_parameters(), first.parameters(), second.parameters(), strict=True):
        if name.startswith("model.visual."):
            assert not torch.equal(start, b), name
            torch.testing.assert_close(a, b, atol=2e-3, rtol=0.05)
        else:
            assert torch.equal(start, b), name
