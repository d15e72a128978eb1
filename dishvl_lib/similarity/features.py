"""Photo features by a net, each computed once.

They are cached by photo hash, weights hash and preprocessing.
"""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, cores, params, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import AnyPath
from dishvl_lib.similarity import workers
from dishvl_lib.similarity.preprocess import Preprocess

COLUMNS = ("image_id", "path", "sha256")
RANDOM_WEIGHTS_SEED = 0
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class FeatureError(ValueError):
    """Features that cannot be trusted: not finite, or without any direction."""


class FeatureCache:
    """sha256 of a photo -> feature (D,) float32, in an SQLite file.

    The file is named after weights and preprocessing.
    """

    def __init__(self, folder: Path, key: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"features-{key[:32]}.sqlite"
        try:
            self.connection = self._open()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in DAMAGED:
                raise
            damage = f"the cache of features {self.path} is damaged ({error})"
            print(f"{damage}; it is made again", flush=True)
            for file in folder.glob(f"{self.path.name}*"):
                file.unlink()
            self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS features (sha256 TEXT PRIMARY KEY, feature BLOB) "
            "WITHOUT ROWID"
        )
        # Reads every row: damage shows here.
        connection.execute("SELECT SUM(length(feature)) FROM features").fetchone()
        return connection

    def drop_other_sizes(self, size: int) -> None:
        """Forget features that do not have `size` numbers: their row is damaged."""
        n_bytes = size * np.dtype(np.float32).itemsize
        with self.connection:
            self.connection.execute("DELETE FROM features WHERE length(feature) != ?", (n_bytes,))

    def known(self) -> set[str]:
        return {sha256 for (sha256,) in self.connection.execute("SELECT sha256 FROM features")}

    def get(self, sha256: str) -> np.ndarray:
        query = "SELECT feature FROM features WHERE sha256 = ?"
        (feature,) = self.connection.execute(query, (sha256,)).fetchone()
        return np.frombuffer(feature, np.float32)

    def put(self, keys: list[str], features: np.ndarray) -> None:
        rows = [(key, feature.tobytes()) for key, feature in zip(keys, features, strict=True)]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)

    def close(self) -> None:
        self.connection.close()


