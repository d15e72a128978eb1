"""Photos of whole trays, drawn like the demo's photos, with the box around every dish.

`draw_demo_trays(folder)` writes

    frames/tray_0000.jpg ...   some of them turned, with the EXIF tag that says so
    labels.json                COCO: boxes in pixels of the upright photo, categories are the dishes
    trays.json                 what was drawn; written last

`draw_recipe_trays(folder)` writes the same of random recipes in random dining rooms, in which every
box is a `dish`: what the detector that the demo starts from has seen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from dishvl_lib.core import cores, records
from dishvl_lib.core.types import Record, Records
from dishvl_lib.demo import drawing_pool, recipes
from dishvl_lib.demo.cards import DISHES
from dishvl_lib.demo.drawing import Span
from dishvl_lib.demo.plating import CANTEEN, PLATINGS, Place, Plating
from dishvl_lib.demo.tray_scenes import MOST_DISHES, Tray, draw_tray

VERSION = 2
FRAMES = "frames"
LABELS = "labels.json"
MARKER = "trays.json"
DISH = "dish"  # what every box of a tray of random recipes is called
TURNED = 0.25  # share of the photos that lie turned in their files
TRAYS_PER_JOB = 10
ORIENTATION = 0x0112  # EXIF tag
# {EXIF orientation: how an upright photo is turned to be stored with it}
STORED = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
TRAYS_STREAM = 3  # of the random numbers of a seed: photos of dishes use others


@dataclass(frozen=True)
class _Job:
    """Trays first ... first + n - 1 of a set. dishes: names of DISHES, or none for random
    recipes.
    """

    first: int
    n: int
    seed: int
    dishes: tuple[str, ...]


@dataclass(frozen=True)
class _Drawn:
    """A tray's photo in `frames`, upright size (width, height), and its boxes."""

    file: str
    size: tuple[int, int]
    names: list[str]
    boxes: list[Span]


def draw_demo_trays(
    folder: Path,
    *,
    n: int = 300,
    seed: int = 0,
    dishes: Sequence[str] | None = None,
    processes: int | None = None,
) -> None:
    """Draws n trays of the demo's dishes into `folder`: the same bytes for the same arguments,
    whatever `processes` is.

    `dishes` limits the trays to some names of DISHES. A folder that holds this set already is left
    as it is. With more than one process the work is spawned, so a script that calls this needs the
    usual `__main__` guard. Raises FileExistsError when `folder` holds something else, and
    ValueError for a name that is not in DISHES.
    """
    names = tuple(DISHES) if dishes is None else tuple(dishes)
    if unknown := [name for name in names if name not in DISHES]:
        raise ValueError(f"no drawn dish is called {unknown[0]!r}; choose from {'、'.join(DISHES)}")
    _draw(Path(folder), n, seed, names, processes)


def draw_recipe_trays(folder: Path, *, n: int, processes: int | None = None) -> None:
    """Draws n trays of random recipes; as `draw_demo_trays`, of whose dishes, tables, plates and
    random numbers they have none.
    """
    _draw(Path(folder), n, recipes.SEED, (), processes)


def _draw(folder: Path, n: int, seed: int, dishes: tuple[str, ...], processes: int | None) -> None:
    drawn = {"version": VERSION, "n": n, "seed": seed, "dishes": list(dishes)}
    if folder.exists():
        _check_same(folder, drawn)
        return
    half_done = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(half_done, ignore_errors=True)
    (half_done / FRAMES).mkdir(parents=True)
    jobs = []
    for first in range(0, n, TRAYS_PER_JOB):
        jobs.append(_Job(first, min(TRAYS_PER_JOB, n - first), seed, dishes))
    counts = [job.n for job in jobs]
    workers = processes or cores.available()
    parts = drawing_pool.run(_draw_job, jobs, counts, half_done, unit="trays", processes=workers)
    trays = list(chain.from_iterable(parts))
    records.write_json(half_done / LABELS, _coco(trays, dishes or (DISH,)))
    records.write_json(half_done / MARKER, drawn)
    os.replace(half_done, folder)


def _check_same(folder: Path, drawn: Record) -> None:
    try:
        there = records.read_json(folder / MARKER)
    except records.RecordError:
        there = {}
    if there != drawn:
        raise FileExistsError(
            f"{folder} holds something else than these drawn trays; remove it or choose another "
            "folder for them"
        )


def _draw_job(job: _Job, root: Path) -> list[_Drawn]:
    """Draws and writes the photos of a job."""
    drawn = []
    for number in range(job.first, job.first + job.n):
        rng = np.random.default_rng([job.seed, TRAYS_STREAM, number])
        if job.dishes:
            menu = {name: PLATINGS[name] for name in job.dishes}
            tray = draw_tray(menu, rng, CANTEEN)
        else:
            tray = draw_tray(_random_menu(rng), rng, _random_place(rng))
            tray = replace(tray, names=[DISH] * len(tray.names))
        drawn.append(_write(tray, rng, root, f"tray_{number:04d}.jpg"))
    return drawn


def _random_menu(rng: np.random.Generator) -> Mapping[str, Plating]:
    """Recipes for one tray, by names of their own."""
    numbers = rng.integers(0, 2**31, MOST_DISHES).tolist()
    return {str(number): recipes.random_recipe(number) for number in numbers}


def _random_place(rng: np.random.Generator) -> Place:
    """A dining room with one table and plates of three kinds."""
    place = recipes.random_place(rng)
    others = [recipes.random_place(rng), recipes.random_place(rng)]
    plates = chain(place.plates, *(other.plates for other in others))
    return replace(place, plates=tuple(plates))


def _write(tray: Tray, rng: np.random.Generator, root: Path, file: str) -> _Drawn:
    """Saves a photo, now and then turned, as cameras do that only note how they were held."""
    quality = int(rng.integers(72, 94))
    exif = Image.Exif()
    photo = tray.photo
    if rng.random() < TURNED:
        orientation = int(rng.choice(list(STORED)))
        exif[ORIENTATION] = orientation
        photo = photo.transpose(STORED[orientation])
    photo.save(root / FRAMES / file, "JPEG", quality=quality, exif=exif)
    return _Drawn(file, tray.photo.size, tray.names, tray.boxes)


def _coco(trays: Sequence[_Drawn], categories: Sequence[str]) -> Record:
    numbers = {name: number for number, name in enumerate(categories, start=1)}
    images: Records = []
    annotations: Records = []
    for image_id, tray in enumerate(trays, start=1):
        width, height = tray.size
        images.append({"id": image_id, "file_name": tray.file, "width": width, "height": height})
        for name, (left, top, right, bottom) in zip(tray.names, tray.boxes, strict=True):
            sides = (right - left, bottom - top)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": numbers[name],
                "bbox": [left, top, *sides],
                "area": sides[0] * sides[1],
                "iscrowd": 0,
            }
            annotations.append(annotation)
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
