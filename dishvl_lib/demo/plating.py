"""Lays tables, puts plates and bowls on them, and heaps a dish's pieces on the plate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dishvl_lib.demo.drawing import (
    RADIUS,
    RGB,
    SIZE,
    Canvas,
    Lamp,
    Plane,
    Sprite,
    Window,
    cover,
    extent,
    lay,
    per_plane,
    plane,
    smooth_noise,
    stamp,
    unit_rgb,
)
from dishvl_lib.demo.ingredients import TURNS, VARIANTS, small_sprite, sprite

Point = tuple[float, float]


@dataclass(frozen=True)
class Plating:
    """How a dish is laid out: pieces {ingredient: count}, then garnish on top.

    reach is the heap's radius and mound its height (plate radii, px); sauce is an RGB 0..255 or
    None and pool its radius; soup fills a bowl to the rim; along turns all pieces roughly one way.
    dyes {ingredient: RGB factors} stain some ingredients in another colour.
    """

    pieces: dict[str, int]
    garnish: dict[str, int] = field(default_factory=dict)
    sauce: RGB | None = None
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

    tables: tuple[tuple[RGB, str], ...]
    plates: tuple[tuple[RGB, RGB | None], ...]
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


@dataclass(frozen=True)
class Pattern:
    """A table top's noise: its cells down and across, and how strongly it shades the colour."""

    cells: tuple[int, int]
    strength: float


PATTERNS = {
    "wood": Pattern((70, 4), 0.10),
    "steel": Pattern((160, 2), 0.04),
    "cloth": Pattern((90, 90), 0.08),
    "speckle": Pattern((130, 130), 0.06),
    "plain": Pattern((6, 6), 0.03),
}
CHOPSTICKS = ((150, 92, 52), (226, 220, 206), (60, 40, 34))
DROP_OF_OIL = np.array([0.9, 0.45, 0.1], np.float32)  # RGB in 0..1


@dataclass(frozen=True)
class LaidTable:
    """A drawn table under its lamp. Only what a photo shows of it is lit."""

    canvas: Canvas
    lamp: Lamp

    def light(self, window: Window) -> np.ndarray:
        """(h, w, 3) float32 light values in about 0..1.2."""
        return self.lamp.light(self.canvas, window)


def draw_scene(name: str, rng: np.random.Generator, place: Place) -> LaidTable:
    """One table with the dish `name` on it, SIZE px a side."""
    return draw_plating(PLATINGS[name], rng, place)


def draw_plating(plating: Plating, rng: np.random.Generator, place: Place) -> LaidTable:
    """The same for any plating, one of the demo's dishes or not."""
    canvas = _table(rng, place)
    centre = lay_vessel(canvas, rng, place, is_deep=plating.soup)
    fill_vessel(canvas, rng, plating, centre)
    return LaidTable(canvas, hang_lamp(rng, place))


def hang_lamp(rng: np.random.Generator, place: Place) -> Lamp:
    """A lamp as there are in a dining room."""
    warm = rng.uniform(*place.warmth)
    colour = np.array([warm, 1.0, 2 - warm - 0.02], np.float32) * rng.uniform(*place.light)
    direction = rng.uniform(0, 2 * np.pi)
    elevation = rng.uniform(0.75, 1.15)
    return Lamp(direction, elevation, colour, softness=rng.uniform(0.1, 0.6))


def table_top(rng: np.random.Generator, place: Place, side: int) -> np.ndarray:
    """The colours of a bare table; (3, side, side) float32 in about 0..1."""
    rgb, pattern_name = place.tables[rng.integers(len(place.tables))]
    pattern = PATTERNS[pattern_name]
    noise = smooth_noise(rng, (side, side), pattern.cells)
    if rng.random() < 0.5:
        noise = noise.T
    brightness = rng.uniform(0.85, 1.1)
    cast = rng.normal(0, 0.02, 3).astype(np.float32)
    base = unit_rgb(rgb) * brightness + cast
    return per_plane(base) * (1 + pattern.strength * noise)


def _table(rng: np.random.Generator, place: Place) -> Canvas:
    """A canvas of the full size, on which chopsticks may lie."""
    colour = table_top(rng, place, SIZE)
    height = np.zeros((SIZE, SIZE), np.float32)
    canvas = Canvas(colour, height, np.full_like(height, 0.12))
    if rng.random() < 0.4:
        _chopsticks(canvas, rng)
    return canvas


