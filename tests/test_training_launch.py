"""Starting and ending a training, without training: what is said, whose lock it is, and which
wishes to stop count.
"""

import json
import os
import types

import pytest
import tiny
from torch.utils.data import DataLoader, Dataset
from toys import another_process_holding

from dishvl_lib.core import records, stages
from dishvl_lib.training import (
    callbacks,
    checkpoints,
    config,
    export,
    heartbeat,
    launch,
    outcome,
    run,
)
from dishvl_lib.training.data import DataError, QuestionTrees

GIVEN = dict(
    num_train_epochs=1,
)
PLACES = dict.fromkeys(
    ("base_model", "image_root", "train_file", "validation_file", "output_folder"), "x"
)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_steps": 0}, "max_steps is 0; give at least 1"),
        (
            {"lora_rank": 4, "train_lm_head": True},
            "lora_rank trains adapters only; set train_language_model and train_lm_head to false",
        ),
        (
            {"lr_scheduler_type": "reduce_lr_on_plateau"},
            "parameter lr_scheduler_type must be one of cosine, .*got 'reduce_lr_on_plateau'",
        ),
    ],
)
def test_settings_that_cannot_be(changed, words):
    with pytest.raises(ValueError, match=words):
        config.from_parameters({**tiny.TRAINING, **GIVEN, **changed}, **PLACES)


def test_a_metric_without_questions_is_refused_before_the_first_epoch(tmp_path):
    world = tiny.data_set(tmp_path / "data")
    naming = [
        row for row in records.read_jsonl(world["validation_file"]) if row["kind"] == "naming"
    ]
    records.write_jsonl(world["validation_file"], naming)
    rows = QuestionTrees(
        world["validation_file"], world["image_root"], tiny.model(), questions_per_photo=2
    )
    for metric in ("loss", "naming_accuracy"):
        run.check_metric(
            config.from_parameters(
                {**tiny.TRAINING, **GIVEN, "metric_for_best_model": metric}, **PLACES
            ),
            rows,
        )
    with pytest.raises(
        DataError,
        match="holds no menu question, which metric_for_best_model: menu_accuracy needs; set it "
        "to loss",
    ):
        run.check_metric(
            config.from_parameters(
                {**tiny.TRAINING, **GIVEN, "metric_for_best_model": "menu_accuracy"}, **PLACES
            ),
            rows,
        )


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, number):
        raise DataError("row 7: photo a.jpg is damaged: cut")


def test_what_a_data_loaders_worker_says_is_one_sentence_too():
    with pytest.raises(DataError) as raised:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert launch.sentence(raised.value) == "row 7: photo a.jpg is damaged: cut"
    assert launch.sentence(ValueError("one\ntwo")) == "one two"


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (None, "its last lines:\ntraining started at 2\nloading\nKilled"),
        (
            (outcome.FAILED, "training cannot go on: OSError: no room"),
            "training cannot go on: OSError: no room",
        ),
        ((outcome.STOPPED, ""), "stopped on request after a checkpoint"),
    ],
)
def test_an_earlier_starts_words_are_not_the_newest_ones(tmp_path, ending, words):
    """Nor is a wish to stop that did not come to its checkpoint."""
    log = tmp_path / launch.LOG
    log.write_text("training started at 1\nold\n")
    outcome.begin(tmp_path, 0)
    outcome.end(tmp_path, outcome.FAILED, "DataError: old")
    outcome.begin(tmp_path, log.stat().st_size)
    log.write_text(log.read_text() + "training started at 2\nloading\nKilled\n")
    (tmp_path / launch.STOP).touch()
    if ending:
        outcome.end(tmp_path, *ending)
    assert words in launch.last_words(tmp_path)
    assert "old" not in launch.last_words(tmp_path)


