"""The contract watched while training: each way to break it stops the run."""

import types

import pytest
import tiny
import torch

from dishvl_lib.core import records
from dishvl_lib.training import checkpoints, run
from dishvl_lib.training.callbacks import Contract, LastValidation, Patience, TrainingStopped
from dishvl_lib.vlm import freeze

RATES = {"visual": 1e-3, "merger": 2e-3, "language_model": 0.0, "lm_head": 0.0}


@pytest.fixture
def begun():
    """(model, contract, optimizer) after the first step began."""
    model = tiny.model().model
    freeze.apply(model, {"visual": True, "merger": True, "language_model": False, "lm_head": False})
    contract = Contract(model, freeze.contract(model, RATES, 0.0), RATES, norm=1.0)
    contract.on_train_begin(None, None, None)
    return model, contract, rated(model, RATES)


def rated(model, rates):
    """An optimizer whose groups hold `initial_lr`, as a scheduler leaves them."""
    groups = [
        {**group, "initial_lr": group["lr"]} for group in freeze.optimizer_groups(model, rates, 0.0)
    ]
    return types.SimpleNamespace(param_groups=groups)


def step(model, contract, optimizer, loss=lambda p: p.sum(), clip=1e-3):
    contract.on_step_begin(None, None, None, optimizer=optimizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    sum(loss(p) for p in trained).backward()
    torch.nn.utils.clip_grad_norm_(trained, clip)
    contract.on_pre_optimizer_step(None, None, None)


def test_a_good_step_and_a_good_end_pass(begun):
    model, contract, optimizer = begun
    step(model, contract, optimizer)
    contract.on_step_end(None, None, None)
    contract.on_train_end(None, None, None)


def test_a_wrong_learning_rate_is_named(begun):
    model, contract, _ = begun
    with pytest.raises(
        TrainingStopped, match="group merger/decay has the learning rate 0.005, 0.002 was asked for"
    ):
        contract.on_step_begin(None, None, None, optimizer=rated(model, {**RATES, "merger": 0.005}))


def test_another_count_is_seen(begun):
    model, contract, optimizer = begun
    model.lm_head.weight.requires_grad_(True)
    with pytest.raises(TrainingStopped, match=r"parameters would train, trainable.json says"):
        contract.on_step_begin(None, None, None, optimizer=optimizer)


def test_gradients_that_were_not_clipped_are_seen(begun):
    model, contract, optimizer = begun
    with pytest.raises(TrainingStopped, match="they were not clipped"):
        step(model, contract, optimizer, clip=1e9)


def test_a_trained_tensor_without_a_gradient_is_named(begun):
    model, contract, optimizer = begun
    left_out = model.model.visual.merger.mlp[2].bias
    step(
        model, contract, optimizer, loss=lambda p: p.sum() if p is not left_out else torch.zeros(())
    )
    with pytest.raises(
        TrainingStopped,
        match="1 trained tensors have had no gradient and 0 frozen ones have changed: "
        "model.visual.merger.mlp.2.bias",
    ):
        contract.on_step_end(None, None, None)


def test_a_frozen_tensor_that_moves_is_named_after_the_step_and_at_the_end(begun):
    model, contract, optimizer = begun
    step(model, contract, optimizer)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1.0
    with pytest.raises(
        TrainingStopped,
        match="0 trained tensors have had no gradient and 1 frozen ones have changed: "
        "lm_head.weight",
    ):
        contract.on_step_end(None, None, None)
    with pytest.raises(freeze.ContractError, match="frozen parameter has changed"):
        contract.on_train_end(None, None, None)


def test_the_last_step_is_validated_once():
    control = types.SimpleNamespace(should_evaluate=False, should_save=False)
    last = LastValidation()
    state = types.SimpleNamespace(global_step=8, max_steps=8)
    last.on_step_end(None, state, control)
    assert control.should_evaluate
    assert control.should_save
    last.on_epoch_end(None, state, control)
    assert not control.should_evaluate
    assert not control.should_save


def test_a_resume_goes_on_counting_the_validations_without_a_better_one(tmp_path):
    """transformers' own callback begins anew, and a run that is killed now and then never stops
    early.
    """
    begun = Patience(3)
    begun.early_stopping_patience_counter = 2
    stored = {"Patience": begun.state()}
    state = types.SimpleNamespace(stateful_callbacks=stored)
    args = types.SimpleNamespace(
        load_best_model_at_end=False, metric_for_best_model="loss", eval_strategy="epoch"
    )
    resumed = Patience(3)
    resumed.on_train_begin(args, state, None)
    assert resumed.early_stopping_patience_counter == 2
    records.write_json(tmp_path / checkpoints.STATE, {"stateful_callbacks": stored})
    wanted = [
        run.patience_spent(types.SimpleNamespace(early_stopping_patience=patience), tmp_path)
        for patience in (0, 1, 2, 3)
    ]
    assert wanted == [False, True, True, False]
