"""What trains: a contract over parameter groups, printed, stored and asserted.

Never left to a name prefix: the official script writes `model.lm_head.requires_grad = False`, which
sets an attribute of the module and freezes nothing, so that 545 million parameters more train.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration

from dishvl_lib.core.types import Record, Records

GROUPS = ("visual", "merger", "language_model", "lm_head")


class ContractError(RuntimeError):
    """The model would not train what was asked for."""


def groups(
    model: Qwen2_5_VLForConditionalGeneration,
) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """{group: [(name, parameter)]}; `visual` is the vision tower without its merger.

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
    members: dict[str, list[tuple[str, nn.Parameter]]] = {group: [] for group in GROUPS}
    for name, parameter in model.named_parameters():
        group = place.get(id(parameter), "lm_head")
        members[group].append((name, parameter))
    return members


def apply(model: Qwen2_5_VLForConditionalGeneration, train: Mapping[str, bool]) -> None:
    """Set requires_grad of every parameter by group.

    Raises `ContractError` when nothing would train.
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
    model: Qwen2_5_VLForConditionalGeneration,
    learning_rates: Mapping[str, float],
    weight_decay: float,
) -> Records:
    """AdamW parameter groups: per trained group one with weight decay and one without.

    Matrices decay; norms and biases do not.
    """
    rows: Records = []
    for group, members in groups(model).items():
        trained = [parameter for _, parameter in members if parameter.requires_grad]
        matrices = [parameter for parameter in trained if _is_matrix(parameter)]
        others = [parameter for parameter in trained if not _is_matrix(parameter)]
        for suffix, parameters, decay in (
            ("decay", matrices, weight_decay),
            ("no_decay", others, 0.0),
        ):
            if parameters:
                rows.append(
                    {
                        "params": parameters,
                        "lr": learning_rates[group],
                        "weight_decay": decay,
                        "name": f"{group}/{suffix}",
                    }
                )
    return rows


def contract(
    model: Qwen2_5_VLForConditionalGeneration,
    learning_rates: Mapping[str, float],
    weight_decay: float,
) -> Record:
    """trainable.json: exact counts per group, what trains at which learning rate.

    Raises `ContractError` if incomplete.
    """
    table: dict[str, Record] = {}
    for group, members in groups(model).items():
        trained = [parameter for _, parameter in members if parameter.requires_grad]
        if trained and len(trained) != len(members):
            raise ContractError(
                f"group {group} is only partly trained: {len(trained)} of {len(members)} tensors"
            )
        table[group] = {
            "parameters": sum(size(parameter) for _, parameter in members),
            "tensors": len(members),
            "trained": bool(trained),
            "learning_rate": learning_rates[group] if trained else 0.0,
        }
    total = sum(row["parameters"] for row in table.values())
    in_model = sum(size(parameter) for parameter in model.parameters())
    if total != in_model:
        raise ContractError(f"the groups hold {total:,} parameters, the model {in_model:,}")
    total_trained = sum(row["parameters"] for row in table.values() if row["trained"])
    return {
        "groups": table,
        "parameters": total,
        "trained_parameters": total_trained,
        "trained_share": round(total_trained / total, 6),
        "weight_decay": weight_decay,
    }


def frozen_hash(model: nn.Module) -> str:
    """blake2b over the bytes of every frozen parameter, to show that none has moved.

    Under ZeRO-3 of this process' part of it.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode())
            values = _local_part(parameter).cpu().contiguous().flatten()
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def checksums(model: nn.Module) -> dict[str, int]:
    """{name of a frozen parameter: sum of its bytes}, fast enough to look after a step.

    Pairs of bytes are read as one number.
    """
    sums = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            pairs = _local_part(parameter).contiguous().flatten().view(torch.int16)
            sums[name] = int(pairs.sum(dtype=torch.int64))
    return sums


def size(parameter: nn.Parameter) -> int:
    """Number of values, of the whole tensor where ZeRO-3 keeps a part."""
    return getattr(parameter, "ds_numel", None) or parameter.numel()


def _local_part(parameter: nn.Parameter) -> torch.Tensor:
    return getattr(parameter, "ds_tensor", parameter).detach()


def _is_matrix(parameter: nn.Parameter) -> bool:
    """A tensor of two dimensions or more that holds anything; under ZeRO-3 by its whole shape."""
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return size(parameter) > 0 and len(shape) > 1
