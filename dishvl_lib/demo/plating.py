"""Lays tables, puts plates and bowls on them, and heaps a dish's pieces on the plate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dishvl_lib.demo.drawing import (
    RADIUS,
    SIZE,
    Canvas,
    blank_canvas,
    lay,
    light_scene,
    plane,
    smooth_noise,
    stamp,
)
from dishvl_lib.demo.ingredients import TURNS, VARIANTS, sprite


@dataclass(frozen=True)
class Plating:
    """How a dish is laid out: pieces {ingredient: count}, then garnish on top.

    reach is the heap's radius and mound its height (plate radii, px); sauce is an RGB 0..255 or
    None and pool its radius; soup fills a bowl to the rim; along turns all pieces roughly one way.
    dyes {ingredient: RGB factors} stain some ingredients in another colour.
    """

    pieces: dict[str, int]
    garnish: dict[str, int] = field(default_factory=dict)
    sauce: tuple[int, int, int] | None = None
    pool: float = 0.6
    oil: float = 0.0
    reach: float = 0.5
    mound: float = 18.0
    soup: bool = False
    along: bool = False
    dyes: dict[str, tuple[float, float, float]] = field(default_factory=dict)


BROWN = (92, 40, 16)
RED_OIL = (158, 44, 14)
PLATINGS: dict[str, Plating] = {
    "红烧鱼": Plating(
        {"fish": 1}, {"scallion_shred": 26, "chilli_bit": 9}, BROWN, 0.68, reach=0.03, mound=0
    ),
    "红烧鱼块": Plating(
        {"fish_chunk": 10}, {"scallion_shred": 14, "chilli_bit": 7}, BROWN, 0.66, reach=0.46
    ),
    "土豆丝": Plating({"potato_shred": 190}, {"chilli_bit": 5}, (196, 160, 78), 0.5, reach=0.5),
    "青椒土豆丝": Plating(
        {"potato_shred": 135, "pepper_shred": 42}, {}, (186, 160, 78), 0.5, reach=0.5
    ),
    "番茄炒蛋": Plating(
        {"egg": 34, "tomato": 20}, {"scallion_ring": 9}, (206, 84, 28), 0.62, reach=0.5
    ),
    "番茄蛋汤": Plating(
        {"tomato": 10, "egg_ribbon": 22},
        {"scallion_ring": 16},
        (214, 112, 44),
        oil=0.4,
        reach=0.55,
        mound=0,
        soup=True,
    ),
    "宫保鸡丁": Plating(
        {"chicken": 54, "peanut": 46, "scallion_cut": 18, "dry_chilli": 5},
        {},
        BROWN,
        0.58,
        reach=0.5,
    ),
    "辣子鸡丁": Plating({"fried_chicken": 44, "dry_chilli": 46}, {"sesame": 60}, None, reach=0.52),
    "麻婆豆腐": Plating(
        {"soft_tofu": 34},
        {"mince": 60, "scallion_ring": 14},
        RED_OIL,
        0.72,
        0.5,
        reach=0.52,
        mound=8,
    ),
    "家常豆腐": Plating(
        {"fried_tofu": 19, "pepper_square": 9, "wood_ear": 8, "red_pepper_square": 5},
        {},
        RED_OIL,
        0.6,
        reach=0.48,
    ),
    "清炒油麦菜": Plating(
        {"youmai": 34}, {"garlic": 16}, (150, 158, 70), 0.6, reach=0.34, along=True
    ),
    "清炒菠菜": Plating({"spinach": 44}, {"garlic": 16}, (120, 140, 60), 0.6, reach=0.42),
    "红烧肉": Plating(
        {"belly": 26}, {"scallion_ring": 8, "star_anise": 2}, BROWN, 0.64, reach=0.45
    ),
    "红烧排骨": Plating(
        {"rib": 20}, {"scallion_ring": 8, "star_anise": 2}, BROWN, 0.64, reach=0.45
    ),
    "米饭": Plating({"rice": 95}, {}, (250, 246, 238), 0.6, reach=0.56, mound=24),
    "蛋炒饭": Plating(
        {"fried_rice": 80, "egg_bit": 30, "pea": 16, "carrot_dice": 18},
        {"scallion_ring": 14},
        (236, 216, 164),
        0.58,
        reach=0.55,
        mound=30,
    ),
    "鱼香肉丝": Plating(
        {"red_pork_shred": 74, "ear_shred": 30, "carrot_shred": 28, "bamboo_shred": 20},
        {},
        RED_OIL,
        0.6,
        0.3,
        reach=0.48,
    ),
    "青椒肉丝": Plating(
        {"pork_shred": 80, "pepper_shred": 74}, {}, (120, 84, 34), 0.58, reach=0.48
    ),
    "蒜蓉西兰花": Plating({"floret": 24}, {"garlic": 46}, (206, 206, 150), 0.5, reach=0.5),
    "西兰花炒虾仁": Plating(
        {"floret": 15, "peeled_prawn": 17}, {"carrot_shred": 3}, (206, 206, 150), 0.5, reach=0.5
    ),
    "素鸡(豆制品)": Plating({"suji": 21}, {"scallion_ring": 8}, BROWN, 0.6, reach=0.5),
    "卤豆干(豆制品)": Plating({"dougan": 21}, {"scallion_ring": 8}, BROWN, 0.55, reach=0.5),
    "黄瓜炒鸡蛋": Plating({"egg": 32, "cucumber": 24}, {}, (214, 196, 120), 0.5, reach=0.5),
    "木须肉": Plating(
        {"egg": 22, "cucumber": 12, "wood_ear": 13, "pork_slice": 13}, {}, (180, 130, 70), 0.55
    ),
    "油焖大虾": Plating(
        {"red_prawn": 14}, {"scallion_shred": 12}, (186, 58, 14), 0.68, 0.3, reach=0.46
    ),
    "椒盐虾": Plating(
        {"dry_prawn": 14},
        {"pepper_dice": 18, "red_pepper_dice": 18, "garlic": 20},
        None,
        reach=0.46,
    ),
}


@dataclass(frozen=True)
class Place:
    """A dining room: its table tops (RGB, pattern), plates (rim RGB, band RGB or None) and how warm
    its lamps are.
    """

    tables: tuple[tuple[tuple[int, int, int], str], ...]
    plates: tuple[tuple[tuple[int, int, int], tuple[int, int, int] | None], ...]
    warmth: tuple[float, float]
    light: tuple[float, float]


CANTEEN = Place(
    (
        ((176, 130, 88), "wood"),
        ((206, 200, 188), "speckle"),
        ((128, 130, 132), "plain"),
        ((178, 134, 104), "plain"),
        ((150, 166, 156), "speckle"),
        ((142, 102, 70), "wood"),
    ),
    (
        ((240, 240, 236), None),
        ((238, 238, 232), (58, 92, 158)),
        ((242, 234, 214), (176, 60, 44)),
        ((226, 234, 228), (88, 150, 112)),
        ((246, 244, 240), None),
    ),
    (0.95, 1.06),
    (0.88, 1.12),
)
OUTSIDE = Place(
    (((58, 52, 50), "wood"), ((186, 190, 196), "steel"), ((70, 96, 84), "cloth")),
    (((70, 74, 82), None), ((196, 214, 204), None), ((214, 206, 186), (94, 70, 50))),
    (0.93, 1.01),
    (0.8, 1.05),
)


def draw_scene(name: str, rng: np.random.Generator, place: Place) -> np.ndarray:
    """One lit table with the dish `name` on it; (SIZE, SIZE, 3) float32 light values in about
    0..1.2.
    """
    return draw_plating(PLATINGS[name], rng, place)


def draw_plating(plating: Plating, rng: np.random.Generator, place: Place) -> np.ndarray:
    """The same for any plating, one of the demo's dishes or not."""
    canvas = blank_canvas()
    _table(canvas, rng, place)
    centre = _vessel(canvas, rng, place, plating)
    _fill(canvas, rng, plating, centre)
    warm = rng.uniform(*place.warmth)
    lamp = np.array([warm, 1.0, 2 - warm - 0.02], np.float32) * rng.uniform(*place.light)
    return light_scene(
        canvas, rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.15), lamp, rng.uniform(0.1, 0.6)
    )


