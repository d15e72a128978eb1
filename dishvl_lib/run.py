"""The chain: the five notebooks by papermill for one profile, each only when it has something to
do.
"""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dishvl_lib import base_model_ahead, plan
from dishvl_lib.core import (
    cores,
    markers,
    params,
    paths,
    records,
    redo,
    settings,
    sockets,
    stages,
)
from dishvl_lib.core.rules import shortened
from dishvl_lib.core.types import Record

# A kernel that has done its notebook is told to end and, after half of this, ended. All that counts
# is on the disk by then; to unload torch or Paddle would take it longer than papermill's 2.5 s.
KERNEL_END_S = 1.0


class RunError(RuntimeError):
    """A stage failed; the message holds its sentence and where the executed notebook is."""


def run(
    values: dict[str, Record],
    *,
    first: str = "",
    last: str = "05",
    again: Sequence[str] = (),
) -> Path:
    """Run the stages `first` (or that of the parameters) to `last` with checked parameters
    {stage: {key: value}}; returns the run's folder.

    A finished stage with the same parameters and inputs is skipped, one with other parameters is
    refused (`StageError`) unless it is in `again`, which moves the old folder aside. What follows
    from a stage in `again` is made again too; anything else that is long or paid for is not
    (`RedoNeeded`), but on a terminal it is asked about. Raises `RunError` when a notebook fails.
    """
    chosen = stages_between(values, first, last)
    redone = stages_to_redo(again, chosen)
    of_first = values[chosen[0]]
    run_name = of_first["run_name"]
    _refuse_busy(run_name, chosen)
    _refuse_absent(values, chosen, redone)
    _move_aside(run_name, redone)
    _refuse_changed(values, chosen)
    _explain_upstream(of_first, chosen)
    is_wanted = False
    with contextlib.ExitStack() as beside:
        for stage in chosen:
            of_stage = values[stage]
            is_wanted = is_wanted or stage in redone
            is_wanted = _ready(stage, of_stage, is_wanted)
            if stages.state(of_stage, stage) == "done":
                print(
                    f"{stage}: finished before with the same parameters and inputs, nothing to do"
                )
                continue
            if stage == "02_similar_dishes" and "03_dataset" in chosen:
                beside.enter_context(_base_model_ahead(values["03_dataset"]))
            _execute(stage, of_stage)
    return paths.run_folder(run_name)


def _base_model_ahead(of_dataset: Record) -> contextlib.AbstractContextManager[None]:
    """The demo's base model begun beside stage 02, which keeps one core busy; nothing for another
    base model, and where there is one core alone.
    """
    is_builtin = of_dataset["base_model"] == params.BUILTIN
    if not is_builtin or cores.available() < 2:
        return contextlib.nullcontext()
    annotation = stages.find_stage(of_dataset, "01_annotation", ("dishes.jsonl",))
    return base_model_ahead.begun(annotation / "dishes.jsonl", of_dataset["max_pixels"])


def _ready(stage: str, values: Record, is_wanted: bool) -> bool:
    """Whether making stages again is wanted from here on: by `again`, or since somebody at the
    terminal says so. Raises the `StageError` that keeps the stage from starting.
    """
    try:
        stages.check_ready(values, stage)
    except redo.RedoNeeded as refusal:
        if not (is_wanted or _confirmed(refusal)):
            raise
        _move_aside(values["run_name"], [stage])
        return True
    if is_wanted and stages.changed_inputs(values, stage):
        _move_aside(values["run_name"], [stage])
    return is_wanted


def _confirmed(refusal: redo.RedoNeeded) -> bool:
    """Whether a person at the terminal asks for it now. Without a terminal nobody does."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    number = refusal.stage[:2]
    print(refusal)
    typed = input(f"Type {number} to have it made again now, anything else to stop: ")
    return typed.strip() == number


def stages_between(values: settings.Values, first: str, last: str) -> tuple[str, ...]:
    """The stages of a profile from `first` ('': its first) to `last`, both included. Raises
    `RunError` when there is none.
    """
    chain = tuple(stage for stage in paths.ALL_STAGES if stage in values)
    first_stage = paths.full_stage_name(first) if first else chain[0]
    last_stage = paths.full_stage_name(last)
    if paths.TRAYS in (first_stage, last_stage) and paths.TRAYS not in chain:
        raise RunError(f"{paths.TRAYS} makes crops of whole trays: set trays_root to run it")
    begin = chain.index(first_stage)
    end = chain.index(last_stage)
    if end < begin:
        flags = f"--from {first} --to {last}"
        raise RunError(f"{flags}: no stage lies between them; --from must not come after --to")
    return chain[begin : end + 1]


def stages_to_redo(again: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Full names of the stages to be made again. Raises `RunError` for one that is not chosen."""
    redone = [paths.full_stage_name(stage) for stage in again]
    run = ", ".join(stage[:2] for stage in chosen)
    for stage in redone:
        if stage not in chosen:
            raise RunError(f"--redo {stage[:2]} is outside the stages that would run ({run})")
    return redone


