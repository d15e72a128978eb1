"""Checkpoints that survive: trained tensors under the model's own parameter names.

Staged beside the others, sealed by a manifest, renamed.

checkpoint-120/
    trained.safetensors   what trains, in the training's dtype: enough for best/
    trainer_state.json    step, epoch, best metric
    resume/               optimizer, scheduler, random state, float32 masters: for an exact resume
    MANIFEST.json         sha256 of every file, and what the checkpoint belongs to
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dishvl_lib.core import records
from dishvl_lib.core.types import RecordView

WEIGHTS = "trained.safetensors"
MANIFEST = "MANIFEST.json"
RESUME = "resume"
MASTER = "master.safetensors"
PART = ".checkpoint.part"
STATE = "trainer_state.json"
RESTORE = "put it back from a copy, or start again with --redo 04"
# a resume state on its way out: what is left of a checkpoint is whole at every moment
GOING = ".resume.going"


class CheckpointError(RuntimeError):
    """A checkpoint that does not belong to this model or run, or that could not be written."""


def trained_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """{name: value on the CPU} of every trained parameter, by `model.named_parameters()`.

    transformers' own names differ from these and its resume silently loads next to nothing for this
    model. Under ZeRO-3 tensors are gathered one at a time; every process must call this.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors[name] = _whole(parameter).cpu().contiguous()
    return tensors


def write_weights(tensors: Mapping[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """WEIGHTS in `dtype`, and for the resume MASTER, where the tensors are finer than that.

    Raises `CheckpointError` when a value is not finite: such weights are worth nothing.
    """
    broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} trained tensors hold values that are not finite, the first is "
            f"{broken[0]}; they are not saved"
        )
    save_file({name: value.to(dtype) for name, value in tensors.items()}, folder / WEIGHTS)
    if any(value.dtype != dtype for value in tensors.values()):
        save_file(dict(tensors), folder / RESUME / MASTER)


def load_trained(model: nn.Module, folder: Path) -> None:
    """Put a checkpoint's tensors into the model.

    Raises `CheckpointError` unless names and shapes are exactly the trained ones.
    """
    master = folder / RESUME / MASTER
    stored = load_file(master if master.exists() else folder / WEIGHTS)
    trained = _checked(model, stored, folder)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(stored[name])


def check_loaded(model: nn.Module, folder: Path) -> None:
    """Raise `CheckpointError` unless every trained tensor holds the checkpoint's value.

    DeepSpeed loads without saying what it left out.
    """
    stored = load_file(folder / WEIGHTS)
    for name, parameter in _checked(model, stored, folder).items():
        loaded = _whole(parameter).cpu().to(stored[name].dtype)
        if not torch.equal(loaded, stored[name]):
            raise CheckpointError(
                f"{folder}: {name} was not loaded; the checkpoint cannot be resumed from"
            )


def seal(folder: Path, belongs: RecordView) -> None:
    """Write the manifest, last, with every file on the disk before it.

    `belongs`: what a resume must agree on.
    """
    checksums = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == MANIFEST:
            continue
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        checksums[str(path.relative_to(folder))] = records.sha256_file(path)
    records.write_json(folder / MANIFEST, {"belongs": dict(belongs), "files": checksums})


def newest(folder: Path, belongs: RecordView) -> Path | None:
    """The newest checkpoint with a resume state that verifies.

    Damaged newer ones are named and moved aside. Raises `CheckpointError` naming what differs when
    the newest whole one was made with another `belongs`; what it does not name may be anything.
    """
    for path in numbered(folder):
        if not (path / RESUME).is_dir():
            continue
        problem = damage(path)
        if not problem:
            _check_belongs(path, belongs)
            return path
        print(f"checkpoint {path.name} cannot be used ({problem}); it is kept aside", flush=True)
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return None


def _check_belongs(checkpoint: Path, belongs: RecordView) -> None:
    stored = records.read_json(checkpoint / MANIFEST)["belongs"]
    # A parameter that it does not name came with a later version, which must not end a training.
    changed = [key for key, value in stored.items() if value != belongs.get(key)]
    if changed:
        changes = ", ".join(
            f"{key} (was {stored.get(key)}, is {belongs.get(key)})" for key in changed[:3]
        )
        raise CheckpointError(
            f"{checkpoint} was made with other {changes}; finish it as it was begun, or start "
            "again with --redo 04"
        )


def check_best(folder: Path) -> None:
    """Raise `CheckpointError` when the best checkpoint that this one knows of is gone or damaged.

    The end of the training would come to nothing.
    """
    step = records.read_json(folder / STATE).get("best_global_step")
    best = folder.with_name(f"checkpoint-{step}")
    if step is None or best == folder:
        return
    problem = damage(best)
    if problem:
        raise CheckpointError(f"{best}, the best so far, cannot be used ({problem}); {RESTORE}")


def numbered(folder: Path) -> list[Path]:
    """The checkpoints, newest first. What somebody laid beside them under another name is none."""
    folders = [
        path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)
    ]
    return sorted(folders, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def damage(folder: Path) -> str:
    """Why a checkpoint does not verify; '' when it does.

    What was pruned on purpose (`prune`) is not missed.
    """
    if not folder.is_dir():
        return "it is gone"
    if not (folder / MANIFEST).exists():
        return "it is half-written"
    whole = (folder / RESUME).is_dir()
    for name, sha256 in records.read_json(folder / MANIFEST)["files"].items():
        if not whole and Path(name).parts[0] == RESUME:
            continue
        file = folder / name
        if not file.exists() or records.sha256_file(file) != sha256:
            return f"{name} is missing or damaged"
    return ""


def prune(folder: Path, keep: int, best: str | None) -> None:
    """Keep the newest `keep` whole, the one named `best` at least as weights, and nothing else."""
    for path in numbered(folder)[keep:]:
        if path.name != best:
            shutil.rmtree(path)
        elif (path / RESUME).is_dir():
            # Renamed first: a kill while it is deleted must not leave half a resume state.
            going = folder / GOING
            shutil.rmtree(going, ignore_errors=True)
            (path / RESUME).rename(going)
            shutil.rmtree(going)


def _checked(
    model: nn.Module, stored: Mapping[str, torch.Tensor], folder: Path
) -> dict[str, nn.Parameter]:
    """{name: trained parameter}, when `stored` has exactly these names and shapes."""
    trained = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    odd = sorted(stored.keys() ^ trained.keys())
    if odd:
        raise CheckpointError(
            f"{folder}: {len(odd)} tensors do not match what is trained now, the first is "
            f"{odd[0]}; it was made with other trained parts or another base model"
        )
    for name, parameter in trained.items():
        shape = getattr(parameter, "ds_shape", parameter.shape)
        if stored[name].shape != shape:
            raise CheckpointError(
                f"{folder}: {name} has shape {tuple(stored[name].shape)}, the model's has "
                f"{tuple(shape)}"
            )
    return trained


def _whole(parameter: nn.Parameter) -> torch.Tensor:
    """The parameter's value; gathered from all processes where ZeRO-3 keeps shards."""
    if not hasattr(parameter, "ds_id"):
        return parameter.detach()
    import deepspeed  # here, for it takes seconds to import and most trainings do without

    with deepspeed.zero.GatheredParameters([parameter]):
        return parameter.detach().clone()
