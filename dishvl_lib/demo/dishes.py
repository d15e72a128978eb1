"""The demo's photo set: drawn dishes from above, in the reference's folders and file names, with
planted dirt.

`draw_demo_photos(folder)` writes

    photos/<name><n?>@<SITE>_<YYYYMMDD>/*.jpg    the site's own photos, long and short file names,
    crops of one frame
    site_b/<poor name>/*.jpg                     another dining room; site_b_truth.csv and
    site_b_menu.csv go with it
    planted.json                                 {kind of dirt: path}
    thumbnails.npz                               thumbnails (N, 16, 16, 3) uint8, names (N,), paths
    (N,)
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dishvl_lib.demo import drawing_pool
from dishvl_lib.demo.cards import DISHES, LOOK_ALIKE_PAIRS, Dish, dish_card
from dishvl_lib.demo.drawing import SIZE, Span, expose
from dishvl_lib.demo.plating import CANTEEN, OUTSIDE, LaidTable, draw_scene

__all__ = ["DISHES", "LOOK_ALIKE_PAIRS", "Dish", "dish_card", "draw_demo_photos", "thumbnail"]

SITES = ("HGD", "ZHONGGUANGHE", "XSYY", "BJ2")
# Dishes registered twice, so that two folders mean one dish.
SPLIT_NAMES = ("红烧肉", "土豆丝", "番茄炒蛋")
SITE_B_NAMES = (
    "红烧鱼",
    "红烧鱼块",
    "土豆丝",
    "青椒土豆丝",
    "番茄炒蛋",
    "宫保鸡丁",
    "辣子鸡丁",
    "麻婆豆腐",
    "红烧肉",
    "红烧排骨",
    "清炒菠菜",
    "米饭",
)
SITE_B_PHOTOS = 8
THUMBNAIL_SIDE = 16
DUPLICATE_STEM = "20210602114209_8190820012282_0d0d0d0d0d0d$402_310_998_905"


@dataclass(frozen=True)
class _Job:
    """Photos of one dish: n photos into folders (relative to the set's root)."""

    name: str
    folders: tuple[str, ...]
    photos: int
    seed: tuple[int, ...]
    outside: bool


class _Drawn(NamedTuple):
    """A photo of the set: its path relative to the set's root, its dish, its thumbnail."""

    path: str
    name: str
    thumbnail: np.ndarray


def draw_demo_photos(
    folder: Path,
    *,
    photos_per_dish: int = 44,
    seed: int = 0,
    processes: int = 2,
    dishes: Sequence[str] | None = None,
) -> None:
    """Draws the whole set into `folder`: the same bytes for the same arguments, whatever
    `processes` is.

    `dishes` limits the set to some names of DISHES. The set appears under its name only when it is
    complete. With processes > 1 the work is spawned, so a script that calls this needs the usual
    `__main__` guard. Raises FileExistsError when `folder` is there already and ValueError for a
    name that is not in DISHES.
    """
    folder = Path(folder)
    names = list(DISHES) if dishes is None else list(dishes)
    if unknown := [name for name in names if name not in DISHES]:
        raise ValueError(f"no drawn dish is called {unknown[0]!r}; choose from {'、'.join(DISHES)}")
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already; remove it or choose another folder for the demo's photos"
        )
    half_done = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    jobs = _jobs(names, photos_per_dish, seed)
    counts = [job.photos for job in jobs]
    parts = drawing_pool.run(_draw_job, jobs, counts, half_done, unit="photos", processes=processes)
    drawn = list(chain.from_iterable(parts))
    drawn += _plant_dirt(half_done, drawn)
    _write_site_b_tables(half_done, [job for job in jobs if job.outside])
    _write_thumbnails(half_done, drawn)
    os.replace(half_done, folder)


