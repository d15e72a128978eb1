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
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dishvl_lib.demo.cards import DISHES, LOOK_ALIKE_PAIRS, Dish, dish_card
from dishvl_lib.demo.drawing import SIZE, expose
from dishvl_lib.demo.plating import CANTEEN, OUTSIDE, draw_scene

__all__ = ["DISHES", "LOOK_ALIKE_PAIRS", "Dish", "dish_card", "draw_demo_photos", "thumbnail"]

SITES = ("HGD", "ZHONGGUANGHE", "XSYY", "BJ2")
SPLIT_NAMES = (
    "红烧肉",
    "土豆丝",
    "番茄炒蛋",
)  # dishes registered twice, so that two folders mean one dish
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
    drawn = [row for rows in _run(jobs, half_done, processes) for row in rows]
    drawn += _plant_dirt(half_done, drawn)
    _write_site_b_tables(half_done, [job for job in jobs if job.outside])
    _write_thumbnails(half_done, drawn)
    os.replace(half_done, folder)


def thumbnail(photo: Image.Image) -> np.ndarray:
    """A photo's fingerprint for recognition: (16, 16, 3) uint8, box-averaged RGB."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(photo.convert("RGB").resize(side, Image.Resampling.BOX), np.uint8)


def _jobs(names: list[str], photos: int, seed: int) -> list[_Job]:
    order = list(DISHES)
    inside = [
        _Job(
            name,
            _class_folders(name, order.index(name)),
            photos,
            (seed, order.index(name), 0),
            False,
        )
        for name in names
    ]
    at_site_b = [name for name in SITE_B_NAMES if name in names]
    outside = [
        _Job(
            name,
            (f"site_b/GX{4 + i // 5}_{1 + (7 * i) % 13}",),
            min(SITE_B_PHOTOS, photos),
            (seed, order.index(name), 1),
            True,
        )
        for i, name in enumerate(at_site_b)
    ]
    return inside + outside


def _class_folders(name: str, index: int) -> tuple[str, ...]:
    if name in SPLIT_NAMES:
        return f"photos/{name}1@HGD_20211221", f"photos/{name}2@ZHONGGUANGHE_20220901"
    date = f"202{1 + index % 2}{1 + index % 12:02d}{1 + 5 * index % 28:02d}"
    number = str(1 + index % 3) if index % 4 == 0 else ""
    return (f"photos/{name}{number}@{SITES[index % len(SITES)]}_{date}",)


def _run(jobs: list[_Job], root: Path, processes: int) -> list[list[tuple[str, str, np.ndarray]]]:
    if processes <= 1:
        return [_draw_job(job, root) for job in jobs]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_draw_job, jobs, [root] * len(jobs)))


def _draw_job(job: _Job, root: Path) -> list[tuple[str, str, np.ndarray]]:
    """Draws one dish's photos; (relative path, name, thumbnail) of each."""
    rows: list[tuple[str, str, np.ndarray]] = []
    for folder in job.folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    frame = 0
    while len(rows) < job.photos:
        rng = np.random.default_rng([*job.seed, frame])
        crops = 1 if job.outside or rng.random() < 0.82 else int(rng.integers(2, 4))
        folder = job.folders[frame % len(job.folders)]
        named = _frame_names(rng, frame, len(rows), job.outside)
        scene = draw_scene(job.name, rng, OUTSIDE if job.outside else CANTEEN)
        box = _crop_box(rng)
        for crop in range(min(crops, job.photos - len(rows))):
            box = _nudge(rng, box) if crop else box
            photo = _shoot(scene, rng, box)
            path = f"{folder}/{named(crop, box)}"
            photo.save(root / path, "JPEG", quality=int(rng.integers(50, 96)))
            rows.append((path, job.name, thumbnail(photo)))
        frame += 1
    return rows


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
    return lambda crop, box: (
        f"{time}_{device}_{frame_id}${'_'.join(map(str, _in_frame(box)))}#{counter + crop + 1}.jpg"
    )


def _in_frame(box: tuple[float, ...]) -> list[int]:
    """The crop box as the camera's full frame would number it."""
    return [round(300 + 1.6 * value) for value in box]


