"""Training a detector of our own: frames with boxes in, `detector.onnx` and `metrics.json` out.

OUT/log.jsonl         a row an epoch
OUT/checkpoint.pt     what a killed training goes on from, to the same weights
OUT/frames.npy        letterboxed photos, while it trains
OUT/detector.onnx     the best epoch's net
OUT/metrics.json      how well it finds dishes, and what it was made from; written last
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dishvl_lib.core import crops, locks, params, paths, records
from dishvl_lib.core.progress import Progress, duration
from dishvl_lib.core.types import Record
from dishvl_lib.detection import (
    augmentation,
    centre_maps,
    export,
    metrics,
    threshold,
    training_frames,
)
from dishvl_lib.detection import net as nets
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.labels import LabelledFrame
from dishvl_lib.detection.metrics import Judged
from dishvl_lib.detection.net import CentreNet
from dishvl_lib.detection.training_frames import DealtFrames, LetterboxedFrames

VERSION = 1
USUAL = params.defaults(paths.TRAYS)
DETECTOR = "detector.onnx"
WEIGHTS = "detector.safetensors"
METRICS = "metrics.json"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint.pt"
FRAMES = "frames.npy"
LOCK = ".training.lock"
WEIGHT_DECAY = 0.02
WARM_UP = 0.15  # share of the steps in which the rate rises
MOST_GRADIENT = 5.0
AVERAGED = 0.02  # share of a step in the mean of the weights, at the least
AVERAGED_FIRST = 9  # a ninth of the steps so far count, while these are few
RATE = 3e-3  # of a training from nothing, and of one that begins from a start
RATE_FROM_START = 1e-3
LEAST_SCORE = 0.05  # what the figures are made of; no threshold is below
TIMED_PHOTOS = 8
CHECKING_COST = 0.25  # of a photo, beside learning from it


class TrainingError(ValueError):
    """A training that cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class TrainingSettings:
    """names: the classes; one class takes every box, whatever its label. size: of the net's input,
    px, a multiple of 32. learning_rate: None for RATE or, from a start, RATE_FROM_START. start: a
    file of weights to begin from, None for nothing.
    validation_share: of the frames, where the labels name none to validate with. crop_margin: what
    the crops for a recogniser are cut with, None where it is not known.
    """

    names: tuple[str, ...] = ("dish",)
    epochs: int = USUAL["detector_epochs"]
    size: int = USUAL["detector_size"]
    batch_size: int = 8
    learning_rate: float | None = None
    seed: int = 0
    start: Path | None = None
    validation_share: float = 0.15
    crop_margin: float | None = None

    def record(self) -> Record:
        """The settings as JSON; a start by its content."""
        start = records.sha256_file(self.start) if self.start else None
        return {**vars(self), "names": list(self.names), "start": start}


@dataclass(frozen=True)
class Trained:
    """The detector's file, and how well it finds what it has not learned from."""

    file: Path
    metrics: Record


def train(
    frames: Sequence[LabelledFrame], frames_root: Path, folder: Path, settings: TrainingSettings
) -> Trained:
    """Trains a detector into `folder`, going on where a killed training of the same frames and
    settings stopped; a finished one is read back.

    Raises `TrainingError` when the folder holds a training of something else or another process
    works on it, `FramesError` for frames that nothing can be learned from, `NetError` for a start
    that does not fit and `ExportError` where onnx is not installed.
    """
    _check(settings)
    export.require_onnx()
    dealt = training_frames.deal(frames, settings.validation_share, settings.seed)
    for frame in frames:
        training_frames.class_numbers(frame, settings.names)
    made_from = {
        "version": VERSION,
        "settings": settings.record(),
        "frames": training_frames.identity(frames, frames_root),
    }
    finished = _finished(folder, made_from)
    if finished is not None:
        return finished
    try:
        with locks.held(folder / LOCK, "training a detector"):
            trained = _Training(dealt, frames_root, folder, settings, made_from).run()
    except locks.LockedError as error:
        raise TrainingError(
            f"{folder} is being trained in by {error.holder}; wait for it, or name another folder"
        ) from None
    locks.remove(folder / LOCK)
    return trained


def is_finished(folder: Path) -> bool:
    """Whether a training in the folder has ended with a detector."""
    return (folder / METRICS).exists() and (folder / DETECTOR).exists()


def estimate(n_train: int, n_validation: int, settings: TrainingSettings, epochs: int) -> str:
    """How long so many epochs take and how much disk, from a few steps of the real size; one
    sentence.
    """
    per_photo = _seconds_per_photo(settings)
    photos = epochs * (n_train + CHECKING_COST * n_validation)
    megabytes = (n_train + n_validation) * 3 * settings.size**2 / 1e6
    return (
        f"{n_train} frames to learn from, {n_validation} to check with, {epochs} epochs "
        f"at {settings.size} x {settings.size} pixels: about {duration(per_photo * photos)} "
        f"({per_photo * 1000:.0f} ms a photo here), {megabytes:,.0f} MB on the disk meanwhile"
    )


