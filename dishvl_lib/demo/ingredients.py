"""The demo's larder: each ingredient is a shape in its colours, drawn a few times, turned, and kept
for stamping.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from dishvl_lib.demo.drawing import Sprite
from dishvl_lib.demo.shapes import (
    Piece,
    blob,
    block,
    curd,
    disc,
    fish,
    fish_chunk,
    floret,
    fried_triangle,
    grains,
    leaf,
    pork_belly,
    prawn,
    rib,
    ring,
    strip,
    tomato,
    wood_ear,
)

VARIANTS = 6  # different drawings of each ingredient
TURNS = 16  # angles each is kept at

RED = (196, 34, 20)
GREEN = (70, 128, 40)
DARK_GREEN = (38, 90, 34)
PALE = (192, 214, 136)
RED_ROOT = (190, 70, 84)
BUILDERS: dict[str, tuple[Callable[[np.random.Generator], Piece], float]] = {
    "fish": (lambda r: fish(r), 0.75),
    "fish_chunk": (lambda r: fish_chunk(r, r.uniform(64, 84), r.uniform(46, 58)), 0.75),
    "potato_shred": (
        lambda r: strip(r, r.uniform(66, 104), r.uniform(5.5, 8), (232, 208, 132), 4.5, 0.22),
        0.55,
    ),
    "pepper_shred": (
        lambda r: strip(r, r.uniform(52, 88), r.uniform(8, 11), (74, 132, 34), 4.5, 0.25),
        0.8,
    ),
    "carrot_shred": (
        lambda r: strip(r, r.uniform(44, 70), r.uniform(6, 8), (226, 112, 28), 4, 0.15),
        0.5,
    ),
    "pork_shred": (
        lambda r: strip(r, r.uniform(48, 82), r.uniform(9, 13), (158, 92, 58), 6, 0.3, 0.4, 0.14),
        0.5,
    ),
    "red_pork_shred": (
        lambda r: strip(r, r.uniform(48, 82), r.uniform(9, 13), (164, 76, 40), 6, 0.3, 0.4, 0.14),
        0.7,
    ),
    "bamboo_shred": (
        lambda r: strip(r, r.uniform(48, 70), r.uniform(7, 9), (222, 188, 116), 4, 0.1),
        0.5,
    ),
    "ear_shred": (
        lambda r: strip(r, r.uniform(44, 68), r.uniform(8, 11), (46, 32, 30), 4, 0.35),
        0.7,
    ),
    "tomato": (lambda r: tomato(r, r.uniform(46, 66)), 0.8),
    "egg": (lambda r: curd(r, r.uniform(34, 66)), 0.45),
    "egg_bit": (lambda r: curd(r, r.uniform(14, 26)), 0.4),
    "egg_ribbon": (
        lambda r: blob(r, r.uniform(50, 96), r.uniform(12, 24), (248, 214, 104), 2, 0.3, 0.1, 0.8),
        0.5,
    ),
    "chicken": (
        lambda r: block(r, r.uniform(26, 34), r.uniform(24, 31), (186, 116, 56), 10, 7, 0.14),
        0.6,
    ),
    "fried_chicken": (
        lambda r: blob(r, r.uniform(27, 38), r.uniform(23, 30), (158, 86, 36), 10, 0.16, 0.2, 1.2),
        0.3,
    ),
    "peanut": (
        lambda r: blob(r, r.uniform(26, 30), r.uniform(17, 20), (236, 190, 120), 8, 0.05, 0.05),
        0.5,
    ),
    "scallion_cut": (lambda r: block(r, 25, 17, (176, 206, 120), 7, 5, 0.1), 0.6),
    "scallion_ring": (lambda r: ring(r, r.uniform(11, 15), (82, 144, 44)), 0.4),
    "scallion_shred": (lambda r: strip(r, r.uniform(30, 62), 3.4, (98, 160, 60), 2.5, 0.35), 0.3),
    "dry_chilli": (
        lambda r: strip(r, r.uniform(36, 54), r.uniform(12, 15), (150, 20, 14), 6, 0.2, 0.6, 0.12),
        0.85,
    ),
    "chilli_bit": (lambda r: ring(r, r.uniform(12, 16), (170, 26, 16), 0.35), 0.6),
    "sesame": (lambda r: blob(r, 5.5, 4, (246, 232, 196), 2, 0.03), 0.3),
    "soft_tofu": (
        lambda r: block(r, r.uniform(38, 46), r.uniform(36, 44), (240, 224, 192), 10, 5, 0.03),
        0.6,
    ),
    "fried_tofu": (lambda r: fried_triangle(r, r.uniform(70, 84)), 0.45),
    "mince": (
        lambda r: blob(r, r.uniform(7, 13), r.uniform(6, 10), (104, 48, 26), 4, 0.2, 0.2),
        0.3,
    ),
    "pepper_square": (
        lambda r: block(r, r.uniform(28, 38), r.uniform(24, 32), (66, 128, 30), 6, 5, 0.08, 0.2),
        0.9,
    ),
    "red_pepper_square": (
        lambda r: block(r, r.uniform(25, 34), r.uniform(22, 30), RED, 6, 5, 0.08, 0.2),
        0.9,
    ),
    "pepper_dice": (
        lambda r: block(r, r.uniform(10, 15), r.uniform(9, 13), (86, 146, 44), 4, 3),
        0.6,
    ),
    "red_pepper_dice": (
        lambda r: block(r, r.uniform(10, 15), r.uniform(9, 13), (200, 40, 24), 4, 3),
        0.6,
    ),
    "wood_ear": (lambda r: wood_ear(r, r.uniform(40, 58)), 0.8),
    "youmai": (
        lambda r: leaf(
            r, r.uniform(140, 185), r.uniform(26, 36), GREEN, (186, 208, 138), None, 0.3
        ),
        0.7,
    ),
    "spinach": (
        lambda r: leaf(
            r, r.uniform(92, 124), r.uniform(44, 58), DARK_GREEN, (112, 154, 72), RED_ROOT, 0.5, 0.5
        ),
        0.7,
    ),
    "garlic": (lambda r: blob(r, r.uniform(7, 12), r.uniform(6, 9), (244, 228, 178), 4, 0.12), 0.4),
    "belly": (lambda r: pork_belly(r, r.uniform(46, 56)), 0.9),
    "rib": (lambda r: rib(r, r.uniform(72, 88), r.uniform(36, 44)), 0.85),
    "rice": (lambda r: grains(r, 14, (248, 245, 238)), 0.35),
    "fried_rice": (lambda r: grains(r, 14, (236, 206, 132)), 0.5),
    "pea": (lambda r: blob(r, 14, 14, (104, 164, 50), 7, 0.03), 0.5),
    "carrot_dice": (lambda r: block(r, 12, 11, (232, 116, 32), 5, 3), 0.4),
    "floret": (lambda r: floret(r, r.uniform(66, 84)), 0.25),
    "peeled_prawn": (
        lambda r: prawn(r, r.uniform(46, 56), (250, 204, 172), (238, 138, 92), True),
        0.7,
    ),
    "red_prawn": (lambda r: prawn(r, r.uniform(84, 100), (216, 84, 36), (168, 40, 18)), 0.9),
    "dry_prawn": (lambda r: prawn(r, r.uniform(84, 100), (222, 112, 54), (184, 66, 30)), 0.35),
    "suji": (
        lambda r: disc(
            r, r.uniform(64, 74), r.uniform(58, 66), (128, 66, 28), (202, 144, 82), 6, 0.86
        ),
        0.6,
    ),
    "dougan": (
        lambda r: block(r, r.uniform(60, 70), r.uniform(50, 58), (168, 104, 54), 6, 3, 0.07),
        0.6,
    ),
    "cucumber": (
        lambda r: disc(r, r.uniform(50, 62), r.uniform(36, 44), DARK_GREEN, PALE, 4, 0.87, 0.06),
        0.5,
    ),
    "pork_slice": (
        lambda r: blob(r, r.uniform(46, 64), r.uniform(26, 34), (176, 112, 78), 5, 0.14, 0.14, 0.8),
        0.4,
    ),
    "star_anise": (lambda r: blob(r, 24, 24, (74, 34, 16), 4, 0.32), 0.3),
    "coriander": (lambda r: blob(r, 24, 18, (60, 128, 42), 3, 0.4, 0.2, 1.0), 0.3),
}


@lru_cache(maxsize=600)
def sprite(name: str, variant: int, turn: int) -> Sprite:
    """One of VARIANTS drawings of an ingredient of BUILDERS, turned by turn / TURNS of a circle;
    pure, hence cached.
    """
    picture, relief, gloss = _drawing(name, variant)
    angle = turn * 360 / TURNS
    turned_picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    turned_relief = relief.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    layers = np.asarray(turned_picture, np.float32) / 255
    raised = np.asarray(turned_relief)
    window = _extent(layers[..., 3])
    inside = layers[window]
    # Copies: a view would keep the whole canvas in the cache.
    return Sprite(inside[..., :3].copy(), inside[..., 3].copy(), raised[window].copy(), gloss)


@lru_cache(maxsize=600)
def _drawing(name: str, variant: int) -> tuple[Image.Image, Image.Image, float]:
    """The unturned piece: colours with the cover in the fourth channel, relief (mode F), gloss."""
    build, gloss = BUILDERS[name]
    seed = [zlib.crc32(name.encode()), variant]
    far, relief, paint = build(np.random.default_rng(seed))
    colours = np.clip(paint, 0, 255)
    cover = 255 * np.clip(0.5 - far, 0, 1)
    layers = np.dstack([colours, cover]).astype(np.uint8)
    window = _extent(layers[..., 3])
    inside = layers[window]
    size = inside.shape[1::-1]
    # RGBX, not RGBA: Pillow would multiply RGBA back and forth at each turn.
    picture = Image.frombuffer("RGBX", size, inside.tobytes(), "raw", "RGBX", 0, 1)
    heights = np.clip(relief[window], 0, None)
    return picture, Image.fromarray(heights.astype(np.float32)), gloss


def _extent(cover: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold anything, with a margin of one pixel where there is one."""
    covered = cover > 0
    rows = np.flatnonzero(covered.any(axis=1))
    columns = np.flatnonzero(covered.any(axis=0))
    return _span(rows), _span(columns)


def _span(places: np.ndarray) -> slice:
    """From one before the first place to one after the last."""
    first = max(0, int(places[0]) - 1)
    last = int(places[-1]) + 1
    return slice(first, last + 1)
