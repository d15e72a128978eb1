"""Profiles: parameter values from YAML files, `--set` and notebooks, checked before anything runs.

A profile is a folder of YAML files (common.yaml and one per notebook). What a parameter may be is
said in `params`. All faults are found before any is reported, each as one sentence: file or flag,
key, what is allowed, remedy.
"""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dishvl_lib.core import base_run, params, paths, pretrained_weights
from dishvl_lib.core.parameter import Parameter
from dishvl_lib.core.rules import nearest, one_line, shortened
from dishvl_lib.core.types import AnyPath, Record, RecordView

COMMON_FILE = "common.yaml"
BASE_KEY = "base"
SET = "--set"
Values = dict[str, Record]  # {stage: {key: value}}


class SettingsError(ValueError):
    """Parameters that cannot be used; the message names file, key and remedy of each."""

    def __init__(self, faults: str | Iterable[str]):
        """`faults`: a sentence each; one that stands there twice is said once."""
        self.faults = [faults] if isinstance(faults, str) else list(dict.fromkeys(faults))
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.faults) == 1:
            return self.faults[0]
        return "\n  ".join([f"{len(self.faults)} parameters cannot be used:", *self.faults])


@dataclass
class _Draft:
    """Values that are being put together, and what is wrong with them so far."""

    declared: dict[str, dict[str, Parameter]]
    values: Values
    faults: list[str] = field(default_factory=list)

    def take(self, key: str, value: Any, stages: Iterable[str], where: str, raw: str = "") -> None:
        """Set a key in every one of `stages`; `raw`: how YAML had it, for the remedy."""
        for stage in stages:
            parameter = self.declared[stage].get(key)
            if parameter is None:
                self.faults.append(_unknown_key(where, key, stage, self.declared))
            else:
                self.values[stage][key], faults = _checked(parameter, value, where, raw)
                self.faults += faults


def load_profile(profile: AnyPath, overrides: RecordView | None = None) -> Values:
    """{stage: {key: value}} for the five stages, and for 00 where `trays_root` is set: defaults,
    base profile, profile, overrides.

    A profile whose common.yaml says `base: NAME` holds only what differs from NAME. `overrides`
    (from `--set`) reach every stage that declares the key. Raises `SettingsError` with all that is
    wrong.
    """
    folder = profile_folder(profile)
    declared = {stage: params.of_stage(stage) for stage in paths.ALL_STAGES}
    draft = _Draft(declared, {stage: params.defaults(stage) for stage in paths.ALL_STAGES})
    for layer in _layers(folder, seen=()):
        _take_folder(layer, draft)
    overrides = overrides or {}
    for key, value in overrides.items():
        takers = [stage for stage in paths.ALL_STAGES if key in declared[stage]]
        if not takers:
            known = {name for stage in declared.values() for name in stage}
            draft.faults.append(_unknown(SET, key, known))
        draft.take(key, value, takers, SET, str(value))
    values = _of_the_chain(draft.values)
    if not draft.faults:
        draft.faults += _conflicts(values, str(folder))
    if draft.faults:
        raise SettingsError(draft.faults)
    return values


def _of_the_chain(values: Values) -> Values:
    """Without stage 00 where no trays are named: nothing of it is run or shown then."""
    if values[paths.TRAYS].get("trays_root"):
        return values
    return {stage: values[stage] for stage in paths.STAGES}


def pretrained_net() -> Record:
    """The overrides by which stage 02 takes the pretrained net; {} without its package."""
    return dict(params.WITH_EFFICIENTNET_LITE0) if pretrained_weights.file() else {}


def refuse_absent(values: Values) -> None:
    """Raise `SettingsError` when files, folders or keys that these stages name are not there.

    `values`: of the stages that are about to be made. A finished stage opens when its files have
    gone.
    """
    faults = []
    for stage, chosen in values.items():
        faults += [f"{stage}: {absence}" for absence in params.absences(stage, chosen)]
        faults += base_run.absences(chosen)
    if faults:
        raise SettingsError(faults)


