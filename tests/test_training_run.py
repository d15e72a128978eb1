"""Training as a process: what it writes, that it resumes bit for bit, and what it says when it
cannot go on.
"""

import json
import os
import shutil
import subprocess

import pytest
import tiny
import torch
import trainings
from safetensors.torch import load_file, save_file

from dishvl_lib.core import records
from dishvl_lib.training import checkpoints, config, launch, run
from dishvl_lib.vlm import inputs, qwen
from dishvl_lib.vlm.recognizer import Recognizer


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A base folder and a data set, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("world")
    return {"base_model": tiny.base_folder(folder / "base"), **tiny.data_set(folder / "data")}


def settings(world, folder, **changed):
    given = dict(
        learning_rate=3e-3,
        vision_learning_rate=1e-3,
        num_train_epochs=2,
        per_device_train_batch_size=5,
        logging_steps=2,
        photo_augmentation="flips",
        photo_cache_mb=10,
        validation_questions=5,
    )
    folder.mkdir(parents=True, exist_ok=True)
    return config.from_parameters(
        {**tiny.TRAINING, **given, **changed}, output_folder=folder, **world
    )


def train(given):
    """Train to the end in a process of its own; returns (exit status, output)."""
    given.write(launch.Path(given.output_folder) / "config.json")
    return trainings.train(launch.Path(given.output_folder) / "config.json")


def train_by_command(given):
    """The same by the command that a notebook starts, with all its imports."""
    given.write(launch.Path(given.output_folder) / "config.json")
    done = subprocess.run(
        launch.command(given),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    return done.returncode, done.stdout + done.stderr


def without_answers(file):
    """One answer of the file becomes empty."""
    rows = records.read_jsonl(file)
    rows[3]["conversations"][1]["value"] = " "
    records.write_jsonl(file, rows)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    given = settings(world, tmp_path_factory.mktemp("trained") / "04_training")
    status, output = train_by_command(given)
    assert status == 0, output
    return launch.Path(given.output_folder)


def test_best_is_a_complete_folder_that_transformers_opens(trained):
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        trained / "best", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert AutoTokenizer.from_pretrained(trained / "best").chat_template
    assert (trained / "best" / "preprocessor_config.json").exists()
    assert len({file.stat().st_mode for file in (trained / "best").iterdir()}) == 1, (
        "who may read one file of it may read all"
    )
    assert records.read_json(trained / "best" / "dishvl.json")["max_pixels"] == 3136


def test_only_vision_and_merger_moved(world, trained):
    base = qwen.load(str(world["base_model"])).model
    best = qwen.load(str(trained / "best")).model
    moved = {
        name.startswith("model.visual.")
        for (name, a), b in zip(base.named_parameters(), best.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    still = [
        name
        for (name, a), b in zip(base.named_parameters(), best.parameters(), strict=True)
        if torch.equal(a, b) and name.startswith("model.visual.")
    ]
    assert moved == {True}
    assert not still


def test_metrics_and_contract_are_written(trained):
    rows = launch.metrics(trained)
    assert {
        "loss",
        "step",
        "max_steps",
        "learning_rate_visual",
        "learning_rate_merger",
        "eta_s",
        "grad_norm",
        "memory_gb",
    } <= set(rows[0])
    assert {
        "loss_naming",
        "loss_menu",
        "photos_per_second",
        "questions_per_second",
        "tokens_per_second",
    } <= set(rows[0])
    assert "learning_rate_language_model" not in rows[0]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 4, 6]
    assert any((trained / "tensorboard").glob("events.out.tfevents.*"))
    assert len([row for row in rows if "eval_loss" in row]) == 2
    contract = records.read_json(trained / "trainable.json")
    assert contract["groups"]["language_model"]["trained"] is False
    assert contract["groups"]["merger"]["learning_rate"] == 3e-3


def test_the_recogniser_opens_it_and_refuses_other_pixel_limits(trained):
    recognizer = Recognizer.load(trained / "best", device="cpu")
    assert isinstance(recognizer.name(tiny.photo()), str)
    with pytest.raises(qwen.ModelError, match="trained on other inputs"):
        Recognizer.load(trained / "best", device="cpu", max_pixels=784 * 16)


def test_a_run_cut_after_a_checkpoint_ends_bit_equal(world, trained, tmp_path):
    """The last checkpoint is made half-written and the one before it is resumed from."""
    given = settings(world, tmp_path / "04_training")
    shutil.copytree(trained / "checkpoints", tmp_path / "04_training" / "checkpoints")
    newest = max(
        (tmp_path / "04_training" / "checkpoints").glob("checkpoint-*"),
        key=lambda p: int(p.name.split("-")[1]),
    )
    (newest / checkpoints.MANIFEST).unlink()
    status, output = train(given)
    assert status == 0
    assert "half-written" in output
    assert "resuming from checkpoint-" in output
    again, first = (
        load_file(folder / "checkpoints" / newest.name / checkpoints.WEIGHTS)
        for folder in (tmp_path / "04_training", trained)
    )
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)


def first_photo(world, folder, **changed):
    """The first training photo's pixels, as the training that these parameters ask for sees it."""
    train_rows, _ = run.question_trees(settings(world, folder, **changed), tiny.model())
    tree, _ = train_rows[0]
    return tree.photo.pixel_values


def test_the_training_sees_views_as_far_as_asked_for(world, tmp_path):
    flipped = first_photo(world, tmp_path / "flips", photo_augmentation="flips")
    views = {}
    for strength in (0.0, 0.5, 1.0):
        views[strength] = first_photo(
            world, tmp_path / str(strength), photo_augmentation="views", view_strength=strength
        )
    assert torch.equal(views[0.0], flipped)
    assert not torch.equal(views[0.5], flipped)
    assert not torch.equal(views[0.5], views[1.0])


def test_a_damaged_checkpoint_is_passed_over_and_kept_aside(trained, tmp_path):
    folder = shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    newest, older = checkpoints.numbered(folder)[:2]
    wanted = records.read_json(older / checkpoints.MANIFEST)["belongs"]
    (newest / "resume" / "optimizer.pt").write_bytes(b"cut")
    assert checkpoints.newest(folder, wanted) == older
    assert (folder / f"damaged-{newest.name}" / checkpoints.WEIGHTS).exists()
    with pytest.raises(
        checkpoints.CheckpointError,
        match=r"with other seed \(was 0, is 1\); finish it as it was begun",
    ):
        checkpoints.newest(folder, {**wanted, "seed": 1})


def test_tensors_of_another_contract_are_refused(trained):
    model = tiny.model().model
    model.requires_grad_(True)
    newest = next((trained / "checkpoints").glob("checkpoint-*"))
    with pytest.raises(checkpoints.CheckpointError, match="do not match what is trained now"):
        checkpoints.load_trained(model, newest)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda w: next(w["image_root"].glob("*.png")).unlink(), "photos of .* are gone"),
        (lambda w: next(w["image_root"].glob("*.png")).write_bytes(b"<html>"), "not an image"),
        (lambda w: w["train_file"].write_text(""), "holds no questions"),
        (
            lambda w: without_answers(w["train_file"]),
            "1 questions have an empty answer, so nothing to learn, the first is menu-0-1",
        ),
        (
            lambda w: (w["base_model"] / "config.json").write_text(
                json.dumps({"model_type": "llama"})
            ),
            "model_type is 'llama'",
        ),
    ],
)
def test_what_cannot_be_trained_ends_with_one_sentence(world, tmp_path, break_it, words):
    broken = {
        "base_model": shutil.copytree(world["base_model"], tmp_path / "base"),
        **tiny.data_set(tmp_path / "data"),
    }
    break_it(broken)
    status, output = train(settings(broken, tmp_path / "04_training"))
    assert status == 1
    assert "Traceback" not in output
    sentences = [line for line in output.splitlines() if line.startswith("training cannot go on:")]
    assert len(sentences) == 1
    assert __import__("re").search(words, sentences[0])
    assert not (tmp_path / "04_training" / "best").exists()


