"""Where things are: project, outputs, cache, runs, and what comes with the library.

The project root is the checkout that the library lies in. A library that was installed without one
takes the working directory, or the folder that the environment variable DISHVL_PROJECT names, and
has copies of the notebooks and profiles inside; it never writes where it is installed.

Relative paths in params, and in the environment variable DISHVL_OUTPUTS that moves `outputs/` to
another disk, count from the project root, wherever the notebook was started.
"""

import os
import unicodedata
from pathlib import Path

from dishvl_lib.core.types import AnyPath

STAGES = ("01_annotation", "02_similar_dishes", "03_dataset", "04_training", "05_evaluation")
TRAYS = "00_trays"  # before the five, and only where a profile sets trays_root
ALL_STAGES = (TRAYS, *STAGES)
MOST_NAME_BYTES = 150  # file systems take 255, and names get suffixes such as .old-20260101-120000
RESERVED_NAMES = ("cache", "errors.log")
_UNNAMEABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, invisible marks, halves of pairs, breaks
PACKAGE = Path(__file__).resolve().parents[1]
PROJECT_VARIABLE = "DISHVL_PROJECT"


def in_checkout(package: Path) -> bool:
    """Whether the library's folder lies in a checkout, which has the notebooks beside it."""
    beside = package.parent
    return (beside / "pyproject.toml").is_file() and (beside / "notebooks").is_dir()


def project_root(package: Path) -> Path:
    """The checkout around the library; without one DISHVL_PROJECT or the working directory."""
    if in_checkout(package):
        return package.parent
    root = Path(os.environ.get(PROJECT_VARIABLE) or Path.cwd())
    return root.expanduser().resolve()


IS_CHECKOUT = in_checkout(PACKAGE)
PROJECT_ROOT = project_root(PACKAGE)


def shipped(name: str) -> Path:
    """`notebooks`, `params` or `constraints.txt` as they come with the library: the checkout's own,
    or the copies that setup.py puts into the wheel.
    """
    return PROJECT_ROOT / name if IS_CHECKOUT else PACKAGE / "_shipped" / name


def profile_folders() -> list[Path]:
    """The folders that profiles lie in: the project's own, and the one that comes with the library
    where that is another.
    """
    return list(dict.fromkeys((PROJECT_ROOT / "params", shipped("params"))))


def outputs() -> Path:
    """The folder of all runs and caches."""
    return resolve(os.environ.get("DISHVL_OUTPUTS") or "outputs")


def cache(name: str) -> Path:
    """A folder shared by all runs, keyed by content by whoever uses it; created here."""
    folder = outputs() / "cache" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resolve(path: AnyPath) -> Path:
    """An absolute path; a relative one counts from the project root.

    `params/...` that is not there is looked for among the files that come with the library, such as
    the DeepSpeed settings that a profile names.
    """
    given = Path(path).expanduser()
    in_project = (PROJECT_ROOT / given).resolve()
    if given.parts[:1] != ("params",) or in_project.exists():
        return in_project
    copy = shipped("params").joinpath(*given.parts[1:]).resolve()
    return copy if copy.exists() else in_project


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


def stages_of(run: Path) -> tuple[str, ...]:
    """The stages that a run's folder has or may come to have: 00 only where it was begun."""
    return ALL_STAGES if (run / TRAYS).is_dir() else STAGES


def stage_folder(run_name: str, stage: str) -> Path:
    return run_folder(run_name) / full_stage_name(stage)


def decisions_file(run_name: str, kind: str) -> Path:
    """`names` or `photos`: what people decided in the widgets; append-only, an input of stages 01
    and 03.
    """
    return run_folder(run_name) / "decisions" / f"{kind}.csv"


def notebook(stage: str) -> Path:
    return shipped("notebooks") / f"{full_stage_name(stage)}.ipynb"


def full_stage_name(stage: str) -> str:
    """`03` or `03_dataset` -> `03_dataset`. Raises ValueError naming the stages."""
    number = str(stage).zfill(2) if stage else ""
    for name in ALL_STAGES:
        number_of_stage, _, _ = name.partition("_")
        if stage == name or number == number_of_stage:
            return name
    raise ValueError(f"no stage {stage!r}; the stages are {', '.join(ALL_STAGES)}")
