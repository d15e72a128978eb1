"""The demo's larder: each ingredient is a shape in its colours, drawn a few times, turned, and kept
for stamping.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from dishvl_lib.core.types import Record
from dishvl_lib.demo.drawing import Sprite, extent
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
PEPPER_SQUARE: Record = {"thick": 6, "corner": 5, "grain": 0.08, "skew": 0.2}
SHREDDED_MEAT: Record = {"thick": 6, "bend": 0.3, "taper": 0.4, "grain": 0.14}


@dataclass(frozen=True)
class Ingredient:
    """A shape in its colours. `sizes` (px) are the shape's first arguments: a pair is drawn anew
    for each piece, evenly between its ends. `looks` are the shape's other arguments.
    """

    shape: Callable[..., Piece]
    sizes: tuple[float | tuple[float, float], ...]
    gloss: float
    looks: Record

    def draw(self, rng: np.random.Generator) -> Piece:
        sizes = [rng.uniform(*size) if isinstance(size, tuple) else size for size in self.sizes]
        return self.shape(rng, *sizes, **self.looks)


def _made(shape: Callable[..., Piece], *sizes, gloss: float, **looks) -> Ingredient:
    return Ingredient(shape, sizes, gloss, looks)


BUILDERS = {
    "fish": _made(fish, gloss=0.75),
    "fish_chunk": _made(fish_chunk, (64, 84), (46, 58), gloss=0.75),
    "potato_shred": _made(
        strip, (66, 104), (5.5, 8), rgb=(232, 208, 132), thick=4.5, bend=0.22, gloss=0.55
    ),
    "pepper_shred": _made(
        strip, (52, 88), (8, 11), rgb=(74, 132, 34), thick=4.5, bend=0.25, gloss=0.8
    ),
    "carrot_shred": _made(
        strip, (44, 70), (6, 8), rgb=(226, 112, 28), thick=4, bend=0.15, gloss=0.5
    ),
    "pork_shred": _made(strip, (48, 82), (9, 13), rgb=(158, 92, 58), gloss=0.5, **SHREDDED_MEAT),
    "red_pork_shred": _made(
        strip, (48, 82), (9, 13), rgb=(164, 76, 40), gloss=0.7, **SHREDDED_MEAT
    ),
    "bamboo_shred": _made(
        strip, (48, 70), (7, 9), rgb=(222, 188, 116), thick=4, bend=0.1, gloss=0.5
    ),
    "ear_shred": _made(strip, (44, 68), (8, 11), rgb=(46, 32, 30), thick=4, bend=0.35, gloss=0.7),
    "tomato": _made(tomato, (46, 66), gloss=0.8),
    "egg": _made(curd, (34, 66), gloss=0.45),
    "egg_bit": _made(curd, (14, 26), gloss=0.4),
    "egg_ribbon": _made(
        blob,
        (50, 96),
        (12, 24),
        rgb=(248, 214, 104),
        thick=2,
        rough=0.3,
        grain=0.1,
        lumps=0.8,
        gloss=0.5,
    ),
    "chicken": _made(
        block, (26, 34), (24, 31), rgb=(186, 116, 56), thick=10, corner=7, grain=0.14, gloss=0.6
    ),
    "fried_chicken": _made(
        blob,
        (27, 38),
        (23, 30),
        rgb=(158, 86, 36),
        thick=10,
        rough=0.16,
        grain=0.2,
        lumps=1.2,
        gloss=0.3,
    ),
    "peanut": _made(
        blob, (26, 30), (17, 20), rgb=(236, 190, 120), thick=8, rough=0.05, grain=0.05, gloss=0.5
    ),
    "scallion_cut": _made(
        block, 25, 17, rgb=(176, 206, 120), thick=7, corner=5, grain=0.1, gloss=0.6
    ),
    "scallion_ring": _made(ring, (11, 15), rgb=(82, 144, 44), gloss=0.4),
    "scallion_shred": _made(
        strip, (30, 62), 3.4, rgb=(98, 160, 60), thick=2.5, bend=0.35, gloss=0.3
    ),
    "dry_chilli": _made(
        strip,
        (36, 54),
        (12, 15),
        rgb=(150, 20, 14),
        thick=6,
        bend=0.2,
        taper=0.6,
        grain=0.12,
        gloss=0.85,
    ),
    "chilli_bit": _made(ring, (12, 16), rgb=(170, 26, 16), hole=0.35, gloss=0.6),
    "sesame": _made(blob, 5.5, 4, rgb=(246, 232, 196), thick=2, rough=0.03, gloss=0.3),
    "soft_tofu": _made(
        block, (38, 46), (36, 44), rgb=(240, 224, 192), thick=10, corner=5, grain=0.03, gloss=0.6
    ),
    "fried_tofu": _made(fried_triangle, (70, 84), gloss=0.45),
    "mince": _made(
        blob, (7, 13), (6, 10), rgb=(104, 48, 26), thick=4, rough=0.2, grain=0.2, gloss=0.3
    ),
    "pepper_square": _made(
        block, (28, 38), (24, 32), rgb=(66, 128, 30), gloss=0.9, **PEPPER_SQUARE
    ),
    "red_pepper_square": _made(block, (25, 34), (22, 30), rgb=RED, gloss=0.9, **PEPPER_SQUARE),
    "pepper_dice": _made(block, (10, 15), (9, 13), rgb=(86, 146, 44), thick=4, corner=3, gloss=0.6),
    "red_pepper_dice": _made(
        block, (10, 15), (9, 13), rgb=(200, 40, 24), thick=4, corner=3, gloss=0.6
    ),
    "wood_ear": _made(wood_ear, (40, 58), gloss=0.8),
    "youmai": _made(
        leaf, (140, 185), (26, 36), rgb=GREEN, stem=(186, 208, 138), stem_part=0.3, gloss=0.7
    ),
    "spinach": _made(
        leaf,
        (92, 124),
        (44, 58),
        rgb=DARK_GREEN,
        stem=(112, 154, 72),
        root=RED_ROOT,
        stem_part=0.5,
        blunt=0.5,
        gloss=0.7,
    ),
    "garlic": _made(blob, (7, 12), (6, 9), rgb=(244, 228, 178), thick=4, rough=0.12, gloss=0.4),
    "belly": _made(pork_belly, (46, 56), gloss=0.9),
    "rib": _made(rib, (72, 88), (36, 44), gloss=0.85),
    "rice": _made(grains, 14, rgb=(248, 245, 238), gloss=0.35),
    "fried_rice": _made(grains, 14, rgb=(236, 206, 132), gloss=0.5),
    "pea": _made(blob, 14, 14, rgb=(104, 164, 50), thick=7, rough=0.03, gloss=0.5),
    "carrot_dice": _made(block, 12, 11, rgb=(232, 116, 32), thick=5, corner=3, gloss=0.4),
    "floret": _made(floret, (66, 84), gloss=0.25),
    "peeled_prawn": _made(
        prawn, (46, 56), shell=(250, 204, 172), stripe=(238, 138, 92), peeled=True, gloss=0.7
    ),
    "red_prawn": _made(prawn, (84, 100), shell=(216, 84, 36), stripe=(168, 40, 18), gloss=0.9),
    "dry_prawn": _made(prawn, (84, 100), shell=(222, 112, 54), stripe=(184, 66, 30), gloss=0.35),
    "suji": _made(
        disc,
        (64, 74),
        (58, 66),
        rind=(128, 66, 28),
        flesh=(202, 144, 82),
        thick=6,
        edge=0.86,
        gloss=0.6,
    ),
    "dougan": _made(
        block, (60, 70), (50, 58), rgb=(168, 104, 54), thick=6, corner=3, grain=0.07, gloss=0.6
    ),
    "cucumber": _made(
        disc,
        (50, 62),
        (36, 44),
        rind=DARK_GREEN,
        flesh=PALE,
        thick=4,
        edge=0.87,
        seeds=0.06,
        gloss=0.5,
    ),
    "pork_slice": _made(
        blob,
        (46, 64),
        (26, 34),
        rgb=(176, 112, 78),
        thick=5,
        rough=0.14,
        grain=0.14,
        lumps=0.8,
        gloss=0.4,
    ),
    "star_anise": _made(blob, 24, 24, rgb=(74, 34, 16), thick=4, rough=0.32, gloss=0.3),
    "coriander": _made(
        blob, 24, 18, rgb=(60, 128, 42), thick=3, rough=0.4, grain=0.2, lumps=1.0, gloss=0.3
    ),
}


@lru_cache(maxsize=600)
def sprite(name: str, variant: int, turn: int) -> Sprite:
    """One of VARIANTS drawings of an ingredient of BUILDERS, turned by turn / TURNS of a circle;
    pure, hence cached.
    """
    return _turned(name, variant, turn, 1.0)


# A tray has pieces of many dishes at once, and small ones take little memory: all are kept.
@lru_cache(maxsize=5000)
def small_sprite(name: str, variant: int, turn: int, scale: float) -> Sprite:
    """The same for a canvas of a scale below 1."""
    return _turned(name, variant, turn, scale)


def _turned(name: str, variant: int, turn: int, scale: float) -> Sprite:
    picture, relief, gloss = _drawing(name, variant, scale)
    angle = turn * 360 / TURNS
    turned_picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    turned_relief = relief.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    layers = np.asarray(turned_picture)
    window = extent(layers[..., 3])
    planes = np.moveaxis(layers[window], -1, 0).astype(np.float32, order="C") / 255
    # A copy: a view would keep the whole canvas in the cache.
    raised = np.asarray(turned_relief)[window].copy()
    return Sprite(planes[:3], planes[3], raised, gloss)


@lru_cache(maxsize=600)
def _drawing(name: str, variant: int, scale: float) -> tuple[Image.Image, Image.Image, float]:
    """The unturned piece: colours with the cover in the fourth channel, relief (mode F), gloss."""
    ingredient = BUILDERS[name]
    seed = [zlib.crc32(name.encode()), variant]
    piece = ingredient.draw(np.random.default_rng(seed))
    colours = np.clip(piece.paint, 0, 255)
    cover = 255 * np.clip(0.5 - piece.far, 0, 1)
    layers = np.dstack([colours, cover]).astype(np.uint8)
    window = extent(layers[..., 3])
    inside = layers[window]
    size = inside.shape[1::-1]
    # RGBX, not RGBA: Pillow would multiply RGBA back and forth at each turn.
    picture = Image.frombuffer("RGBX", size, inside.tobytes(), "raw", "RGBX", 0, 1)
    heights = np.clip(piece.relief[window], 0, None)
    relief = Image.fromarray(heights.astype(np.float32))
    if scale != 1:
        smaller = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
        picture = picture.resize(smaller, Image.Resampling.BOX)
        relief = relief.resize(smaller, Image.Resampling.BOX)
    return picture, relief, ingredient.gloss