class _Training:
    """One training, from its first epoch or from its checkpoint to the detector's file."""

    def __init__(
        self,
        dealt: DealtFrames,
        root: Path,
        folder: Path,
        settings: TrainingSettings,
        made_from: Record,
    ):
        self.dealt = dealt
        self.root = root
        self.folder = folder
        self.settings = settings
        self.made_from = made_from
        torch.manual_seed(settings.seed)
        self.net = CentreNet(len(settings.names))
        if settings.start is not None:
            nets.start_from(self.net, settings.start)
        # The net that is checked and kept: a mean over its last steps, which jumps less than each.
        self.average = copy.deepcopy(self.net)
        self.batches = max(1, len(dealt.train) // settings.batch_size)
        rate = settings.learning_rate or (RATE_FROM_START if settings.start else RATE)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=rate, weight_decay=WEIGHT_DECAY
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            rate,
            total_steps=self.batches * settings.epochs,
            pct_start=WARM_UP,
        )
        self.history: list[Record] = []
        self.best: dict[str, torch.Tensor] = {}

    def run(self) -> Trained:
        self._resume()
        n = len(self.dealt.train)
        n_checked = len(self.dealt.validation)
        done = len(self.history)
        print(estimate(n, n_checked, self.settings, self.settings.epochs - done), flush=True)
        frames = self.dealt.train + self.dealt.validation
        loaded = training_frames.load(frames, self.root, self.settings.size, self.folder / FRAMES)
        learned = LetterboxedFrames(loaded.pixels[:n], loaded.placements[:n])
        checked = LetterboxedFrames(loaded.pixels[n:], loaded.placements[n:])
        photos = self.batches * self.settings.batch_size
        total = photos * self.settings.epochs
        with Progress("training the detector", total, done=photos * done) as progress:
            for epoch in range(done, self.settings.epochs):
                self._epoch(epoch, learned, checked, progress)
        return self._finish(checked)

    def _epoch(
        self,
        epoch: int,
        learned: LetterboxedFrames,
        checked: LetterboxedFrames,
        progress: Progress,
    ) -> None:
        started = time.monotonic()
        cpu_started = time.process_time()
        # Numbers of the epoch's own, so that one that is begun again sees the same views.
        rng = np.random.default_rng([self.settings.seed, epoch])
        order = rng.permutation(len(self.dealt.train))
        self.net.train()
        total = 0.0
        for batch in range(self.batches):
            first = batch * self.settings.batch_size
            chosen = order[first : first + self.settings.batch_size]
            loss = self._step(chosen, learned, rng)
            total += loss
            progress.advance(self.settings.batch_size, note=f"loss {loss:.3f}")
        found = self._found(self.dealt.validation, checked)
        reached = metrics.summary(found, LEAST_SCORE)
        row = {
            "epoch": epoch + 1,
            "loss": round(total / self.batches, 5),
            "ap50": reached["ap50"],
            "ap75": reached["ap75"],
            "map": reached["map"],
            "seconds": round(time.monotonic() - started, 2),
            "cpu_seconds": round(time.process_time() - cpu_started, 2),
        }
        self._keep(row)

    def _step(self, chosen: np.ndarray, learned: LetterboxedFrames, rng: Any) -> float:
        """One step of the optimiser on other views of some frames; returns the loss."""
        photos, heatmap, sides, core = self._batch(chosen, learned, rng)
        logits, found_sides = self.net(photos)
        loss = nets.loss(logits, found_sides, heatmap, sides, core)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), MOST_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        steps = self.schedule.last_epoch
        share = max(AVERAGED, AVERAGED_FIRST / (AVERAGED_FIRST + steps))
        nets.follow(self.average, self.net, share)
        return loss.item()

    def _batch(
        self, chosen: np.ndarray, learned: LetterboxedFrames, rng: np.random.Generator
    ) -> tuple[torch.Tensor, ...]:
        """photos (n, 3, size, size) in 0..1, and `centre_maps.Targets`, stacked."""
        names = self.settings.names
        photos = []
        maps = []
        for place in chosen:
            frame = self.dealt.train[place]
            boxes = learned.placements[place].to_input(frame.boxes)
            pixels = np.array(learned.pixels[place])
            photo, moved, in_view = augmentation.another_view(pixels, boxes, rng)
            classes = training_frames.class_numbers(frame, names)[in_view]
            photos.append(photo)
            size = self.settings.size
            maps.append(centre_maps.targets(moved[in_view], classes, len(names), size))
        stacked = [torch.from_numpy(np.stack(parts)) for parts in zip(*maps, strict=True)]
        pixels_of_all = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
        return (pixels_of_all.float() / 255, *stacked)

    def _found(self, frames: Sequence[LabelledFrame], loaded: LetterboxedFrames) -> list[Judged]:
        """What the net finds on frames as they are, beside what is there."""
        names = self.settings.names
        self.average.eval()
        judged = []
        for frame, pixels, placement in zip(frames, *loaded, strict=True):
            found = nets.find(self.average, pixels, placement, names, LEAST_SCORE)
            judged.append(Judged(found, _truth(frame, names)))
        return judged

    def _keep(self, row: Record) -> None:
        """After an epoch: the best weights, the log's row, the checkpoint."""
        earlier = max((past["map"] for past in self.history), default=-1.0)
        if row["map"] >= earlier:
            self.best = copy.deepcopy(self.average.state_dict())
        self.history.append(row)
        records.write_jsonl(self.folder / LOG, self.history)
        state = {
            "made_from": records.fingerprint(self.made_from),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "history": self.history,
        }
        with records.atomic_path(self.folder / CHECKPOINT) as part:
            torch.save(state, part)

    def _resume(self) -> None:
        """Goes on from the checkpoint, where there is one. Raises `TrainingError` for another's."""
        records.sweep_parts(self.folder)
        file = self.folder / CHECKPOINT
        if not file.exists():
            return
        state = torch.load(file, weights_only=True)
        if state["made_from"] != records.fingerprint(self.made_from):
            raise TrainingError(_other_training(self.folder))
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = state["best"]
        self.history = state["history"]
        print(f"going on after epoch {len(self.history)} of {self.settings.epochs}")

    def _finish(self, checked: LetterboxedFrames) -> Trained:
        """Writes the detector and its figures, and removes what only the training needed."""
        settings = self.settings
        self.average.load_state_dict(self.best)
        found = self._found(self.dealt.validation, checked)
        least_score = threshold.best(found)
        split, judged = self.dealt.judged()
        if judged is not self.dealt.validation:
            loaded = training_frames.load(judged, self.root, settings.size, self.folder / FRAMES)
            found = self._found(judged, loaded)
        description = export.Description(
            settings.names, settings.size, least_score, settings.crop_margin
        )
        file = self.folder / DETECTOR
        nets.write_weights(self.average, self.folder / WEIGHTS, description.metadata())
        export.write(self.average.folded(), nets.MOST_LOG_SIDE, description, file)
        result = {
            "judged_on": split,
            "threshold": least_score,
            **metrics.summary(found, least_score),
            "epochs": self.history,
            "detector_sha256": records.sha256_file(file),
            "made_from": self.made_from,
        }
        records.write_json(self.folder / METRICS, result)
        _clear(self.folder)
        return Trained(file, result)


