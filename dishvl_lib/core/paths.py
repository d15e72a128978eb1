"""Where things are: project, outputs, cache, runs.

Relative paths in params, and in the environment variable DISHVL_OUTPUTS that moves `outputs/` to
another disk, count from the project root, wherever the notebook was started.
"""

import os
import re
from pathlib import Path

STAGES = ("01_annotation", "02_similar_dishes", "03_dataset", "04_training", "05_evaluation")
PROJECT_ROOT = Path(__file__).resolve().parents[2]


def outputs() -> Path:
    """The folder of all runs and caches."""
    return resolve(os.environ.get("DISHVL_OUTPUTS") or "outputs")


def cache(name: str) -> Path:
    """A folder shared by all runs, keyed by content by whoever uses it; created here."""
    folder = outputs() / "cache" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resolve(path: str | Path) -> Path:
    """An absolute path; a relative one counts from the project root."""
    return (PROJECT_ROOT / Path(path).expanduser()).resolve()


def run_folder(run_name: str) -> Path:
    """`outputs/<run_name>`. Raises ValueError for a name that could not be a folder of its own."""
    if not re.fullmatch(r"[^\s/\\.\0][^/\\\n\0]*", run_name or "") or run_name == "cache":
        raise ValueError(
            f"run_name {run_name!r} must be a plain folder name (not empty, not 'cache', "
            "without / or leading dot)"
        )
    return outputs() / run_name


def stage_folder(run_name: str, stage: str) -> Path:
    return run_folder(run_name) / full_stage_name(stage)


def decisions_file(run_name: str, kind: str) -> Path:
    """`names` or `photos`: what people decided in the widgets; append-only, an input of stages 01
    and 03.
    """
    return run_folder(run_name) / "decisions" / f"{kind}.csv"


def notebook(stage: str) -> Path:
    return PROJECT_ROOT / "notebooks" / f"{full_stage_name(stage)}.ipynb"


def full_stage_name(stage: str) -> str:
    """`03` or `03_dataset` -> `03_dataset`. Raises ValueError naming the five stages."""
    matches = [
        name for name in STAGES if name == stage or name.split("_")[0] == str(stage).zfill(2)
    ]
    if len(matches) != 1:
        raise ValueError(f"no stage {stage!r}; the stages are {', '.join(STAGES)}")
    return matches[0]
