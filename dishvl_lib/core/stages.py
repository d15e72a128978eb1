"""A stage of a run: its folder, the check of what came before, and the success marker that is
written last.

    stage = stages.start("03_dataset", globals())
    table = stage.make("similar_dishes.csv", function, ...)     # made once, read back on a second
    run
    stage.finish(counts)

`_STARTED.json` records what a stage was begun with, `_SUCCESS.json` what it ended with. A stage
goes on only with the parameters and inputs it was begun with; anything else is moved aside (never
deleted) or refused. From its start to its finish a lock beside its folder keeps every other process
out.
"""

import importlib.metadata
import platform
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import (
    dependencies,
    kernel,
    locks,
    markers,
    paths,
    records,
    redo,
    settings,
    stage_header,
)
from dishvl_lib.core.markers import STARTED, SUCCESS, StageError
from dishvl_lib.core.rules import listed
from dishvl_lib.core.types import Record, Records

CHANGED_INPUTS = "changed inputs"
FIGURE_FILE = "dishvl_figure"  # in the metadata of an output of a notebook
PACKAGES = (
    "dishvl",
    "torch",
    "transformers",
    "deepspeed",
    "paddlepaddle",
    "openai",
    "pandas",
    "numpy",
    "pillow",
)


class Stage:
    """One started stage.

    `folder`: where it writes; `params`: the checked parameters; `done`: it had finished before;
    `renewed`: patterns of the files that a finished stage writes anew, by the parameter that
    differs.
    """

    def __init__(
        self,
        name: str,
        params: Record,
        folder: Path,
        upstream: dict[str, Path],
        begun: Record,
        done: bool,
        renewed: dict[str, tuple[str, ...]] | None = None,
    ):
        self.name = name
        self.params = params
        self.folder = folder
        self.upstream = upstream
        self.begun = begun
        self.done = done
        self.renewed = renewed or {}
        self.notes: list[str] = []
        self.started_at = time.time()

    @property
    def making(self) -> str:
        """Which making of the stage this is: the same over kills and new decisions, another after
        --redo or with other parameters; '' in folders of earlier versions.
        """
        return _making_of(self.folder)

    @property
    def changed(self) -> list[str]:
        """The inputs for whose change a finished stage is made again, unasked; [] otherwise."""
        return (markers.read_started(self.folder) or {}).get("changed", [])

    @property
    def budget(self) -> dict[str, float]:
        """The most that this making may pay. What is made again unasked pays nothing."""
        return {} if self.changed else self.params["budget"]

    def path(self, filename: str) -> Path:
        """A file of this stage."""
        return self.folder / filename

    def input(self, stage: str, filename: str) -> Path:
        """A file (or folder) of an earlier stage of this run (or of `upstream_run`) that this stage
        is declared to read.

        Raises ValueError for any other: what it reads decides when it is made again.
        """
        declared = dependencies.opened(self.name, stage)
        if not any(markers.matches(name, declared) for name in (filename, f"{filename}/x")):
            raise ValueError(
                f"{self.name} reads {stage}/{filename}, which is not declared in "
                "dependencies.READS: add it there"
            )
        return self.upstream[stage] / filename

    def inputs(self, stage: str, pattern: str) -> list[Path]:
        """The files of an earlier stage that fit a declared pattern, sorted."""
        self.input(stage, pattern)
        return sorted(self.upstream[stage].glob(pattern))

    def marker(self, stage: str) -> Record:
        """An earlier stage's success marker."""
        return markers.read(self.upstream[stage])

    def make(
        self,
        filename: str | tuple[str, ...],
        function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """What `function` returns, stored as `filename` (.parquet, .csv, .jsonl, .json, .npz); read
        back when it is there.

        Several filenames take the function's several values. Because a stage's folder only ever
        belongs to one set of parameters and inputs, a file that is there is right: this is how a
        killed stage resumes and a finished one does nothing.
        """
        filenames = (filename,) if isinstance(filename, str) else filename
        files = [self.path(name) for name in filenames]
        if not all(file.exists() for file in files):
            result = function(*args, **kwargs)
            for file, value in zip(
                files, (result,) if isinstance(filename, str) else result, strict=True
            ):
                _write(file, value)
        read = tuple(_read(file) for file in files)
        return read[0] if isinstance(filename, str) else read

    def note(self, sentence: str) -> None:
        """Something that a person should know of this stage: it stands in the marker, and in the
        last lines of what the stage says.
        """
        self.notes.append(sentence)

    def make_file(self, filename: str, function: Callable[..., Any], **kwargs: Any) -> Path:
        """Let `function` write a file of its own form, whose path is its first argument; not again
        when it is there.

        A finished stage writes it anew when a parameter that it is shown by has changed.
        """
        if not self.path(filename).exists() or self._renews(filename):
            function(self.path(filename), **kwargs)
        return self.path(filename)

    def arrays(self, stage: str, filename: str) -> dict[str, np.ndarray]:
        """An earlier stage's .npz file."""
        return _read(self.input(stage, filename))

    def only(self, *names: str) -> Record:
        """Some of the stage's parameters, to be handed on under their names."""
        return {name: self.params[name] for name in names}

    def named_file(self, name: str) -> Path | None:
        """The file that a parameter names; None when it names none."""
        return paths.resolve(self.params[name]) if self.params[name] else None

    def decisions(self, kind: str) -> Path:
        """What people decided about `names` or `photos` of this run."""
        return paths.decisions_file(self.params["run_name"], kind)

    def table(self, stage: str, filename: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """An earlier stage's table."""
        return records.read_table(self.input(stage, filename), columns)

    def rows(self, stage: str, filename: str) -> Records:
        """The rows of an earlier stage's .jsonl file."""
        return records.read_jsonl(self.input(stage, filename))

    def show_figure(self, filename: str, figure: Any) -> None:
        """Show a matplotlib figure in the notebook, and write it beside the stage's files (not over
        a finished stage's). The output says which file it is of. What says in a `sentence` that
        there is nothing to draw is shown and not written.
        """
        is_picture = not getattr(figure, "sentence", "")
        if is_picture and not self.path(filename).exists():
            with records.atomic_path(self.path(filename)) as temporary:
                figure.savefig(temporary, dpi=120, bbox_inches="tight")
        kernel.show(figure, {FIGURE_FILE: filename})

    def image_root(self) -> Path:
        """Where the run's photos are: the folder recorded by stage 01, or `image_root` when the
        folder has moved.
        """
        recorded = Path(self.marker("01_annotation")["image_root"])
        if self.params.get("trays_root"):  # outputs/ may have moved, as a folder of photos may
            return recorded if recorded.is_dir() else find_stage(self.params, paths.TRAYS, ())
        given = self.params.get("image_root", "builtin")
        moved = paths.resolve(given) if given != "builtin" else recorded
        return recorded if recorded.is_dir() or not moved.is_dir() else moved

    def finish(
        self,
        counts: Record | None = None,
        cost: dict[str, float] | None = None,
        notes: Sequence[str] = (),
        **extra: Any,
    ) -> None:
        """Hash every file, write the success marker last, say what was written and what a person
        should know (`notes`, and those of `note`), and let go of the stage's lock.

        A finished stage stays as it is, but for the files that were written anew. Raises
        `StageError` when what the stage was made from has changed since it began.
        """
        if self.done:
            self._finish_again()
            return
        self._check_inputs()
        files = _outputs(self.folder)
        marker = {
            **extra,
            "stage": self.name,
            "parameters": self.params,
            "inputs": self.begun["inputs"],
            "outputs": {name: markers.describe(path) for name, path in files.items()},
            "counts": counts or {},
            "cost": cost or {},
            "notes": [*self.notes, *notes],
            "seconds": round(time.time() - self.started_at, 1),
            "finished_at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": versions(),
        }
        records.write_json(self.folder / SUCCESS, marker)
        locks.release(lock_file(self.folder))
        print(f"{self.name} finished in {marker['seconds']:.0f} s. Written to {self.folder}:")
        for name, path in files.items():
            if path.parent == self.folder or len(files) <= 20:
                print(f"  {name}  ({path.stat().st_size:,} bytes)")
        for note in marker["notes"]:
            print(f"note: {note}")

    def _renews(self, filename: str) -> bool:
        return any(markers.matches(filename, patterns) for patterns in self.renewed.values())

    def _finish_again(self) -> None:
        """Record the files that a finished stage has written anew, and nothing else."""
        if not self.renewed:
            print(
                f"{self.name} was finished before with the same parameters and inputs; "
                "nothing was changed."
            )
            return
        marker = markers.read(self.folder)
        outputs = {}
        for name, written in marker["outputs"].items():
            if not self._renews(name):
                outputs[name] = written
        present = {name: path for name, path in _outputs(self.folder).items() if self._renews(name)}
        outputs |= {name: markers.describe(path) for name, path in present.items()}
        marker["outputs"] = outputs
        marker["parameters"] |= {key: self.params[key] for key in self.renewed}
        records.write_json(self.folder / SUCCESS, marker)
        locks.release(lock_file(self.folder))
        print(
            f"{self.name} was finished before; only "
            f"{', '.join(sorted(present)) or 'nothing'} was written anew "
            f"({', '.join(self.renewed)})."
        )

    def _check_inputs(self) -> None:
        """Raises `StageError` when an earlier stage was made again while this one worked: its files
        would be of two minds.

        People's decisions may come in meanwhile, by this notebook's own widget too: they count at
        the next start.
        """
        upstream = _upstream(self.name, self.params)
        inputs = dependencies.inputs_of(self.name, self.params, upstream)
        differing = dependencies.changed_inputs(self.name, self.begun["inputs"], inputs)
        changed = [key for key in differing if key.partition("/")[0] in upstream]
        if changed:
            raise StageError(
                f"what {self.name} is made from changed while it worked "
                f"({listed(changed)}); run it again: it begins anew with what is there now"
            )


def start(name: str, namespace: Record) -> Stage:
    """Check a notebook's parameters and the stages before it, and open its folder.

    `namespace` is the notebook's `globals()`. Raises `SettingsError` for parameters, `StageError`
    when an earlier stage is missing, was changed, when this stage had finished with other
    parameters, or when another process works on it; `RedoNeeded` when something long would be made
    again.
    """
    name = paths.full_stage_name(name)
    params = settings.check_values(name, namespace)
    upstream = _upstream(name, params)
    inputs = dependencies.inputs_of(name, params, upstream)
    begun = {"parameters": dependencies.content_parameters(name, params), "inputs": inputs}
    folder = paths.stage_folder(params["run_name"], name)
    done = _done(folder, name, params, inputs)
    _refuse_if_long(folder, name, params, begun)
    renewed = dependencies.renewed(name, markers.read(folder)["parameters"], params) if done else {}
    if not done:
        settings.refuse_absent({name: params})
    if not done or renewed:
        _lock(folder)
        # Looked at once more, for the lock's last holder may have finished the stage.
        done = _claim(folder, name, params, begun)
    if done and not renewed:
        locks.release(lock_file(folder))
    stage = Stage(name, params, folder, upstream, begun, done, renewed)
    _print_header(stage)
    return stage


def check_ready(params: Record, name: str) -> None:
    """Raise the `StageError` that `start` would raise, before a notebook is opened for it; nothing
    is touched.
    """
    inputs = dependencies.inputs_of(name, params, _upstream(name, params))
    folder = paths.stage_folder(params["run_name"], name)
    _done(folder, name, params, inputs)
    begun = {"parameters": dependencies.content_parameters(name, params), "inputs": inputs}
    _refuse_if_long(folder, name, params, begun)


def changed_inputs(params: Record, name: str) -> list[str]:
    """The inputs that differ from those that a finished stage was made from; [] for a stage that
    has not finished. Raises `StageError` when an earlier stage is missing or was changed.
    """
    inputs = dependencies.inputs_of(name, params, _upstream(name, params))
    folder = paths.stage_folder(params["run_name"], name)
    if not markers.finished(folder):
        return []
    return dependencies.changed_inputs(name, markers.read(folder)["inputs"], inputs)


def _refuse_if_long(folder: Path, name: str, params: Record, begun: Record) -> None:
    """Raise `RedoNeeded` when starting the stage would put aside what took long to make."""
    if markers.finished(folder):
        before = markers.read(folder)["inputs"]
        changed = dependencies.changed_inputs(name, before, begun["inputs"])
    elif (folder / STARTED).exists():
        changed = _differing(folder, name, params, begun)
    else:
        return
    if changed:
        redo.refuse_if_long(folder, changed)


def _differing(folder: Path, name: str, params: Record, begun: Record) -> list[str]:
    """What an unfinished stage was begun with that is otherwise now."""
    before = markers.read_started(folder)
    if before is None:
        return ["its record of the start cannot be read"]
    try:
        changed = _changed(name, before["parameters"], params)
        return changed + dependencies.changed_inputs(name, before["inputs"], begun["inputs"])
    except (TypeError, KeyError, AttributeError):
        return ["its record of the start is damaged"]


def state(params: Record, name: str) -> str:
    """`done`, `done, shown otherwise`, `changed inputs`, `changed parameters`, `unfinished` or
    `missing`; nothing is touched.

    Raises `StageError` when the stage's marker is damaged.
    """
    folder = paths.stage_folder(params["run_name"], name)
    if not markers.finished(folder):
        return "unfinished" if (folder / STARTED).exists() else "missing"
    before = markers.read(folder)
    if _changed(name, before["parameters"], params):
        return "changed parameters"
    try:
        inputs = dependencies.inputs_of(name, params, _upstream(name, params))
        markers.check_outputs(folder)
    except StageError:
        return CHANGED_INPUTS
    if dependencies.changed_inputs(name, before["inputs"], inputs):
        return CHANGED_INPUTS
    return (
        "done, shown otherwise"
        if dependencies.renewed(name, before["parameters"], params)
        else "done"
    )


def find_stage(params: Record, stage: str, patterns: tuple[str, ...] = ("*",)) -> Path:
    """The folder of a finished earlier stage: this run's, otherwise `upstream_run`'s.

    Raises `StageError` when there is none, or when one of its files that fit `patterns` is not as
    it was written.
    """
    folder = paths.stage_folder(params["run_name"], stage)
    if not markers.finished(folder) and params.get("upstream_run"):
        folder = paths.stage_folder(params["upstream_run"], stage)
    if not markers.finished(folder):
        raise StageError(
            f"stage {stage} has not finished in {folder.parent}: run notebooks/{stage}.ipynb "
            f"first (or dishvl run PROFILE --to {stage[:2]}), or name a run that has it in "
            "upstream_run"
        )
    markers.check_outputs(folder, patterns=patterns)
    return folder


def move_aside(folder: Path) -> Path | None:
    """Rename a stage's folder to `<name>.old-<time>`; nothing is deleted. None when there was none.

    Raises `StageError` when a process still works there: it would go on writing to what takes the
    folder's place.
    """
    if not folder.exists():
        return None
    with ExitStack() as stack:
        for file in (lock_file(folder), training_lock_file(folder)):
            try:
                stack.enter_context(locks.held(file, folder.name))
            except locks.LockedError as error:
                raise StageError(_busy(folder, error.holder)) from None
        return folder.rename(_free_name(folder))


def lock_file(folder: Path) -> Path:
    """The lock of a stage, held by the process that makes it. It lies beside the folder, which may
    be moved aside.
    """
    return folder.with_name(f".{folder.name}.lock")


def training_lock_file(folder: Path) -> Path:
    """The lock of a training process, which outlives the notebook that has started it."""
    return folder.with_name(f".{folder.name}.training.lock")


def busy(folder: Path) -> str:
    """The sentence about the process that makes a stage now; '' when none does."""
    file = lock_file(folder)
    holder = None if locks.mine(file) else locks.holder(file)
    return _busy(folder, holder) if holder else ""


def _busy(folder: Path, holder: locks.Holder) -> str:
    run_name = folder.parent.name
    return (
        f"{folder.name} of run {run_name} is being made by {holder}. Wait until it ends, or "
        "end it: in JupyterLab restart that notebook's kernel, "
        f"a command ends with Ctrl-C, a training with dishvl stop {run_name}; then ask "
        "again, nothing is lost"
    )


def _lock(folder: Path) -> None:
    try:
        locks.take(lock_file(folder), folder.name)
    except locks.LockedError as error:
        raise StageError(_busy(folder, error.holder)) from None


def _free_name(folder: Path) -> Path:
    base = folder.with_name(f"{folder.name}.old-{datetime.now():%Y%m%d-%H%M%S}")
    target = base
    number = 2
    while target.exists():
        target = base.with_name(f"{base.name}-{number}")
        number += 1
    return target


def _upstream(name: str, params: Record) -> dict[str, Path]:
    """{earlier stage: its folder}, with the files that are read checked."""
    return {
        stage: find_stage(params, stage, dependencies.opened(name, stage))
        for stage in dependencies.stages_read(name, params)
    }


def _changed(name: str, old: Record, new: Record) -> list[str]:
    return dependencies.changed_parameters(name, old, new)


def _done(folder: Path, name: str, params: Record, inputs: dict[str, str]) -> bool:
    """Whether the stage had finished with these parameters and inputs, and its files are still what
    it wrote.

    Raises `StageError` when it had finished with other parameters.
    """
    if not markers.finished(folder):
        return False
    before = markers.read(folder)
    changed = _changed(name, before["parameters"], params)
    if changed:
        raise StageError(_refusal(folder, name, changed))
    if dependencies.changed_inputs(name, before["inputs"], inputs):
        return False
    markers.check_outputs(folder)
    return True


def _claim(folder: Path, name: str, params: Record, begun: Record) -> bool:
    """Make the folder this set of parameters' own. True when it had finished with exactly these."""
    started = folder / STARTED
    if _done(folder, name, params, begun["inputs"]):
        return True
    record = begun | {"making": uuid.uuid4().hex[:12]}
    if markers.finished(folder):
        changed = dependencies.changed_inputs(name, markers.read(folder)["inputs"], begun["inputs"])
        record["making"] = _making_of(folder)
        record["changed"] = changed
        print(
            f"What {name} was made from has changed ({listed(changed)}); the old folder is "
            f"now {move_aside(folder)}"
        )
    elif started.exists() and _differing(folder, name, params, begun):
        print(
            f"{name} was begun with other parameters or inputs and had not finished; that "
            f"part is now {move_aside(folder)}"
        )
    elif folder.exists() and not started.exists() and any(folder.iterdir()):
        print(f"{folder} held files of unknown origin; it is now {move_aside(folder)}")
    elif started.exists():
        before = markers.read_started(folder) or {}
        record["making"] = before.get("making", "")
        record["changed"] = before.get("changed", [])
    folder.mkdir(parents=True, exist_ok=True)
    if not locks.holder(training_lock_file(folder)):
        records.sweep_parts(folder)
    records.write_json(started, record)
    return False


def _making_of(folder: Path) -> str:
    return (markers.read_started(folder) or {}).get("making", "")


def refuse_changed(name: str, params: Record) -> None:
    """Raise the `StageError` that a stage finished with other parameters is answered with."""
    folder = paths.stage_folder(params["run_name"], name)
    changed = _changed(name, markers.read(folder)["parameters"], params)
    raise StageError(_refusal(folder, name, changed))


def refuse_busy(folder: Path) -> None:
    """Raise the `StageError` that a start is answered with while another process makes the
    stage.
    """
    sentence = busy(folder)
    if sentence:
        raise StageError(sentence)


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide a result."""
    numbers = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            numbers[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return numbers


def _refusal(folder: Path, name: str, changed: list[str]) -> str:
    return (
        f"{name} has finished in {folder} with other parameters:\n  " + "\n  ".join(changed) + "\n"
        "Choose a new run_name (upstream_run takes the stages before it from this run), or "
        "make it again with "
        f"--redo {name[:2]} (dishvl run PROFILE --redo {name[:2]}; in a notebook: "
        f"stages.move_aside(paths.stage_folder(run_name, {name!r}))), "
        f"which moves the old folder aside and deletes nothing."
    )


def _print_header(stage: Stage) -> None:
    where = [f"{stage.name} of run {stage.params['run_name']} in {stage.folder}"]
    if stage.renewed:
        where.append(
            "This stage has finished before; only what depends on "
            f"{', '.join(stage.renewed)} is written anew."
        )
    elif stage.done:
        where.append(
            "This stage has finished before with the same parameters and inputs: its files "
            "are shown, nothing is made again."
        )
    stage_header.show(stage.name, "\n".join(where), stage.params, versions())


def _outputs(folder: Path) -> dict[str, Path]:
    """What a stage wrote: every file that neither is nor lies in something hidden (.part,
    .ipynb_checkpoints), without our own markers.
    """
    outputs = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and not path.name.startswith("_"):
            outputs[str(name)] = path
    return outputs


def _write(path: Path, value: Any) -> None:
    if isinstance(value, pd.DataFrame):
        records.write_table(path, value)
    elif path.suffix == ".jsonl":
        records.write_jsonl(path, value)
    elif path.suffix == ".npz":
        with records.atomic_path(path) as temporary:
            np.savez(temporary, **value)
    else:
        records.write_json(path, value)


def _read(path: Path) -> Any:
    """What a stage's file holds. Raises `StageError` when it is damaged: with the file and what
    mends it.
    """
    try:
        return _content(path)
    except (
        records.RecordError,
        ValueError,
        KeyError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise markers.damaged(path, " ".join(str(error).split())) from None


def _content(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return records.read_jsonl(path)
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return dict(stored)
    return records.read_json(path) if path.suffix == ".json" else records.read_table(path)
