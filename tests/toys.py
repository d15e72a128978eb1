"""Small photos, folders and catalogues that the tests of core, annotation, endpoints and dataset share."""

import io

import numpy as np
import pandas as pd
from PIL import Image

ORIENTATION = 0x0112


def picture(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A smooth RGB picture of its own for each seed; (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, **options: object) -> bytes:
    return encoded(picture(seed), "JPEG", **options)


def rotated(seed: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture(seed), "JPEG", exif=exif)


def fill(root, folders: dict[str, int], first_seed: int = 0) -> int:
    """`folders` {name: number of different photos} below `root`; returns the next unused seed."""
    seed = first_seed
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number}.jpg").write_bytes(jpeg(seed))
            seed += 1
    return seed


def photo_rows(per_dish: dict[str, dict[str, int]]) -> pd.DataFrame:
    """A catalogue without files: {dish: {split: number of photos}}."""
    rows = [
        {"image_id": f"{dish}-{split}-{i}", "path": f"{dish}/{split}{i}.jpg", "dish_id": dish, "group_id": f"{dish}-{split}-{i}", "split": split, "sha256": f"{dish}{split}{i}", "folder": dish}
        for dish, splits in per_dish.items()
        for split, count in splits.items()
        for i in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def neighbours(pairs: dict[str, list[str]]) -> pd.DataFrame:
    """similar_dishes.csv as it is read back: all text."""
    rows = [(dish, other, str(rank)) for dish, others in pairs.items() for rank, other in enumerate(others, start=1)]
    return pd.DataFrame(rows, columns=["dish_id", "similar_id", "rank"])
