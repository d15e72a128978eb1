"""The training process' configuration: a JSON file that notebook 04 writes and `python -m
dishvl_lib.training` reads.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dishvl_lib.core import params, paths, records
from dishvl_lib.core.types import AnyPath, Record

STAGE = "04_training"
# Where a training's files are: what another machine or folder may change without another training.
PLACES = ("base_model", "image_root", "train_file", "validation_file", "output_folder")


class TrainingConfig(BaseModel):
    """Parameters of stage 04, under their names, and where its files are.

    What each means, may be, and is when it is left out is said once, in `core.params`. Paths are
    absolute. Learning rates are per parameter group; `per_device_train_batch_size` counts photos.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), strict=True)

    base_model: str
    image_root: str
    train_file: str
    validation_file: str
    output_folder: str
    train_visual: bool
    train_merger: bool
    train_language_model: bool
    train_lm_head: bool
    learning_rate: float
    merger_learning_rate: float
    vision_learning_rate: float
    weight_decay: float
    warmup_ratio: float
    lr_scheduler_type: str
    adam_beta2: float
    max_grad_norm: float
    num_train_epochs: float
    max_steps: int = -1  # of a rehearsal or a trial; -1 trains num_train_epochs
    per_device_train_batch_size: int
    per_device_eval_batch_size: int
    questions_per_photo: int
    gradient_accumulation_steps: int
    gradient_checkpointing: str
    photo_augmentation: str
    view_strength: float
    dtype: str
    min_pixels: int
    max_pixels: int
    lora_rank: int
    lora_alpha: int
    lora_vision: bool
    deepspeed: str
    num_processes: int
    hostfile: str
    dataloader_num_workers: int
    photo_cache_mb: int
    photo_decoding: str
    tree_attention: str
    logging_steps: int
    report_to: str
    eval_steps: int
    save_steps: int
    validation_questions: int
    metric_for_best_model: str
    early_stopping_patience: int
    keep_checkpoints: int
    crop_margin: float
    use_cpu: bool
    seed: int

    @model_validator(mode="before")
    @classmethod
    def _as_declared(cls, given: Record) -> Record:
        """Fill in what is left out, and refuse what a parameter may not be."""
        declared = params.of_stage(STAGE)
        checked = dict(given)
        for name in cls.model_fields.keys() & declared.keys() - set(PLACES):
            value, problems = declared[name].accept(given.get(name, declared[name].default))
            if problems:
                raise ValueError(problems[0])
            checked[name] = value
        problems = params.conflicts(STAGE, checked)
        if problems:
            raise ValueError(problems[0])
        return checked

    @model_validator(mode="after")
    def _steps(self):
        if self.max_steps < 1 and self.max_steps != -1:
            raise ValueError(
                f"max_steps is {self.max_steps}; give at least 1, or -1 for num_train_epochs"
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


def from_parameters(parameters: Record, **where: Any) -> TrainingConfig:
    """The configuration from a notebook's parameters and `where`: base_model, image_root, the
    files, output_folder.

    Raises ValueError naming the first parameter that is out of range.
    """
    chosen = {key: value for key, value in parameters.items() if key in TrainingConfig.model_fields}
    placed = {key: str(value) for key, value in where.items()}
    placed |= {
        key: str(paths.resolve(chosen[key])) for key in ("deepspeed", "hostfile") if chosen.get(key)
    }
    try:
        return TrainingConfig(**{**chosen, **placed})
    except ValidationError as error:
        raise ValueError(f"parameter {_first(error)}") from None


def read(path: AnyPath) -> TrainingConfig:
    """Raises `RecordError` or ValueError naming the file and the first key that is wrong."""
    try:
        return TrainingConfig.model_validate(records.read_json(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with a configuration, with the key where pydantic names it."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    cause = first.get("ctx", {}).get("error")
    sentence = str(cause) if cause else first["msg"]
    return f"{key}: {sentence}" if key else sentence
