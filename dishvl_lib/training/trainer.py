"""transformers' Trainer with parameter groups, exact validation, whole checkpoints and metrics.

Most of what is changed here are private methods: tests/test_training_trainer_contract.py names each
with its signature, so that an upgrade of transformers that changes one is seen there.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from torch.utils.data import Dataset
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import EvalLoopOutput

from dishvl_lib.core.types import Record
from dishvl_lib.training import checkpoints, lora, throughput
from dishvl_lib.training.callbacks import TrainingStopped
from dishvl_lib.training.config import TrainingConfig
from dishvl_lib.training.data import QuestionTrees, Shuffled
from dishvl_lib.training.heartbeat import Heartbeat
from dishvl_lib.training.launch import METRICS
from dishvl_lib.training.validation import Validation
from dishvl_lib.vlm import freeze


class DishTrainer(Trainer):
    """`config`: what was asked for; `belongs`: what a checkpoint must agree on.

    `validation`: accuracies beside the loss.
    """

    # transformers declares all of these as perhaps missing; in a training they are there.
    model: Any
    optimizer: Any
    lr_scheduler: Any
    deepspeed: Any
    train_dataset: QuestionTrees

    def __init__(
        self,
        *args: Any,
        config: TrainingConfig,
        belongs: Record,
        validation: Validation,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        # The class says no, but the forward of question trees divides by what it is given.
        self.model_accepts_loss_kwargs = True
        self.config = config
        self.belongs = belongs
        self.validation = validation
        self.folder = Path(str(self.args.output_dir))
        self.metrics_file = Path(config.output_folder) / METRICS
        self.sampler = Shuffled(len(self.train_dataset), config.seed)
        kinds = [row["kind"] for row in self.train_dataset.rows]
        self.throughput = throughput.Throughput(kinds, self.args.device)
        self.recent: list[torch.Tensor] = []
        self.beat = Heartbeat(Path(config.output_folder))
        self.started = time.time()
        self.first_step: int | None = None

    def newest_checkpoint(self) -> Path | None:
        """What to resume from, as process 0 finds it.

        Raises `CheckpointError` as `checkpoints.newest`.
        """
        newest = ""
        if self.is_world_process_zero():
            newest = str(checkpoints.newest(self.folder, self.belongs) or "")
        shared = [newest]
        broadcast_object_list(shared)
        return Path(shared[0]) if shared[0] else None

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            if self.config.lora_rank:
                groups = lora.optimizer_groups(self.model, self.config)
            else:
                groups = freeze.optimizer_groups(
                    self.model, self.config.learning_rates, self.config.weight_decay
                )
            self.optimizer = torch.optim.AdamW(
                groups, betas=(0.9, self.config.adam_beta2), fused=True
            )
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Shuffled:
        return self.sampler

    def _run_epoch(self, model: Any, epoch: int, *args: Any, **kwargs: Any) -> None:
        self.sampler.set_epoch(epoch)
        if self.first_step is None:
            self.first_step = self.state.global_step
            self.started = time.time()
            self.throughput.reset()
        super()._run_epoch(model, epoch, *args, **kwargs)

    def training_step(
        self, model: torch.nn.Module, inputs: Record, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        if len(self.recent) == self.args.gradient_accumulation_steps:
            self.recent.clear()
        self.recent.append(inputs["rows"])
        if self.is_world_process_zero():
            self.beat(
                f"step {self.state.global_step + 1} of {self.state.max_steps}, forward pass",
                len(self.recent),
                self.args.gradient_accumulation_steps,
            )
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Record,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        rows = inputs.pop("rows")
        sizes = inputs.pop("sizes")
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        if not torch.isfinite(loss):
            broken = rows[~torch.isfinite(outputs["token_losses"])]
            raise TrainingStopped(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}, in "
                f"{self._named(broken if len(broken) else rows)}"
            )
        self.throughput.add(outputs["token_losses"], rows, sizes)
        return (loss, outputs) if return_outputs else loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise TrainingStopped(
                f"the gradient norm is {float(norm)} at step {self.state.global_step + 1}, "
                f"with {self._named(torch.cat(self.recent))}"
            )
        return norm

    def _named(self, rows: torch.Tensor) -> str:
        ids = [self.train_dataset.rows[number]["id"] for number in rows.unique().tolist()]
        shown = ", ".join(ids[:8])
        if len(ids) > 8:
            shown += f" and {len(ids) - 8} more"
        return (
            f"{len(ids)} questions of {self.train_dataset.file}: {shown}; look at them or "
            "lower the learning rate, the last checkpoint is whole"
        )

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        *args: Any,
        metric_key_prefix: str = "eval",
        **kwargs: Any,
    ) -> EvalLoopOutput:
        """The loss over every supervised token of the validation questions, and the accuracies.

        Each token counts once, whatever the batch's shape and the number of processes: losses are
        kept by row, not by batch.
        """
        with self.throughput.paused():
            measured = self._validation_losses(dataloader)
            with self.accelerator.autocast():
                measured |= self.validation.measure(self.args.device)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        nothing_kept = np.empty(0)
        return EvalLoopOutput(nothing_kept, None, metrics, len(dataloader.dataset.rows))

    @torch.no_grad()
    def _validation_losses(self, dataloader: Any) -> dict[str, float]:
        rows = dataloader.dataset.rows
        # per row of the file: the sum of its tokens' losses, and their number
        sums = torch.zeros(len(rows), 2, dtype=torch.float64, device=self.args.device)
        self.model_wrapped.eval()
        for done, batch in enumerate(dataloader, start=1):
            if self.is_world_process_zero():
                self.beat("validation loss, batch", done, len(dataloader))
            batch = self._prepare_inputs(batch)
            numbers = batch.pop("rows")
            batch.pop("sizes")
            losses = self.model_wrapped(**batch)["token_losses"].double()
            counted = torch.stack([losses, torch.ones_like(losses)], dim=1)
            part = torch.zeros_like(sums).index_add_(0, numbers, counted)
            # Not added: the last batch may be filled up with rows that were seen before.
            sums = torch.where(part[:, 1:] > 0, part, sums)
        if self.args.world_size > 1:
            dist.all_reduce(sums, op=dist.ReduceOp.MAX)
        losses_by_name = {"loss": _mean_loss(sums)}
        for kind in sorted({row["kind"] for row in rows}):
            of_kind = [number for number, row in enumerate(rows) if row["kind"] == kind]
            losses_by_name[f"loss_{kind}"] = _mean_loss(sums[of_kind])
        return losses_by_name

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """A new best is saved at once: `best/` is made of it even when no checkpoint is due."""
        better = super()._determine_best_metric(metrics, trial)
        self.control.should_save = self.control.should_save or better
        return better

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what was counted since the last row, for metrics.jsonl and TensorBoard alike."""
        if "loss" in logs:
            logs |= self.throughput.read(lambda sums: self.accelerator.reduce(sums, "sum"))
            for group in self.optimizer.param_groups:
                if group.get("name"):
                    name = group["name"].split("/")[0]
                    logs[f"learning_rate_{name}"] = group["lr"]
            logs["memory_gb"] = throughput.memory_gb(self.args.device)
            logs |= throughput.gpu_use(self.args.device)
        super().log(logs, start_time)
        if self.is_world_process_zero():
            self._write(logs)

    def _write(self, logs: dict[str, float]) -> None:
        step = self.state.global_step
        max_steps = self.state.max_steps
        elapsed = time.time() - self.started
        done = step - (self.first_step or 0)
        left = None
        if done > 0:
            left = round(elapsed / done * (max_steps - step), 1)
        row = {
            **logs,
            "step": step,
            "max_steps": max_steps,
            "elapsed_s": round(elapsed, 1),
            "eta_s": left,
        }
        with open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        """transformers' own, but for loading.

        What DeepSpeed leaves out of a checkpoint, the frozen weights, must not be asked of it.
        """
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        if self.is_deepspeed_enabled:
            clipped_to = self.deepspeed.gradient_clipping()
            if clipped_to != self.args.max_grad_norm:
                raise TrainingStopped(
                    f"DeepSpeed clips gradients to {clipped_to}, "
                    f"max_grad_norm is {self.args.max_grad_norm}"
                )
        if resume_from_checkpoint:
            if self.is_deepspeed_enabled:
                checkpoint = Path(resume_from_checkpoint)
                resume = str(checkpoint / checkpoints.RESUME)
                self.deepspeed.load_checkpoint(resume, load_module_strict=False)
                checkpoints.check_loaded(self.model, checkpoint)
            self._load_optimizer_and_scheduler(resume_from_checkpoint)
        return prepared

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        checkpoints.load_trained(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(_resume_folder(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(_resume_folder(checkpoint))

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Staged beside the others, sealed, renamed.

        A kill or a full disk at any moment leaves the older ones whole.
        """
        target = self.folder / f"checkpoint-{self.state.global_step}"
        if target.exists():
            return
        with self.throughput.paused():
            self._stage_checkpoint(target)

    def _stage_checkpoint(self, target: Path) -> None:
        part = self.folder / checkpoints.PART
        if self.is_world_process_zero():
            self.beat(f"saving {target.name}")
            shutil.rmtree(part, ignore_errors=True)
            (part / checkpoints.RESUME).mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        try:
            self._fill(part)
        except checkpoints.CheckpointError:
            raise
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise checkpoints.CheckpointError(
                f"{target.name} could not be written ({error}); the older checkpoints "
                "are whole: make room on the disk and run the stage again"
            ) from error
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            checkpoints.seal(part, self.belongs)
            part.rename(target)
            best = f"checkpoint-{self.state.best_global_step}"
            checkpoints.prune(self.folder, self.config.keep_checkpoints, best)
        self.accelerator.wait_for_everyone()

    def _fill(self, part: Path) -> None:
        # Every process: under ZeRO-3 tensors are gathered from all of them.
        tensors = checkpoints.trained_tensors(self.model)
        if self.is_world_process_zero():
            checkpoints.write_weights(tensors, part, getattr(torch, self.config.dtype))
            self._note_callbacks()
            self.state.save_to_json(str(part / checkpoints.STATE))
        resume = str(part / checkpoints.RESUME)
        if not self.is_deepspeed_enabled:
            self._save_optimizer_and_scheduler(resume)
        else:
            self.deepspeed.save_checkpoint(resume, exclude_frozen_parameters=True)
            if self.is_world_process_zero():
                torch.save(self.lr_scheduler.state_dict(), Path(resume) / SCHEDULER_NAME)
        self._save_rng_state(resume)

    def _note_callbacks(self) -> None:
        noted: Any = self.state.stateful_callbacks  # declared as a list, kept as a dictionary
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                noted[type(callback).__name__] = callback.state()


def _resume_folder(checkpoint: str | None) -> str | None:
    """Where a checkpoint's optimizer, schedule and random states lie."""
    return str(Path(checkpoint) / checkpoints.RESUME) if checkpoint else None


def _mean_loss(sums: torch.Tensor) -> float:
    """`sums` (rows, 2): losses and number of tokens."""
    losses = sums[:, 0].sum()
    tokens = sums[:, 1].sum()
    return (losses / tokens).item()
