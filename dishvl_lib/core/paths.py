"""Where things are: project, outputs, cache, runs.

Relative paths in params, and in the environment variable DISHVL_OUTPUTS that moves `outputs/` to
another disk, count from the project root, wherever the notebook was started.
"""

import os
import unicodedata
from pathlib import Path

STAGES = ("01_annotation", "02_similar_dishes", "03_dataset", "04_training", "05_evaluation")
MOST_NAME_BYTES = 150  # file systems take 255, and names get suffixes such as .old-20260101-120000
RESERVED_NAMES = ("cache", "errors.log")
_UNNAMEABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, invisible marks, halves of pairs, breaks
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


def name_problem(name: str) -> str:
    """What the name of a run, a profile, a site or a server must be to name a folder of its own.

    "" when it can: at most MOST_NAME_BYTES of UTF-8, no control characters, no way out of the
    folder it is in, and no name that `outputs/` holds already.
    """
    if not name or name != name.strip():
        return "must be a plain folder name: not empty, without spaces around it"
    if name.startswith(".") or "/" in name or "\\" in name:
        return "must be a plain folder name: without / or \\, and without a leading dot"
    if any(unicodedata.category(character) in _UNNAMEABLE for character in name):
        return "must be a plain folder name: without control characters"
    if len(name.encode("utf-8")) > MOST_NAME_BYTES:
        return f"must be a plain folder name of at most {MOST_NAME_BYTES} bytes"
    if name in RESERVED_NAMES:
        return f"must be a plain folder name, and not {name!r}, which outputs/ has already"
    return ""


def run_folder(run_name: str) -> Path:
    """`outputs/<run_name>`. Raises ValueError for a name that could not be a folder of its own."""
    problem = name_problem(run_name or "")
    if problem:
        raise ValueError(f"run_name {run_name!r} {problem}")
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
