"""Random recipes, dining rooms and photos: what the demo's vision tower sees before any of its
dishes.

A real vision tower has seen the world before it is tuned. Ours sees food from the same larder, but
never one of the demo's dishes, never the outside site's tables or plates, and none of the demo's
random numbers.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
from PIL import Image

from dishvl_lib.demo.drawing import RGB, SIZE, expose
from dishvl_lib.demo.ingredients import BUILDERS, VARIANTS, sprite
from dishvl_lib.demo.plating import OUTSIDE, PLATINGS, Place, Plating, draw_plating

# Begins every random stream here; the demo's streams begin with its own small seed.
SEED = 1_000_003
GARNISHES = (
    "scallion_ring",
    "scallion_shred",
    "chilli_bit",
    "garlic",
    "sesame",
    "mince",
    "pepper_dice",
    "red_pepper_dice",
    "star_anise",
    "coriander",
    "pea",
    "carrot_dice",
)
MAIN = tuple(name for name in BUILDERS if name not in ("sesame", "star_anise"))
PATTERNS = ("wood", "steel", "cloth", "speckle", "plain")
MIN_DISTANCE = 30.0  # in RGB 0..255, of a random table or plate from each of the outside site's
HEAP_PIXELS = (35_000.0, 95_000.0)  # what the pieces of a plate would cover without overlap
DEMO_PIECES = {frozenset(plating.pieces) for plating in PLATINGS.values()}


def random_recipe(number: int) -> Plating:
    """Recipe `number` of an endless book: 1-4 ingredients, never those of a demo dish, and the
    rest.
    """
    rng = np.random.default_rng([SEED, 1, number])
    while True:
        count = rng.choice(4, p=(0.2, 0.35, 0.3, 0.15)) + 1
        names = rng.choice(MAIN, count, replace=False).tolist()
        if frozenset(names) not in DEMO_PIECES:
            break
    n_garnishes = rng.integers(3)
    garnish = rng.choice(GARNISHES, n_garnishes, replace=False).tolist()
    mixed = rng.random() < 0.75
    soup = rng.random() < 0.1
    # What is drawn here follows in this order: the numbers of a recipe come from one stream.
    return Plating(
        pieces=_piece_counts(rng, names),
        garnish={name: int(rng.integers(6, 40)) for name in garnish if name not in names},
        sauce=_random_sauce(rng) if mixed or soup else None,
        pool=rng.uniform(0.45, 0.75),
        oil=rng.uniform(0.2, 0.6) if rng.random() < 0.2 else 0.0,
        reach=rng.uniform(0.38, 0.56),
        mound=0.0 if soup else rng.uniform(4, 30),
        soup=soup,
        along=rng.random() < 0.1,
        dyes=_random_dyes(rng, names),
    )


def _piece_counts(rng: np.random.Generator, names: Sequence[str]) -> dict[str, int]:
    """How many of each ingredient fill a plate together: few large pieces, many shreds or
    grains.
    """
    target = rng.uniform(*HEAP_PIXELS)
    shares = rng.dirichlet(np.full(len(names), 2.5))
    counts = {}
    for name, share in zip(names, shares, strict=True):
        pixels = _piece_pixels(name)
        most = 2 if pixels > 8000 else 150
        fitting = round(target * share / pixels)
        counts[name] = int(np.clip(fitting, 1, most))
    return counts


@cache
def _piece_pixels(name: str) -> float:
    """The mean area of an ingredient's pieces, in pixels of the canvas."""
    areas = [float(sprite(name, variant, 0).cover.sum()) for variant in range(VARIANTS)]
    return sum(areas) / VARIANTS


def _random_sauce(rng: np.random.Generator) -> RGB:
    """Between brown, red, yellow and green, dark or pale: what runs out of food."""
    red = rng.uniform(70, 235)
    green = red * rng.uniform(0.25, 1.05)
    blue = min(red, green) * rng.uniform(0.15, 0.95)
    return int(red), int(green), int(blue)