def test_an_infinite_loss_stops_the_run_and_names_its_questions(world, tmp_path):
    """One token's embedding is not a number; one question of the file uses it."""
    base = qwen.load(str(world["base_model"]))
    rows = [row for row in records.read_jsonl(world["train_file"]) if row["kind"] == "naming"]
    human = rows[7]["conversations"][0]
    human["value"] = human["value"] + "麻"
    token = base.tokenizer.encode("麻", add_special_tokens=False)[-1]
    with torch.no_grad():
        base.model.model.language_model.embed_tokens.weight[token] = float("nan")
    qwen.save(base, tmp_path / "base")
    kept = [row for row in rows if "麻" not in row["conversations"][1]["value"]]
    records.write_jsonl(tmp_path / "train.jsonl", kept)
    broken = {**world, "base_model": tmp_path / "base", "train_file": tmp_path / "train.jsonl"}
    status, output = train(settings(broken, tmp_path / "04_training"))
    assert status == 1
    assert f"1 questions of {tmp_path / 'train.jsonl'}: {rows[7]['id']}; look at them" in output


def test_exploding_gradients_stop_the_run(world, tmp_path):
    """Weights as a training has them that ran away: the next loss or gradient is none."""
    base = tmp_path / "base"
    shutil.copytree(world["base_model"], base)
    weights = load_file(base / "model.safetensors")
    for name, tensor in weights.items():
        if "merger" in name:
            weights[name] = tensor * 1e30
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    status, output = train(
        settings({**world, "base_model": base}, tmp_path / "04_training", max_grad_norm=1e30)
    )
    assert status == 1
    assert "the loss is" in output or "the gradient norm is" in output
    assert "the last checkpoint is whole" in output


