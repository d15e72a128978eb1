"""What survives a kill: tensors, optimiser state and metrics, in one `.npz` without pickles."""

import json
import time
from pathlib import Path

import numpy as np
import paddle

from dishvl_lib.core import records
from dishvl_lib.core.types import Record
from dishvl_lib.similarity import pplcnet
from dishvl_lib.similarity.start import Learner


class TrainingState:
    """History, best weights and resume file of one training, identified by its settings.

    A resume file of other settings is left out of account and replaced.
    """

    def __init__(self, weights_path: Path, settings: dict, save_every_seconds: float):
        self.weights_path = weights_path
        self.settings = settings
        self.every = save_every_seconds
        self.report_path = weights_path.with_suffix(".json")
        self.path = weights_path.with_suffix(".state.npz")
        self.history: list[dict] = []
        self.best_accuracy: float | None = None
        self.best: dict[str, np.ndarray] = {}
        self.saved = time.monotonic()

    def finished(self) -> list[dict] | None:
        """The metrics of a training with these settings that has already ended, or None."""
        if not (self.weights_path.exists() and self.report_path.exists()):
            return None
        report = records.read_json(self.report_path)
        same = report.get("settings") == self.settings
        whole = same and report.get("weights_sha256") == records.sha256_file(self.weights_path)
        return report["epochs"] if whole else None

    def add(self, metrics: dict, net: Learner, optimizer: paddle.optimizer.Optimizer) -> None:
        """After an epoch: keep the weights when they are the best so far, save when it is time."""
        self.history.append(metrics)
        accuracy = metrics["validation_accuracy"]
        if accuracy is None or self.best_accuracy is None or accuracy >= self.best_accuracy:
            self.best_accuracy = accuracy
            self.best = net.folded()
        if time.monotonic() - self.saved >= self.every:
            self._save(net, optimizer)

    def resume(self, net: Learner, optimizer: paddle.optimizer.Optimizer) -> None:
        """Goes on from the resume file, when there is one of the same settings."""
        if not self.path.exists():
            return
        with np.load(self.path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if meta["settings"] != self.settings:
                return
            parts: dict[str, Record] = {"net": {}, "best": {}, "optimizer": {}}
            for name in file.files:
                part, _, key = name.partition("/")
                parts.setdefault(part, {})[key] = file[name]
        net.set_state_dict(parts["net"])
        tensors = {name: paddle.to_tensor(value) for name, value in parts["optimizer"].items()}
        optimizer.set_state_dict(tensors | {"LR_Scheduler": meta["schedule"]})
        self.history = meta["history"]
        self.best_accuracy = meta["best_accuracy"]
        self.best = parts["best"]

    def finish(self, dishes: list[str]) -> None:
        """Writes the best weights and the report, and removes the resume file."""
        pplcnet.save_weights(self.best, self.weights_path)
        report = {
            "settings": self.settings,
            "dishes": dishes,
            "best_validation_accuracy": self.best_accuracy,
            "weights_sha256": records.sha256_file(self.weights_path),
            "epochs": self.history,
        }
        records.write_json(self.report_path, report)
        self.path.unlink(missing_ok=True)

    def _save(self, net: Learner, optimizer: paddle.optimizer.Optimizer) -> None:
        state = dict(optimizer.state_dict())
        meta = {
            "settings": self.settings,
            "schedule": state.pop("LR_Scheduler"),
            "history": self.history,
            "best_accuracy": self.best_accuracy,
        }
        parts = {"net": _arrays(net.state_dict()), "best": self.best, "optimizer": _arrays(state)}
        arrays: Record = {"meta": json.dumps(meta)}
        for part, values in parts.items():
            for name, value in values.items():
                arrays[f"{part}/{name}"] = value
        with records.atomic_path(self.path) as temporary:
            np.savez(temporary, **arrays)
        self.saved = time.monotonic()


def _arrays(state: dict) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in state.items() if hasattr(value, "numpy")}
