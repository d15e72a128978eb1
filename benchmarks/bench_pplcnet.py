"""Goal 6: photo features by PP-LCNet, on two cores, and the search for look-alikes.

    python benchmarks/bench_pplcnet.py [photos] [rounds]       (default 1024 photos, 3 rounds)

Photos are made here, JPEG with the detail of photos; weights are random, which costs the same. Both
sides of a ratio are measured in turn in each round, and the best round of each is taken. A
core-second is processor time of one thread that works alone. Starting (import, graph, processes) is
measured apart, by a few photos: it does not grow with their number. This process keeps freed memory
as the workers of `features.extract` do, which speeds up the other side too. Cores got below 2 mean
that something else was running: measure again.
"""

import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

CORES = 2
SIDE = 224
SCALES = (1.0, 2.5)
SIZES = ((640, 480), (1280, 960))
os.sched_setaffinity(
    0, sorted(os.sched_getaffinity(0))[:CORES]
)  # before numpy and Paddle count the cores

import numpy as np  # noqa: E402
import paddle  # noqa: E402
import pandas as pd  # noqa: E402
from PIL import Image, ImageFilter  # noqa: E402

from dishvl_lib.similarity import (  # noqa: E402
    classifier,
    depthwise,
    engine,
    features,
    neighbours,
    pplcnet,
    preprocess,
    start,
    workers,
)

READY_BATCH = 32
BATCH = 16
DIFFERENT = 32
FEW = 64
STAGE_PHOTOS = 100_000
PLAN = preprocess.Preprocess.for_size(SIDE)


def photos(root: Path, size: tuple[int, int], count: int) -> pd.DataFrame:
    """Smooth shapes under grain, a few different pictures; bytes after the end make each file a
    photo of its own.
    """
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        if number < DIFFERENT:
            smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            )
            grain = (
                Image.effect_noise(size, 40).filter(ImageFilter.GaussianBlur(0.8)).convert("RGB")
            )
            Image.blend(smooth, grain, 0.3).save(root / f"{number}.jpg", quality=88)
        data = (root / f"{number % DIFFERENT}.jpg").read_bytes()[
            : None if number < DIFFERENT else -4
        ] + number.to_bytes(4)
        (root / f"{number}.jpg").write_bytes(data)
        rows.append((f"{number}", f"{number}.jpg", hashlib.sha256(data).hexdigest()))
    return pd.DataFrame(rows, columns=["image_id", "path", "sha256"])


def took(function: Callable, *arguments) -> tuple[float, float]:
    """(seconds, core-seconds of this process and of those that it started and that have ended)."""
    started = time.perf_counter()
    used = processor_time()
    function(*arguments)
    return time.perf_counter() - started, processor_time() - used


def processor_time() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def best(sides: dict[str, Callable], rounds: int) -> dict[str, tuple[float, float]]:
    """What `took` says of each side's fastest round; the sides take turns."""
    figures = [{name: took(side) for name, side in sides.items()} for _ in range(rounds)]
    return {name: min(row[name] for row in figures) for name in sides}


def ready_tensors(folder: Path, rounds: int) -> None:
    batch = (
        np.random.default_rng(0).standard_normal((READY_BATCH, 3, SIDE, SIDE)).astype(np.float32)
    )
    for scale in (0.25, *SCALES):
        net = pplcnet.seeded(0, scale=scale, class_num=0)
        runs = {
            "dygraph": engine.plain(net),
            "engine": engine.fast(net, SIDE, folder / f"x{scale}", CORES),
        }
        for run in runs.values():
            run(batch)
        taken = {
            name: wall
            for name, (wall, _) in best(
                {name: partial(run, batch) for name, run in runs.items()}, 3 * rounds
            ).items()
        }
        rates = ", ".join(
            f"{name} {READY_BATCH / wall:.0f} photos/s" for name, wall in taken.items()
        )
        print(
            f"x{scale}, ready tensors, batch {READY_BATCH}: {rates}, "
            f"{taken['dygraph'] / taken['engine']:.1f}x (goal 3x)"
        )


def serial(table: pd.DataFrame, root: Path, run: Callable) -> None:
    """The plain loop: full decode, resize, crop, normalise, network, one batch after the other."""
    for first in range(0, len(table), READY_BATCH):
        pixels = []
        for path in table["path"][first : first + READY_BATCH]:
            with Image.open(root / path) as photo:
                pixels.append(
                    preprocess.centre_crop(
                        preprocess.shrink(photo.convert("RGB"), PLAN.short_side), SIDE
                    )
                )
        run(PLAN.normalise(np.stack(pixels)))


def decode(table: pd.DataFrame, root: Path) -> None:
    for path in table["path"]:
        PLAN.pixels(root / path)


