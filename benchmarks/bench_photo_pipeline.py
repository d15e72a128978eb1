"""Goal 5: from a JPEG file to pixel_values, against `load_rgb` and transformers' own image
processor.

python benchmarks/bench_photo_pipeline.py      (one thread; a data loader runs one such thread per
worker)

Drawn photos with grain, 1280x960 and 4000x3000, resized to 448x448 pixels in area. Sides take
turns; times are medians per photo. The second part reads photos through a data loader with two
workers for five epochs and prints their memory.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dishvl_lib.core import images
from dishvl_lib.training.photos import Photos
from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import QwenInputs

PHOTOS = 12
ROUNDS = 7
EPOCHS = 5
GOALS = {
    (1280, 960): {"exact": 1.2, "fast": 1.9, "from the cache": 7.0},
    (4000, 3000): {"exact": 1.2, "fast": 5.0, "from the cache": 7.0},
}


def main() -> None:
    """Print milliseconds per photo and their ratios for both sizes, then the memory of an epoch
    after another.
    """
    torch.set_num_threads(1)
    qwen = QwenInputs(
        None,
        Qwen2VLImageProcessorPil(size={"shortest_edge": 448 * 448, "longest_edge": 448 * 448}),
        "",
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DISHVL_OUTPUTS"] = folder
        for size, goals in GOALS.items():
            root = Path(folder) / f"{size[0]}x{size[1]}"
            draw(root, size)
            compare(qwen, root, goals)
        memory(Photos(Path(folder) / "1280x960", qwen, 100))


def draw(root: Path, size: tuple[int, int]) -> None:
    """JPEGs at quality 90 of smooth shapes with a camera's grain, about a quarter of a byte per
    pixel.
    """
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = rng.normal(0, 4, (size[1], size[0], 1))
        buffer = io.BytesIO()
        Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8)).save(
            buffer, "JPEG", quality=90
        )
        (root / f"{number:02}.jpg").write_bytes(buffer.getvalue())


def compare(qwen: QwenInputs, root: Path, goals: dict[str, float]) -> None:
    names = sorted(file.name for file in root.iterdir())
    readers = {
        "exact": Photos(root, qwen),
        "fast": Photos(root, qwen, decoding="fast"),
        "from the cache": Photos(root, qwen, 1000),
    }

    def stock(name: str) -> torch.Tensor:
        return qwen.image_processor(images=[images.load_rgb(root / name)], return_tensors="pt")[
            "pixel_values"
        ]

    def ours(photos: Photos) -> Callable[[str], torch.Tensor]:
        return lambda name: inputs.photo_inputs(qwen, photos[name], resized=True).pixel_values

    sides = {
        "load_rgb and transformers": stock,
        **{side: ours(photos) for side, photos in readers.items()},
    }
    made = {
        side: [read(name) for name in names] for side, read in sides.items()
    }  # the first epoch: it fills the cache
    seconds = take_turns(sides, names)
    kilobytes = statistics.mean((root / name).stat().st_size for name in names) / 1000
    print(
        f"{root.name}, {kilobytes:.0f} kB: "
        + ", ".join(f"{side} {1000 * value:.2f} ms" for side, value in seconds.items())
    )
    for side, goal in goals.items():
        apart = torch.stack(
            [
                (one - other).abs().mean()
                for one, other in zip(made["load_rgb and transformers"], made[side], strict=True)
            ]
        )
        most = max(
            float((one - other).abs().max())
            for one, other in zip(made["load_rgb and transformers"], made[side], strict=True)
        )
        print(
            f"    {side:<15}{seconds['load_rgb and transformers'] / seconds[side]:6.2f}x "
            f"(goal {goal}); pixel_values differ by {float(apart.mean()):.4f} on average, "
            f"{most:.4f} at most"
        )


def take_turns(
    sides: dict[str, Callable[[str], torch.Tensor]], names: list[str]
) -> dict[str, float]:
    """Median seconds per photo of each side, all sides in every round."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, read in sides.items():
            for name in names:
                started = time.perf_counter()
                read(name)
                taken[side].append(time.perf_counter() - started)
    return {side: statistics.median(values) for side, values in taken.items()}


class Pixels(Dataset):
    """pixel_values as a data loader's worker makes them."""

    def __init__(self, photos: Photos):
        self.photos = photos
        self.names = sorted(file.name for file in photos.root.iterdir()) * 8

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        return inputs.photo_inputs(
            self.photos.qwen, self.photos[self.names[index]], resized=True
        ).pixel_values


def memory(photos: Photos) -> None:
    """Print the memory (PSS: shared pages counted once) of this process and two workers after each
    epoch.
    """
    loader = DataLoader(Pixels(photos), batch_size=8, num_workers=2, persistent_workers=True)
    used = []
    for _ in range(EPOCHS):
        for _batch in loader:
            pass
        used.append(
            sum(
                pss(pid)
                for pid in (os.getpid(), *(worker.pid for worker in loader._iterator._workers))
            )
        )
    print(
        f"memory after each of {EPOCHS} epochs of {len(loader.dataset)} photos: "
        + ", ".join(f"{value / 2**20:.0f}" for value in used)
        + " MiB"
    )


def pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
