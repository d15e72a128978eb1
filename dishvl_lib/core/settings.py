"""Typed parameters: each notebook's `parameters` cell is the one place where a key, its type and
its help are declared.

A profile is a folder of YAML files (common.yaml and one per notebook). Everything here refuses
unknown keys and wrong types with the file, the key and a suggestion, before anything runs.
"""

import ast
import difflib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from dishvl_lib.core import paths

TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list": list,
    "list[str]": list[str],
    "list[dict]": list[dict[str, Any]],
    "dict": dict[str, Any],
}
COMMON_FILE = "common.yaml"
BASE_KEY = "base"


class SettingsError(ValueError):
    """A profile or parameter that cannot be used; the message names the file, the key and the
    remedy.
    """


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's `parameters` cell."""

    name: str
    type: str
    default: Any
    help: str

    def check(self, value: Any, where: str) -> Any:
        """The value in its declared type, or `SettingsError`."""
        if self.type == "float" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        try:
            checked = TypeAdapter(TYPES[self.type]).validate_python(value, strict=True)
        except ValidationError:
            raise SettingsError(
                f"{where}: {self.name} must be {self.type}, got {value!r}{self._remedy(value)}"
            ) from None
        if isinstance(checked, float) and not math.isfinite(checked):
            raise SettingsError(f"{where}: {self.name} must be a finite number, got {value!r}")
        return checked

    def _remedy(self, value: Any) -> str:
        if (
            self.type == "float"
            and isinstance(value, str)
            and (found := re.fullmatch(r"([+-]?\d+)(\.\d+)?\.?[eE]([+-]?)(\d+)", value))
        ):
            whole, fraction, sign, exponent = found.groups()
            return (
                f"; YAML reads {value} as text, write "
                f"{whole}{fraction or '.0'}e{sign or '+'}{exponent}"
            )
        if self.type == "str" and value is None:
            return f'; for none write {self.name}: ""'
        if self.type == "str" and not isinstance(value, str):
            return f"; put it in quotes: {self.name}: {json.dumps(str(value))}"
        return ""


def notebook_parameters(stage: str) -> dict[str, Parameter]:
    """The declared parameters of a stage's notebook, in order."""
    file = paths.notebook(stage)
    cells = json.loads(file.read_text("utf-8"))["cells"]
    tagged = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise SettingsError(
            f"{file}: needs exactly one cell tagged 'parameters', has {len(tagged)}"
        )
    return parse_parameters(tagged[0], str(file))


def parse_parameters(source: str, where: str) -> dict[str, Parameter]:
    """`name: type = literal  # help` lines -> {name: Parameter}."""
    helps = {}
    for line in source.splitlines():
        name, _, text = line.partition("  # ")
        helps[name.partition(":")[0].strip()] = text.strip()
    found = {}
    for node in ast.parse(source).body:
        if (
            not isinstance(node, ast.AnnAssign)
            or not isinstance(node.target, ast.Name)
            or node.value is None
        ):
            raise SettingsError(
                f"{where}: line {node.lineno} of the parameters cell must read 'name: type = "
                "value  # help'"
            )
        name = node.target.id
        kind = ast.unparse(node.annotation)
        if kind not in TYPES:
            raise SettingsError(f"{where}: {name} has type {kind}; known are {', '.join(TYPES)}")
        found[name] = Parameter(name, kind, ast.literal_eval(node.value), helps.get(name, ""))
    return found


