"""Training PP-LCNet to tell the dishes apart, for users who have no weights of their own.

`train` writes a `.pdparams` and, beside it, `<name>.json` (settings, dishes, metrics of each
epoch). While it runs, `<name>.state.npz` holds all that an exact resume needs.
"""

import math
import time
from pathlib import Path

import numpy as np
import paddle
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import AnyPath, Record
from dishvl_lib.similarity import pplcnet
from dishvl_lib.similarity.photos import (
    STORED_SIDE_PER_CROP,
    LabelledPhotos,
    PhotoStore,
    balanced_order,
    full_paths,
)
from dishvl_lib.similarity.preprocess import Preprocess
from dishvl_lib.similarity.start import nearly_linear, new_learner
from dishvl_lib.similarity.training_state import TrainingState

COLUMNS = ("path", "dish_id")


def train(
    photos: pd.DataFrame,
    validation: pd.DataFrame,
    image_root: AnyPath,
    weights_path: AnyPath,
    *,
    scale: float = 0.5,
    image_size: int = 128,
    epochs: int = 12,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    init_weights: AnyPath = "",
    embedding_size: int = 256,
    num_workers: int = 0,
    memory_bytes: int = 2_000_000_000,
    save_every_seconds: float = 15.0,
) -> list[dict]:
    """Learns `photos` (columns path, dish_id) and returns one dict per epoch.

    Each holds epoch, loss, n, skipped, learning_rate, seconds, validation_n and validation_accuracy
    (None without validation photos).

    The network is of the PP-ShiTu form: an embedding of `embedding_size` between the pooled
    features and the class head. Without `init_weights` it starts from `start.nearly_linear`. The
    weights with the best validation accuracy are written to `weights_path` (without validation the
    last). Asked again with the same settings and photos it returns the stored metrics; a killed
    training goes on after its last saved epoch. `num_workers` processes prepare photos (0: this
    one). Raises ValueError for fewer than two dishes, `WeightsError` for unusable `init_weights`.

    A step is made by one process. Shared out among cores it was 1.3 times as fast in the demo, but
    batch normalisation then sees a share of the batch: the accuracy depended on the machine.
    """
    records.require_columns(photos, COLUMNS, "training photos")
    dishes = sorted(photos["dish_id"].unique())
    if len(dishes) < 2:
        raise ValueError(
            "training a classifier needs at least two dishes with training photos, got "
            f"{len(dishes)}"
        )
    settings = {
        "scale": scale,
        "image_size": image_size,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "embedding_size": embedding_size,
        "init_weights": records.sha256_file(init_weights) if init_weights else "",
        "photos": records.fingerprint([_rows(photos), _rows(validation)]),
    }
    state = TrainingState(Path(weights_path), settings, save_every_seconds)
    stored = state.finished()
    if stored is not None:
        return stored
    known = validation
    if len(validation):
        known = validation[validation["dish_id"].isin(dishes)]
    loaders = _Loaders(photos, known, dishes, image_root, settings, num_workers, memory_bytes)
    with paddle.utils.unique_name.guard():
        return _Training(settings, dishes, init_weights, loaders, state).run()


def smoothed_cross_entropy(
    logits: paddle.Tensor, labels: paddle.Tensor, smoothing: float = 0.1
) -> paddle.Tensor:
    """Cross-entropy of (N, classes) logits with label smoothing, mean over the batch."""
    log_probability = paddle.nn.functional.log_softmax(logits, axis=1)
    right = paddle.nn.functional.nll_loss(log_probability, labels)
    return (1 - smoothing) * right - smoothing * log_probability.mean()