def test_gradient_checkpointing_changes_no_loss(world, trained, tmp_path):
    status, output = train(settings(world, tmp_path / "04_training", gradient_checkpointing="both"))
    assert status == 0, output
    mine, theirs = (
        [row["loss"] for row in launch.metrics(folder) if "loss" in row]
        for folder in (tmp_path / "04_training", trained)
    )
    assert mine == pytest.approx(theirs, abs=1e-5)
    assert len(mine) > 2


def test_validation_every_n_steps_best_by_accuracy_and_early_stopping(world, tmp_path):
    given = settings(
        world,
        tmp_path / "04_training",
        eval_steps=2,
        metric_for_best_model="menu_accuracy",
        early_stopping_patience=2,
        num_train_epochs=40,
        learning_rate=1e-9,
        vision_learning_rate=1e-9,
    )
    status, output = train(given)
    assert status == 0, output
    evaluated = [row for row in launch.metrics(tmp_path / "04_training") if "eval_loss" in row]
    assert [row["step"] for row in evaluated] == [2, 4, 6]
    assert run.patience_spent(
        given, checkpoints.numbered(tmp_path / "04_training" / "checkpoints")[0]
    ), "a kill while best/ is written trains no further"
    assert {
        "eval_naming_accuracy",
        "eval_menu_accuracy",
        "eval_menu_ci_low",
        "eval_menu_ci_high",
        "eval_menu_n",
        "eval_loss_naming",
    } <= set(evaluated[0])
    assert (
        records.read_json(tmp_path / "04_training" / "best" / "dishvl.json")["checkpoint"]
        == "checkpoint-2"
    )


def test_other_data_and_a_second_start_are_refused(world, tmp_path):
    given = settings(world, tmp_path / "04_training", num_train_epochs=500)
    folder = launch.Path(given.output_folder)
    process = launch.start(given)
    try:
        while not any((folder / "checkpoints").glob("checkpoint-*")):
            assert launch.running(folder), (folder / launch.LOG).read_text()
            launch.time.sleep(0.1)
        status, output = train(given)
        assert status == 1
        assert "a training is running in" in output
    finally:
        process.kill()
        process.wait(30)
    changed = tmp_path / "train.jsonl"
    records.write_jsonl(changed, records.read_jsonl(world["train_file"])[:-1])
    status, output = train(settings({**world, "train_file": changed}, folder, num_train_epochs=500))
    assert status == 1
    assert "was made with other train_file (was" in output


def test_lora_is_merged_into_a_plain_folder(world, tmp_path):
    given = settings(
        world, tmp_path / "04_training", lora_rank=4, lora_vision=True, num_train_epochs=1
    )
    status, output = train(given)
    assert status == 0, output
    base = qwen.load(str(world["base_model"])).model
    best = qwen.load(str(tmp_path / "04_training" / "best")).model
    changed = {
        name.split(".")[1]
        for (name, a), b in zip(base.named_parameters(), best.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert changed == {"visual", "language_model"}
    assert [row["step"] for row in launch.metrics(tmp_path / "04_training") if "loss" in row] == [
        1,
        2,
        3,
    ], "the last step counts, whatever logging_steps says"


def test_bfloat16_keeps_trained_weights_in_float32(world, tmp_path):
    given = settings(world, tmp_path / "04_training", dtype="bfloat16", num_train_epochs=1)
    status, output = train(given)
    assert status == 0, output
    kept = next((tmp_path / "04_training" / "checkpoints").glob("checkpoint-*"))
    assert {value.dtype for value in load_file(kept / checkpoints.WEIGHTS).values()} == {
        torch.bfloat16
    }
    assert {
        value.dtype for value in load_file(kept / checkpoints.RESUME / checkpoints.MASTER).values()
    } == {torch.float32}
    assert {
        p.dtype
        for p in qwen.load(
            str(tmp_path / "04_training" / "best"), dtype="bfloat16"
        ).model.parameters()
    } == {torch.bfloat16}


def test_launch_attaches_and_stops(world, tmp_path, capsys):
    given = settings(world, tmp_path / "04_training", num_train_epochs=500)
    process = launch.start(given)
    try:
        folder = launch.Path(given.output_folder)
        assert launch.running(folder)
        while not launch.metrics(folder) and launch.running(folder):
            launch.time.sleep(0.2)
        assert launch.stop(folder)
        with pytest.raises(launch.TrainingFailed, match="stopped on request"):
            launch.run(given, every_s=0.2)
        assert "watching it" in capsys.readouterr().out
        assert any((folder / "checkpoints").glob(f"checkpoint-*/{checkpoints.MANIFEST}"))
        assert not launch.running(folder)
    finally:
        process.kill()
        process.wait()


def test_a_wrong_configuration_names_its_key(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"base_model": "x"}))
    status, output = trainings.train(tmp_path / "c.json")
    assert status == 1
    assert "c.json: image_root: Field required" in output


def test_the_fingerprint_written_is_the_one_read(trained):
    loaded = qwen.load_inputs(str(trained / "best"))
    assert records.read_json(trained / "best" / "dishvl.json")[
        "input_fingerprint"
    ] == inputs.fingerprint(loaded)
