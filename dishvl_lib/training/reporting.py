"""Where a training's figures go besides metrics.jsonl and TensorBoard: `report_to`."""

import importlib
import os
from pathlib import Path

from dishvl_lib.training.config import TrainingConfig

SWANLAB = "swanlab"
# Without these they write into the working directory, which is the project's folder.
FOLDER_VARIABLES = {"wandb": ("WANDB_DIR",), SWANLAB: ("SWANLAB_LOG_DIR",)}


def places(config: TrainingConfig) -> list[str]:
    """`report_to` as transformers takes it; TensorBoard's files are our own callback's, and not
    written twice.
    """
    return [] if config.report_to in ("none", "tensorboard") else [config.report_to]


def run_name(config: TrainingConfig) -> str:
    """What the training is called there: the folder of its run."""
    return Path(config.output_folder).parent.name


def prepare(config: TrainingConfig) -> None:
    """Keep what a service writes on this disk in the stage's folder, unless its own variable says
    otherwise, and begin SwanLab's run, where that is asked for.

    transformers asks SwanLab whether a run has begun and begins one if not; SwanLab 0.9 and later
    raise at that question. A run that has begun already is taken by all of their versions.
    """
    if not places(config):
        return
    # Hidden, for it is no result of the stage.
    folder = Path(config.output_folder) / f".{config.report_to}"
    folder.mkdir(parents=True, exist_ok=True)
    for variable in FOLDER_VARIABLES.get(config.report_to, ()):
        os.environ.setdefault(variable, str(folder))
    if config.report_to != SWANLAB:
        return
    swanlab = importlib.import_module(SWANLAB)
    swanlab.init(project=os.environ.get("SWANLAB_PROJECT"), experiment_name=run_name(config))