def profile_folder(profile: str | Path) -> Path:
    """`demo` -> params/demo; a path to a folder is taken as it is. Raises `SettingsError` listing
    the profiles.
    """
    named = paths.PROJECT_ROOT / "params" / profile
    for folder in (named, Path(profile).expanduser()):
        if (folder / COMMON_FILE).is_file():
            return folder.resolve()
    known = sorted(p.parent.name for p in (paths.PROJECT_ROOT / "params").glob(f"*/{COMMON_FILE}"))
    close = difflib.get_close_matches(str(profile), known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise SettingsError(
        f"no profile {str(profile)!r}: neither params/{profile}/{COMMON_FILE} nor that "
        f"folder exists.{hint} Profiles: {', '.join(known)}"
    )


def load_profile(
    profile: str | Path, overrides: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """{stage: {key: value}} for all five stages: defaults, base profile, profile, overrides; every
    key and type checked.

    A profile whose common.yaml says `base: NAME` holds only what differs from NAME. `overrides`
    (from `--set`) reach every stage that declares the key.
    """
    folder = profile_folder(profile)
    layers = _layers(folder, seen=())
    declared = {stage: notebook_parameters(stage) for stage in paths.STAGES}
    values = {
        stage: {name: p.default for name, p in declared[stage].items()} for stage in paths.STAGES
    }
    for layer in layers:
        _apply_folder(layer, declared, values)
    for key, value in (overrides or {}).items():
        takers = [stage for stage in paths.STAGES if key in declared[stage]]
        if not takers:
            _refuse_unknown("--set", key, {name for stage in declared.values() for name in stage})
        for stage in takers:
            values[stage][key] = declared[stage][key].check(value, "--set")
    return values


def parse_override(text: str) -> tuple[str, Any]:
    """`menu_size=10` -> ("menu_size", 10); the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"--set {text!r} must read key=value")
    try:
        return key.strip(), yaml.safe_load(value) if value.strip() else ""
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {text!r}: {_one_line(error)}") from None


def check_values(stage: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """The stage's parameters as they stand in a notebook's namespace, checked.

    papermill only warns about parameters that a notebook does not declare: those of its injected
    cell that are unknown are refused here, so that a misspelt key stops the run before it costs
    anything.
    """
    declared = notebook_parameters(stage)
    where = f"notebook {paths.full_stage_name(stage)}"
    for name in _injected_names(namespace):
        if name == BASE_KEY:
            print(
                f"note: papermill does not follow {BASE_KEY}: {namespace.get(name)}; give "
                "that profile's files with -f before these, or use dishvl run"
            )
        elif name not in declared:
            _refuse_unknown(where, name, set(declared))
    missing = [name for name in declared if name not in namespace]
    if missing:
        raise SettingsError(
            f"{where}: parameter {missing[0]} is not set; run the parameters cell first"
        )
    return {name: p.check(namespace[name], where) for name, p in declared.items()}


def _injected_names(namespace: dict[str, Any]) -> list[str]:
    cells = [
        text
        for text in namespace.get("In", [])
        if isinstance(text, str) and text.lstrip().startswith("# Parameters")
    ]
    nodes = [
        node for text in cells for node in ast.parse(text).body if isinstance(node, ast.Assign)
    ]
    return [target.id for node in nodes for target in node.targets if isinstance(target, ast.Name)]


def _layers(folder: Path, seen: tuple[Path, ...]) -> list[Path]:
    if folder in seen:
        raise SettingsError(
            f"{folder / COMMON_FILE}: profiles name each other as base: "
            f"{' -> '.join(p.name for p in (*seen, folder))}"
        )
    base = _read_yaml(folder / COMMON_FILE).get(BASE_KEY)
    if base is not None and not isinstance(base, str):
        raise SettingsError(
            f"{folder / COMMON_FILE}: {BASE_KEY} must be the name of a profile, got {base!r}"
        )
    below = _layers(profile_folder(base), (*seen, folder)) if base else []
    return [*below, folder]


def _apply_folder(
    folder: Path, declared: dict[str, dict[str, Parameter]], values: dict[str, dict[str, Any]]
) -> None:
    known_files = {COMMON_FILE} | {f"{stage}.yaml" for stage in paths.STAGES}
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml")):
        if file.name not in known_files:
            _refuse_unknown(str(folder), file.name, known_files, "file")
        stages = paths.STAGES if file.name == COMMON_FILE else (file.stem,)
        for key, value in _read_yaml(file).items():
            if key == BASE_KEY and file.name == COMMON_FILE:
                continue
            for stage in stages:
                if key not in declared[stage]:
                    _refuse_misplaced(str(file), str(key), declared)
                    _refuse_unknown(str(file), str(key), set(declared[stage]))
                values[stage][key] = declared[stage][key].check(value, str(file))


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text("utf-8"), _UniqueKeys) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not valid YAML ({_one_line(error)})") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold lines of 'key: value'")
    return content


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _refuse_misplaced(where: str, key: str, declared: dict[str, dict[str, Parameter]]) -> None:
    owners = [f"{stage}.yaml" for stage in declared if key in declared[stage]]
    if owners:
        raise SettingsError(
            f"{where}: {key} does not belong here; put it in {' and '.join(owners)}"
        )


def _refuse_unknown(where: str, key: str, known: set[str], what: str = "parameter") -> None:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
    raise SettingsError(f"{where}: unknown {what} {key!r}; {hint}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
