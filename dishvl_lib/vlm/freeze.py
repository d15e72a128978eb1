"""What trains: a contract over parameter groups, printed, stored and asserted, never left to a name
prefix.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

GROUPS = ("visual", "merger", "language_model", "lm_head")


class ContractError(RuntimeError):
    """The model would not train what was asked for."""


def groups(model: nn.Module) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """{group: [(name, parameter)]}: the vision tower without its merger, the merger, the language
    model, the head.

    Grouped by module object. Disjoint and complete, a tied head counts as language model.
    """
    merger = {id(p) for p in model.model.visual.merger.parameters()}
    visual = {id(p) for p in model.model.visual.parameters()} - merger
    language = {id(p) for p in model.model.language_model.parameters()}
    place = {
        **dict.fromkeys(visual, "visual"),
        **dict.fromkeys(merger, "merger"),
        **dict.fromkeys(language, "language_model"),
    }
    found: dict[str, list[tuple[str, nn.Parameter]]] = {group: [] for group in GROUPS}
    for name, parameter in model.named_parameters():
        found[place.get(id(parameter), "lm_head")].append((name, parameter))
    return found


def apply(model: nn.Module, train: Mapping[str, bool]) -> None:
    """Set requires_grad of every parameter by group. Raises `ContractError` when nothing would
    train.
    """
    if not any(train[group] for group in GROUPS):
        raise ContractError(
            "nothing would train: set train_visual, train_merger, train_language_model or "
            "train_lm_head"
        )
    for group, members in groups(model).items():
        for _, parameter in members:
            parameter.requires_grad_(train[group])


def optimizer_groups(
    model: nn.Module, learning_rates: Mapping[str, float], weight_decay: float
) -> list[dict[str, Any]]:
    """AdamW parameter groups: per trained group one with weight decay (matrices) and one without
    (norms, biases).
    """
    made = []
    for group, members in groups(model).items():
        for suffix, wanted, decay in (("decay", True, weight_decay), ("no_decay", False, 0.0)):
            chosen = [
                p
                for _, p in members
                if p.requires_grad and (size(p) and _dimensions(p) > 1) == wanted
            ]
            if chosen:
                made.append(
                    {
                        "params": chosen,
                        "lr": learning_rates[group],
                        "weight_decay": decay,
                        "name": f"{group}/{suffix}",
                    }
                )
    return made


def contract(
    model: nn.Module, learning_rates: Mapping[str, float], weight_decay: float
) -> dict[str, Any]:
    """trainable.json: exact counts per group, what trains at which learning rate. Raises
    `ContractError` if incomplete.
    """
    table = {}
    for group, members in groups(model).items():
        trained = [p for _, p in members if p.requires_grad]
        if trained and len(trained) != len(members):
            raise ContractError(
                f"group {group} is only partly trained: {len(trained)} of {len(members)} tensors"
            )
        table[group] = {
            "parameters": sum(size(p) for _, p in members),
            "tensors": len(members),
            "trained": bool(trained),
            "learning_rate": learning_rates[group] if trained else 0.0,
        }
    total = sum(one["parameters"] for one in table.values())
    seen = sum(size(p) for p in model.parameters())
    if total != seen:
        raise ContractError(f"the groups hold {total:,} parameters, the model {seen:,}")
    trained = sum(one["parameters"] for one in table.values() if one["trained"])
    return {
        "groups": table,
        "parameters": total,
        "trained_parameters": trained,
        "trained_share": round(trained / total, 6),
        "weight_decay": weight_decay,
    }


def frozen_hash(model: nn.Module) -> str:
    """blake2b over the bytes of every frozen parameter (this process' part of it), to show at the
    end that none has moved.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode())
            digest.update(_own(parameter).cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def checksums(model: nn.Module) -> dict[str, int]:
    """{name of a frozen parameter: sum of its bytes, pairs of them read as one number}: fast enough
    to look after a step.
    """
    return {
        name: int(_own(p).contiguous().flatten().view(torch.int16).sum(dtype=torch.int64))
        for name, p in model.named_parameters()
        if not p.requires_grad
    }


def size(parameter: nn.Parameter) -> int:
    """Number of values, of the whole tensor where ZeRO-3 keeps a part."""
    return getattr(parameter, "ds_numel", None) or parameter.numel()


def _own(parameter: nn.Parameter) -> torch.Tensor:
    return getattr(parameter, "ds_tensor", parameter).detach()


def _dimensions(parameter: nn.Parameter) -> int:
    return len(getattr(parameter, "ds_shape", parameter.shape))