def _refuse_absent(values: dict[str, Record], chosen: Sequence[str], redone: Sequence[str]) -> None:
    """Refuse files and keys that are not there, of the stages that will be made, before any is."""
    kept = ("done", "done, shown otherwise", "changed parameters")
    pending = {}
    for stage in chosen:
        of_stage = values[stage]
        if stage in redone or stages.state(of_stage, stage) not in kept:
            pending[stage] = of_stage
    settings.refuse_absent(pending)


def filled_notebook(stage: str, values: Record) -> Path:
    """Write a stage's notebook with these parameter values in its parameters cell, for stepping
    through it.

    It goes to outputs/<run>/notebooks/<stage>_interactive.ipynb; one that is there already with
    other content is kept under a numbered name.
    """
    import nbformat

    stage = paths.full_stage_name(stage)
    notebook = nbformat.read(paths.notebook(stage), as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = params.cell(stage, values)
    target = _notebooks_folder(values) / f"{stage}_interactive.ipynb"
    _keep_older(target)
    records.write_text(target, nbformat.writes(notebook))
    return target


def new_profile(name: str, image_root: str, like: str) -> Path:
    """Copy profile `like` with its comments to params/<name>, with this run_name and image_root,
    and with the pretrained net where its package is installed and `like` has no weights of its own.
    Raises `SettingsError`.
    """
    root = _given_folder("--image-root", image_root)
    if settings.load_profile(like)["01_annotation"]["trays_root"]:
        raise settings.SettingsError(
            f"--like {like} takes its photos from trays: give --trays-root, or another --like"
        )
    return _copied_profile(name, like, {settings.COMMON_FILE: {"image_root": root}})


def new_tray_profile(name: str, trays_root: str, tray_labels: str, like: str) -> Path:
    """As `new_profile`, for photos of whole trays and their labels ('': not yet named). Raises
    `SettingsError`.
    """
    root = _given_folder("--trays-root", trays_root)
    labels = Path(tray_labels).expanduser()
    if not labels.exists():
        raise settings.SettingsError(f"--tray-labels: no file or folder {tray_labels}")
    finds = {"tray_labels": str(labels.resolve()) if tray_labels else "", "detector": ""}
    common = {"trays_root": root}
    return _copied_profile(name, like, {settings.COMMON_FILE: common, f"{paths.TRAYS}.yaml": finds})


def _given_folder(option: str, folder: str) -> str:
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise settings.SettingsError(f"{option}: no folder {folder}")
    return str(root.resolve())


def _copied_profile(name: str, like: str, chosen: dict[str, Record]) -> Path:
    """Copy a profile with its comments and with the values `chosen` {file: values}."""
    problem = paths.name_problem(name)
    if problem:
        raise settings.SettingsError(f"profile name {shortened(name)} {problem}")
    target = paths.PROJECT_ROOT / "params" / name
    source = settings.profile_folder(like)
    for folder in paths.profile_folders():
        taken = folder / name
        if taken.exists():
            raise settings.SettingsError(f"{taken} exists already; choose another name or edit it")
    changed = {**_pretrained_net(like), **chosen}
    changed[settings.COMMON_FILE] = {"run_name": name, **chosen[settings.COMMON_FILE]}
    texts = {file.name: file.read_text("utf-8") for file in source.glob("*.yaml")}
    target.mkdir(parents=True)
    for file in sorted(texts.keys() | changed.keys()):
        before = texts.get(file, "")
        values = changed.get(file, {})
        text = _with_values(before, values)
        records.write_text(target / file, text)
    return target


def _pretrained_net(like: str) -> dict[str, Record]:
    """{file: values} by which a copy of profile `like` takes the pretrained net; {} without its
    package, or where the profile has weights or a net of its own.
    """
    profile = settings.load_profile(like)
    chosen = profile["02_similar_dishes"]
    weights = (chosen["weights"], chosen["init_weights"], chosen["preprocess_yaml"])
    if chosen["net"] != params.PPLCNET or any(weights):
        return {}
    changed: dict[str, Record] = {}
    for stage, values in profile.items():
        defaults = params.defaults(stage)
        for key, value in settings.pretrained_net().items():
            if key in values and values[key] == defaults[key]:
                of_file = changed.setdefault(f"{stage}.yaml", {})
                of_file[key] = value
    return changed


def summary(run_folder: Path) -> str:
    """The accuracy table of a finished run, what a person should know of it, its report and the
    next command, as text. Figures of a stale stage are said to be that.
    """
    evaluation = run_folder / "05_evaluation"
    metrics = records.read_json(evaluation / "metrics.json")
    rows = _accuracy_rows(metrics)
    notes = _notes(run_folder)
    stale = [f"note: {sentence}" for sentence in plan.stale_stages(run_folder)]
    report = f"report: {evaluation / 'report.html'}"
    best = run_folder / "04_training" / "best"
    following = f"next: dishvl predict PHOTO --menu MENU.txt --model {best}"
    return "\n".join([*rows, *notes, *stale, report, following])


def _accuracy_rows(metrics: dict[str, Record]) -> list[str]:
    """A heading, and a line for each protocol of each predictor."""
    width = max(18, *map(len, metrics)) + 2
    row = "{:<{width}}{:<22}{:>6}{:>10}  {:<16}{:>7}{:>11}"
    headings = ("predictor", "protocol", "n", "accuracy", "95% interval", "chance", "menu size")
    rows = [row.format(*headings, width=width)]
    for predictor, protocols in metrics.items():
        for protocol, measured in protocols.items():
            accuracy = f"{measured['accuracy']:.3f}"
            low, high = measured["ci95"]
            interval = f"[{low:.3f}, {high:.3f}]"
            chance = f"{measured['chance']:.3f}"
            size = f"{measured['menu_size']:g}" if measured.get("menu_size") else "-"
            cells = (predictor, protocol, measured["n"], accuracy, interval, chance, size)
            rows.append(row.format(*cells, width=width))
    return rows


def _notes(run_folder: Path) -> list[str]:
    """What each finished stage says that a person should know, the first stage's first."""
    lines = []
    for stage in paths.stages_of(run_folder):
        if markers.finished(run_folder / stage):
            marker = markers.read(run_folder / stage)
            noted = marker.get("notes", [])
            lines += [f"note: {sentence}" for sentence in noted]
    return lines


def _notebooks_folder(values: Record) -> Path:
    return paths.run_folder(values["run_name"]) / "notebooks"


def _execute(stage: str, values: Record) -> None:
    # Loaded when a notebook is executed: what is refused before is refused at once.
    import papermill
    from traitlets.config import Config

    output = _notebooks_folder(values) / f"{stage}.ipynb"
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"== {stage} ==", flush=True)
    started = time.time()
    try:
        # Sockets instead of ports, which another process could hold, in a folder of their own: runs
        # begun together would share names.
        with sockets.folder() as place, records.naming_full_disk(output):
            manager = {
                "transport": "ipc",
                "ip": f"{place}/kernel",
                "shutdown_wait_time": KERNEL_END_S,
            }
            papermill.execute_notebook(
                str(paths.notebook(stage)),
                str(output),
                parameters=values,
                cwd=str(paths.PROJECT_ROOT),
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                config=Config({"KernelManager": manager}),
            )
    except papermill.PapermillExecutionError as error:
        if error.ename == redo.RedoNeeded.__name__:  # it would pay, which only the stage can know
            raise redo.RedoNeeded(stage, error.evalue) from None
        raise RunError(
            f"{stage} failed: {error.ename}: {error.evalue}\nThe executed notebook is {output}"
        ) from None
    if not markers.finished(paths.stage_folder(values["run_name"], stage)):
        raise RunError(
            f"{stage} ended without its success marker (was its kernel killed, perhaps for "
            f"memory?). The executed notebook is {output}"
        )
    seconds = time.time() - started
    print(f"== {stage}: {seconds:.0f} s ==", flush=True)