def _random_dyes(
    rng: np.random.Generator,
    names: Sequence[str],
) -> dict[str, tuple[float, float, float]]:
    """In half of the recipes some ingredients are stained: another colour is another food."""
    if rng.random() < 0.5:
        return {}
    stained = [name for name in names if rng.random() < 0.6]
    return {name: _random_dye(rng) for name in stained}


def _random_dye(rng: np.random.Generator) -> tuple[float, float, float]:
    """Factors of red, green and blue."""
    factors = np.exp(rng.normal(0, 0.3, 3))
    red, green, blue = factors.clip(0.4, 1.5).tolist()
    return red, green, blue


def random_place(rng: np.random.Generator) -> Place:
    """A dining room with one random table and one random plate, none like the outside site's."""
    outside_tables = [rgb for rgb, _ in OUTSIDE.tables]
    outside_rims = [rgb for rgb, _ in OUTSIDE.plates]
    table = _random_colour(rng, (40, 230), outside_tables)
    rim = _random_colour(rng, (90, 252), outside_rims)
    band = _random_colour(rng, (30, 230), []) if rng.random() < 0.5 else None
    pattern = str(rng.choice(PATTERNS))
    return Place(((table, pattern),), ((rim, band),), (0.88, 1.12), (0.75, 1.2))


def _random_colour(
    rng: np.random.Generator,
    levels: tuple[int, int],
    avoid: Sequence[RGB],
) -> RGB:
    """An RGB colour around a grey of `levels`, MIN_DISTANCE from each colour in `avoid`."""
    while True:
        grey = rng.uniform(*levels)
        tint = rng.normal(0, 25, 3)
        colour = np.clip(grey + tint, 0, 255)
        distances = [np.linalg.norm(colour - other) for other in avoid]
        if min(distances, default=MIN_DISTANCE) >= MIN_DISTANCE:
            red, green, blue = colour.astype(int).tolist()
            return red, green, blue


def draw_photo(recipe: Plating, rng: np.random.Generator, side: int) -> np.ndarray:
    """A photo of the recipe in a random dining room; (side, side, 3) uint8."""
    place = random_place(rng)
    table = draw_plating(recipe, rng, place)
    side_in_view = SIZE * rng.uniform(0.5, 0.8)
    width, height = side_in_view * rng.uniform(0.9, 1.1, 2)
    middle = SIZE / 2
    x = middle + rng.normal(0, 0.03) * SIZE
    y = middle + rng.normal(0, 0.03) * SIZE
    left = np.clip(x - width / 2, 0, SIZE - width)
    top = np.clip(y - height / 2, 0, SIZE - height)
    bottom = top + height
    right = left + width
    rows = slice(round(top), round(bottom))
    columns = slice(round(left), round(right))
    blur = 0.0 if rng.random() < 0.6 else rng.uniform(0.3, 1.2)
    exposure = rng.uniform(0.85, 1.15)
    grain = rng.uniform(0.004, 0.03)
    photo = expose(table.light((rows, columns)), rng, exposure, blur, grain)
    resized = photo.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def draw_recipe(number: int, photos: int, side: int) -> np.ndarray:
    """The photos of recipe `number`; (photos, side, side, 3) uint8."""
    recipe = random_recipe(number)
    drawn = [draw_photo(recipe, photo_rng(number, photo), side) for photo in range(photos)]
    return np.stack(drawn)


def photo_rng(number: int, photo: int) -> np.random.Generator:
    """The random numbers of one photo of one recipe."""
    return np.random.default_rng([SEED, 2, number, photo])


def draw_recipes(recipes: int, photos: int, side: int, processes: int = 2) -> np.ndarray:
    """All photos of recipes 0 .. recipes - 1; (recipes, photos, side, side, 3) uint8.

    With processes > 1 the work is spawned: a script that calls this needs a `__main__` guard.
    """
    numbers = range(recipes)
    if processes <= 1:
        return np.stack([draw_recipe(number, photos, side) for number in numbers])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        drawn = pool.map(draw_recipe, numbers, [photos] * recipes, [side] * recipes, chunksize=4)
        return np.stack(list(drawn))
