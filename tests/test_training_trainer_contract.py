"""What `DishTrainer` overrides and calls of transformers' Trainer, private methods by name.

When a test fails after an upgrade, look at what transformers changed, bring the method of
training/trainer.py into line, and write the new signature down.
"""

import inspect

import pytest
import transformers
from transformers import Trainer

from dishvl_lib.training.trainer import DishTrainer

# private methods that are overridden: parameters after self, in order
OVERRIDDEN = {
    "_get_train_sampler": ["train_dataset"],
    "_run_epoch": [
        "model",
        "epoch",
        "train_dataloader",
        "steps_in_epoch",
        "num_update_steps_per_epoch",
        "trial",
        "ignore_keys_for_eval",
        "start_time",
        "resume_from_checkpoint",
        "epochs_trained",
        "steps_trained_in_current_epoch",
    ],
    "_get_grad_norm": ["model", "grad_norm"],
    "_determine_best_metric": ["metrics", "trial"],
    "_prepare_for_training": ["max_steps", "train_dataloader", "resume_from_checkpoint"],
    "_load_from_checkpoint": ["resume_from_checkpoint", "model"],
    "_load_optimizer_and_scheduler": ["checkpoint"],
    "_load_rng_state": ["checkpoint"],
    "_save_checkpoint": ["model", "trial"],
}
# private methods that are only called
CALLED = {
    "_prepare_inputs": ["inputs"],
    "_save_optimizer_and_scheduler": ["output_dir"],
    "_save_rng_state": ["output_dir"],
}
# public methods that are overridden
PUBLIC = {
    "create_optimizer": ["model"],
    "training_step": ["model", "inputs", "num_items_in_batch"],
    "compute_loss": ["model", "inputs", "return_outputs", "num_items_in_batch"],
    "evaluation_loop": [
        "dataloader",
        "description",
        "prediction_loss_only",
        "ignore_keys",
        "metric_key_prefix",
    ],
    "log": ["logs", "start_time"],
}


def parameters(method):
    return [name for name in inspect.signature(method).parameters if name != "self"]


@pytest.mark.parametrize("name", [*OVERRIDDEN, *CALLED, *PUBLIC])
def test_transformers_still_has_the_method_as_it_is_used(name):
    known = {**OVERRIDDEN, **CALLED, **PUBLIC}[name]
    method = getattr(Trainer, name, None)
    assert method is not None, (
        f"transformers {transformers.__version__} has no Trainer.{name} any more, which "
        "training/trainer.py overrides or calls"
    )
    assert parameters(method) == known, (
        f"transformers {transformers.__version__} has changed the parameters of Trainer.{name}: "
        "see whether training/trainer.py still does what it should"
    )


def test_every_method_that_is_overridden_is_named_here():
    """A new override without a line above would be seen by nobody at the next upgrade."""
    ours = {name for name in vars(DishTrainer) if not name.startswith("__")}
    overridden = {name for name in ours if callable(getattr(Trainer, name, None))}
    assert overridden == {*OVERRIDDEN, *PUBLIC}


@pytest.mark.parametrize("name", [*OVERRIDDEN, *PUBLIC])
def test_an_override_takes_what_transformers_gives(name):
    given = inspect.signature(getattr(Trainer, name)).parameters
    taken = inspect.signature(getattr(DishTrainer, name))
    taken.bind(**dict.fromkeys(given))
