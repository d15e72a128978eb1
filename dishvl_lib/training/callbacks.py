"""What is watched while training: that exactly the asked-for parts train, requests to stop, and the
last validation.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import EarlyStoppingCallback, TrainerCallback

from dishvl_lib.training import launch
from dishvl_lib.vlm import freeze


class TrainingStopped(RuntimeError):
    """A loss that is not a number, a parameter that does not train, or a launcher that has died."""


class Contract(TrainerCallback):
    """Before the first step: counts and learning rates are what was asked for. After it: gradients
    were clipped, each trained tensor had one, no frozen one has changed; at the end the frozen
    bytes are what they were.

    `report`: trainable.json's content; `rates`: {group: learning rate}; `norm`: what gradients are
    to be clipped to.
    """

    def __init__(
        self, model: torch.nn.Module, report: dict[str, Any], rates: dict[str, float], norm: float
    ):
        self.model = model
        self.report = report
        self.rates = rates
        self.norm = norm
        self.before: dict[str, int] | None = None
        self.frozen = ""
        self.done = False
        self.reached: set[str] = set()
        self.hooks: list[Any] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.frozen = freeze.frozen_hash(self.model)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if freeze.frozen_hash(self.model) != self.frozen:
            raise freeze.ContractError("a frozen parameter has changed during training")

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        if self.before is not None:
            return
        self.before = freeze.checksums(self.model)
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if (n := sum(map(freeze.size, trained.values()))) != self.report["trained_parameters"]:
            raise TrainingStopped(
                f"{n:,} parameters would train, trainable.json says "
                f"{self.report['trained_parameters']:,}"
            )
        for group in optimizer.param_groups:
            wanted = self.rates[group["name"].split("/")[0]]
            if group["initial_lr"] != wanted:
                raise TrainingStopped(
                    f"group {group['name']} has the learning rate {group['initial_lr']}, "
                    f"{wanted} was asked for"
                )
        # Hooks, for DeepSpeed has taken the gradients away by the time anybody else can look at
        # them.
        self.hooks = [
            p.register_hook(functools.partial(self._note, name)) for name, p in trained.items()
        ]

    def _note(self, name: str, gradient: torch.Tensor) -> None:
        self.reached.add(name)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        gradients = (
            []
            if self.done
            else [p.grad.float().norm() for p in self.model.parameters() if p.grad is not None]
        )
        if gradients and (norm := float(torch.stack(gradients).norm())) > 1.01 * self.norm:
            raise TrainingStopped(
                f"gradients have the norm {norm:.3g} at the optimizer, max_grad_norm is "
                f"{self.norm}: they were not clipped"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.done:
            return
        self.done = True
        for hook in self.hooks:
            hook.remove()
        now = freeze.checksums(self.model)
        idle = [
            name
            for name, p in self.model.named_parameters()
            if p.requires_grad and name not in self.reached
        ]
        moved = [name for name, value in self.before.items() if now[name] != value]
        if idle or moved:
            raise TrainingStopped(
                f"after the first step {len(idle)} trained tensors have had no gradient and "
                f"{len(moved)} frozen ones have changed: {(idle + moved)[0]}"
            )


class StopFile(TrainerCallback):
    """`dishvl stop RUN` writes a file: the run then saves a checkpoint and ends, every process at
    the same step.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.parent = os.getppid()
        self.launched = (
            "TORCHELASTIC_RUN_ID" in os.environ
        )  # by torchrun, which starts a single process too

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if (several or self.launched) and os.getppid() != self.parent:
            raise TrainingStopped(
                "the launcher of these processes has died; run the stage again to go on from "
                "the newest checkpoint"
            )
        if _anyone(launch.asked_to_stop(self.folder), several, args.device):
            control.should_save = control.should_training_stop = True


class LastValidation(TrainerCallback):
    """The last step is validated and logged whatever `eval_steps` and `logging_steps` say, so that
    the final weights can be the best ones.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = False  # done at the same step


class Patience(EarlyStoppingCallback):
    """Ends a training after so many validations without a better one. A resume goes on counting:
    transformers' own would begin anew.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.early_stopping_patience_counter = self.counted(state.stateful_callbacks)

    @classmethod
    def counted(cls, stored: Mapping[str, Any]) -> int:
        """Validations without a better one, from the `stateful_callbacks` of a checkpoint's state."""
        return (
            stored.get(cls.__name__, {})
            .get("attributes", {})
            .get("early_stopping_patience_counter", 0)
        )


def _anyone(flag: bool, several: bool, device: torch.device) -> bool:
    if not several:
        return flag
    votes = torch.tensor([int(flag)], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes)
