"""A training that wants a GPU on a machine without one."""

import pytest
import tiny
import torch

from dishvl_lib.training import device
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm.qwen import ModelError


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    paths = dict.fromkeys(("base_model", "image_root", "train_file", "validation_file"), "-")
    wants_a_gpu = {**tiny.TRAINING, "use_cpu": False}
    return TrainingConfig(**paths, **wants_a_gpu, output_folder=str(tmp_path))


def refusal(config):
    with pytest.raises(ModelError) as refused:
        device.require(config)
    return str(refused.value)


def test_the_planned_size_is_said(config):
    device.write_plan(config, 61.27)
    assert "no GPU that torch can use, and this training needs one with about 61 GB" in refusal(
        config
    )


@pytest.mark.parametrize("content", [None, "", "[1]", '{"device_gb": "much"}'])
def test_without_a_plan_the_sentence_is_said_without_a_size(config, tmp_path, content):
    if content is not None:
        (tmp_path / device.PLAN).write_text(content)
    message = refusal(config)
    assert "this training needs one (dishvl estimate tells" in message
    assert "use_cpu: true trains on the CPU" in message


def test_the_cpu_is_enough_where_it_was_chosen(config):
    device.require(config.model_copy(update={"use_cpu": True}))


def test_a_plan_that_is_there_is_not_written_again(config, tmp_path):
    """A finished stage that is shown again may lie on a disk that cannot be written."""
    device.write_plan(config, 61.27)
    before = (tmp_path / device.PLAN).stat().st_ino
    device.write_plan(config, 61.27)
    assert (tmp_path / device.PLAN).stat().st_ino == before
    device.write_plan(config, 62.0)
    assert "about 62 GB" in refusal(config)