def check_values(stage: str, namespace: RecordView) -> Record:
    """The stage's parameters as they stand in a notebook's namespace, checked.

    papermill only warns about parameters that a notebook does not declare: those of its injected
    cell that are unknown are refused here, so that a misspelt key stops the run before it costs
    anything.
    """
    stage = paths.full_stage_name(stage)
    declared = params.of_stage(stage)
    where = f"notebook {stage}"
    faults = []
    for name in _injected_names(namespace):
        if name == BASE_KEY:
            print(
                f"note: papermill does not follow {BASE_KEY}: {namespace.get(name)}; give that "
                "profile's files with -f before these, or use dishvl run"
            )
        elif name not in declared:
            faults.append(_unknown(where, name, set(declared)))
    values = {}
    for name, parameter in declared.items():
        if name not in namespace:
            faults.append(f"{where}: parameter {name} is not set; run the parameters cell first")
            continue
        values[name], problems = _checked(parameter, namespace[name], where)
        faults += problems
    faults = faults or _conflicts({stage: values}, where)
    if faults:
        raise SettingsError(faults)
    return values


def parse_override(text: str) -> tuple[str, Any]:
    """`menu_size=10` -> ("menu_size", 10). Text is taken as it is, everything else is read as YAML.

    A path may hold `# ` and `: `, and a run may be called 0123. Quotes around the whole text are
    taken off.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise SettingsError(f"{SET} {shortened(text)} must read key=value")
    if _is_text(key) and not re.fullmatch(r"""\s*("[^"]*"|'[^']*')\s*""", value):
        return key, value
    if not value.strip():
        return key, ""
    if " #" in value:
        raise SettingsError(f"{SET} {shortened(text)}: YAML ends at ' #'; put such text in quotes")
    content, _ = _parsed(value, f"{SET} {shortened(text)}")
    return key, content


