"""Photo features by PP-LCNet, each computed once: cached by photo hash, weights hash and preprocessing."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from dishvl_lib.core import images, records
from dishvl_lib.similarity.preprocess import Preprocess
from dishvl_lib.similarity.progress import Progress

COLUMNS = ("image_id", "path", "sha256")
RANDOM_WEIGHTS_SEED = 0


class FeatureError(ValueError):
    """Features that cannot be trusted: not finite, or without any direction."""


class FeatureCache:
    """sha256 of a photo -> feature (D,) float32, in an SQLite file named after weights and preprocessing."""

    def __init__(self, folder: Path, key: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"features-{key[:32]}.sqlite"
        self.connection = sqlite3.connect(self.path, timeout=60)
        self.connection.execute("CREATE TABLE IF NOT EXISTS features (sha256 TEXT PRIMARY KEY, feature BLOB) WITHOUT ROWID")

    def known(self) -> set[str]:
        return {row[0] for row in self.connection.execute("SELECT sha256 FROM features")}

    def get(self, sha256: str) -> np.ndarray:
        row = self.connection.execute("SELECT feature FROM features WHERE sha256 = ?", (sha256,)).fetchone()
        return np.frombuffer(row[0], np.float32)

    def put(self, keys: list[str], features: np.ndarray) -> None:
        rows = [(key, feature.tobytes()) for key, feature in zip(keys, features, strict=True)]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)

    def close(self) -> None:
        self.connection.close()


def extract(
    photos: pd.DataFrame,
    image_root: str | Path,
    weights_path: str | Path | None,
    cache_folder: str | Path,
    *,
    scale: float,
    image_size: int,
    batch_size: int = 32,
    preprocess: Preprocess | None = None,
    use_engine: bool = True,
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """(image_ids (N,) str, features (N, D) float32 of unit length, skipped (path, reason, detail)).

    `photos` has columns image_id, path and sha256; N counts those that could be read, in their order. The
    embedding is used where the weights have one (PP-ShiTu, our own training), else the 1280 pooled features. Without
    `weights_path` the network is random (seeded): a floor to compare with, not a model. `preprocess` overrides the
    customary resize and crop for `image_size`. Raises `FeatureError` for features that are NaN, infinite or zero,
    and `WeightsError` for weights of another scale or form.
    """
    records.require_columns(photos, COLUMNS, "photos for features")
    preprocess = preprocess or Preprocess.for_size(image_size)
    net = _network(weights_path, scale)
    key = _cache_key(net, preprocess)
    cache = FeatureCache(Path(cache_folder), key)
    try:
        todo = photos[~photos["sha256"].isin(cache.known())].drop_duplicates("sha256")
        skipped = pd.DataFrame(columns=["path", "reason", "detail"])
        if len(todo):
            run = _runner(net, preprocess.crop, Path(cache_folder) / f"engine-{key[:32]}", use_engine)
            skipped = _compute(todo, Path(image_root), preprocess, run, cache, batch_size)
        return _collect(photos, cache, skipped, net.feature_size)
    finally:
        cache.close()


def _network(weights_path: str | Path | None, scale: float):
    from dishvl_lib.similarity import pplcnet, weights

    size = weights.embedding_size(weights.load_pdparams(weights_path)) if weights_path else None
    net = pplcnet.seeded(RANDOM_WEIGHTS_SEED, scale=scale, class_num=0, embedding_size=size)
    if weights_path:
        pplcnet.load_weights(net, weights_path)
    net.eval()
    return net


def _cache_key(net, preprocess: Preprocess) -> str:
    from dishvl_lib.similarity import pplcnet

    return records.fingerprint([pplcnet.weights_hash(net), net.feature_size, repr(preprocess)])


def _runner(net, crop: int, folder: Path, use_engine: bool):
    from dishvl_lib.similarity import engine

    return engine.fast(net, crop, folder, _cores()) if use_engine else engine.plain(net)


def _compute(todo: pd.DataFrame, root: Path, preprocess: Preprocess, run, cache: FeatureCache, batch_size: int) -> pd.DataFrame:
    """Fills the cache; returns the photos that could not be read. Decoding runs ahead of the engine in threads."""
    skipped, pixels, keys = [], [], []
    progress = Progress("features by PP-LCNet", len(todo))
    for row, outcome in _decoded(todo, root, preprocess, ahead=4 * batch_size):
        if isinstance(outcome, images.ImageError):
            skipped.append({"path": row.path, "reason": outcome.reason, "detail": outcome.detail})
        else:
            pixels.append(outcome)
            keys.append(row)
        if len(keys) == batch_size:
            _flush(keys, pixels, preprocess, run, cache)
            pixels, keys = [], []
        progress.advance(1)
    if keys:
        _flush(keys, pixels, preprocess, run, cache)
    progress.close()
    return pd.DataFrame(skipped, columns=["path", "reason", "detail"])


def _flush(rows: list, pixels: list[np.ndarray], preprocess: Preprocess, run, cache: FeatureCache) -> None:
    features = run(preprocess.normalise(np.stack(pixels)))
    length = np.linalg.norm(features, axis=1)
    wrong = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if len(wrong):
        seen = "zero" if length[wrong[0]] == 0 else "not finite"
        raise FeatureError(
            f"{len(wrong)} of {len(rows)} features are {seen}, first for {rows[wrong[0]].path}: "
            "the weights are damaged or were trained with another preprocessing"
        )
    cache.put([row.sha256 for row in rows], (features / length[:, None]).astype(np.float32))


def _decoded(todo: pd.DataFrame, root: Path, preprocess: Preprocess, ahead: int) -> Iterator[tuple]:
    """(row, pixels or ImageError) in order, with at most `ahead` photos decoded but not yet taken."""
    rows = iter(todo.itertuples(index=False))
    with ThreadPoolExecutor(_cores()) as pool:
        waiting: list[tuple[object, Future]] = []
        for row in rows:
            waiting.append((row, pool.submit(_decode, root / row.path, row.sha256, preprocess)))
            if len(waiting) > ahead:
                first, future = waiting.pop(0)
                yield first, future.result()
        for row, future in waiting:
            yield row, future.result()


def _decode(path: Path, sha256: str, preprocess: Preprocess) -> np.ndarray | images.ImageError:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return images.ImageError("changed", "its bytes are not those that were catalogued")
        return preprocess.pixels(data)
    except FileNotFoundError:
        return images.ImageError("missing", f"no such file: {path}")
    except OSError as error:
        return images.ImageError("unreadable", error.strerror or str(error))
    except images.ImageError as error:
        return error


def _collect(photos: pd.DataFrame, cache: FeatureCache, skipped: pd.DataFrame, size: int) -> tuple:
    reasons = {row.path: row for row in skipped.itertuples(index=False)}
    by_hash = {sha: reasons[path] for sha, path in zip(photos["sha256"], photos["path"], strict=True) if path in reasons}
    known = photos["sha256"].isin(cache.known() - set(by_hash)).to_numpy()
    rows = [(path, by_hash[sha].reason, by_hash[sha].detail) for sha, path in photos.loc[~known, ["sha256", "path"]].values]
    matrix = np.empty((int(known.sum()), size), np.float32)
    for index, sha in enumerate(photos["sha256"][known]):
        matrix[index] = cache.get(sha)
    ids = photos["image_id"][known].astype(str).to_numpy(dtype=str)
    return ids, matrix, pd.DataFrame(rows, columns=["path", "reason", "detail"])


def _cores() -> int:
    return len(os.sched_getaffinity(0))
