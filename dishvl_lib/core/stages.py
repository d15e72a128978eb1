"""A stage of a run: its folder, the check of what came before, and the success marker that is written last.

    stage = stages.start("03_dataset", globals())
    table = stage.make("similar_dishes.csv", function, ...)     # made once, read back on a second run
    stage.finish(counts)

`_STARTED.json` records what a stage was begun with, `_SUCCESS.json` what it ended with. A stage goes on only with the
parameters and inputs it was begun with; anything else is moved aside (never deleted) or refused.
"""

import fcntl
import importlib.metadata
import platform
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import paths, records, settings

NEEDS = {
    "01_annotation": (),
    "02_similar_dishes": ("01_annotation",),
    "03_dataset": ("01_annotation", "02_similar_dishes"),
    "04_training": ("01_annotation", "03_dataset"),
    "05_evaluation": ("01_annotation", "02_similar_dishes", "03_dataset", "04_training"),
}
DECISIONS = {"01_annotation": ("names", "photos"), "03_dataset": ("photos",)}
# Parameters that name a file: what is in it is an input too.
FILE_KEYS = {"01_annotation": ("names_csv", "photos_csv", "near_features"), "02_similar_dishes": ("weights", "init_weights", "preprocess_yaml")}
SUCCESS, STARTED = "_SUCCESS.json", "_STARTED.json"
LOCK = ".lock"  # held by a process of its own that a stage has started
# Parameters that change what is shown or where things lie, not what is made.
NOT_CONTENT = {"run_name", "upstream_run", "browse", "language", "budget", "exports"}
# Common parameters that a stage does not use itself: they reach it through earlier stages' files, or not at all.
PHOTO_KEYS, MODEL_KEYS = {"image_root", "sites", "max_dishes", "max_photos_per_dish"}, {"base_model", "min_pixels", "max_pixels"}
UNUSED = {
    "01_annotation": MODEL_KEYS,
    "02_similar_dishes": PHOTO_KEYS | MODEL_KEYS,
    "03_dataset": PHOTO_KEYS,
    "04_training": PHOTO_KEYS,
    "05_evaluation": PHOTO_KEYS,
}
# Parameters that decide how a stage works, not what it makes: they may change between a kill and the resume.
MANNER = {
    "04_training": {
        "dataloader_num_workers", "photo_cache_mb", "logging_steps", "save_steps", "keep_checkpoints", "per_device_eval_batch_size", "num_processes", "hostfile",
    },
    "05_evaluation": {"batch_size"},
}  # fmt: skip
PACKAGES = ("dishvl", "torch", "transformers", "deepspeed", "paddlepaddle", "openai", "pandas", "numpy", "pillow")


class StageError(RuntimeError):
    """A stage that cannot start or end; the message says which file and what to do."""


