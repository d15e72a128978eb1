"""`dishvl detect-train`: labels and photos in, a detector out; what is wrong is one sentence."""

import json

import pytest
import square_toys

from dishvl_lib import cli, detect_train
from dishvl_lib.demo import detector_start
from dishvl_lib.detection import training

QUICK = ["--epochs", "1", "--size", "64", "--start", "none"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """(labels.json, folder of photos)"""
    folder = tmp_path_factory.mktemp("labelled")
    frames = square_toys.frames(folder / "photos", 6)
    labels = folder / "labels.json"
    labels.write_text(json.dumps(square_toys.coco(frames)), "utf-8")
    return labels, folder / "photos"


@pytest.fixture
def train(labelled, tmp_path):
    """Runs the command into tmp_path/detector; returns its status."""
    labels, photos = labelled
    out = tmp_path / "detector"

    def run(*options, photos=photos):
        return cli.main(["detect-train", str(labels), str(photos), str(out), *options])

    return run


def test_a_detector_is_trained_and_its_figures_are_said(train, tmp_path, capsys):
    assert train(*QUICK, "--crop-margin", "0.76") == 0
    said = capsys.readouterr().out
    assert "5 frames to learn from, 1 to check with, 1 epochs at 64 x 64 pixels: about" in said
    assert "all boxes right" in said
    assert "(n=1)" in said
    assert f"detector: {tmp_path / 'detector' / training.DETECTOR}" in said
    metrics = json.loads((tmp_path / "detector" / training.METRICS).read_text("utf-8"))
    assert metrics["made_from"]["settings"]["crop_margin"] == 0.76


def test_the_same_command_again_does_nothing(train, tmp_path, capsys):
    train(*QUICK)
    before = (tmp_path / "detector" / training.DETECTOR).stat().st_mtime_ns
    capsys.readouterr()
    assert train(*QUICK) == 0
    assert "is finished already; nothing was trained" in capsys.readouterr().out
    assert (tmp_path / "detector" / training.DETECTOR).stat().st_mtime_ns == before


def test_other_settings_are_refused_until_redo_moves_the_folder_aside(train, tmp_path, capsys):
    train(*QUICK)
    assert train(*QUICK, "--seed", "5") == 1
    assert "holds a training of other frames or with other settings" in capsys.readouterr().err
    assert train(*QUICK, "--seed", "5", "--redo") == 0
    aside = list(tmp_path.glob("detector.old-*"))
    assert len(aside) == 1
    assert (aside[0] / training.DETECTOR).exists()


def test_a_bad_word_moves_nothing_aside(train, labelled, tmp_path, capsys):
    train(*QUICK)
    assert train(*QUICK, "--redo", photos=tmp_path / "gone") == 1
    assert not list(tmp_path.glob("detector.old-*"))


def test_a_photo_that_lacks_a_box_is_not_learned_from(train, labelled, capsys):
    labels, _ = labelled
    content = json.loads(labels.read_text("utf-8"))
    whole = labels.read_text("utf-8")
    content["annotations"][0]["category_id"] = 99
    labels.write_text(json.dumps(content), "utf-8")
    assert train(*QUICK) == 0
    labels.write_text(whole, "utf-8")
    said = capsys.readouterr().out
    assert "1 photos that lack such a box are not learned from" in said
    assert "4 frames to learn from, 1 to check with" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "100"], "size 100: must be a multiple of 32"),
        (["--start", "gone.safetensors"], "--start gone.safetensors: no such file"),
        (["--names", "plate", "bowl"], "has a box called 'dish', which is none of"),
    ],
)
def test_what_cannot_be_is_one_sentence(train, capsys, options, sentence):
    assert train(*QUICK, *options) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("dishvl: ")
    assert said.count("\n") == 1


def test_the_words_for_a_start():
    assert detect_train.start_file("none") is None
    assert detect_train.start_file("builtin") == detector_start.FILE
