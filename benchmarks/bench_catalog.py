"""Stage 01's scan against a bare decode, and its memory: validity, size, sha256, both perceptual
hashes and sharpness of JPEG photos of 640x480.

    python benchmarks/bench_catalog.py [photos]

Goal: at least 1.0x the speed of a loop that does nothing but decode each photo fully with Pillow,
with as many workers (the faster of threads and processes for the loop); memory that grows with the
table of results only.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from dishvl_lib.annotation import layout, scan

WORKERS = 2
ROUNDS = 3
DIFFERENT = 400
LINKS = 100_000


def bare(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        image.load()
        return image.size


def photos(folder: Path, count: int) -> list[Path]:
    """Pictures with the detail of photos: smooth shapes and noise, about 60 kB each."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(
            (640, 480), Image.Resampling.BICUBIC
        )
        grain = (
            Image.effect_noise((640, 480), 40).filter(ImageFilter.GaussianBlur(0.8)).convert("RGB")
        )
        file = folder / f"d{number % 8}" / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.blend(smooth, grain, 0.3).save(file, quality=88)
        made.append(file)
    return made


def best(function, *arguments) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


def pooled(kind, files: list[Path]) -> None:
    with kind(WORKERS) as pool:
        list(pool.map(bare, files, chunksize=20)) if kind is ProcessPoolExecutor else list(
            pool.map(bare, files)
        )


def speed(folder: Path, count: int) -> None:
    files = photos(folder, count)
    found = layout.listing(folder).photos
    sides = {
        "bare decode, threads": best(pooled, ThreadPoolExecutor, files),
        "bare decode, processes": best(pooled, ProcessPoolExecutor, files),
        "scan": best(scan.examine, found, folder, WORKERS, None),
    }
    for name, seconds in sides.items():
        print(f"{name:<24}{count / seconds:8.0f} photos/s")
    kilobytes = sum(file.stat().st_size for file in files) / count / 1000
    ratio = min(sides["bare decode, threads"], sides["bare decode, processes"]) / sides["scan"]
    print(
        f"scan against the faster bare decode: {ratio:.2f}x ({count} photos of 640x480, "
        f"{kilobytes:.0f} kB, {WORKERS} workers; goal 1.0x)"
    )


def peak_of_many(folder: Path, count: int) -> tuple[float, float]:
    """(peak MB, seconds) of a process that scans `count` hard links to small photos."""
    code = (
        "import sys, json, resource, time; from pathlib import Path; from "
        "dishvl_lib.annotation import layout, scan\n"
        "root, n = Path(sys.argv[1]), int(sys.argv[2]); t = time.time()\n"
        "whole, out = scan.examine(layout.listing(root).photos[:n], root, 2, None)\n"
        "assert len(whole) == n and not out\n"
        "print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "
        "time.time() - t]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def memory(folder: Path) -> None:
    sources = []
    for number in range(50):
        Image.fromarray(
            np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)
        ).resize((160, 120)).save(folder / f"{number}.jpg")
        sources.append(folder / f"{number}.jpg")
    many = folder / "many"
    for number in range(LINKS):
        place = many / f"d{number % 500:03d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").hardlink_to(sources[number % 50])
    for count in (LINKS // 10, LINKS):
        peak, seconds = peak_of_many(many, count)
        print(f"{count:>7} photos: peak {peak:.0f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        speed(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else DIFFERENT)
    with tempfile.TemporaryDirectory() as scratch:
        memory(Path(scratch))
    print(f"this process: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