class Stage:
    """One started stage. `folder`: where it writes; `params`: the checked parameters; `done`: it had finished before."""

    def __init__(self, name: str, params: dict[str, Any], folder: Path, upstream: dict[str, Path], begun: dict[str, Any], done: bool):
        self.name, self.params, self.folder, self.upstream, self.begun, self.done = name, params, folder, upstream, begun, done
        self.started_at = time.time()

    def path(self, filename: str) -> Path:
        """A file of this stage."""
        return self.folder / filename

    def input(self, stage: str, filename: str) -> Path:
        """A file of an earlier stage of this run (or of `upstream_run`)."""
        return self.upstream[stage] / filename

    def marker(self, stage: str) -> dict[str, Any]:
        """An earlier stage's success marker."""
        return records.read_json(self.upstream[stage] / SUCCESS)

    def make(self, filename: str | tuple[str, ...], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `function` returns, stored as `filename` (.parquet, .csv, .jsonl, .json, .npz); read back when it is there.

        Several filenames take the function's several values. Because a stage's folder only ever belongs to one set of
        parameters and inputs, a file that is there is right: this is how a killed stage resumes and a finished one
        does nothing.
        """
        files = [self.path(one) for one in ((filename,) if isinstance(filename, str) else filename)]
        if not all(file.exists() for file in files):
            made = function(*args, **kwargs)
            for file, value in zip(files, (made,) if isinstance(filename, str) else made, strict=True):
                _write(file, value)
        read = tuple(_read(file) for file in files)
        return read[0] if isinstance(filename, str) else read

    def make_file(self, filename: str, function: Callable[..., Any], **kwargs: Any) -> Path:
        """Let `function` write a file of its own form, whose path is its first argument; not again when it is there."""
        if not self.path(filename).exists():
            function(self.path(filename), **kwargs)
        return self.path(filename)

    def arrays(self, stage: str, filename: str) -> dict[str, np.ndarray]:
        """An earlier stage's .npz file."""
        return _read(self.input(stage, filename))

    def save_figure(self, filename: str, figure: Any) -> Any:
        """Write a matplotlib figure beside the stage's files (not over a finished stage's) and hand it back for display."""
        if not self.path(filename).exists():
            with records.atomic_path(self.path(filename)) as temporary:
                figure.savefig(temporary, dpi=120, bbox_inches="tight")
        return figure

    def image_root(self) -> Path:
        """Where the run's photos are: the folder recorded by stage 01, or `image_root` when the folder has moved."""
        recorded = Path(self.marker("01_annotation")["image_root"])
        given = self.params.get("image_root", "builtin")
        moved = paths.resolve(given) if given != "builtin" else recorded
        return recorded if recorded.is_dir() or not moved.is_dir() else moved

    def finish(self, counts: dict[str, Any] | None = None, cost: dict[str, float] | None = None, **extra: Any) -> None:
        """Hash every file, write the success marker last, and say what was written. A finished stage stays as it is."""
        if self.done:
            print(f"{self.name} was finished before with the same parameters and inputs; nothing was changed.")
            return
        files = _outputs(self.folder)
        marker = {
            **extra,
            "stage": self.name,
            "parameters": self.params,
            "inputs": self.begun["inputs"],
            "outputs": {name: _describe(path) for name, path in files.items()},
            "counts": counts or {},
            "cost": cost or {},
            "seconds": round(time.time() - self.started_at, 1),
            "finished_at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": versions(),
        }
        records.write_json(self.folder / SUCCESS, marker)
        print(f"{self.name} finished in {marker['seconds']:.0f} s. Written to {self.folder}:")
        for name, path in files.items():
            if path.parent == self.folder or len(files) <= 20:
                print(f"  {name}  ({path.stat().st_size:,} bytes)")


def start(name: str, namespace: dict[str, Any]) -> Stage:
    """Check a notebook's parameters and the stages before it, and open its folder.

    `namespace` is the notebook's `globals()`. Raises `SettingsError` for parameters, `StageError` when an earlier stage
    is missing, was changed, or when this stage had finished with other parameters.
    """
    name = paths.full_stage_name(name)
    params = settings.check_values(name, namespace)
    upstream = {stage: find_stage(params, stage) for stage in NEEDS[name]}
    begun = {"parameters": content_parameters(name, params), "inputs": inputs_of(name, params, upstream)}
    folder = paths.stage_folder(params["run_name"], name)
    done = _claim(folder, name, begun)
    stage = Stage(name, params, folder, upstream, begun, done)
    _print_header(stage)
    return stage


def state(params: dict[str, Any], name: str) -> str:
    """`done`, `changed inputs`, `changed parameters`, `unfinished` or `missing`, without touching anything."""
    folder = paths.stage_folder(params["run_name"], name)
    if not (folder / SUCCESS).exists():
        return "unfinished" if (folder / STARTED).exists() else "missing"
    marker = records.read_json(folder / SUCCESS)
    if changed_keys(content_parameters(name, marker["parameters"]), content_parameters(name, params)):
        return "changed parameters"
    try:
        upstream = {stage: find_stage(params, stage) for stage in NEEDS[name]}
        same = marker["inputs"] == inputs_of(name, params, upstream)
        check_outputs(folder)
    except StageError:
        return "changed inputs"
    return "done" if same else "changed inputs"


def find_stage(params: dict[str, Any], stage: str) -> Path:
    """The folder of a finished earlier stage: this run's, otherwise `upstream_run`'s. Raises `StageError`."""
    folder = paths.stage_folder(params["run_name"], stage)
    if not (folder / SUCCESS).exists() and params.get("upstream_run"):
        folder = paths.stage_folder(params["upstream_run"], stage)
    if not (folder / SUCCESS).exists():
        raise StageError(
            f"stage {stage} has not finished in {folder.parent}: run notebooks/{stage}.ipynb first (or dishvl run PROFILE --to {stage[:2]}), or name a run that has it in upstream_run"
        )
    check_outputs(folder)
    return folder


def check_outputs(folder: Path, thorough: bool = False) -> None:
    """Compare a finished stage's files with its marker: size and time, and sha256 where those differ (or all of them).

    Raises `StageError` naming the first file that is missing or is not the one that was written.
    """
    for name, wanted in records.read_json(folder / SUCCESS)["outputs"].items():
        path = folder / name
        if not path.exists():
            raise StageError(f"{path} is gone since the stage finished; make it again with --redo {folder.name[:2]}")
        now = path.stat()
        same = now.st_size == wanted["bytes"] and now.st_mtime_ns == wanted["mtime_ns"]
        if (thorough or not same) and records.sha256_file(path) != wanted["sha256"]:
            raise StageError(f"{path} was changed since the stage finished (its sha256 differs from {SUCCESS}); make it again with --redo {folder.name[:2]}")


def move_aside(folder: Path) -> Path | None:
    """Rename a stage's folder to `<name>.old-<time>`; nothing is deleted. None when there was none.

    Raises `StageError` when a process still writes there: it would go on writing to what takes the folder's place.
    """
    if not folder.exists():
        return None
    if in_use(folder):
        raise StageError(
            f"a process still works in {folder}, so that it cannot be moved aside; let it finish, or end it (dishvl stop {folder.parent.name}) and ask again"
        )
    base = folder.with_name(f"{folder.name}.old-{datetime.now():%Y%m%d-%H%M%S}")
    target = base
    number = 2
    while target.exists():
        target, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder.rename(target)


def in_use(folder: Path) -> bool:
    """Whether a process holds the folder's LOCK, which goes with it however it ends."""
    if not (folder / LOCK).exists():
        return False
    with open(folder / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def content_parameters(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that decide what a stage makes."""
    without = NOT_CONTENT | UNUSED[name] | MANNER.get(name, set())
    return {key: value for key, value in params.items() if key not in without}


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for every key that differs."""
    return [f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]


def inputs_of(name: str, params: dict[str, Any], upstream: dict[str, Path]) -> dict[str, str]:
    """{file: sha256} of everything a stage starts from: earlier stages' outputs, people's decisions, files named in parameters."""
    found = {}
    for stage, folder in upstream.items():
        for file, described in records.read_json(folder / SUCCESS)["outputs"].items():
            if Path(file).suffix not in (".png", ".html", ".log"):
                found[f"{stage}/{file}"] = described["sha256"]
    for kind in DECISIONS.get(name, ()):
        file = paths.decisions_file(params["run_name"], kind)
        if file.exists():
            found[f"decisions/{file.name}"] = records.sha256_file(file)
    for key in FILE_KEYS.get(name, ()):
        if params.get(key) and paths.resolve(params[key]).is_file():
            found[f"{key}: {params[key]}"] = records.sha256_file(paths.resolve(params[key]))
    for site in params.get("sites", ()) if name == "05_evaluation" else ():
        if site.get("menu_csv") and paths.resolve(site["menu_csv"]).is_file():
            found[f"menu_csv: {site['menu_csv']}"] = records.sha256_file(paths.resolve(site["menu_csv"]))
    return found


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def _claim(folder: Path, name: str, begun: dict[str, Any]) -> bool:
    """Make the folder this set of parameters' own. True when it had finished with exactly these."""
    finished, started = folder / SUCCESS, folder / STARTED
    if finished.exists():
        before = records.read_json(finished)
        changed = changed_keys(content_parameters(name, before["parameters"]), begun["parameters"])
        if changed:
            raise StageError(_refusal(folder, name, changed))
        if before["inputs"] == begun["inputs"]:
            check_outputs(folder)
            return True
        print(f"What {name} was made from has changed ({_summary(before['inputs'], begun['inputs'])}); the old folder is now {move_aside(folder)}")
    elif started.exists() and records.read_json(started) != begun:
        print(f"{name} was begun with other parameters or inputs and had not finished; that part is now {move_aside(folder)}")
    elif folder.exists() and not started.exists() and any(folder.iterdir()):
        print(f"{folder} held files of unknown origin; it is now {move_aside(folder)}")
    folder.mkdir(parents=True, exist_ok=True)
    records.write_json(started, begun)
    return False


def refuse_changed(name: str, params: dict[str, Any]) -> None:
    """Raise the `StageError` that a stage finished with other parameters is answered with."""
    folder = paths.stage_folder(params["run_name"], name)
    before = records.read_json(folder / SUCCESS)["parameters"]
    raise StageError(_refusal(folder, name, changed_keys(content_parameters(name, before), content_parameters(name, params))))


def _refusal(folder: Path, name: str, changed: list[str]) -> str:
    return (
        f"{name} has finished in {folder} with other parameters:\n  " + "\n  ".join(changed) + "\n"
        f"Choose a new run_name (upstream_run takes the stages before it from this run), or make it again with "
        f"--redo {name[:2]} (dishvl run PROFILE --redo {name[:2]}; in a notebook: stages.move_aside(paths.stage_folder(run_name, {name!r}))), "
        f"which moves the old folder aside and deletes nothing."
    )


def _summary(old: dict[str, str], new: dict[str, str]) -> str:
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")


def _print_header(stage: Stage) -> None:
    print(f"{stage.name} of run {stage.params['run_name']} in {stage.folder}")
    if stage.done:
        print("This stage has finished before with the same parameters and inputs: its files are shown, nothing is made again.")
    print("versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    print("parameters: " + ", ".join(f"{key}={value!r}" for key, value in stage.params.items()))


def _describe(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": records.sha256_file(path)}


def _outputs(folder: Path) -> dict[str, Path]:
    """What a stage wrote: every file that neither is nor lies in something hidden (.part, .ipynb_checkpoints), without our own markers."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {str(name): path for name, path in files.items() if not path.name.startswith("_") and not any(part.startswith(".") for part in name.parts)}


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
    if path.suffix == ".jsonl":
        return records.read_jsonl(path)
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return dict(stored)
    return records.read_json(path) if path.suffix == ".json" else records.read_table(path)
