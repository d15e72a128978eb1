"""The gallery of a run: stage 02's features of the training photos, and the folder beside best/."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dishvl_lib.core import images, records
from dishvl_lib.core.types import DishNames
from dishvl_lib.gallery import store
from dishvl_lib.gallery.gallery import Gallery
from dishvl_lib.gallery.photos import picture_of
from dishvl_lib.gallery.store import Manifest, Net, Photos

COLUMNS = ("image_id", "dish_id", "sha256", "phash", "phash_mirrored")


def registered(
    photos: pd.DataFrame, dish_names: DishNames, features: Mapping[str, np.ndarray]
) -> Photos:
    """The rows of these photos (COLUMNS) that have a feature (image_id -> (D,)) and a name, without
    pictures.
    """
    records.require_columns(photos, COLUMNS, "photos for a gallery")
    has_feature = photos.image_id.isin(features.keys())
    known = photos[has_feature & photos.dish_id.isin(dish_names.keys())]
    if known.empty:
        return store.no_photos(len(next(iter(features.values()), ())))
    return Photos(
        name=known.dish_id.map(dish_names).to_numpy(dtype=str),
        feature=np.stack([features[image_id] for image_id in known.image_id]),
        sha256=known.sha256.to_numpy(dtype=str),
        phash=known.phash.to_numpy(dtype=str),
        phash_mirrored=known.phash_mirrored.to_numpy(dtype=str),
        pictured=np.zeros(0, str),
        picture=np.zeros(0, "S1"),
    )


def in_memory(rows: Photos, net: str) -> Gallery:
    """A gallery of a run's training photos: the model was trained on all of its dishes."""
    trained = sorted({str(name) for name in rows.name})
    counts = {name: int((rows.name == name).sum()) for name in trained}
    unopened = Net(
        net=net,
        scale=1.0,
        short_side=1,
        crop=1,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        feature_size=rows.feature.shape[1],
        weights_sha256="",
    )
    manifest = Manifest(
        format=store.FORMAT,
        revision=1,
        net=unopened,
        made_from=_fingerprint(rows),
        model="",
        trained=trained,
        added_at={},
        segments=[store.Segment(file="", photos=counts)],
        fusion=None,
    )
    return Gallery(manifest, rows)


def with_pictures(
    rows: Photos, photos: pd.DataFrame, dish_names: DishNames, image_root: Path
) -> Photos:
    """The same rows with a small picture of each dish: of the first of its `photos` (path, dish_id,
    the best first) that can be read.
    """
    pictures: dict[str, bytes] = {}
    for photo in photos.itertuples():
        name = dish_names.get(photo.dish_id)
        if name is None or name in pictures:
            continue
        try:
            pictures[name] = picture_of((image_root / photo.path).read_bytes())
        except (images.ImageError, OSError):
            continue
    pictured = np.array(list(pictures), dtype=str)
    picture = np.array(list(pictures.values()), dtype="S") if pictures else np.zeros(0, "S1")
    return Photos(**{**rows.__dict__, "pictured": pictured, "picture": picture})


def publish(
    folder: Path,
    gallery: Gallery,
    net: Net,
    weights: Path | None,
    model: str,
    *,
    replace: bool = True,
) -> str:
    """Write a run's gallery, with its fusion and its net, whose `weights` are copied, to the folder
    beside best/; returns a sentence on what was done.

    One that is there and was made from the same photos keeps the dishes that people added, and gets
    the new fusion. One of other photos is replaced, unless people added dishes to it or it is
    another run's (`replace` False).
    """
    with store.changing(folder):
        if not store.is_gallery(folder):
            return _write_new(folder, gallery, net, weights, model)
        there = store.read_manifest(folder)
        same_net = there.net.weights_sha256 == net.weights_sha256
        if there.made_from == gallery.manifest.made_from and same_net:
            fitted = {"fusion": gallery.manifest.fusion, "model": model}
            revision = {"revision": there.revision + 1}
            store.write_manifest(folder, there.model_copy(update=fitted | revision))
            return f"{folder} was there; how it answers with the model was fitted again"
        if there.added_at:
            return (
                f"{folder} was made from other photos or by another net, and people added "
                f"{len(there.added_at)} dishes to it: it stays as it is. Move it away and run stage "
                "05 again (--redo 05) to make it anew, then add those dishes again"
            )
        if not replace:
            return f"{folder} was made from other photos by the run that it belongs to; it stays"
        return _write_new(folder, gallery, net, weights, model)


def _write_new(folder: Path, gallery: Gallery, net: Net, weights: Path | None, model: str) -> str:
    revision = 1
    if store.is_gallery(folder):
        revision = store.read_manifest(folder).revision + 1
    if weights is not None:
        with records.atomic_path(folder / net.file) as temporary:
            shutil.copyfile(weights, temporary)
    segment = store.write_photos(folder, gallery.photos)
    changed = {"net": net, "model": model, "segments": [segment], "revision": revision}
    store.write_manifest(folder, gallery.manifest.model_copy(update=changed))
    return f"{folder} holds {len(gallery)} dishes; dishvl dish add puts others beside them"


def _fingerprint(rows: Photos) -> str:
    """Of what a gallery is made from: names and photos. The net is compared by its weights."""
    return records.fingerprint(sorted(zip(rows.name.tolist(), rows.sha256.tolist(), strict=True)))