class _Loaders:
    """Paddle data loaders over the training and the validation photos.

    Batches are of equal size, give or take one photo: batch normalisation cannot learn from a
    remainder of one.
    """

    def __init__(self, photos, validation, dishes, image_root, settings, num_workers, memory_bytes):
        label = {dish: index for index, dish in enumerate(dishes)}
        self.size = settings["image_size"]
        self.batch = settings["batch_size"]
        self.seed = settings["seed"]
        self.num_workers = num_workers
        self.preprocess = Preprocess.for_size(self.size)
        n_photos = len(photos)
        share = n_photos / max(1, n_photos + len(validation))
        self.train = self._labelled(photos, label, image_root, int(memory_bytes * share), True)
        self.validation = self._labelled(
            validation, label, image_root, int(memory_bytes * (1 - share)), False
        )

    def _labelled(
        self,
        photos: pd.DataFrame,
        label: dict[str, int],
        image_root: AnyPath,
        memory_bytes: int,
        augment: bool,
    ) -> LabelledPhotos:
        stored_side = round(self.size * STORED_SIDE_PER_CROP)
        store = PhotoStore(full_paths(photos, image_root), stored_side, memory_bytes)
        labels = np.array([label[dish] for dish in photos["dish_id"]], np.int64)
        return LabelledPhotos(store, labels, self.size, augment, self.seed)

    def order(self, epoch: int) -> np.ndarray:
        return balanced_order(self.train.labels, np.random.default_rng((self.seed, epoch)))

    def steps_per_epoch(self) -> int:
        return -(-len(self.order(0)) // self.batch)

    def training_batches(self, epoch: int):
        self.train.epoch = epoch
        return self._loader(self.train, self.order(epoch))

    def validation_batches(self):
        return self._loader(self.validation, np.arange(len(self.validation)))

    def _loader(self, dataset: LabelledPhotos, order: np.ndarray):
        n_batches = -(-len(order) // self.batch)
        batches = [batch.tolist() for batch in np.array_split(order, n_batches)]
        # Paddle takes more than its annotations say: any photos with a length, a list of batches.
        arguments: Record = {
            "dataset": dataset,
            "batch_sampler": batches,
            "collate_fn": self._collate,
            "num_workers": self.num_workers,
            "return_list": True,
        }
        return paddle.io.DataLoader(**arguments)

    def _collate(self, rows: list) -> tuple[np.ndarray, np.ndarray]:
        rows = [row for row in rows if row is not None]
        if not rows:
            return np.zeros((0, 3, self.size, self.size), np.float32), np.zeros(0, np.int64)
        images, labels = zip(*rows, strict=True)
        return self.preprocess.normalise(np.stack(images)), np.array(labels, np.int64)


class _Training:
    def __init__(
        self,
        settings: dict,
        dishes: list[str],
        init_weights: AnyPath,
        loaders: _Loaders,
        state: TrainingState,
    ):
        self.settings = settings
        self.dishes = dishes
        self.loaders = loaders
        self.state = state
        sizes = {name: settings[name] for name in ("scale", "embedding_size", "seed")}
        self.net = new_learner(class_num=len(dishes), **sizes)
        if init_weights:
            print(
                *pplcnet.load_weights(self.net.net, init_weights, fresh=("fc.", "embedding.")),
                sep="\n",
            )
        else:
            nearly_linear(self.net.net, settings["seed"])
        self.optimizer = self._optimizer()
        state.resume(self.net, self.optimizer)

    def _optimizer(self) -> paddle.optimizer.Optimizer:
        steps = self.settings["epochs"] * self.loaders.steps_per_epoch()
        warmup = max(1, steps // 10)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            progress = (step - warmup) / max(1, steps - warmup)
            return 0.5 * (1 + math.cos(math.pi * progress))

        rate = paddle.optimizer.lr.LambdaDecay(self.settings["learning_rate"], factor)
        return paddle.optimizer.AdamW(
            rate,
            parameters=self.net.parameters(),
            weight_decay=0.02,
            apply_decay_param_fun=lambda name: ".w_" in name and "batch_norm" not in name,
        )

    def run(self) -> list[dict]:
        epochs = self.settings["epochs"]
        done = len(self.state.history)
        photos = len(self.loaders.order(0))
        progress = Progress("training PP-LCNet", epochs * photos, done=done * photos)
        for epoch in range(done + 1, epochs + 1):
            self.state.add(self._epoch(epoch, progress), self.net, self.optimizer)
        best = self.state.best_accuracy
        progress.close("" if best is None else f"validation accuracy {best:.3f}")
        self.state.finish(self.dishes)
        return self.state.history

    def _epoch(self, epoch: int, progress: Progress) -> dict:
        start = time.perf_counter()
        losses = 0.0
        n = 0
        for images, labels in self.loaders.training_batches(epoch):
            if len(labels):
                losses += self._step(images, labels) * len(labels)
                n += len(labels)
            progress.advance(len(labels), f"epoch {epoch}, loss {losses / max(n, 1):.3f}")
        if n == 0:
            raise ValueError("none of the training photos can be read any more")
        metrics = {
            "epoch": epoch,
            "loss": losses / n,
            "n": n,
            "skipped": len(self.loaders.order(epoch)) - n,
        }
        metrics |= {"learning_rate": self.optimizer.get_lr(), **self._validate()}
        return metrics | {"seconds": time.perf_counter() - start}

    def _step(self, images: paddle.Tensor, labels: paddle.Tensor) -> float:
        self.net.train()
        mean_loss = smoothed_cross_entropy(self.net(images), labels)
        mean_loss.backward()
        loss = float(mean_loss)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss}: lower learning_rate (it is {self.optimizer.get_lr():.2g})"
            )
        self.optimizer.step()
        self.optimizer.clear_grad()
        self.optimizer._learning_rate.step()
        return loss

    def _validate(self) -> dict:
        right = 0
        n = 0
        batches = self.loaders.validation_batches() if len(self.loaders.validation) else ()
        self.net.eval()
        for images, labels in batches:
            if not len(labels):
                continue
            with paddle.no_grad():
                answers = self.net(images).numpy().argmax(axis=1)
            right += int((answers == labels.numpy()).sum())
            n += len(labels)
        return {"validation_n": n, "validation_accuracy": right / n if n else None}


def _rows(photos: pd.DataFrame) -> list:
    columns = [name for name in ("path", "dish_id", "sha256") if name in photos.columns]
    return photos[columns].astype(str).values.tolist() if len(photos) else []