def _finished(folder: Path, made_from: Record) -> Trained | None:
    """What an earlier training of the same has left. Raises `TrainingError` for one of something
    else, and for a detector that is not the one that it wrote.
    """
    if not is_finished(folder):
        _check_free(folder)
        return None
    result = records.read_json(folder / METRICS)
    if result.get("made_from") != made_from:
        raise TrainingError(_other_training(folder))
    file = folder / DETECTOR
    if result["detector_sha256"] != records.sha256_file(file):
        raise TrainingError(
            f"{file} is not the detector that was trained here; remove it and {METRICS} beside it "
            "to train again"
        )
    _clear(folder)
    return Trained(file, result)


def _check_free(folder: Path) -> None:
    """Raises `TrainingError` where a detector lies that no training of ours has put there."""
    file = folder / DETECTOR
    if file.exists() and not (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"{file} is there already, without a training beside it; name another folder, or move "
            "it away"
        )


def _clear(folder: Path) -> None:
    """Removes what only a training needs that goes on."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / FRAMES).unlink(missing_ok=True)


def _other_training(folder: Path) -> str:
    return (
        f"{folder} holds a training of other frames or with other settings; name another folder, or "
        "move this one aside (dishvl detect-train --redo does)"
    )


def _truth(frame: LabelledFrame, names: Sequence[str]) -> Detections:
    numbers = training_frames.class_numbers(frame, names)
    labels = tuple(names[number] for number in numbers)
    return Detections(frame.boxes, np.ones(len(labels), np.float32), labels)


def _check(settings: TrainingSettings) -> None:
    """Raises `TrainingError` for settings that no net can be trained with."""
    if settings.size < nets.COARSEST or settings.size % nets.COARSEST:
        raise TrainingError(f"size {settings.size}: must be a multiple of {nets.COARSEST} pixels")
    if settings.epochs < 1 or settings.batch_size < 1:
        raise TrainingError("epochs and batch_size must be at least 1")
    if not 0 < settings.validation_share < 1:
        raise TrainingError(
            f"validation_share {settings.validation_share}: must be between 0 and 1"
        )
    margin = settings.crop_margin
    if margin is not None and not crops.LEAST_MARGIN <= margin <= crops.MOST_MARGIN:
        limits = f"{crops.LEAST_MARGIN} and {crops.MOST_MARGIN}"
        raise TrainingError(f"crop_margin {margin}: must be between {limits}")
    if not settings.names or len(set(settings.names)) < len(settings.names):
        raise TrainingError("names must hold at least one class, and none of them twice")


def _seconds_per_photo(settings: TrainingSettings) -> float:
    """How long a photo takes to learn from on this machine, by two steps of a net of its own."""
    photos = torch.zeros(TIMED_PHOTOS, 3, settings.size, settings.size)
    with torch.random.fork_rng():
        net = CentreNet(len(settings.names))
    for _ in range(2):
        started = time.monotonic()
        logits, sides = net(photos)
        (logits.sum() + sides.sum()).backward()
    return (time.monotonic() - started) / TIMED_PHOTOS