def _move_aside(run_name: str, redone: Sequence[str]) -> None:
    for stage in redone:
        folder = paths.stage_folder(run_name, stage)
        old = stages.move_aside(folder)
        outcome = f"the old folder is now {old}" if old else "there was nothing to redo"
        print(f"{stage}: {outcome}")


def _refuse_busy(run_name: str, chosen: Sequence[str]) -> None:
    """Refuse before an executed notebook of the other run is written over."""
    for stage in chosen:
        stages.refuse_busy(paths.stage_folder(run_name, stage))


def _explain_upstream(values: Record, chosen: Sequence[str]) -> None:
    """Say what `upstream_run` does: it lends only stages that this command does not make."""
    lender = values["upstream_run"]
    if not lender:
        return
    first = chosen[0]
    chain = paths.ALL_STAGES if values.get("trays_root") else paths.STAGES
    earlier = chain[: chain.index(first)]
    run_folder = paths.run_folder(values["run_name"])
    lent = [stage for stage in earlier if not markers.finished(run_folder / stage)]
    if lent:
        print(f"upstream_run {lender}: {', '.join(lent)} are taken from it")
    else:
        print(
            f"note: upstream_run {lender} lends nothing here: {first} and what follows "
            "are made by this run, and what comes before it is there. "
            f"To take 01 and 02 from it, for instance, add --from 03"
        )


def _refuse_changed(values: dict[str, Record], chosen: Sequence[str]) -> None:
    for stage in chosen:
        if stages.state(values[stage], stage) == "changed parameters":
            stages.refuse_changed(stage, values[stage])


def _with_values(text: str, changed: dict[str, str]) -> str:
    """The text of a YAML file with other values of some keys; keys that it lacks come last."""
    written = {
        key: f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in changed.items()
    }
    lines = []
    for line in text.splitlines():
        key, _, _ = line.partition(":")
        if key in written:
            _, mark, comment = line.partition("  # ")
            line = written.pop(key) + mark + comment
        lines.append(line)
    return "\n".join([*lines, *written.values()]) + "\n"


def _keep_older(target: Path) -> None:
    number = 1
    while target.exists():
        older = target.with_name(f"{target.stem}_{number}.ipynb")
        if not older.exists():
            target.rename(older)
        number += 1
