"""Checkpoints that survive: trained tensors under the model's own parameter names, and a manifest written last."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dishvl_lib.core import records

WEIGHTS, MANIFEST = "trained.safetensors", "MANIFEST.json"


class CheckpointError(RuntimeError):
    """A checkpoint that does not belong to this model or run."""


def save_trained(model: nn.Module, folder: Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
    """Every trained tensor, under the name `model.named_parameters()` gives it.

    transformers' own names differ from these and its resume silently loads next to nothing for this model.
    `state_dict`: gathered values under the same names, where the model itself holds only a shard.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    source = dict(model.named_parameters()) if state_dict is None else state_dict
    tensors = {name: source[name].detach().cpu().contiguous() for name in names}
    with records.atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)


def load_trained(model: nn.Module, folder: Path) -> None:
    """Put a checkpoint's tensors into the model. Raises `CheckpointError` unless names and shapes are exactly the trained ones."""
    stored = load_file(folder / WEIGHTS)
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if odd := sorted(stored.keys() ^ wanted.keys()):
        raise CheckpointError(
            f"{folder}: {len(odd)} tensors do not match what is trained now, the first is {odd[0]}; it was made with other trained parts or another base model"
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            if stored[name].shape != parameter.shape:
                raise CheckpointError(f"{folder}: {name} has shape {tuple(stored[name].shape)}, the model's has {tuple(parameter.shape)}")
            parameter.copy_(stored[name])


def seal(folder: Path, config_hash: str) -> None:
    """Write the manifest, last: a checkpoint without it is half-written and never resumed from."""
    files = {str(p.relative_to(folder)): records.sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST}
    records.write_json(folder / MANIFEST, {"config": config_hash, "files": files})


def newest(folder: Path, config_hash: str) -> Path | None:
    """The newest checkpoint whose manifest verifies; half-written or damaged newer ones are removed and named.

    Raises `CheckpointError` when the newest whole one belongs to another configuration or other data.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for path in found:
        if problem := damage(path):
            print(f"checkpoint {path.name} cannot be used ({problem}); an older one is taken", flush=True)
            shutil.rmtree(path)
            continue
        if json.loads((path / MANIFEST).read_text())["config"] != config_hash:
            raise CheckpointError(f"{path} was made with other data, parameters or processes; finish it as it was begun, or start again with --redo 04")
        return path
    return None


def damage(folder: Path) -> str:
    """Why a checkpoint does not verify; '' when it does."""
    if not (folder / MANIFEST).exists():
        return "it is half-written"
    for name, wanted in records.read_json(folder / MANIFEST)["files"].items():
        if not (folder / name).exists() or records.sha256_file(folder / name) != wanted:
            return f"{name} is missing or damaged"
    return ""
