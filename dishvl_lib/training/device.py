"""The GPU that a training wants, and the sentence for a machine that has none.

How much memory a training takes is planned before it starts, by `dishvl_lib.estimate`: a planner
runs the whole model once without weights, too much for one sentence of a training process.
"""

from pathlib import Path

import torch

from dishvl_lib.core import records
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm.qwen import ModelError

PLAN = ".plan.json"  # in the output folder; hidden, for it is no result of the stage


def write_plan(config: TrainingConfig, device_gb: float) -> None:
    """Leave the planned GPU memory (GB, 10^9 bytes) where the training finds it."""
    file = Path(config.output_folder) / PLAN
    plan = {"device_gb": round(device_gb, 1)}
    # A finished stage that is only shown again may lie on a disk that cannot be written.
    if _read(file) != plan:
        records.write_json(file, plan)


def require(config: TrainingConfig) -> None:
    """Raise `ModelError` when the training wants a GPU and there is none, with the size it needs.

    The size is left out when nothing was planned in the output folder.
    """
    if config.use_cpu or torch.cuda.is_available():
        return
    planned = _read(Path(config.output_folder) / PLAN).get("device_gb")
    size = f" with about {planned:.0f} GB" if isinstance(planned, (int, float)) else ""
    raise ModelError(
        f"this machine has no GPU that torch can use, and this training needs one{size} "
        "(dishvl estimate tells how it can do with less); use_cpu: true trains on the CPU, "
        "which only tiny models bear"
    )


def _read(file: Path) -> dict:
    try:
        plan = records.read_json(file)
    except records.RecordError:
        return {}
    return plan if isinstance(plan, dict) else {}