def thumbnail(photo: Image.Image) -> np.ndarray:
    """A photo's fingerprint for recognition: (16, 16, 3) uint8, box-averaged RGB."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(photo.convert("RGB").resize(side, Image.Resampling.BOX), np.uint8)


def _jobs(names: list[str], photos: int, seed: int) -> list[_Job]:
    places = {name: place for place, name in enumerate(DISHES)}
    jobs = []
    for name in names:
        folders = _class_folders(name, places[name])
        jobs.append(_Job(name, folders, photos, (seed, places[name], 0), outside=False))
    at_site_b = [name for name in SITE_B_NAMES if name in names]
    few = min(SITE_B_PHOTOS, photos)
    for number, name in enumerate(at_site_b):
        floor = 4 + number // 5
        counter = 1 + (7 * number) % 13
        folder = f"site_b/GX{floor}_{counter}"
        jobs.append(_Job(name, (folder,), few, (seed, places[name], 1), outside=True))
    return jobs


def _class_folders(name: str, index: int) -> tuple[str, ...]:
    if name in SPLIT_NAMES:
        return f"photos/{name}1@HGD_20211221", f"photos/{name}2@ZHONGGUANGHE_20220901"
    year = 2021 + index % 2
    month = 1 + index % 12
    day = 1 + 5 * index % 28
    date = f"{year}{month:02d}{day:02d}"
    has_number = index % 4 == 0
    number = 1 + index % 3 if has_number else ""
    site = SITES[index % len(SITES)]
    return (f"photos/{name}{number}@{site}_{date}",)


def _draw_job(job: _Job, root: Path) -> list[_Drawn]:
    """Draws and writes one dish's photos."""
    drawn: list[_Drawn] = []
    place = OUTSIDE if job.outside else CANTEEN
    for folder in job.folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    frame = 0
    while len(drawn) < job.photos:
        rng = np.random.default_rng([*job.seed, frame])
        is_single = job.outside or rng.random() < 0.82
        crops = 1 if is_single else int(rng.integers(2, 4))
        folder = job.folders[frame % len(job.folders)]
        file_name = _frame_names(rng, frame, len(drawn), job.outside)
        table = draw_scene(job.name, rng, place)
        box = _crop_box(rng)
        missing = job.photos - len(drawn)
        for crop in range(min(crops, missing)):
            box = _nudge(rng, box) if crop else box
            photo = _shoot(table, rng, box)
            path = f"{folder}/{file_name(crop, box)}"
            quality = int(rng.integers(50, 96))
            photo.save(root / path, "JPEG", quality=quality)
            drawn.append(_Drawn(path, job.name, thumbnail(photo)))
        frame += 1
    return drawn


def _frame_names(rng: np.random.Generator, frame: int, counter: int, outside: bool):
    """A function (crop number, crop box) -> file name, in the long or the short form of the
    reference.
    """
    if outside:
        return lambda crop, box: f"{counter + 1:03d}.jpg"
    day = f"202{rng.integers(1, 3)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    time = f"{day}{rng.integers(10, 20)}{rng.integers(60):02d}{rng.integers(60):02d}"
    device = 8190820012282 + int(rng.integers(6))
    frame_id = rng.bytes(6).hex()
    if frame % 2:
        return lambda crop, box: f"{time}-{crop + 1}#{counter + crop + 1}.jpg"
    prefix = f"{time}_{device}_{frame_id}"
    return lambda crop, box: f"{prefix}${_in_frame(box)}#{counter + crop + 1}.jpg"


def _in_frame(box: Span) -> str:
    """The crop box as the camera's full frame would number it."""
    pixels = [round(300 + 1.6 * value) for value in box]
    return "_".join(map(str, pixels))


def _crop_box(rng: np.random.Generator) -> Span:
    side = SIZE * rng.uniform(0.54, 0.66)
    width = side * rng.uniform(0.94, 1.06)
    height = side * rng.uniform(0.94, 1.06)
    x, y = SIZE / 2 + rng.normal(0, 0.02, 2) * SIZE
    left = x - width / 2
    top = y - height / 2
    return _inside(left, top, width, height)


def _nudge(rng: np.random.Generator, box: Span) -> Span:
    """Nearly the same crop: another detector pass over the same frame."""
    grow = rng.uniform(0.92, 1.05, 2)
    shift = rng.normal(0, 0.02, 2) * SIZE
    width, height = (box.width, box.height) * grow
    left, top = (box.left, box.top) + shift
    return _inside(left, top, width, height)


