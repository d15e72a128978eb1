"""transformers' Trainer with our parameter groups, checkpoints that load completely, and a metrics file."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from dishvl_lib.training import checkpoints, lora
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.vlm import freeze

METRICS, STOP = "metrics.jsonl", "STOP"


class TrainingStopped(RuntimeError):
    """A loss that is not a number, or a parameter that does not train."""


class DishTrainer(Trainer):
    """`config`: what was asked for; `config_hash`: what a checkpoint must belong to."""

    def __init__(self, *args: Any, config: TrainingConfig, config_hash: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.config, self.config_hash = config, config_hash
        self.metrics_file = Path(config.output_folder) / METRICS
        self.started = time.time()
        self.first_step: int | None = None

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            if self.config.lora_rank:
                groups = lora.optimizer_groups(self.model, self.config)
            else:
                groups = freeze.optimizer_groups(self.model, self.config.learning_rates, self.config.weight_decay)
            self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98 if self.config.use_cpu else 0.999))
        return self.optimizer

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise TrainingStopped(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}; lower the learning rate or look at the data, the last checkpoint is whole"
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        if not self.is_world_process_zero():
            return
        if self.first_step is None:
            self.first_step = max(0, self.state.global_step - self.args.logging_steps)
        done, elapsed = self.state.global_step - self.first_step, time.time() - self.started
        eta = elapsed / done * (self.state.max_steps - self.state.global_step) if done > 0 else None
        rates = {group["name"].split("/")[0]: group["lr"] for group in getattr(self.optimizer, "param_groups", []) if "name" in group}
        row = {
            **logs,
            "step": self.state.global_step,
            "max_steps": self.state.max_steps,
            "learning_rates": rates,
            "elapsed_s": round(elapsed, 1),
            "eta_s": eta and round(eta, 1),
        }
        with open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        checkpoints.save_trained(self.model, Path(output_dir or self.args.output_dir), state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        checkpoints.load_trained(self.model, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            checkpoints.seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", self.config_hash)


class Contract(TrainerCallback):
    """Asserts before and after the first step that exactly what was asked for trains."""

    def __init__(self, model: torch.nn.Module):
        self.model, self.checked = model, False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.checked:
            return
        self.checked = True
        idle = [name for name, p in self.model.named_parameters() if p.requires_grad and p.grad is None and not hasattr(p, "ds_id")]
        moving = [name for name, p in self.model.named_parameters() if not p.requires_grad and p.grad is not None]
        if idle or moving:
            raise TrainingStopped(
                f"after the first step {len(idle)} trained tensors have no gradient and {len(moving)} frozen ones have one: {(idle + moving)[0]}"
            )


class StopFile(TrainerCallback):
    """`dishvl stop RUN` writes a file: the run then saves a checkpoint and ends."""

    def __init__(self, folder: Path):
        self.file = folder / STOP

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.file.exists():
            control.should_save = control.should_training_stop = True
