"""Makes the weights that a detector may start from: our net after trays of random recipes.

    python -m dishvl_lib.pretrain_detector       # about 15 minutes; replaces the shipped file
    python -m dishvl_lib.pretrain_detector --output own.safetensors --trays 40 --epochs 2

The trays come from the demo's larder (`trays.draw_recipe_trays`): none of its dishes, tables and
plates, none of its random numbers. Every box is a `dish`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import load_file

from dishvl_lib.core import caches, paths, records
from dishvl_lib.core.types import Record
from dishvl_lib.demo import detector_start, recipes, shipped_weights, trays
from dishvl_lib.detection import labels, training

TRAYS = 1200
EPOCHS = 12


def draw(n: int) -> Path:
    """The folder of n trays of random recipes; drawn once, then taken from the cache."""
    key = records.fingerprint([trays.VERSION, recipes.SEED, n])[:12]
    return caches.folder(
        paths.cache("demo_recipe_trays") / key,
        lambda folder: trays.draw_recipe_trays(folder, n=n),
        "trays of random recipes",
    )


def make_start(n_trays: int, settings: training.TrainingSettings, output: Path) -> Record:
    """Draws, trains, and writes the best weights to `output`; returns their metadata."""
    folder = draw(n_trays)
    frames = labels.read(folder / trays.LABELS, folder / trays.FRAMES).frames
    started = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        trained = training.train(frames, folder / trays.FRAMES, Path(scratch), settings)
        metadata = {
            "trays": str(n_trays),
            "recipes_seed": str(recipes.SEED),
            "epochs": str(settings.epochs),
            "size": str(settings.size),
            "seed": str(settings.seed),
            "cpu_seconds": f"{time.process_time() - started:.0f}",
            "ap50": str(trained.metrics["ap50"]),
            "map": str(trained.metrics["map"]),
            "validation_trays": str(trained.metrics["n_frames"]),
        }
        weights = load_file(Path(scratch) / training.WEIGHTS)
    shipped_weights.write(output, weights, metadata)
    return metadata


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the start of detectors on drawn trays.")
    parser.add_argument("--output", type=Path, default=detector_start.FILE)
    parser.add_argument("--trays", type=int, default=TRAYS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--size", type=int, default=training.TrainingSettings.size)
    options = parser.parse_args(arguments)
    settings = training.TrainingSettings(epochs=options.epochs, size=options.size)
    metadata = make_start(options.trays, settings, options.output)
    for key, value in metadata.items():
        print(f"{key}: {value}")
    megabytes = options.output.stat().st_size / 1e6
    print(f"written to {options.output} ({megabytes:.2f} MB)")


if __name__ == "__main__":
    main()