def _inside(x: float, y: float, width: float, height: float) -> Span:
    width = min(width, SIZE)
    height = min(height, SIZE)
    x = min(max(0.0, x), SIZE - width)
    y = min(max(0.0, y), SIZE - height)
    return Span(x, y, x + width, y + height)


def _shoot(table: LaidTable, rng: np.random.Generator, box: Span) -> Image.Image:
    """The crop of one frame as a camera would give it: 320-420 px on the short side."""
    left, top, right, bottom = (round(value) for value in box)
    exposure = rng.uniform(0.9, 1.12)
    blur = 0.0 if rng.random() < 0.6 else rng.uniform(0.3, 1.0)
    grain = rng.uniform(0.004, 0.02)
    light = table.light((slice(top, bottom), slice(left, right)))
    photo = expose(light, rng, exposure, blur, grain)
    scale = rng.integers(320, 421) / min(photo.size)
    size = (round(photo.width * scale), round(photo.height * scale))
    return photo.resize(size, Image.Resampling.BILINEAR)


def _plant_dirt(root: Path, drawn: list[_Drawn]) -> list[_Drawn]:
    """Spoils one photo for each kind of dirt, in different dishes where there are enough; returns
    the added rows.

    A set too small for all kinds goes without the rest: planted.json says what is there.
    """
    inside = [photo for photo in drawn if photo.path.startswith("photos/")]
    names = list(dict.fromkeys(photo.name for photo in inside))
    planted: dict[str, str] = {}
    for index, (kind, spoil) in enumerate(_DIRT.items()):
        name = names[(3 * index) % len(names)]
        of_dish = [photo.path for photo in inside if photo.name == name]
        clean = [path for path in of_dish if path not in planted.values()]
        if clean:
            planted[kind] = clean[0]
            spoil(root / clean[0])
    untouched = [photo for photo in inside if photo.path not in planted.values()]
    source = untouched[-1] if untouched else inside[-1]
    folder = Path(source.path).parent.as_posix()
    copy = f"{folder}/{DUPLICATE_STEM}#{len(drawn)}.jpg"
    shutil.copyfile(root / source.path, root / copy)
    planted["duplicate"] = copy
    text = json.dumps(planted, ensure_ascii=False, indent=1)
    (root / "planted.json").write_text(text + "\n", encoding="utf-8")
    return [source._replace(path=copy)]


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    kept = len(data) * 2 // 5
    path.write_bytes(data[:kept])


def _turn(path: Path) -> None:
    """Pixels a quarter turn off, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = _pixels(path).transpose(Image.Transpose.ROTATE_90)
    turned.save(path, "JPEG", quality=90, exif=exif)


def _to_cmyk(path: Path) -> None:
    _pixels(path).convert("CMYK").save(path, "JPEG", quality=90)


def _to_png(path: Path) -> None:
    """A PNG under a name that says JPEG."""
    _pixels(path).save(path, "PNG")


def _pixels(path: Path) -> Image.Image:
    """The photo as RGB, read whole: its file may be written anew."""
    with Image.open(path) as photo:
        return photo.convert("RGB")


_DIRT = {
    "truncated": _truncate,
    "exif_rotated": _turn,
    "cmyk": _to_cmyk,
    "png_named_jpg": _to_png,
}


def _write_site_b_tables(root: Path, jobs: list[_Job]) -> None:
    (root / "site_b").mkdir(exist_ok=True)
    truth = [["folder", "name"]]
    menu = [["name"]]
    for job in jobs:
        (folder,) = job.folders
        truth.append([Path(folder).name, job.name])
        menu.append([job.name])
    tables = {"site_b_truth.csv": truth, "site_b_menu.csv": menu}
    for file, rows in tables.items():
        with open(root / file, "w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(rows)


def _write_thumbnails(root: Path, drawn: list[_Drawn]) -> None:
    paths, names, thumbnails = zip(*drawn, strict=True)
    np.savez(
        root / "thumbnails.npz",
        thumbnails=np.stack(thumbnails),
        names=np.array(names),
        paths=np.array(paths),
    )