def _table(canvas: Canvas, rng: np.random.Generator, place: Place) -> None:
    rgb, pattern = place.tables[rng.integers(len(place.tables))]
    cells = {
        "wood": (70, 4),
        "steel": (160, 2),
        "cloth": (90, 90),
        "speckle": (130, 130),
        "plain": (6, 6),
    }[pattern]
    strength = {"wood": 0.10, "steel": 0.04, "cloth": 0.08, "speckle": 0.06, "plain": 0.03}[pattern]
    noise = smooth_noise(rng, (SIZE, SIZE), cells)
    noise = noise.T if rng.random() < 0.5 else noise
    base = np.array(rgb, np.float32) / 255 * rng.uniform(0.85, 1.1) + rng.normal(0, 0.02, 3).astype(
        np.float32
    )
    canvas.colour[:] = base * (1 + strength * noise)[..., None]
    canvas.gloss[:] = 0.12
    if rng.random() < 0.4:
        _chopsticks(canvas, rng)


def _chopsticks(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = plane()
    angle = rng.uniform(0, np.pi)
    across = x * np.sin(angle) - y * np.cos(angle) - rng.choice([-1, 1]) * rng.uniform(1.02, 1.14)
    rgb = (
        np.array([(150, 92, 52), (226, 220, 206), (60, 40, 34)][rng.integers(3)], np.float32) / 255
    )
    for shift in (0.0, 0.06):
        stick = np.clip(0.5 - (np.abs(across - shift) - 0.02) * RADIUS, 0, 1).astype(np.float32)
        canvas.height[:] = np.maximum(canvas.height, stick * 5)
        lay(canvas, stick, rgb, 0.4)


def _vessel(
    canvas: Canvas, rng: np.random.Generator, place: Place, plating: Plating
) -> tuple[float, float]:
    """A round plate, or a deep bowl for soups; returns its centre in px."""
    rim, band = place.plates[rng.integers(len(place.plates))]
    shift = rng.normal(0, 0.03, 2).tolist()
    x, y = plane()
    x = x - shift[0]
    y = y - shift[1]
    rho = np.hypot(x, y)
    body = np.clip(0.5 - (rho - 1) * RADIUS, 0, 1).astype(np.float32)
    well = 0.84 if plating.soup else rng.uniform(0.7, 0.8)
    depth = 30 if plating.soup else 8
    bottom = (rho / well) ** 2
    bottom = 10 - depth + depth * bottom * bottom * bottom
    profile = np.where(rho > well, 10 + 8 * (rho - well) / (1 - well), bottom)
    edge = np.exp(-(((rho - 0.985) * RADIUS / 3) ** 2)) * 3
    canvas.height[:] = canvas.height * (1 - body) + body * (profile + edge)
    lay(canvas, body, np.array(rim, np.float32) / 255 * rng.uniform(0.94, 1.02), 0.55)
    if band is not None:
        at = rng.uniform(0.88, 0.95)
        wide = rng.uniform(0.012, 0.04)
        stripe = np.clip(0.5 - (np.abs(rho - at) - wide) * RADIUS, 0, 1).astype(np.float32)
        lay(canvas, stripe, np.array(band, np.float32) / 255, 0.5)
    return (SIZE - 1) / 2 + shift[0] * RADIUS, (SIZE - 1) / 2 + shift[1] * RADIUS


def _fill(
    canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: tuple[float, float]
) -> None:
    tint = np.clip(rng.normal(1, 0.04) + rng.normal(0, 0.02, 3), 0.8, 1.2).astype(np.float32)
    spread = plating.reach * rng.uniform(1.2, 1.4)
    offset = [0.0, 0.0] if plating.soup else rng.normal(0, 5, 2).tolist()
    x0 = centre[0] + offset[0]
    y0 = centre[1] + offset[1]
    if plating.sauce is not None:
        _sauce(canvas, rng, plating, (x0, y0), tint)
    if plating.mound:
        x, y = plane()
        rho = np.hypot(x - (x0 - SIZE / 2) / RADIUS, y - (y0 - SIZE / 2) / RADIUS)
        canvas.height += plating.mound * np.clip(1 - (rho / (spread * 1.15)) ** 2, 0, None)
    amount = rng.uniform(1.0, 1.25)
    tints = {name: tint * np.array(dye, np.float32) for name, dye in plating.dyes.items()}
    tints = {name: tints.get(name, tint) for name in (*plating.pieces, *plating.garnish)}
    _scatter(canvas, rng, plating.pieces, (x0, y0), spread, amount, tints, plating.along)
    _scatter(
        canvas,
        rng,
        plating.garnish,
        (x0, y0),
        max(0.3, spread * 0.9),
        rng.uniform(0.7, 1.3),
        tints,
        False,
    )
    if plating.oil:
        _oil(canvas, rng, plating, centre)


def _sauce(
    canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: tuple[float, float], tint
) -> None:
    x, y = plane()
    x = x - (centre[0] - SIZE / 2) / RADIUS
    y = y - (centre[1] - SIZE / 2) / RADIUS
    radius = 0.8 if plating.soup else plating.pool * rng.uniform(1.05, 1.18)
    rough = 0 if plating.soup else 0.05
    edge = radius * (1 + rough * smooth_noise(rng, (SIZE, SIZE), (6, 6)))
    far = (np.hypot(x, y) - edge) * RADIUS
    pool = np.clip(0.5 - far / 2, 0, 1).astype(np.float32)
    level = 0 if plating.soup else canvas.height[SIZE // 2, SIZE // 2] + 2.5
    canvas.height += (
        pool * (np.maximum(level, canvas.height) - canvas.height) * (1.0 if plating.soup else 0.8)
    )
    canvas.height += pool * 0.35 * smooth_noise(rng, (SIZE, SIZE), (14, 14))
    thin = np.clip(-far / 14, 0.55, 1)[..., None].astype(
        np.float32
    )  # a pool is paler where it runs out
    rgb = np.array(plating.sauce, np.float32) / 255 * tint * thin + (1 - thin) * np.float32(0.75)
    lay(canvas, pool * 0.96, rgb, 0.9)


def _oil(
    canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: tuple[float, float]
) -> None:
    x, y = plane()
    for _ in range(int(60 * plating.oil)):
        turn = rng.uniform(0, 2 * np.pi)
        far = 0.76 * np.sqrt(rng.random())
        size = rng.uniform(0.008, 0.03)
        cx = (centre[0] - SIZE / 2) / RADIUS + far * np.cos(turn)
        cy = (centre[1] - SIZE / 2) / RADIUS + far * np.sin(turn)
        column = int((cx * RADIUS) + SIZE / 2)
        row = int((cy * RADIUS) + SIZE / 2)
        w = (slice(max(0, row - 8), row + 9), slice(max(0, column - 8), column + 9))
        drop = np.clip(0.5 - (np.hypot(x[w] - cx, y[w] - cy) - size) * RADIUS, 0, 1)
        canvas.colour[w] += (
            0.5 * drop[..., None] * (np.array([0.9, 0.45, 0.1], np.float32) - canvas.colour[w])
        )
        canvas.gloss[w] = np.maximum(canvas.gloss[w], drop)


def _scatter(
    canvas, rng, pieces: dict[str, int], centre, spread: float, amount: float, tints, along: bool
) -> None:
    """Stamps the pieces in random order, denser in the middle; along turns them roughly one way."""
    names = [name for name, count in pieces.items() for _ in range(max(1, round(count * amount)))]
    main = int(rng.integers(TURNS))
    for index in rng.permutation(len(names)):
        angle = rng.uniform(0, 2 * np.pi)
        far = spread * RADIUS * rng.random() ** 0.55
        turn = (
            main + round(rng.normal(0, TURNS / 16)) + TURNS // 2 * rng.integers(2)
            if along
            else rng.integers(TURNS)
        )
        piece = sprite(names[index], int(rng.integers(VARIANTS)), int(turn) % TURNS)
        shade = tints[names[index]] * np.float32(rng.normal(1, 0.06))
        stamp(
            canvas, piece, centre[0] + far * np.cos(angle), centre[1] + far * np.sin(angle), shade
        )
