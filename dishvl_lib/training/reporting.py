"""Where a training's figures go besides metrics.jsonl and TensorBoard: `report_to`."""

import importlib
import os
from pathlib import Path

from dishvl_lib.training.config import TrainingConfig

SWANLAB = "swanlab"


def places(config: TrainingConfig) -> list[str]:
    """`report_to` as transformers takes it; TensorBoard's files are our own callback's, and not
    written twice.
    """
    return [] if config.report_to in ("none", "tensorboard") else [config.report_to]


def run_name(config: TrainingConfig) -> str:
    """What the training is called there: the folder of its run."""
    return Path(config.output_folder).parent.name


def prepare(config: TrainingConfig) -> None:
    """Begin SwanLab's run, where that is asked for.

    transformers asks SwanLab whether a run has begun and begins one if not; SwanLab 0.9 and later
    raise at that question. A run that has begun already is taken by all of their versions.
    """
    if config.report_to != SWANLAB:
        return
    swanlab = importlib.import_module(SWANLAB)
    swanlab.init(project=os.environ.get("SWANLAB_PROJECT"), experiment_name=run_name(config))
