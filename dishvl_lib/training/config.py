"""The training process' configuration: a JSON file that notebook 04 writes and `python -m
dishvl_lib.training` reads.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dishvl_lib.core import paths, records


class TrainingConfig(BaseModel):
    """Paths are absolute. Learning rates are per parameter group; `per_device_train_batch_size`
    counts photos.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    base_model: str
    image_root: str
    train_file: str
    validation_file: str
    output_folder: str
    train_visual: bool = True
    train_merger: bool = True
    train_language_model: bool = False
    train_lm_head: bool = False
    learning_rate: float = Field(gt=0)
    merger_learning_rate: float = Field(ge=0)
    vision_learning_rate: float = Field(ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    lr_scheduler_type: Literal[
        "cosine",
        "linear",
        "constant",
        "constant_with_warmup",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
    ] = "cosine"
    adam_beta2: float = Field(default=0.999, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    num_train_epochs: float = Field(gt=0)
    max_steps: int = -1
    per_device_train_batch_size: int = Field(default=8, ge=1)
    per_device_eval_batch_size: int = Field(default=8, ge=1)
    questions_per_photo: int = Field(default=4, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    gradient_checkpointing: Literal["none", "vision", "language", "both"] = "none"
    photo_augmentation: Literal["none", "flips", "views"] = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"
    min_pixels: int = Field(ge=784)
    max_pixels: int = Field(ge=784)
    lora_rank: int = Field(default=0, ge=0)
    lora_alpha: int = Field(default=0, ge=0)
    lora_vision: bool = False
    deepspeed: str = ""
    num_processes: int = Field(default=1, ge=1)
    hostfile: str = ""
    dataloader_num_workers: int = Field(default=0, ge=0)
    photo_cache_mb: int = Field(default=0, ge=0)
    photo_decoding: Literal["exact", "fast"] = "exact"
    tree_attention: Literal["auto", "dense", "segments"] = "auto"
    logging_steps: int = Field(default=10, ge=1)
    eval_steps: int = Field(default=0, ge=0)
    save_steps: int = Field(default=0, ge=0)
    validation_questions: int = Field(default=200, ge=0)
    metric_for_best_model: Literal["loss", "naming_accuracy", "menu_accuracy"] = "loss"
    early_stopping_patience: int = Field(default=0, ge=0)
    keep_checkpoints: int = Field(default=2, ge=1)
    use_cpu: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self):
        if self.max_pixels < self.min_pixels:
            raise ValueError(f"max_pixels {self.max_pixels} is below min_pixels {self.min_pixels}")
        if self.max_steps < 1 and self.max_steps != -1:
            raise ValueError(
                f"max_steps is {self.max_steps}; give at least 1, or -1 for num_train_epochs"
            )
        if self.lora_rank and (self.train_language_model or self.train_lm_head):
            raise ValueError(
                "lora_rank trains adapters only; set train_language_model and train_lm_head "
                "to false, or lora_rank to 0"
            )
        if self.metric_for_best_model != "loss" and not self.validation_questions:
            raise ValueError(
                f"metric_for_best_model {self.metric_for_best_model} needs "
                "validation_questions above 0"
            )
        return self

    @property
    def learning_rates(self) -> dict[str, float]:
        """Per group; 0 for merger or vision tower means the global one."""
        rate = self.learning_rate
        return {
            "visual": self.vision_learning_rate or rate,
            "merger": self.merger_learning_rate or rate,
            "language_model": rate,
            "lm_head": rate,
        }

    @property
    def train_groups(self) -> dict[str, bool]:
        return {
            "visual": self.train_visual,
            "merger": self.train_merger,
            "language_model": self.train_language_model,
            "lm_head": self.train_lm_head,
        }

    def write(self, path: Path) -> None:
        records.write_json(path, self.model_dump())


def from_parameters(parameters: dict[str, Any], **where: Any) -> TrainingConfig:
    """The configuration from a notebook's parameters and `where`: base_model, image_root, the
    files, output_folder.

    Raises ValueError naming the first parameter that is out of range.
    """
    chosen = {key: value for key, value in parameters.items() if key in TrainingConfig.model_fields}
    placed = {key: str(value) for key, value in where.items()}
    placed |= {
        key: str(paths.resolve(chosen[key])) for key in ("deepspeed", "hostfile") if chosen.get(key)
    }
    if chosen.get("deepspeed") and not Path(placed["deepspeed"]).is_file():
        raise ValueError(
            f"parameter deepspeed: no file {placed['deepspeed']}; give "
            "params/deepspeed/zero2.json or zero3.json, or '' for none"
        )
    try:
        return TrainingConfig(**{**chosen, **placed})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"parameter {'.'.join(map(str, first['loc'])) or 'of 04_training'}: {first['msg']}"
        ) from None


def read(path: str | Path) -> TrainingConfig:
    """Raises `RecordError` or ValueError naming the file and the first key that is wrong."""
    try:
        return TrainingConfig.model_validate(records.read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{path}: {'.'.join(map(str, first['loc'])) or 'configuration'}: {first['msg']}"
        ) from None