def _crop_box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    side = SIZE * rng.uniform(0.54, 0.66)
    width = side * rng.uniform(0.94, 1.06)
    height = side * rng.uniform(0.94, 1.06)
    x, y = SIZE / 2 + rng.normal(0, 0.02, 2) * SIZE
    return _inside(x - width / 2, y - height / 2, width, height)


def _nudge(
    rng: np.random.Generator, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Nearly the same crop: another detector pass over the same frame."""
    grow = rng.uniform(0.92, 1.05, 2)
    shift = rng.normal(0, 0.02, 2) * SIZE
    width = (box[2] - box[0]) * grow[0]
    height = (box[3] - box[1]) * grow[1]
    return _inside(box[0] + shift[0], box[1] + shift[1], width, height)


def _inside(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    width = min(width, SIZE)
    height = min(height, SIZE)
    x = min(max(0.0, x), SIZE - width)
    y = min(max(0.0, y), SIZE - height)
    return x, y, x + width, y + height


def _shoot(
    scene: np.ndarray, rng: np.random.Generator, box: tuple[float, float, float, float]
) -> Image.Image:
    """The crop of one frame as a camera would give it: 320-420 px on the short side."""
    left, top, right, bottom = (round(value) for value in box)
    photo = expose(
        scene[top:bottom, left:right],
        rng,
        rng.uniform(0.9, 1.12),
        0.0 if rng.random() < 0.6 else rng.uniform(0.3, 1.0),
        rng.uniform(0.004, 0.02),
    )
    scale = rng.integers(320, 421) / min(photo.size)
    return photo.resize(
        (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR
    )


def _plant_dirt(
    root: Path, drawn: list[tuple[str, str, np.ndarray]]
) -> list[tuple[str, str, np.ndarray]]:
    """Spoils one photo for each kind of dirt, in different dishes where there are enough; returns
    the added rows.

    A set too small for all kinds goes without the rest: planted.json says what is there.
    """
    inside = [row for row in drawn if row[0].startswith("photos/")]
    names = list(dict.fromkeys(row[1] for row in inside))
    planted = {}
    taken = set()
    for index, (kind, spoil) in enumerate(_DIRT.items()):
        name = names[(3 * index) % len(names)]
        row = next((row for row in inside if row[1] == name and row[0] not in taken), None)
        if row is None:
            continue
        taken.add(row[0])
        spoil(root / row[0])
        planted[kind] = row[0]
    source = next((row for row in reversed(inside) if row[0] not in taken), inside[-1])
    copy = f"{Path(source[0]).parent.as_posix()}/{DUPLICATE_STEM}#{len(drawn)}.jpg"
    shutil.copyfile(root / source[0], root / copy)
    planted["duplicate"] = copy
    (root / "planted.json").write_text(
        json.dumps(planted, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return [(copy, source[1], source[2])]


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 5])


def _turn(path: Path) -> None:
    """Pixels a quarter turn off, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    _rewrite(
        path,
        lambda photo: photo.transpose(Image.Transpose.ROTATE_90),
        "JPEG",
        quality=90,
        exif=exif,
    )


def _rewrite(path: Path, change, kind: str, **options) -> None:
    with Image.open(path) as photo:
        changed = change(photo.convert("RGB"))
    data = io.BytesIO()
    changed.save(data, kind, **options)
    path.write_bytes(data.getvalue())


_DIRT = {
    "truncated": _truncate,
    "exif_rotated": _turn,
    "cmyk": lambda path: _rewrite(path, lambda photo: photo.convert("CMYK"), "JPEG", quality=90),
    "png_named_jpg": lambda path: _rewrite(path, lambda photo: photo, "PNG"),
}


def _write_site_b_tables(root: Path, jobs: list[_Job]) -> None:
    (root / "site_b").mkdir(exist_ok=True)
    tables = {
        "site_b_truth.csv": [["folder", "name"]]
        + [[Path(job.folders[0]).name, job.name] for job in jobs],
        "site_b_menu.csv": [["name"]] + [[job.name] for job in jobs],
    }
    for file, rows in tables.items():
        with open(root / file, "w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(rows)


def _write_thumbnails(root: Path, drawn: list[tuple[str, str, np.ndarray]]) -> None:
    np.savez(
        root / "thumbnails.npz",
        thumbnails=np.stack([row[2] for row in drawn]),
        names=np.array([row[1] for row in drawn]),
        paths=np.array([row[0] for row in drawn]),
    )
