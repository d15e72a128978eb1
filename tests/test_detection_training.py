"""A training of a few steps: it learns, a killed one ends with the same weights, a finished one does
nothing, and no frame is in two splits.
"""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
import square_toys

from dishvl_lib.core import locks, records
from dishvl_lib.detection import augmentation, training, training_frames
from dishvl_lib.detection.detector import Detector
from dishvl_lib.detection.training import TrainingError, TrainingSettings
from dishvl_lib.detection.training_frames import FramesError

SETTINGS = TrainingSettings(epochs=3, size=64, batch_size=4, seed=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(scope="module")
def frames(root):
    return square_toys.frames(root, 12)


@pytest.fixture(scope="module")
def trained(root, frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "detector"
    return training.train(frames, root, folder, SETTINGS)


def test_it_learns_to_find_squares(root, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=14, batch_size=2)
    frames = square_toys.frames(root / "more", 16)
    trained = training.train(frames, root / "more", tmp_path, settings)
    losses = [row["loss"] for row in trained.metrics["epochs"]]
    assert losses[-1] < losses[0] / 2
    assert trained.metrics["ap50"] > 0.3


def test_the_folder_of_a_training_holds_its_detector_and_figures(trained):
    folder = trained.file.parent
    names = {file.name for file in folder.iterdir()}
    assert names == {training.DETECTOR, training.WEIGHTS, training.METRICS, training.LOG}
    assert records.read_json(folder / training.METRICS) == trained.metrics


def test_the_figures_stand_with_their_n_and_interval(trained):
    metrics = trained.metrics
    assert metrics["judged_on"] == "validation"
    assert metrics["n_frames"] == 2
    assert metrics["count_exact"]["n"] == 2
    for name in ("precision", "recall", "count_exact", "all_right"):
        low, high = metrics[name]["ci95"]
        assert 0 <= low <= high <= 1
    for name in ("ap50", "ap75", "map"):
        assert 0 <= metrics[name] <= 1


def test_the_log_has_a_row_an_epoch(trained):
    rows = records.read_jsonl(trained.file.parent / training.LOG)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows == trained.metrics["epochs"]


def test_the_detector_says_its_threshold(trained):
    session = onnxruntime.InferenceSession(str(trained.file))
    metadata = session.get_modelmeta().custom_metadata_map
    assert float(metadata["threshold"]) == pytest.approx(trained.metrics["threshold"])
    assert metadata["names"] == '["dish"]'


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_training_ends_with_the_same_weights(
    root, frames, trained, tmp_path, monkeypatch, killed_after
):
    keep = training._Training._keep

    def killed(self, row):
        keep(self, row)
        if row["epoch"] == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Training, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(frames, root, tmp_path, SETTINGS)
    monkeypatch.setattr(training._Training, "_keep", keep)
    resumed = training.train(frames, root, tmp_path, SETTINGS)
    assert resumed.file.read_bytes() == trained.file.read_bytes()


def test_an_epoch_that_was_cut_short_is_begun_again(root, frames, trained, tmp_path, monkeypatch):
    step = training._Training._step
    steps = []

    def killed(self, *arguments):
        steps.append(1)
        if len(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(training._Training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(frames, root, tmp_path, SETTINGS)
    monkeypatch.setattr(training._Training, "_step", step)
    resumed = training.train(frames, root, tmp_path, SETTINGS)
    assert resumed.file.read_bytes() == trained.file.read_bytes()


def test_a_finished_training_does_nothing(root, frames, trained, monkeypatch):
    monkeypatch.setattr(training, "_Training", None)
    before = trained.file.stat().st_mtime_ns
    again = training.train(frames, root, trained.file.parent, SETTINGS)
    assert again.metrics == trained.metrics
    assert trained.file.stat().st_mtime_ns == before


def test_other_settings_are_refused(root, frames, trained):
    other = dataclasses.replace(SETTINGS, seed=2)
    with pytest.raises(TrainingError, match="other frames or with other settings"):
        training.train(frames, root, trained.file.parent, other)


def test_other_frames_are_refused(root, frames, trained):
    with pytest.raises(TrainingError, match="other frames or with other settings"):
        training.train(frames[1:], root, trained.file.parent, SETTINGS)


def test_other_settings_are_refused_before_a_training_has_ended(
    root, frames, tmp_path, monkeypatch
):
    monkeypatch.setattr(training._Training, "_finish", lambda self, checked: None)
    training.train(frames, root, tmp_path, SETTINGS)
    other = dataclasses.replace(SETTINGS, epochs=4)
    with pytest.raises(TrainingError, match="other frames or with other settings"):
        training.train(frames, root, tmp_path, other)


def test_a_detector_that_was_changed_is_said(root, frames, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=1)
    trained = training.train(frames, root, tmp_path, settings)
    trained.file.write_bytes(b"changed")
    with pytest.raises(TrainingError, match="is not the detector that was trained here"):
        training.train(frames, root, tmp_path, settings)


def test_a_detector_of_somebody_else_is_not_written_over(root, frames, tmp_path):
    (tmp_path / training.DETECTOR).write_bytes(b"theirs")
    with pytest.raises(TrainingError, match="is there already, without a training beside it"):
        training.train(frames, root, tmp_path, SETTINGS)
    assert (tmp_path / training.DETECTOR).read_bytes() == b"theirs"


@pytest.mark.parametrize("last", [training.DETECTOR, training.METRICS])
def test_a_training_that_was_killed_at_its_very_end_is_finished(
    root, frames, trained, tmp_path, monkeypatch, last
):
    def killed(folder):
        if last == training.DETECTOR:
            (folder / training.METRICS).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_clear", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(frames, root, tmp_path, SETTINGS)
    monkeypatch.undo()
    again = training.train(frames, root, tmp_path, SETTINGS)
    assert again.file.read_bytes() == trained.file.read_bytes()
    assert not (tmp_path / training.CHECKPOINT).exists()


def test_two_trainings_of_one_folder_exclude_each_other(root, frames, tmp_path, monkeypatch):
    def held(file, what):
        raise locks.LockedError(file, locks.Holder(12, "here", "2026-01-01T00:00:00", what))

    monkeypatch.setattr(locks, "held", held)
    with pytest.raises(TrainingError, match="is being trained in by process 12"):
        training.train(frames, root, tmp_path, SETTINGS)


def test_a_start_is_where_the_training_begins(root, frames, trained, tmp_path):
    start = trained.file.parent / training.WEIGHTS
    settings = dataclasses.replace(SETTINGS, epochs=1, start=start)
    from_start = training.train(frames, root, tmp_path, settings)
    first_losses = [row["loss"] for row in trained.metrics["epochs"]]
    assert from_start.metrics["epochs"][0]["loss"] < first_losses[0]


def test_frames_of_the_test_split_judge_and_are_not_learned_from(root, tmp_path):
    frames = [
        *square_toys.frames(root / "splits", 6, "train"),
        *square_toys.frames(root / "splits", 2, "validation"),
        *square_toys.frames(root / "splits", 3, "test"),
    ]
    settings = dataclasses.replace(SETTINGS, epochs=1)
    trained = training.train(frames, root / "splits", tmp_path, settings)
    assert trained.metrics["judged_on"] == "test"
    assert trained.metrics["n_frames"] == 3


def test_splits_are_what_the_labels_say(root):
    frames = [
        *square_toys.frames(root / "splits", 6, "train"),
        *square_toys.frames(root / "splits", 2, "validation"),
    ]
    dealt = training_frames.deal(frames, 0.5, 0)
    assert {frame.split for frame in dealt.train} == {"train"}
    assert {frame.split for frame in dealt.validation} == {"validation"}


def test_frames_without_a_split_are_dealt_by_the_seed(frames):
    dealt = training_frames.deal(frames, 0.25, 0)
    train = {frame.path for frame in dealt.train}
    validation = {frame.path for frame in dealt.validation}
    assert len(validation) == 3
    assert not train & validation
    assert train | validation == {frame.path for frame in frames}
    again = training_frames.deal(frames[::-1], 0.25, 0)
    assert {frame.path for frame in again.validation} == validation
    other = training_frames.deal(frames, 0.25, 1)
    assert {frame.path for frame in other.validation} != validation


def test_a_frame_in_two_splits_is_refused(frames):
    twice = [*frames, dataclasses.replace(frames[0], split="validation")]
    with pytest.raises(FramesError, match="frame_00.png is there twice"):
        training_frames.deal(twice, 0.25, 0)


def test_frames_without_boxes_are_refused(frames):
    bare = np.zeros((0, 4), np.float32)
    empty = [dataclasses.replace(frame, boxes=bare, labels=()) for frame in frames]
    with pytest.raises(FramesError, match="none has a box"):
        training_frames.deal(empty, 0.25, 0)


def test_a_photo_of_another_size_than_its_boxes_is_refused(root, frames, tmp_path):
    larger = dataclasses.replace(frames[0], width=128)
    with pytest.raises(FramesError, match="read as 64 x 64 pixels, and its boxes are of 128 x 64"):
        training_frames.load([larger], root, 64, tmp_path / "frames.npy")


def test_a_tray_without_dishes_is_learned_from(root, frames, tmp_path):
    bare = np.zeros((0, 4), np.float32)
    empty = dataclasses.replace(frames[0], boxes=bare, labels=(), split="train")
    settings = dataclasses.replace(SETTINGS, epochs=1)
    trained = training.train([empty, *frames[1:]], root, tmp_path, settings)
    assert trained.file.exists()


def test_a_label_outside_the_classes_is_named(root, frames, tmp_path):
    settings = dataclasses.replace(SETTINGS, names=("plate", "bowl"))
    with pytest.raises(FramesError, match="frame_00.png has a box called 'dish'"):
        training.train(frames, root, tmp_path, settings)


def test_several_classes_are_told_apart_in_the_file(root, tmp_path):
    frames = [
        *square_toys.frames(root / "classes", 4, "train", label="plate"),
        *square_toys.frames(root / "classes", 2, "validation", label="bowl"),
    ]
    settings = dataclasses.replace(SETTINGS, epochs=1, names=("plate", "bowl"))
    trained = training.train(frames, root / "classes", tmp_path, settings)
    session = onnxruntime.InferenceSession(str(trained.file))
    assert json.loads(session.get_modelmeta().custom_metadata_map["names"]) == ["plate", "bowl"]
    assert session.get_outputs()[0].shape[1] == 2


def test_a_photo_that_cannot_be_read_is_named(root, tmp_path):
    frames = square_toys.frames(root / "damaged", 4)
    (root / "damaged" / "frame_01.png").write_text("no photo")
    with pytest.raises(FramesError, match="frame_01.png is not an image.*take it out"):
        training.train(frames, root / "damaged", tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"size": 100}, "size 100: must be a multiple of 32"),
        ({"epochs": 0}, "epochs and batch_size must be at least 1"),
        ({"validation_share": 1.0}, "must be between 0 and 1"),
        ({"names": ()}, "at least one class"),
        ({"names": ("dish", "dish")}, "none of them twice"),
        ({"crop_margin": 5.0}, "crop_margin 5.0: must be between"),
    ],
)
def test_settings_that_cannot_be_are_refused(root, frames, tmp_path, changed, sentence):
    with pytest.raises(TrainingError, match=sentence):
        training.train(frames, root, tmp_path, dataclasses.replace(SETTINGS, **changed))


@pytest.mark.parametrize("seed", range(8))
def test_boxes_move_with_what_is_in_them(seed):
    photo = np.full((96, 96, 3), 114, np.uint8)
    photo[30:50, 40:70] = 255
    box = np.array([[40.0, 30.0, 70.0, 50.0]])
    rng = np.random.default_rng(seed)
    moved, boxes, in_view = augmentation.another_view(photo, box, rng)
    bright = moved.astype(int).sum(axis=2)
    is_food = bright > (int(bright.min()) + int(bright.max())) / 2
    rows = np.flatnonzero(is_food.any(axis=1))
    columns = np.flatnonzero(is_food.any(axis=0))
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert in_view.tolist() == [True]
    assert boxes[0] == pytest.approx(expected, abs=1.2)


def test_a_box_that_leaves_the_view_is_not_learned_from(monkeypatch):
    monkeypatch.setattr(augmentation, "ZOOM", (2.0, 2.0))
    photo = np.zeros((96, 96, 3), np.uint8)
    corner = np.array([[0.0, 0.0, 20.0, 20.0]])
    _, _, in_view = augmentation.another_view(photo, corner, np.random.default_rng(0))
    assert in_view.tolist() == [False]


def test_the_detector_reads_what_the_training_wrote(root, frames, trained):
    detector = Detector.load(trained.file)
    assert detector.names == ("dish",)
    assert detector.is_ours
    assert detector.threshold == pytest.approx(trained.metrics["threshold"])
    assert detector.crop_margin is None
