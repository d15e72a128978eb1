"""Accuracies while training: each question once, the same whatever the number of processes, and the
model as it was before.
"""

import pytest
import tiny
import torch

from dishvl_lib.core import intervals, records
from dishvl_lib.training.validation import Validation, own_forward, sample, shares
from dishvl_lib.vlm import trees
from dishvl_lib.vlm.recognizer import Recognizer


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    files = tiny.data_set(folder)
    return records.read_jsonl(files["train_file"]), files["image_root"]


def test_accuracies_are_those_of_the_recogniser(world):
    rows, root = world
    loaded = tiny.model()
    recognizer = Recognizer(loaded, {})
    named = [
        recognizer.name(root / row["image"]) == row["conversations"][1]["value"]
        for row in rows
        if row["kind"] == "naming"
    ]
    chosen = [
        recognizer.choose(root / row["image"], row["menu"]).entries[0][0]
        == row["conversations"][1]["value"]
        for row in rows
        if row["kind"] == "menu"
    ]
    trees.bind(loaded.model)
    measured = Validation(loaded, rows, root, most=100, batch_size=4, seed=0).measure(
        torch.device("cpu")
    )
    for kind, right in (("naming", named), ("menu", chosen)):
        assert measured[f"{kind}_accuracy"] == sum(right) / 15
        assert measured[f"{kind}_n"] == 15
        assert (measured[f"{kind}_ci_low"], measured[f"{kind}_ci_high"]) == intervals.wilson(
            sum(right), 15
        )
    assert 0 < sum(chosen) < 15


def test_a_sample_is_fixed_and_no_larger_than_asked(world):
    rows, root = world
    first, again, other = (
        Validation(tiny.model(), rows, root, most=4, batch_size=2, seed=seed).samples
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert {len(numbers) for numbers in first.values()} == {4}
    assert sample(rows, 0, 0) == []


@pytest.mark.parametrize(
    ("n", "size", "processes"), [(7, 2, 2), (1, 4, 3), (8, 2, 2), (5, 1, 4), (9, 16, 1)]
)
def test_processes_make_equally_many_calls_and_every_item_counts_once(n, size, processes):
    parts = [shares(n, size, process, processes) for process in range(processes)]
    assert len({tuple(len(batch) for batch in part) for part in parts}) == 1
    assert sorted(
        number for part in parts for batch in part for number, counts in batch if counts
    ) == list(range(n))
    assert all(0 <= number < n for part in parts for batch in part for number, _ in batch)


def test_the_trees_forward_and_training_mode_come_back():
    model = tiny.model().model.train()
    trees.bind(model)
    bound = model.forward
    with own_forward(model):
        assert "forward" not in model.__dict__
        assert not model.training
    assert model.forward is bound
    assert model.training


def test_questions_without_a_photo_are_not_asked(world):
    rows, root = world
    blind = [{**rows[0], "image": None, "id": "blind"}]
    assert (
        Validation(tiny.model(), blind, root, most=9, batch_size=2, seed=0).measure(
            torch.device("cpu")
        )
        == {}
    )
