"""A small world for whole-chain tests: a few drawn dishes and a profile that finishes in about a
minute.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from dishvl_lib.core import dependencies, markers, paths, records

DISHES = ("红烧鱼", "红烧鱼块", "番茄炒蛋", "麻婆豆腐")
NEW = "宫保鸡丁"  # drawn too, and held out of training
MENU_SIZE = 3  # of test menus: with four dishes, one is missing from each
SMALL = {
    "common.yaml": "base: demo\nrun_name: toy\nimage_root: {photos}\nsites: []\nmin_pixels: 3136\n"
    "max_pixels: 3136\n",
    "01_annotation.yaml": "test_share: 0.2\n",
    "02_similar_dishes.yaml": "epochs: 2\nimage_size: 48\n",
    "03_dataset.yaml": f"test_menu_size: {MENU_SIZE}\nabsent_share: 0.5\n",
    "04_training.yaml": "num_train_epochs: 2.0\nnum_processes: 1\nper_device_train_batch_size: 8\n",
}
DRAWN = {
    "common.yaml": SMALL["common.yaml"].replace(
        "sites: []",
        "sites: [{{name: site_b, image_root: {photos}/../site_b, menu_csv: "
        "{photos}/../site_b_truth.csv}}]",
    ),
    "01_annotation.yaml": f"test_share: 0.2\nhold_out_dishes: [{NEW}]\n",
}


def draw(folder: Path) -> Path:
    """The photos of DISHES and NEW, and of the outside site, under `folder`; returns the image
    root.
    """
    from dishvl_lib.demo import dishes

    dishes.draw_demo_photos(folder, photos_per_dish=12, processes=1, dishes=[*DISHES, NEW])
    return folder / "photos"


def profile(folder: Path, photos: Path) -> Path:
    """A profile folder for these photos, based on the demo's; with the outside site and NEW held
    out where they were drawn.
    """
    drawn = DRAWN if (photos.parent / "site_b").is_dir() else {}
    for name, text in {**SMALL, **drawn}.items():
        records.write_text(folder / name, text.format(photos=photos))
    return folder


def dishvl(*arguments: object, outputs: Path, timeout: float = 400) -> subprocess.CompletedProcess:
    """The command as a user types it, with its runs under `outputs`."""
    command = [sys.executable, "-m", "dishvl_lib.cli", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=paths.PROJECT_ROOT,
        env=environment(outputs),
    )


def environment(outputs: Path) -> dict[str, str]:
    return {**os.environ, "DISHVL_OUTPUTS": str(outputs)}


def contents(folder: Path) -> dict[str, str]:
    """{relative path: sha256} of every file below a folder."""
    return {
        str(path.relative_to(folder)): records.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def keep_only_declared(source: Path, target: Path, stage: str, read: Iterable[str]) -> None:
    """A copy of a run that holds, of the stages that `stage` reads, the markers and the files that
    it declares to read.
    """
    for earlier in read:
        patterns = dependencies.opened(stage, earlier)
        marker = markers.read(source / earlier)
        kept = {
            name: written
            for name, written in marker["outputs"].items()
            if markers.matches(name, patterns)
        }
        for name in kept:
            (target / earlier / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / earlier / name, target / earlier / name)
        records.write_json(target / earlier / markers.SUCCESS, marker | {"outputs": kept})