def profile_folder(profile: AnyPath) -> Path:
    """`demo` -> params/demo; a path to a folder is taken as it is.

    Raises `SettingsError` listing the profiles.
    """
    named = [folder / profile for folder in paths.profile_folders()]
    for folder in (*named, Path(profile).expanduser()):
        if _has_common_file(folder):
            return folder.resolve()
    known = _known_profiles()
    close = difflib.get_close_matches(str(profile), known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise SettingsError(
        f"no profile {shortened(str(profile))}: neither params/NAME/{COMMON_FILE} nor a "
        "folder with "
        f"{COMMON_FILE} has that name.{hint} Profiles: {', '.join(known)}"
    )


def _known_profiles() -> list[str]:
    files: list[Path] = []
    for folder in paths.profile_folders():
        files += folder.glob(f"*/{COMMON_FILE}")
    return sorted({file.parent.name for file in files})


def _has_common_file(folder: Path) -> bool:
    try:
        return (folder / COMMON_FILE).is_file()
    except (OSError, ValueError):  # a name that is too long for the disk, or holds a null
        return False


def _is_text(key: str) -> bool:
    stages = [params.of_stage(stage) for stage in paths.ALL_STAGES]
    types = {declared[key].type for declared in stages if key in declared}
    return types == {"str"}


def _checked(parameter: Parameter, value: Any, where: str, raw: str = "") -> tuple[Any, list[str]]:
    """(the value in its type, faults)."""
    value, problems = parameter.accept(value)
    remedy = "" if parameter.has_type(value) else _remedy(parameter, value, raw)
    faults = [f"{where}: {problem}{remedy}" for problem in problems]
    return value, faults


def _remedy(parameter: Parameter, value: Any, raw: str) -> str:
    """How to write a value that YAML took for another type."""
    number = r"([+-]?\d+)(\.\d+)?\.?[eE]([+-]?)(\d+)"
    is_number = parameter.type == "float" and isinstance(value, str)
    if is_number and (parts := re.fullmatch(number, value)):
        whole, fraction, sign, exponent = parts.groups()
        written = f"{whole}{fraction or '.0'}e{sign or '+'}{exponent}"
        return f"; YAML reads {value} as text, write {written}"
    if parameter.type == "str" and value is None:
        return f'; for none write {parameter.name}: ""'
    if parameter.type == "str" and isinstance(value, int | float | bool):
        return f"; put it in quotes: {parameter.name}: {json.dumps(raw or str(value))}"
    return ""


def _conflicts(values: Values, where: str) -> list[str]:
    faults = []
    for stage, chosen in values.items():
        faults += [f"{where}: {problem}" for problem in params.conflicts(stage, chosen)]
    return faults


def _injected_names(namespace: RecordView) -> list[str]:
    """The names that papermill's `# Parameters` cell sets."""
    names = []
    for text in namespace.get("In", []):
        if not isinstance(text, str) or not text.lstrip().startswith("# Parameters"):
            continue
        for node in ast.parse(text).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _layers(folder: Path, seen: tuple[Path, ...]) -> list[Path]:
    """The folder and the profiles below it, the lowest first."""
    file = folder / COMMON_FILE
    if folder in seen:
        circle = " -> ".join(profile.name for profile in (*seen, folder))
        raise SettingsError(f"{file}: profiles name each other as base: {circle}")
    content, _ = _read_yaml(file)
    base = content.get(BASE_KEY)
    if base is not None and not isinstance(base, str):
        raise SettingsError(
            f"{file}: {BASE_KEY} must be the name of a profile, got {shortened(base)}"
        )
    below = _layers(profile_folder(base), (*seen, folder)) if base else []
    return [*below, folder]


def _take_folder(folder: Path, draft: _Draft) -> None:
    known_files = {COMMON_FILE} | {f"{stage}.yaml" for stage in paths.ALL_STAGES}
    files = [file for file in folder.iterdir() if file.suffix in (".yaml", ".yml")]
    for file in sorted(files):
        if file.name not in known_files:
            draft.faults.append(_unknown(str(folder), file.name, known_files, "file"))
            continue
        stages = paths.ALL_STAGES if file.name == COMMON_FILE else (file.stem,)
        content, raw = _read_yaml(file)
        for key, value in content.items():
            if key != BASE_KEY or file.name != COMMON_FILE:
                draft.take(str(key), value, stages, str(file), raw.get(key, ""))


def _read_yaml(file: Path) -> tuple[Record, dict[str, str]]:
    """({key: value}, {key: how its value is written}) of a profile's file."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: not valid YAML ({one_line(error)})") from None
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror})") from None
    content, raw = _parsed(text, str(file))
    if content is None:
        return {}, {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold lines of 'key: value'")
    return content, raw


def _parsed(text: str, where: str) -> tuple[Any, dict[str, str]]:
    """(content, {key: the text of its value}) of YAML."""
    try:
        loader = _PlainYaml(text)
        node = loader.get_single_node()
        content = loader.construct_document(node) if node is not None else None
    except RecursionError:
        raise SettingsError(f"{where}: not valid YAML (nested too deeply)") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{where}: not valid YAML ({one_line(error)})") from None
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    scalars = [(key, value) for key, value in pairs if isinstance(value, yaml.ScalarNode)]
    return content, {key.value: value.value for key, value in scalars}


class _PlainYaml(yaml.SafeLoader):
    """YAML without what nobody means in a profile: a key twice, and aliases.

    A few hundred bytes of aliases of aliases are gigabytes when they are written out.
    """

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(
                None, None, "aliases (*NAME) are not read; write the value out", mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _unknown_key(
    where: str, key: str, stage: str, declared: Mapping[str, Mapping[str, Parameter]]
) -> str:
    owners = [f"{other}.yaml" for other in declared if key in declared[other]]
    if owners:
        return f"{where}: {key} does not belong here; put it in {' and '.join(owners)}"
    return _unknown(where, key, set(declared[stage]))


def _unknown(where: str, key: str, known: set[str], what: str = "parameter") -> str:
    hint = nearest(key, sorted(known))
    return f"{where}: unknown {what} {shortened(key)}{hint}"