def test_a_damaged_record_of_the_end_leaves_the_logs_last_lines(tmp_path):
    (tmp_path / launch.LOG).write_text("loading\nKilled\n")
    for text in ("", "[]", '{"status": 3}', "\x00"):
        (tmp_path / outcome.FILE).write_text(text)
        assert launch.last_words(tmp_path).endswith("its last lines:\nloading\nKilled")


def test_the_lock_says_who_holds_it(tmp_path):
    with another_process_holding(stages.training_lock_file(tmp_path)) as other:
        with (
            pytest.raises(launch.AlreadyRunning, match=f"process {other.pid} on "),
            launch.only_one(tmp_path),
        ):
            pass
        assert launch.running(tmp_path).pid == other.pid
    assert launch.running(tmp_path) is None
    with launch.only_one(tmp_path):
        assert launch.running(tmp_path).pid == os.getpid()
    assert launch.running(tmp_path) is None


def test_a_wish_to_stop_ends_one_start_and_not_the_next_by_hand(tmp_path):
    (tmp_path / launch.STOP).write_text("1")
    assert not launch.stop(tmp_path), "nobody trains"
    with launch.only_one(tmp_path):
        assert not launch.asked_to_stop(tmp_path), "the wish was for an earlier start"
        assert launch.stop(tmp_path)
        assert launch.asked_to_stop(tmp_path)


def test_a_single_process_whose_torchrun_has_died_ends(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    watching = callbacks.StopFile(tmp_path)
    step = types.SimpleNamespace(device="cpu"), None, types.SimpleNamespace()
    watching.on_step_end(*step)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(callbacks.TrainingStopped, match="the launcher of these processes has died"):
        watching.on_step_end(*step)


def test_best_is_not_made_of_a_damaged_checkpoint(tmp_path):
    with pytest.raises(
        checkpoints.CheckpointError, match="best/ cannot be made of .*checkpoint-4: it is gone"
    ):
        export.write_best(None, tmp_path / "checkpoint-4")


def test_rows_of_metrics_that_are_damaged_are_left_out(tmp_path):
    whole = '{"step": 1, "max_steps": 4, "loss": 0.5}'
    (tmp_path / launch.METRICS).write_bytes(
        b'\xff\n[]\n7\n{"step": "x"}\n' + whole.encode() + b'\n{"step": 2, "max'
    )
    assert launch.metrics(tmp_path) == [{"step": 1, "max_steps": 4, "loss": 0.5}]
    assert launch.progress_line(tmp_path) == "step 1 of 4, loss 0.5000"


def test_a_live_training_is_known_by_its_lock_whatever_its_record_says(tmp_path):
    """A process' creation time moves when the clock is set; a lock does not."""
    file = stages.training_lock_file(tmp_path)
    with another_process_holding(file) as other:
        record = records.read_json(file)
        for since in ("1970-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"):
            records_before = {**record, "since": since}
            file.write_text(json.dumps(records_before))
            assert launch.running(tmp_path).pid == other.pid
        file.write_text("")
        assert launch.running(tmp_path), "whoever it is"
    assert launch.running(tmp_path) is None


def test_what_is_done_in_a_long_step_is_said(tmp_path):
    beat = heartbeat.Heartbeat(tmp_path)
    beat("step 1 of 2, forward pass", 1, 4)
    beat("step 1 of 2, forward pass", 2, 4)
    assert heartbeat.line(tmp_path) == "step 1 of 2, forward pass: 1 of 4, for 0 s", (
        "at most one a second is written"
    )
    beat("saving checkpoint-1")
    assert launch.progress_line(tmp_path) == "", "nobody trains"
    with launch.only_one(tmp_path):
        assert launch.progress_line(tmp_path) == "saving checkpoint-1, for 0 s"
    for damaged in (
        b"",
        b"[]",
        b"\xff",
        b'{"doing": "x"}',
        b'{"doing": 1, "done": "x", "of": 2, "since": 3}',
    ):
        (tmp_path / heartbeat.FILE).write_bytes(damaged)
        assert heartbeat.line(tmp_path) == ""
