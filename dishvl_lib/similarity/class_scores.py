"""What a class head says of photos: of a net that was trained here, or one fitted to its features.

It is the classifier that stage 05 compares with.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import AnyPath
from dishvl_lib.similarity import linear_head, workers
from dishvl_lib.similarity.preprocess import Preprocess

BATCH = 32


def class_scores(
    photos: pd.DataFrame,
    image_root: AnyPath,
    weights_path: AnyPath,
    *,
    scale: float,
    image_size: int,
) -> dict[str, np.ndarray]:
    """{image_id (N,) str, dish_id (C,) str, log_probability (N, C) float16} of readable photos.

    `photos` has image_id, path and sha256. The classes are those in the report that
    `classifier.train` wrote beside `weights_path`; weights without one (a user's own) have no class
    head that could be read as dishes: N and C are 0.
    """
    records.require_columns(photos, ("image_id", "path", "sha256"), "photos for the classifier")
    dishes = _dishes(Path(weights_path))
    if not dishes or photos.empty:
        return _nothing()
    head = _head(weights_path, scale, len(dishes))
    job = workers.Job(Path(image_root), Preprocess.for_size(image_size), head)
    ids, log_probability = _run(photos, job)
    return {
        "image_id": np.array(ids, dtype=str),
        "dish_id": np.array(dishes, dtype=str),
        "log_probability": log_probability,
    }


def fitted(
    train: pd.DataFrame, judged: pd.DataFrame, features: np.ndarray
) -> dict[str, np.ndarray]:
    """The same of a net without a class head: a linear one is fitted to the training photos.

    `train` and `judged` have image_id and dish_id; their index counts rows of `features` (N, D).
    """
    if train.empty or judged.empty:
        return _nothing()
    head = linear_head.fit(features[train.index], train["dish_id"].to_numpy(dtype=str))
    return {
        "image_id": judged["image_id"].to_numpy(dtype=str),
        "dish_id": head.classes,
        "log_probability": head.log_probability(features[judged.index]).astype(np.float16),
    }


def _nothing() -> dict[str, np.ndarray]:
    return {
        "image_id": np.zeros(0, str),
        "dish_id": np.zeros(0, str),
        "log_probability": np.zeros((0, 0), np.float16),
    }


def _dishes(weights_path: Path) -> list[str]:
    """The classes, when the JSON beside the weights reports the training that wrote these."""
    try:
        report = records.read_json(weights_path.with_suffix(".json"))
    except records.RecordError:
        return []
    if not isinstance(report, dict):
        return []
    is_ours = report.get("weights_sha256") == records.sha256_file(weights_path)
    return report["dishes"] if is_ours else []


def _head(weights_path: AnyPath, scale: float, classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """float32 (n, 3, S, S) -> log-probabilities (n, classes), without dropout, as in training."""
    import paddle

    from dishvl_lib.similarity import pplcnet, weights

    size = weights.embedding_size(weights.load_pdparams(weights_path))
    net = pplcnet.seeded(0, scale=scale, class_num=classes, embedding_size=size, dropout=0.0)
    pplcnet.load_weights(net, weights_path, fresh=())
    net.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            logits = net(paddle.to_tensor(batch))
            return paddle.nn.functional.log_softmax(logits, axis=1).numpy()

    return run


def _run(photos: pd.DataFrame, job: workers.Job) -> tuple[list[str], np.ndarray]:
    rows = list(photos[["path", "sha256"]].itertuples(index=False, name=None))
    ids = iter(photos["image_id"])
    blocks = []
    progress = Progress("PP-LCNet's classes", len(rows))
    kept = []
    for batch, scores, faults in workers.run(job, rows, BATCH):
        kept += [image_id for fault, image_id in zip(faults, ids, strict=False) if fault is None]
        if any(fault is None for fault in faults):
            blocks.append(scores.astype(np.float16))
        progress.advance(len(batch))
    progress.close()
    return kept, np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float16)