def extract(
    photos: pd.DataFrame,
    image_root: AnyPath,
    weights_path: AnyPath | None,
    cache_folder: AnyPath,
    *,
    scale: float,
    image_size: int,
    net: str = params.PPLCNET,
    batch_size: int = 16,
    preprocess: Preprocess | None = None,
    use_engine: bool = True,
    processes: int = 0,
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """(image_ids (N,) str, features (N, D) float32 of unit length, skipped (path, reason, detail)).

    `photos` has columns image_id, path and sha256; N counts those that could be read, in their
    order. `net` is one of `params.NETS`; EfficientNet-Lite0 takes neither weights, scale nor size.
    Of the others the embedding is used where the weights have one (PP-ShiTu, our own training),
    else the 1280 pooled features. Without `weights_path` the network is random (seeded): a floor to
    compare with, not a model. `preprocess` overrides the customary resize and crop.
    `processes` share the work (0: one per core where the new photos are worth it, `workers.run`,
    this one alone below); with several, a script that calls this needs the usual `__main__` guard.
    Raises `FeatureError` for features that are NaN, infinite or zero, `WeightsError` for weights of
    another scale or form, and RuntimeError when a process dies.
    """
    records.require_columns(photos, COLUMNS, "photos for features")
    preprocess = preprocess or Preprocess.customary(net, image_size)
    built = network(weights_path, scale, net)
    key = _cache_key(built, preprocess)
    cache = FeatureCache(Path(cache_folder), key)
    try:
        cache.drop_other_sizes(built.feature_size)
        is_known = photos["sha256"].isin(cache.known())
        todo = photos[~is_known].drop_duplicates("sha256")
        skipped = pd.DataFrame(columns=list(artefacts.LEFT_OUT_COLUMNS))
        if len(todo):
            engine_folder = Path(cache_folder) / f"engine-{key[:32]}"
            run = _runner(built, preprocess.crop, engine_folder, use_engine)
            job = workers.Job(Path(image_root), preprocess, run)
            skipped = _compute(todo, job, cache, batch_size, processes)
        return _collect(photos, cache, skipped, built.feature_size)
    finally:
        cache.close()


def network(weights_path: AnyPath | None, scale: float, net: str = params.PPLCNET):
    """The net in evaluation mode, with these weights or those of its package; `scale` of a
    PP-LCNet.

    Raises `WeightsError` for weights that do not fit or are absent.
    """
    from dishvl_lib.similarity import efficientnet_lite, pplcnet, pplcnet_v2, weights

    if net == params.EFFICIENTNET_LITE0:
        return efficientnet_lite.pretrained()
    state = weights.our_names(weights.load_pdparams(weights_path)) if weights_path else {}
    if weights.is_v2(state):
        second, _ = pplcnet_v2.load(state, weights_path)
        second.eval()
        return second
    if net == params.PPLCNET_V2:
        raise weights.WeightsError(
            f"{weights_path} holds no PP-LCNetV2; set net to {params.PPLCNET}"
        )
    size = weights.embedding_size(state)
    first = pplcnet.seeded(RANDOM_WEIGHTS_SEED, scale=scale, class_num=0, embedding_size=size)
    if weights_path:
        pplcnet.load_weights(first, weights_path)
    first.eval()
    return first


def _cache_key(net, preprocess: Preprocess) -> str:
    from dishvl_lib.similarity import pplcnet

    return records.fingerprint([pplcnet.weights_hash(net), net.feature_size, repr(preprocess)])


def _runner(net, crop: int, folder: Path, use_engine: bool):
    from dishvl_lib.similarity import engine

    return engine.fast(net, crop, folder, cores.available()) if use_engine else engine.plain(net)


def _compute(
    todo: pd.DataFrame, job: workers.Job, cache: FeatureCache, batch_size: int, processes: int
) -> pd.DataFrame:
    """Fills the cache; returns the photos that could not be read."""
    skipped = []
    progress = Progress("photo features", len(todo))
    rows = list(todo[["path", "sha256"]].itertuples(index=False, name=None))
    for batch, features, faults in workers.run(job, rows, batch_size, processes):
        paths = []
        hashes = []
        for (path, sha256), fault in zip(batch, faults, strict=True):
            if fault is None:
                paths.append(path)
                hashes.append(sha256)
            else:
                skipped.append((path, *fault))
        if paths:
            cache.put(hashes, unit_length(features, paths))
        progress.advance(len(batch))
    progress.close()
    return pd.DataFrame(skipped, columns=list(artefacts.LEFT_OUT_COLUMNS))


def unit_length(features: np.ndarray, paths: list[str]) -> np.ndarray:
    """(n, D) float32 of length 1. Raises `FeatureError` naming the first path whose features are
    not finite or zero.
    """
    length = np.linalg.norm(features, axis=1)
    wrong = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if len(wrong):
        first = wrong[0]
        fault = "zero" if length[first] == 0 else "not finite"
        raise FeatureError(
            f"{len(wrong)} of {len(paths)} features are {fault}, first for {paths[first]}: "
            "the weights are damaged or were trained with another preprocessing"
        )
    return (features / length[:, None]).astype(np.float32)


def _collect(photos: pd.DataFrame, cache: FeatureCache, skipped: pd.DataFrame, size: int) -> tuple:
    """What `extract` returns; a photo that was skipped brings along all that have its bytes."""
    hashes = photos[["path", "sha256"]].drop_duplicates()
    fault_of_hash = skipped.merge(hashes, on="path").drop(columns="path").drop_duplicates("sha256")
    faulty = set(fault_of_hash["sha256"])
    is_known = photos["sha256"].isin(cache.known() - faulty)
    without = photos[~is_known][["path", "sha256"]].merge(fault_of_hash, on="sha256")
    known = photos[is_known]
    matrix = np.empty((len(known), size), np.float32)
    for index, sha256 in enumerate(known["sha256"]):
        matrix[index] = cache.get(sha256)
    ids = known["image_id"].astype(str).to_numpy(dtype=str)
    return ids, matrix, without[list(artefacts.LEFT_OUT_COLUMNS)]
