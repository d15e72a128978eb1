"""A gallery on disk: `gallery.json`, which says what counts, and files of photos that never change.

A change writes a new file of photos, then a new gallery.json under a temporary name that is fsynced
and renamed: a writer that is killed leaves the old gallery or the new one, and at most a file that
the next change sweeps away. Removing a dish takes its name out of gallery.json.
"""

import contextlib
import os
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from dishvl_lib.core import locks, records
from dishvl_lib.core.types import Record

MANIFEST = "gallery.json"
FORMAT = 1
PHOTOS = "photos-*.npz"
WEIGHTS = "net.pdparams"
WAIT_S = 30.0  # for another process that changes the same gallery: it takes a moment
PAUSE_S = 0.1
READS = 5  # of a gallery that another process changes meanwhile
_in_process = threading.Lock()  # a file's lock does not keep threads of one process apart


class GalleryError(ValueError):
    """A gallery that cannot be used or changed; the message says which file and what to do."""


class Net(BaseModel):
    """The net that made the features. `file`: its weights in the gallery's folder, '' where a
    package holds them; `weights_sha256`: of its parameters.
    """

    net: str
    scale: float
    short_side: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    feature_size: int
    weights_sha256: str
    file: str = ""


class Segment(BaseModel):
    """A file of photos, and of which names how many of its rows count."""

    file: str
    photos: dict[str, int]


class Manifest(BaseModel):
    """gallery.json. `made_from`: fingerprint of what the run's dishes come from; `model`: of the
    model that the fusion was fitted for; `trained`: names that this model was trained on;
    `added_at`: when a dish was added by a person; `fusion`: the fitted numbers for menus and
    naming, None without.
    """

    format: int
    revision: int
    net: Net
    made_from: str
    model: str
    trained: list[str]
    added_at: dict[str, str]
    segments: list[Segment]
    fusion: dict[str, Record] | None

    @property
    def photos(self) -> dict[str, int]:
        """{name: registered photos}, in the order in which the dishes came."""
        counts: dict[str, int] = {}
        for segment in self.segments:
            for name, count in segment.photos.items():
                counts[name] = counts.get(name, 0) + count
        return counts


@dataclass(frozen=True)
class Photos:
    """Registered photos, a row each: name of the dish, feature (n, D) float32 of unit length,
    sha256 of the bytes, perceptual hashes. Pictures are of a few: `picture` (k,) JPEG bytes of the
    dish `pictured` (k,).
    """

    name: np.ndarray
    feature: np.ndarray
    sha256: np.ndarray
    phash: np.ndarray
    phash_mirrored: np.ndarray
    pictured: np.ndarray
    picture: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def of(self, names: Sequence[str]) -> "Photos":
        """The rows and pictures of these dishes."""
        rows = np.isin(self.name, list(names))
        pictures = np.isin(self.pictured, list(names))
        chosen = {}
        for field in fields(self):
            of_picture = field.name in ("pictured", "picture")
            chosen[field.name] = getattr(self, field.name)[pictures if of_picture else rows]
        return Photos(**chosen)


def no_photos(feature_size: int) -> Photos:
    """No rows."""
    texts = np.zeros(0, str)
    feature = np.zeros((0, feature_size), np.float32)
    return Photos(texts, feature, texts, texts, texts, texts, np.zeros(0, "S1"))


def together(parts: Sequence[Photos]) -> Photos:
    """The rows of all parts, in their order."""
    joined = {}
    for field in fields(Photos):
        joined[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    return Photos(**joined)


def is_gallery(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Raises `GalleryError` when there is none, or when it is damaged or of a later version."""
    file = folder / MANIFEST
    if not file.is_file():
        raise GalleryError(
            f"{folder} holds no gallery ({MANIFEST} is missing); stage 05 makes it beside best/: "
            "dishvl run PROFILE --from 05, with --redo 05 where it had finished without one"
        )
    try:
        content = records.read_json(file)
        manifest = Manifest.model_validate(content)
    except (records.RecordError, ValidationError) as error:
        raise damaged(file, error) from None
    if manifest.format > FORMAT:
        raise GalleryError(
            f"{file} was written by a later version of DishVL (format {manifest.format}, here "
            f"{FORMAT}); use that version"
        )
    return manifest


def read(folder: Path) -> tuple[Manifest, Photos]:
    """What counts of a gallery. Raises `GalleryError` for one that is damaged.

    A file that has gone because another process removed its dish is no damage: what counts then is
    read again.
    """
    for turn in range(READS):
        manifest = read_manifest(folder)
        try:
            parts = [_read_segment(folder, segment) for segment in manifest.segments]
        except FileNotFoundError as error:
            if turn + 1 < READS and read_manifest(folder).revision != manifest.revision:
                continue
            raise damaged(Path(error.filename), "it is gone") from None
        return manifest, together([no_photos(manifest.net.feature_size), *parts])
    raise GalleryError(f"{folder} is changed again and again by other processes; try later")


def damaged(file: Path, problem: object) -> GalleryError:
    """The error for a file that is not what was written."""
    text = " ".join(str(problem).split())
    return GalleryError(
        f"{file} is damaged ({text}); put back a copy of the folder {file.parent}, or move it away "
        "and let stage 05 make it again (--redo 05), then add the dishes that people added"
    )


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Keep every other process and thread from changing the gallery for a block.

    Raises `GalleryError` naming the process that keeps it longer than WAIT_S.
    """
    if not _in_process.acquire(timeout=WAIT_S):
        raise GalleryError(f"{folder} is being changed by another thread of this process")
    try:
        lock = lock_file(folder)
        _take(lock)
        try:
            yield
        finally:
            locks.release(lock)
    finally:
        _in_process.release()


def lock_file(folder: Path) -> Path:
    """Beside the folder, which may be moved."""
    return folder.with_name(f".{folder.name}.lock")


def _take(lock: Path) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            locks.take(lock, "changing a gallery")
            return
        except locks.LockedError as error:
            if time.monotonic() > until:
                raise GalleryError(
                    f"{lock.with_suffix('').name[1:]} is being changed by {error.holder}; wait "
                    "until it ends, then ask again"
                ) from None
        time.sleep(PAUSE_S)


def write_photos(folder: Path, photos: Photos) -> Segment:
    """A new file of photos, on the disk when this returns; it counts when gallery.json lists it."""
    file = folder / PHOTOS.replace("*", uuid.uuid4().hex[:12])
    arrays = {field.name: getattr(photos, field.name) for field in fields(photos)}
    # Half precision: 3,600 dishes of 30 photos are 280 MB instead of 550, and cosines keep three
    # digits.
    arrays["feature"] = photos.feature.astype(np.float16)
    with records.atomic_path(file) as temporary:
        np.savez(temporary, **arrays)
    names, counts = np.unique(photos.name, return_counts=True)
    return Segment(file=file.name, photos=dict(zip(names.tolist(), counts.tolist(), strict=True)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """From here on this is what counts; files that it does not list are deleted."""
    records.write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    _sync(folder)
    records.sweep_parts(folder)
    listed = {segment.file for segment in manifest.segments}
    for file in folder.glob(PHOTOS):
        if file.name not in listed:
            file.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """The rename itself onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_segment(folder: Path, segment: Segment) -> Photos:
    file = folder / segment.file
    try:
        with np.load(file) as stored:
            photos = Photos(**{field.name: stored[field.name] for field in fields(Photos)})
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(file, error) from None
    whole = Photos(**{**photos.__dict__, "feature": photos.feature.astype(np.float32)})
    return whole.of(list(segment.photos))