def in_batches(run: Callable, batch: np.ndarray) -> None:
    for _ in range(FEW // BATCH):
        run(batch)


def extract(table: pd.DataFrame, root: Path, scale: float) -> None:
    """All of it, with an empty cache of features; the exported graph is kept from run to run, as a
    stage keeps it.
    """
    cache = root / f"cache_x{scale}"
    for file in cache.glob("*.sqlite"):
        file.unlink()
    ids, _, _ = features.extract(
        table, root, None, cache, scale=scale, image_size=SIDE, batch_size=BATCH, processes=CORES
    )
    assert len(ids) == len(table)


def sides(table: pd.DataFrame, root: Path, scale: float) -> dict[str, Callable]:
    """What is measured: FEW photos through the plain loop, the engine, the decoder and a start; all
    photos through `extract`.
    """
    few = table[:FEW]
    extract(few[:1], root, scale)
    (graph,) = (root / f"cache_x{scale}").glob("engine-*")
    alone = engine.Engine(graph, 1)
    plain = engine.plain(pplcnet.seeded(0, scale=scale, class_num=0))
    batch = np.zeros((BATCH, 3, SIDE, SIDE), np.float32)
    alone(batch)
    return {
        "serial": partial(serial, few, root, plain),
        "engine": partial(in_batches, alone, batch),
        "decode": partial(decode, few, root),
        "start": partial(extract, few, root, scale),
        "whole": partial(extract, table, root, scale),
    }


def end_to_end(table: pd.DataFrame, root: Path, scale: float, rounds: int) -> float:
    """Prints both ratios; returns the photos per second, start left out."""
    taken = best(sides(table, root, scale), rounds)
    n = len(table)
    loop = taken["serial"][0] / FEW
    inference = taken["engine"][1] / FEW
    decoding = taken["decode"][1] / FEW
    wall, core = ((taken["whole"][i] - taken["start"][i]) / (n - FEW) for i in (0, 1))
    ideal = (inference + decoding) / CORES
    print(
        f"  extract {1 / wall:.0f} photos/s ({n} photos in {taken['whole'][0]:.1f} s, of "
        f"which start and {FEW} photos {taken['start'][0]:.1f} s)"
    )
    print(
        f"  serial loop {1 / loop:.1f} photos/s: {loop / wall:.1f}x (goal 3x), "
        f"{loop * n / taken['whole'][0]:.1f}x with the start"
    )
    print(
        f"  engine {1e3 * inference:.2f} + decode {1e3 * decoding:.2f} core-ms a photo, on "
        f"{CORES} cores {1e3 * ideal:.2f} ms at best: "
        f"{1e3 * wall:.2f} ms taken, {wall / ideal:.2f}x (goal 1.3x)"
    )
    print(
        f"  core-ms spent {1e3 * core:.2f}, {core / (inference + decoding):.2f}x; cores got "
        f"{core / wall:.2f}"
    )
    return 1 / wall


def search(rates: dict[str, float], rounds: int) -> None:
    rng = np.random.default_rng(0)
    queries, gallery = (rng.standard_normal((n, 1280)).astype(np.float32) for n in (3600, 7200))
    taken, _ = best({"search": partial(neighbours.nearest, queries, gallery, 10)}, rounds)["search"]
    print(f"search of 3600 among 7200, D 1280: {taken:.2f} s")
    for name, rate in rates.items():
        stage = taken + STAGE_PHOTOS / rate
        print(
            f"  {taken / stage:.2%} of a stage with {STAGE_PHOTOS:,} photos, {name}, "
            f"{stage:.0f} s (goal 1%)"
        )


def training_steps(rounds: int) -> None:
    """A step of `classifier.train`, small maps as band products against Paddle's own kernel."""
    for scale, side in ((0.25, 80), (1.0, 224)):
        net = start.new_learner(scale=scale, class_num=26, embedding_size=256, seed=0)
        photos_in = np.random.default_rng(0).standard_normal((READY_BATCH, 3, side, side))
        step = partial(_step, net, paddle.to_tensor(photos_in.astype(np.float32)))
        small = depthwise.LARGEST_SIDE
        steps = {"plain": partial(_with_largest_side, 0, step)}
        steps["products"] = partial(_with_largest_side, small, step)
        step()
        taken = best(steps, rounds)
        plain, products = (taken[name][1] for name in ("plain", "products"))
        print(
            f"x{scale}, training step of {READY_BATCH} photos at {side} px: "
            f"{1e3 * plain:.0f} core-ms plain, {1e3 * products:.0f} with band products, "
            f"{plain / products:.1f}x"
        )
    depthwise.LARGEST_SIDE = small


def _step(net: start.Learner, batch: paddle.Tensor) -> None:
    net.train()
    labels = paddle.arange(len(batch)) % 26
    classifier.smoothed_cross_entropy(net(batch), labels).backward()
    net.clear_gradients()


def _with_largest_side(side: int, step: Callable[[], None]) -> None:
    depthwise.LARGEST_SIDE = side
    step()


def main(count: int = 1024, rounds: int = 3) -> None:
    training_steps(rounds)
    workers.keep_memory()
    rates = {}
    with tempfile.TemporaryDirectory() as scratch:
        ready_tensors(Path(scratch), rounds)
        for size in SIZES:
            root = Path(scratch) / f"{size[0]}"
            root.mkdir()
            table = photos(root, size, count)
            kilobytes = sum(file.stat().st_size for file in root.glob("*.jpg")) / count / 1000
            for scale in SCALES:
                print(f"x{scale}, JPEG of {size[0]}x{size[1]}, {kilobytes:.0f} kB:")
                rates[f"x{scale} at {size[0]}x{size[1]}"] = end_to_end(table, root, scale, rounds)
    search(rates, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
