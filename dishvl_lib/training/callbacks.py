"""What is watched while training: the contract, requests to stop, and the last validation."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import EarlyStoppingCallback, TrainerCallback

from dishvl_lib.core.types import Record, RecordView
from dishvl_lib.training import launch
from dishvl_lib.vlm import freeze


class TrainingStopped(RuntimeError):
    """A loss that is not a number, a parameter that does not train, or a launcher that has died."""


class Contract(TrainerCallback):
    """Exactly the asked-for parts train, at the asked-for rates.

    Before the first step: counts and learning rates are what was asked for. After it: gradients
    were clipped, each trained tensor had one, no frozen one has changed. At the end: the frozen
    bytes are what they were.

    `report`: trainable.json's content; `rates`: {group: learning rate}; `norm`: what gradients are
    to be clipped to.
    """

    def __init__(
        self, model: torch.nn.Module, report: Record, rates: dict[str, float], norm: float
    ):
        self.model = model
        self.report = report
        self.rates = rates
        self.norm = norm
        self.before: dict[str, int] = {}
        self.frozen = ""
        self.begun = False
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
        if self.begun:
            return
        self.begun = True
        self.before = freeze.checksums(self.model)
        trained = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                trained[name] = parameter
        self._check_count(trained)
        self._check_rates(optimizer)
        # Hooks, for DeepSpeed has taken the gradients away by the time anybody else can look at
        # them.
        for name, parameter in trained.items():
            self.hooks.append(parameter.register_hook(functools.partial(self._note, name)))

    def _check_count(self, trained: Mapping[str, torch.nn.Parameter]) -> None:
        count = sum(map(freeze.size, trained.values()))
        if count != self.report["trained_parameters"]:
            raise TrainingStopped(
                f"{count:,} parameters would train, trainable.json says "
                f"{self.report['trained_parameters']:,}"
            )

    def _check_rates(self, optimizer: Any) -> None:
        for group in optimizer.param_groups:
            wanted = self.rates[group["name"].split("/")[0]]
            if group["initial_lr"] != wanted:
                raise TrainingStopped(
                    f"group {group['name']} has the learning rate {group['initial_lr']}, "
                    f"{wanted} was asked for"
                )

    def _note(self, name: str, gradient: torch.Tensor) -> None:
        self.reached.add(name)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.done:
            return
        norms = [p.grad.float().norm() for p in self.model.parameters() if p.grad is not None]
        norm = float(torch.stack(norms).norm()) if norms else 0.0
        if norm > 1.01 * self.norm:  # a hundredth for the rounding of the clipping itself
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
        idle = []
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and name not in self.reached:
                idle.append(name)
        now = freeze.checksums(self.model)
        moved = [name for name, checksum in self.before.items() if now[name] != checksum]
        if idle or moved:
            raise TrainingStopped(
                f"after the first step {len(idle)} trained tensors have had no gradient and "
                f"{len(moved)} frozen ones have changed: {(idle + moved)[0]}"
            )


class StopFile(TrainerCallback):
    """`dishvl stop RUN` writes a file: the run then saves a checkpoint and ends.

    Every process ends at the same step.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.parent = os.getppid()
        # by torchrun, which starts a single process too
        self.launched = "TORCHELASTIC_RUN_ID" in os.environ

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if (several or self.launched) and os.getppid() != self.parent:
            raise TrainingStopped(
                "the launcher of these processes has died; run the stage again to go on from "
                "the newest checkpoint"
            )
        if _anyone(launch.asked_to_stop(self.folder), several, args.device):
            control.should_save = True
            control.should_training_stop = True


class LastValidation(TrainerCallback):
    """The last step is validated and logged whatever `eval_steps` and `logging_steps` say.

    So the final weights can be the best ones.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True
            control.should_evaluate = True
            control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            # done at the same step
            control.should_evaluate = False
            control.should_save = False


class Patience(EarlyStoppingCallback):
    """Ends a training after so many validations without a better one.

    A resume goes on counting: transformers' own would begin anew.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.early_stopping_patience_counter = self.counted(state.stateful_callbacks)

    @classmethod
    def counted(cls, stored: RecordView) -> int:
        """Validations without a better one, from a checkpoint's `stateful_callbacks`."""
        attributes = stored.get(cls.__name__, {}).get("attributes", {})
        return attributes.get("early_stopping_patience_counter", 0)


def _anyone(flag: bool, several: bool, device: torch.device) -> bool:
    """Whether it is true in any process."""
    if not several:
        return flag
    votes = torch.tensor([int(flag)], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes)