def _chopsticks(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = plane()
    angle = rng.uniform(0, np.pi)
    side = rng.choice([-1, 1])
    beside_plate = rng.uniform(1.02, 1.14)
    from_middle = x[:1] * np.sin(angle) - y[:, :1] * np.cos(angle)
    across = from_middle - side * beside_plate
    rgb = per_plane(unit_rgb(CHOPSTICKS[rng.integers(3)]))
    # Both lie in a corner or along an edge: beside the plate.
    window = extent(np.abs(across - 0.03) < 0.06)
    below = canvas.part(window)
    for shift in (0.0, 0.06):
        stick = cover((np.abs(across[window] - shift) - 0.02) * RADIUS)
        below.height[:] = np.maximum(below.height, stick * 5)
        lay(below, stick, rgb, 0.4)


def lay_vessel(canvas: Canvas, rng: np.random.Generator, place: Place, *, is_deep: bool) -> Point:
    """A round plate of radius 1, or a deep bowl as for soups; returns its centre in px."""
    rim, band = place.plates[rng.integers(len(place.plates))]
    shift_x, shift_y = rng.normal(0, 0.03, 2).tolist()
    middle = (canvas.side - 1) / 2
    centre_x = middle + shift_x * canvas.radius
    centre_y = middle + shift_y * canvas.radius
    window = canvas.disc(centre_x, centre_y, canvas.radius)
    below = canvas.part(window)
    x, y = plane(canvas.scale)
    rho = np.hypot(x[window] - shift_x, y[window] - shift_y)
    body = cover((rho - 1) * RADIUS)
    well = 0.84 if is_deep else rng.uniform(0.7, 0.8)
    depth = 30 if is_deep else 8
    slope = (rho / well) ** 2
    bottom = 10 - depth + depth * slope * slope * slope
    rim_slope = 10 + 8 * (rho - well) / (1 - well)
    profile = np.where(rho > well, rim_slope, bottom)
    from_edge = (rho - 0.985) * RADIUS / 3
    edge = np.exp(-(from_edge**2)) * 3
    vessel = body * (profile + edge)
    below.height[:] = below.height * (1 - body) + vessel
    lay(below, body, per_plane(unit_rgb(rim) * rng.uniform(0.94, 1.02)), 0.55)
    if band is not None:
        band_rho = rng.uniform(0.88, 0.95)
        half_width = rng.uniform(0.012, 0.04)
        stripe = cover((np.abs(rho - band_rho) - half_width) * RADIUS)
        lay(below, stripe, per_plane(unit_rgb(band)), 0.5)
    return centre_x, centre_y


def _in_radii(canvas: Canvas, point: Point) -> Point:
    """A point in px as plate radii from the canvas's middle."""
    x, y = point
    middle = canvas.side / 2
    return (x - middle) / canvas.radius, (y - middle) / canvas.radius


def around(canvas: Canvas, point: Point, window: Window) -> Plane:
    """x and y of each pixel of a window in plate radii from a point in px."""
    x, y = plane(canvas.scale)
    centre_x, centre_y = _in_radii(canvas, point)
    return x[window] - centre_x, y[window] - centre_y


def fill_vessel(canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: Point) -> None:
    """Heaps a helping around a point in px."""
    shade = rng.normal(1, 0.04) + rng.normal(0, 0.02, 3)
    tint = np.clip(shade, 0.8, 1.2).astype(np.float32)
    spread = plating.reach * rng.uniform(1.2, 1.4)
    heap = centre
    if not plating.soup:
        x, y = centre
        offset_x, offset_y = (canvas.scale * rng.normal(0, 5, 2)).tolist()
        heap = (x + offset_x, y + offset_y)
    if plating.sauce is not None:
        _sauce(canvas, rng, plating, heap, unit_rgb(plating.sauce) * tint)
    if plating.mound:
        radius = spread * 1.15
        window = canvas.disc(*heap, radius * canvas.radius)
        rho = np.hypot(*around(canvas, heap, window)) / radius
        canvas.height[window] += plating.mound * np.clip(1 - rho**2, 0, None)
    tints = dict.fromkeys((*plating.pieces, *plating.garnish), tint)
    for name, dye in plating.dyes.items():
        tints[name] = tint * np.array(dye, np.float32)
    amount = rng.uniform(1.0, 1.25)
    _scatter(canvas, rng, _counted(plating.pieces, amount), heap, spread, tints, plating.along)
    amount = rng.uniform(0.7, 1.3)
    on_top = max(0.3, spread * 0.9)
    _scatter(canvas, rng, _counted(plating.garnish, amount), heap, on_top, tints, False)
    if plating.oil:
        _oil(canvas, rng, plating, centre)


def _sauce(
    canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: Point, colour: np.ndarray
) -> None:
    if plating.soup:
        radius = 0.8
        rough = 0.0
        level = 0.0
        filling = 1.0
    else:
        radius = plating.pool * rng.uniform(1.05, 1.18)
        rough = 0.05
        middle = canvas.side // 2
        level = canvas.height[middle, middle] + 2.5
        filling = 0.8
    shape = canvas.height.shape
    edge = radius * (1 + rough * smooth_noise(rng, shape, (6, 6)))
    ripples = smooth_noise(rng, shape, (14, 14))
    window = canvas.disc(*centre, float(edge.max()) * canvas.radius)
    below = canvas.part(window)
    far = (np.hypot(*around(canvas, centre, window)) - edge[window]) * RADIUS
    pool = cover(far / 2)
    rise = np.maximum(level, below.height) - below.height
    below.height += pool * rise * filling
    below.height += pool * 0.35 * ripples[window]
    # A pool is paler where it runs out.
    thickness = np.clip(-far / 14, 0.55, 1).astype(np.float32)
    pale = (1 - thickness) * np.float32(0.75)
    rgb = per_plane(colour) * thickness + pale
    lay(below, pool * 0.96, rgb, 0.9)


def _oil(canvas: Canvas, rng: np.random.Generator, plating: Plating, centre: Point) -> None:
    x, y = plane(canvas.scale)
    plate_x, plate_y = _in_radii(canvas, centre)
    for _ in range(int(60 * plating.oil)):
        turn = rng.uniform(0, 2 * np.pi)
        far = 0.76 * np.sqrt(rng.random())
        size = rng.uniform(0.008, 0.03)
        drop_x = plate_x + far * np.cos(turn)
        drop_y = plate_y + far * np.sin(turn)
        window = (_pixels_around(canvas, drop_y), _pixels_around(canvas, drop_x))
        rho = np.hypot(x[window] - drop_x, y[window] - drop_y)
        drop = np.clip(0.5 - (rho - size) * RADIUS, 0, 1)
        below = canvas.part(window)
        below.colour += 0.5 * drop * (per_plane(DROP_OF_OIL) - below.colour)
        below.gloss[:] = np.maximum(below.gloss, drop)


def _pixels_around(canvas: Canvas, radii: float) -> slice:
    """The 17 pixels around a place in plate radii, where the canvas has them."""
    pixel = int((radii * canvas.radius) + canvas.side / 2)
    return slice(max(0, pixel - 8), pixel + 9)


def _counted(pieces: dict[str, int], amount: float) -> list[str]:
    """The name of each piece of a helping, as often as it is there."""
    names: list[str] = []
    for name, count in pieces.items():
        names += [name] * max(1, round(count * amount))
    return names


def _scatter(
    canvas: Canvas,
    rng: np.random.Generator,
    names: list[str],
    centre: Point,
    spread: float,
    tints: dict[str, np.ndarray],
    along: bool,
) -> None:
    """Stamps the pieces in random order, denser in the middle; along turns them roughly one way."""
    centre_x, centre_y = centre
    main_turn = int(rng.integers(TURNS))
    for index in rng.permutation(len(names)):
        name = names[index]
        angle = rng.uniform(0, 2 * np.pi)
        far = spread * canvas.radius * rng.random() ** 0.55
        if along:
            deviation = round(rng.normal(0, TURNS / 16))
            turn = main_turn + deviation + TURNS // 2 * rng.integers(2)
        else:
            turn = rng.integers(TURNS)
        piece = _piece(canvas, name, int(rng.integers(VARIANTS)), int(turn) % TURNS)
        shade = tints[name] * np.float32(rng.normal(1, 0.06))
        x = float(centre_x + far * np.cos(angle))
        y = float(centre_y + far * np.sin(angle))
        stamp(canvas, piece, x, y, shade)


def _piece(canvas: Canvas, name: str, variant: int, turn: int) -> Sprite:
    if canvas.scale == 1:
        return sprite(name, variant, turn)
    return small_sprite(name, variant, turn, canvas.scale)
