"""What trains: exact counts, disjoint groups, learning rates where they belong."""

import os
from pathlib import Path

import pytest
import tiny
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from dishvl_lib.vlm import freeze

DEFAULT = {"visual": True, "merger": True, "language_model": False, "lm_head": False}
RATES = {"visual": 1e-6, "merger": 1e-5, "language_model": 2e-7, "lm_head": 2e-7}


def test_groups_are_disjoint_and_complete():
    model = tiny.model().model
    names = [name for members in freeze.groups(model).values() for name, _ in members]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert all(".merger." in name for name, _ in freeze.groups(model)["merger"])


def test_only_the_wanted_groups_train_at_their_rates():
    model = tiny.model().model
    freeze.apply(model, DEFAULT)
    groups = freeze.optimizer_groups(model, RATES, 0.1)
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in groups} == {
        "visual/decay": (1e-6, 0.1),
        "visual/no_decay": (1e-6, 0.0),
        "merger/decay": (1e-5, 0.1),
        "merger/no_decay": (1e-5, 0.0),
    }
    placed = [id(p) for group in groups for p in group["params"]]
    assert len(placed) == len(set(placed))
    assert set(placed) == {id(p) for p in model.parameters() if p.requires_grad}
    assert all(p.dim() > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_nothing_to_train_is_refused():
    with pytest.raises(freeze.ContractError, match="nothing would train"):
        freeze.apply(tiny.model().model, dict.fromkeys(freeze.GROUPS, False))


def test_a_half_trained_group_is_refused():
    model = tiny.model().model
    freeze.apply(model, DEFAULT)
    next(model.model.visual.merger.parameters()).requires_grad_(False)
    with pytest.raises(freeze.ContractError, match="merger is only partly trained"):
        freeze.contract(model, RATES, 0.1)


def test_the_frozen_hash_sees_one_changed_value():
    model = tiny.model().model
    freeze.apply(model, DEFAULT)
    before = freeze.frozen_hash(model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-3
        assert freeze.frozen_hash(model) != before


def test_the_counts_of_the_7b():
    root = os.environ.get("DISHVL_TEST_DATA")
    if not root:
        pytest.skip("DISHVL_TEST_DATA is not set: the 7B's configuration is not at hand")
    config = Qwen2_5_VLConfig.from_pretrained(Path(root) / "qwen2_5_vl_7b_files")
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    freeze.apply(model, DEFAULT)
    report = freeze.contract(model, RATES, 0.0)
    assert {group: counts["parameters"] for group, counts in report["groups"].items()} == {
        "visual": 676_550_144 - 44_574_464,
        "merger": 44_574_464,
        "language_model": 7_070_619_136,
        "lm_head": 544_997_376,
    }
    assert report["parameters"] == 8_292_166_656
    assert report["trained_parameters"] == 676_550_144
