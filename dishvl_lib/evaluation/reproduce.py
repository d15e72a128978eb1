"""A profile of what a run was made with, and the command that makes it again."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from dishvl_lib.core import paths, records, settings
from dishvl_lib.core.types import RecordView


def write_profile(folder: Path, parameters: Mapping[str, RecordView]) -> None:
    """`folder` with a YAML file for each stage in {stage: its parameters}, which `dishvl run
    FOLDER` takes.

    `common.yaml` comes last and makes the five stages one run, whatever runs they came from.
    """
    common = {"run_name": list(parameters.values())[-1]["run_name"], "upstream_run": ""}
    files = {f"{stage}.yaml": dict(values) for stage, values in parameters.items()} | {
        settings.COMMON_FILE: common
    }
    part = Path(folder).with_name(f".{Path(folder).name}.part")
    for name, values in files.items():
        records.write_text(part / name, yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
    part.rename(folder)


def command(folder: Path, run_name: str) -> str:
    """What to type in the project's folder to make the run again under a new name; for a run that
    lies elsewhere, in the folder that holds `folder` (`./` says so).
    """
    whole = Path(folder).resolve()
    shown = f"./{whole.name}"
    if whole.is_relative_to(paths.PROJECT_ROOT):
        shown = str(whole.relative_to(paths.PROJECT_ROOT))
    return f"dishvl run '{shown}' --set 'run_name={run_name}_again'"
