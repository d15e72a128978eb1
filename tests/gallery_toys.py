"""A gallery of striped photos by a tiny net with random weights: toys for the tests of gallery,
hybrid and dishvl dish.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.gallery import net, photos, run_gallery
from dishvl_lib.gallery.fusion import Fusion
from dishvl_lib.gallery.gallery import Gallery
from dishvl_lib.similarity.embedder import Embedder
from dishvl_lib.similarity.preprocess import Preprocess

NET = {"net": "pplcnet", "scale": 0.25, "preprocess": Preprocess.for_size(32)}
DISHES = ("红烧鱼", "米饭", "番茄炒蛋")
NEW = "凉拌鸡胗"
FUSION = Fusion(vlm=1.0, gallery=60.0, new=0.5, unknown=0.5, n=30, fitted_on="toy")


def striped(dish: int, number: int) -> Image.Image:
    """Stripes of the dish's direction, width and colour under noise of each photo's own."""
    rng = np.random.default_rng([dish, number])
    across, down = np.meshgrid(np.arange(72), np.arange(56))
    angle = dish * 0.7
    wave = np.sin((across * np.cos(angle) + down * np.sin(angle)) / (1.5 + dish))
    colour = np.random.default_rng(1000 + dish).integers(60, 255, 3)
    pixels = 90 + 0.6 * wave[..., None] * colour + rng.integers(-40, 40, (56, 72, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def photo_files(folder: Path, dish: int, count: int, first: int = 0) -> list[Path]:
    """Photos of a dish as files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(first, first + count):
        file = folder / f"{dish}_{number}.png"
        striped(dish, number).save(file)
        files.append(file)
    return files


def weights(folder: Path, seed: int = 0) -> Path:
    """The tiny net's `.pdparams`."""
    from dishvl_lib.similarity import pplcnet

    file = folder / f"net{seed}.pdparams"
    built = pplcnet.seeded(seed, scale=0.25, class_num=0, embedding_size=None)
    pplcnet.save_weights(built.state_dict(), file)
    return file


def gallery_folder(
    folder: Path,
    per_dish: int = 4,
    model: str = "",
    fusion: Fusion = FUSION,
    dishes: tuple[str, ...] = DISHES,
) -> Path:
    """A published gallery of DISHES with its photos beside it."""
    file = weights(folder.parent)
    described = net.describe(file, **NET)
    embedder = Embedder(file, **NET)
    rows = []
    features = {}
    for dish, name in enumerate(dishes):
        for photo in photo_files(folder.parent / "registered", dish, per_dish):
            given, _ = photos.read([photo], embedder)
            features[photo.stem] = given[0].feature
            hashes = {key: getattr(given[0], key) for key in ("sha256", "phash", "phash_mirrored")}
            rows.append({"image_id": photo.stem, "dish_id": name, "path": photo.name, **hashes})
    table = pd.DataFrame(rows)
    named = dict.fromkeys(dishes)
    named = {name: name for name in named}
    registered = run_gallery.registered(table, named, features)
    registered = run_gallery.with_pictures(registered, table, named, folder.parent / "registered")
    gallery = run_gallery.in_memory(registered, "pplcnet").with_fusion(
        dict.fromkeys(("menu", "naming"), fusion)
    )
    run_gallery.publish(folder, gallery, described, file, model)
    return folder


def contents(folder: Path) -> dict[str, int]:
    """{dish: photos} as they lie on the disk."""
    return Gallery.load(folder).manifest.photos
