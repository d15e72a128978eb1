"""How well near-duplicates are found: planted copies, crops and shifts of photos, by hashes alone
and with PP-LCNet's features.

    DISHVL_TEST_DATA=... python benchmarks/bench_near_duplicates.py [features.npz or .pdparams]

Plants 200 copies among the photos of zh_dishes10 (a folder of photos per dish; without
DISHVL_TEST_DATA: drawn dishes) and prints recall per kind of copy with n and interval, the known
natural pairs that were found, and every reported pair that was neither planted nor known, to be
looked at. Features come from a PP-LCNet trained here for a short time on the training photos,
unless weights are given.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from dishvl_lib.annotation import catalog, duplicates
from dishvl_lib.core import images, intervals
from dishvl_lib.similarity import classifier, features

PLANTED = 200
SEED = 0
EPOCHS = 12
SHOWN = 40
SHARES = {"test_share": 0.2, "validation_share": 0.1, "seed": SEED}


def crop(image, rng, kept):
    """A window of `kept` of the area."""
    side = kept**0.5
    width = int(image.width * side)
    height = int(image.height * side)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def shifted(image, rng, share):
    """Moved by up to `share` of its sides, what comes in repeats the border."""
    dx, dy = (int(rng.integers(-share * side, share * side + 1)) for side in image.size)
    pixels = np.pad(
        np.asarray(image), ((abs(dy), abs(dy)), (abs(dx), abs(dx)), (0, 0)), mode="edge"
    )
    top = abs(dy) + dy
    left = abs(dx) + dx
    return Image.fromarray(pixels[top : top + image.height, left : left + image.width])


KINDS = {
    "recompressed": lambda image, rng: (image, int(rng.integers(25, 75))),
    "resized": lambda image, rng: (
        image.resize(
            [max(32, int(side * rng.uniform(0.4, 1.3))) for side in image.size],
            Image.Resampling.BICUBIC,
        ),
        88,
    ),
    "brightened": lambda image, rng: (
        ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.75, 1.3))),
        88,
    ),
    "mirrored": lambda image, rng: (ImageOps.mirror(image), 88),
    "cropped to 80-95%": lambda image, rng: (crop(image, rng, float(rng.uniform(0.8, 0.95))), 88),
    "shifted by up to 10%": lambda image, rng: (shifted(image, rng, 0.1), 88),
}
COPIES = tuple(KINDS)[:4]


def plant(source: Path, root: Path, count: int, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Copies the photos to `root` and adds `count` changed ones beside their originals; rows kind,
    a, b (paths).
    """
    rng = np.random.default_rng(SEED)
    rows = []
    files = sorted(path for path in source.glob("*/*") if path.is_file())
    for file in files:
        (root / file.parent.name).mkdir(parents=True, exist_ok=True)
        (root / file.relative_to(source)).hardlink_to(file) if os.stat(file).st_dev == os.stat(
            root
        ).st_dev else (root / file.relative_to(source)).write_bytes(file.read_bytes())
    for number, place in enumerate(rng.choice(len(files), count, replace=False)):
        kind = kinds[number % len(kinds)]
        file = files[place]
        changed, quality = KINDS[kind](images.load_rgb(file), rng)
        copy = root / file.parent.name / f"planted_{number:03d}.jpg"
        changed.save(copy, quality=quality)
        rows.append((kind, file.relative_to(source).as_posix(), copy.relative_to(root).as_posix()))
    return pd.DataFrame(rows, columns=["kind", "a", "b"])


def net(root: Path, photos: pd.DataFrame, given: str) -> dict[str, np.ndarray]:
    """{image_id: vector} by the given weights, or by a net trained on the training photos."""
    weights = Path(given) if given else root.parent / "pplcnet.pdparams"
    if not given:
        train = photos[photos.split == "train"]
        validation = photos[photos.split == "validation"]
        classifier.train(
            train,
            validation,
            root,
            weights,
            scale=0.25,
            image_size=80,
            epochs=EPOCHS,
            batch_size=32,
            learning_rate=0.005,
            seed=SEED,
        )
    ids, vectors, _ = features.extract(
        photos, root, weights, root.parent / "features", scale=0.25, image_size=80
    )
    return dict(zip(ids, vectors, strict=True))


def joined(photos: pd.DataFrame, planted: pd.DataFrame, title: str, **limits) -> pd.DataFrame:
    group = dict(zip(photos.path, duplicates.assign_groups(photos, **limits), strict=True))
    print(f"\n{title}")
    for kind, rows in planted.groupby("kind", sort=False):
        found = sum(group[row.a] == group[row.b] for row in rows.itertuples())
        n = len(rows)
        low, high = intervals.wilson(found, n)
        print(f"  {kind:<22} recall {found / n:.3f} [{low:.3f}, {high:.3f}]  {found} of {n}")
    table = photos.assign(group_id=photos.path.map(group))
    report = duplicates.group_report(table)
    print(
        f"  largest group: {report.largest.iloc[0]} of {report.photos.iloc[0]} photos of "
        f"{report.index[0]}"
    )
    pairs = duplicates.near_pairs(table, **limits)
    return pairs[pairs.joined]


def unplanted(pairs: pd.DataFrame, planted: pd.DataFrame, known: set[frozenset[str]]) -> None:
    """Reported pairs in terms of originals, without the planted ones and the known natural ones."""
    original = dict(zip(planted.b, planted.a, strict=True))
    reported = {
        frozenset((original.get(row.path_a, row.path_a), original.get(row.path_b, row.path_b))): row
        for row in pairs.itertuples()
    }
    others = {pair: row for pair, row in reported.items() if len(pair) == 2}
    print(
        f"  known natural pairs found: {len(known & others.keys())} of {len(known)}; neither "
        f"planted nor known: {len(others.keys() - known)}"
    )
    for pair in sorted(others.keys() - known, key=sorted)[:SHOWN]:
        print(f"    {' '.join(sorted(pair))}  ({others[pair].by} {others[pair].distance:g})")


def main(given: str = "") -> None:
    data = os.environ.get("DISHVL_TEST_DATA", "")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(data) / "zh_dishes10"
        known = set()
        if data:
            table = pd.read_csv(Path(data) / "zh_dishes10_near_duplicates.csv")
            known = {frozenset(pair) for pair in zip(table.a, table.b, strict=True)}
        else:
            from dishvl_lib.demo import dishes

            dishes.draw_demo_photos(Path(scratch) / "drawn", photos_per_dish=20)
            source = Path(scratch) / "drawn" / "photos"
        for kinds in (COPIES, tuple(KINDS)[4:]):
            root = Path(scratch) / f"photos{len(kinds)}"
            planted = plant(source, root, PLANTED, kinds)
            photos, rejected, _ = catalog.build(root, [], **SHARES)
            planted = planted[planted.a.isin(set(photos.path)) & planted.b.isin(set(photos.path))]
            print(f"\n== {len(photos)} photos, {len(planted)} planted: {', '.join(kinds)} ==")
            unplanted(joined(photos, planted, "hashes alone"), planted, known)
            vectors = net(root, photos, given)
            for cosine in (0.99, 0.98):
                unplanted(
                    joined(
                        photos,
                        planted,
                        f"hashes and features, min_cosine {cosine}",
                        features=vectors,
                        min_cosine=cosine,
                    ),
                    planted,
                    known,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
