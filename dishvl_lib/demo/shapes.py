"""The shapes of food pieces: each function draws one on a sheet of its own.

Lengths are px on the canvas, RGB is 0..255. Pieces of one kind differ by the generator that is
handed in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dishvl_lib.demo.drawing import RGB, smooth_noise

FAR_AWAY = 99  # px: no outline is as far from any pixel of its sheet


class Piece(NamedTuple):
    """A drawn piece, in arrays of the sheet's size."""

    far: np.ndarray  # (h, w) px to the outline, < 0 inside
    relief: np.ndarray  # (h, w) px
    paint: np.ndarray  # (h, w, 3) RGB 0..255


class Sheet:
    """What a piece is drawn on: `x` and `y` (h, w) are px from the middle, to the right and
    down.
    """

    def __init__(self, rng: np.random.Generator, width: float, height: float):
        columns = np.arange(int(width) + 4)
        rows = np.arange(int(height) + 4)
        right_of_middle = columns - columns[-1] / 2
        below_middle = rows - rows[-1] / 2
        x, y = np.meshgrid(right_of_middle, below_middle)
        self.rng = rng
        self.x = x.astype(np.float32)
        self.y = y.astype(np.float32)

    def noise(self, rows: int, columns: int) -> np.ndarray:
        """(h, w) of about unit spread, smooth over a cell of a grid of rows x columns."""
        return smooth_noise(self.rng, self.x.shape, (rows, columns))

    def mottle(self, cell: int) -> np.ndarray:
        """(h, w) of about unit spread, smooth over `cell` px."""
        height, width = self.x.shape
        return self.noise(height // cell, width // cell)

    def paint(self, rgb: RGB, grain: float = 0.08, cell: int = 5) -> np.ndarray:
        """A plain colour with mottling; (h, w, 3) in 0..255."""
        shade = 1 + grain * self.mottle(cell)
        return np.array(rgb, np.float32) * shade[..., None]

    def wobble(self, rough: float) -> np.ndarray:
        """A factor around 1 for each direction from the middle, which roughens a round outline."""
        theta = np.arctan2(self.y, self.x)
        outline = np.zeros_like(theta)
        for waves in range(2, 6):
            a, b = self.rng.normal(0, rough / waves, 2)
            phase = waves * theta
            wave = a * np.cos(phase) + b * np.sin(phase)
            outline = outline + wave
        return 1 + outline


def _mix(base: np.ndarray, rgb: RGB, where: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """`base` (h, w, 3) drawn towards a colour where `where` (h, w) times strength says so, 0..1."""
    amount = np.clip(where * strength, 0, 1)
    return base + amount[..., None] * (np.array(rgb, np.float32) - base)


def _ellipse(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """How far out a pixel lies: 0 in the middle, 1 on an ellipse of that width and height."""
    return np.hypot(x / width, y / height) * 2


def _box(x: np.ndarray, y: np.ndarray, half_width, half_height) -> np.ndarray:
    """px to the sides of a box, < 0 inside."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _near(value: np.ndarray, centre: float, reach: float) -> np.ndarray:
    return np.abs(value - centre) < reach


def _bulge(height: float, depth: np.ndarray) -> np.ndarray:
    """A relief that rises steeply from the outline, where depth is 0, to `height` at depth 1."""
    return height * np.sqrt(np.clip(depth, 0, 1))


def _dome(height: float, rho: np.ndarray) -> np.ndarray:
    """The relief of half a ball: `height` at rho 0, none from rho 1 on."""
    return _bulge(height, 1 - rho**2)


def _bell(distance: np.ndarray) -> np.ndarray:
    return np.exp(-(distance**2))


def blob(rng, width, height, rgb, thick=7.0, rough=0.12, grain=0.08, lumps=0.0) -> Piece:
    """A rounded lump: nuts, curds, mince, meat."""
    sheet = Sheet(rng, width * 1.3, height * 1.3)
    rho = _ellipse(sheet.x, sheet.y, width, height) / sheet.wobble(rough)
    far = (rho - 1) * min(width, height) / 2
    relief = _dome(thick, rho)
    relief += lumps * sheet.mottle(5)
    return Piece(far, relief, sheet.paint(rgb, grain))


def block(rng, width, height, rgb, thick=8.0, corner=4.0, grain=0.06, skew=0.12) -> Piece:
    """A cut block with a flat top and bevelled edges: dice, tofu, squares of pepper."""
    sheet = Sheet(rng, width * 1.25, height * 1.25)
    x = sheet.x + rng.normal(0, skew) * sheet.y
    y = sheet.y + rng.normal(0, skew) * sheet.x
    dx = np.abs(x) - width / 2 + corner
    dy = np.abs(y) - height / 2 + corner
    outside = np.hypot(np.clip(dx, 0, None), np.clip(dy, 0, None))
    inside = np.minimum(np.maximum(dx, dy), 0)
    far = outside + inside - corner
    top = np.clip(-far / 4, 0, 1)
    bevelled = thick * (1 - (1 - top) ** 2)
    uneven = bevelled + 0.5 * sheet.noise(4, 4)
    relief = uneven + rng.normal(0, 0.08) * x
    return Piece(far, relief, sheet.paint(rgb, grain))


def strip(rng, length, width, rgb, thick=4.0, bend=0.25, taper=0.0, grain=0.06) -> Piece:
    """A bent bar: shreds, noodles, chillies, grains of rice."""
    curve = rng.normal(0, bend) * length / 2
    sheet = Sheet(rng, length, width + 2 * abs(curve))
    along = sheet.x / (length / 2)
    narrowed = taper * (along + 1) / 2
    half = width / 2 * (1 - narrowed)
    across = sheet.y - curve * (along**2 - 0.4)
    far = _box(across, sheet.x, half, length / 2)
    relief = _dome(thick, across / np.maximum(half, 0.5))
    return Piece(far, relief, sheet.paint(rgb, grain))


def grains(rng, count, rgb) -> Piece:
    """A pinch of rice: many grains in one piece, which stamps faster than single ones."""
    sheet = Sheet(rng, 46, 46)
    nearest = np.full_like(sheet.x, FAR_AWAY)
    relief = np.zeros_like(sheet.x)
    paint = sheet.paint(rgb, 0.02)
    for _ in range(count):
        centre_x, centre_y = rng.normal(0, 9, 2).tolist()
        turn = rng.uniform(0, np.pi)
        cos = np.cos(turn)
        sin = np.sin(turn)
        x = sheet.x - centre_x
        y = sheet.y - centre_y
        along = x * cos + y * sin
        across = y * cos - x * sin
        rho = np.hypot(along / 7, across / 2.9)
        far = (rho - 1) * 2.9
        bump = rng.uniform(2, 3.5) + _dome(2, rho)
        inside = far < 0
        relief = np.where(inside, bump, relief)
        paint[inside] *= rng.uniform(0.95, 1.03)
        nearest = np.minimum(nearest, far)
    return Piece(nearest, relief, np.minimum(paint, 255))


def ring(rng, size, rgb, hole=0.5, thick=3.0) -> Piece:
    """A hollow ring: chopped scallion."""
    sheet = Sheet(rng, size, size)
    flattened = sheet.y * rng.uniform(1, 1.5)
    rho = np.hypot(sheet.x, flattened) * 2 / size
    middle = (1 + hole) / 2
    half = (1 - hole) / 2
    far = (np.abs(rho - middle) - half) * size / 2
    pale_inside = _mix(sheet.paint(rgb), (205, 222, 150), (0.75 - rho) * 3)
    return Piece(far, np.full_like(rho, thick), pale_inside)


def disc(rng, width, height, rind, flesh, thick=4.0, edge=0.85, seeds=0.0) -> Piece:
    """A slice with a rind: cucumber, braised bean-curd roll."""
    far, _, paint = blob(rng, width, height, rind, thick, 0.03)
    sheet = Sheet(rng, width * 1.3, height * 1.3)
    rho = _ellipse(sheet.x, sheet.y, width, height)
    theta = np.arctan2(sheet.y, sheet.x)
    in_wedge = np.cos(7 * theta) > 0.4
    seeded = seeds * (rho < 0.5) * in_wedge
    fleshy = _mix(paint, flesh, (edge - rho) * 12)
    relief = np.clip(-far, 0, thick) + 0.3 * sheet.noise(5, 5)
    return Piece(far, relief, fleshy * (1 - seeded)[..., None])


def leaf(rng, length, width, rgb, stem, root=None, stem_part=0.3, blunt=0.6) -> Piece:
    """A cooked leaf with its stem; root (RGB) colours the stem's end."""
    sheet = Sheet(rng, length, width * 1.6)
    along = sheet.x / length + 0.5
    bend = rng.normal(0, 0.18) * width
    y = sheet.y - bend * np.sin(3 * along)
    aside = np.abs(y)
    blade = np.clip((along - stem_part) / (1 - stem_part), 0, 1)
    on_blade = blade > 0
    rounded = np.sin(3.1415 * blade**blunt)
    outline = width / 2 * rounded**0.7
    half = outline * (1 + 0.12 * sheet.noise(2, 9))
    near_stem = along < stem_part + 0.15
    half = np.maximum(half, width * 0.11 * near_stem)
    slanting = 0.5 * (sheet.x - aside)
    side_veins = (np.sin(slanting) > 0.8) * on_blade
    vein = _bell(y / 2.2) + 0.35 * side_veins
    on_stem = along < stem_part
    pale = vein * 0.7 + on_stem * 1.0
    colour = _mix(sheet.paint(rgb, 0.16, 6), stem, pale)
    if root is not None:
        colour = _mix(colour, root, along < 0.13, 0.9)
    furrow = 1.5 * _bell(y / 2) * on_blade
    relief = 3 + 1.6 * sheet.noise(4, 8) - furrow
    return Piece(aside - half, relief, colour)


def pork_belly(rng, size, rgb=(120, 48, 24)) -> Piece:
    """A cube of belly: skin, fat and lean in layers."""
    far, relief, paint = block(rng, size, size * 0.9, rgb, 13, 6, 0.1)
    sheet = Sheet(rng, size * 1.25, size * 0.9 * 1.25)
    level = sheet.y / size + 0.03 * sheet.noise(2, 4)
    paint = _mix(paint, (222, 168, 112), _near(level, -0.14, 0.085), 0.85)
    paint = _mix(paint, (214, 156, 102), _near(level, 0.17, 0.05), 0.8)
    paint = _mix(paint, (84, 26, 12), level < -0.27, 0.8)
    return Piece(far, relief, paint)


def rib(rng, length, width) -> Piece:
    """A short rib: dark meat round a pale bone that looks out at one end."""
    sheet = Sheet(rng, length * 1.3, width * 1.35)
    x = sheet.x
    y = sheet.y
    round_middle = _ellipse(x + length * 0.1, y, length, width)
    rho = round_middle / sheet.wobble(0.07) / 0.9
    meat = (rho - 1) * width / 2
    along_bone = x - length * 0.38
    bone = _box(y, along_bone, width * 0.16, length * 0.22)
    bare = (meat > -2) * (bone < 0)
    rounded = _bulge(12, -meat / (width / 2))
    relief = rounded + 5 * bare
    paint = sheet.paint((112, 46, 22), 0.18, 4)
    paint = _mix(paint, (232, 214, 178), bare)
    from_end = np.hypot(x - length * 0.57, y)
    paint = _mix(paint, (170, 120, 90), from_end < width * 0.1)
    return Piece(np.minimum(meat, bone), relief, paint)


def fish(rng, length=255.0, width=84.0) -> Piece:
    """A whole braised fish: head, scored body, fins and tail."""
    sheet = Sheet(rng, length, width * 1.35)
    along = sheet.x / length + 0.5
    winding = 2.6 * along + rng.uniform(0, 2)
    y = sheet.y - 7 * np.sin(winding)
    aside = np.abs(y)
    body = _fish_body(along, width)
    behind_body = (along - 0.8) * length
    notch = 6 * (aside < 4)
    tail = width * 0.1 + behind_body * 0.62 - notch
    back_fin = 6 * _near(along, 0.42, 0.13) * (y < 0)
    half = np.where(along > 0.81, tail, body + back_fin)

    paint = sheet.paint((150, 82, 36), 0.14, 6)
    on_tail = along > 0.8
    paint = _mix(paint, (96, 46, 20), aside / width * 1.5 + on_tail * 0.5)
    between_fins = (along > 0.3) * (along < 0.76)
    flank = between_fins * (aside < body * 0.7)
    slanting = along * 11 + y / width * 1.6
    cuts = _near(slanting % 2, 1, 0.16) * flank
    paint = _mix(paint, (236, 206, 160), cuts, 0.85)
    arch = 0.0009 * y**2 / 4
    gills = _near(along - 0.235, arch, 0.009)
    paint = _mix(paint, (84, 40, 20), gills, 0.9)
    eye = np.hypot(sheet.x + length * 0.39, y + 7)
    paint = _mix(paint, (238, 232, 214), eye < 6.5)
    paint = _mix(paint, (30, 20, 16), eye < 3)

    round_back = _dome(24, aside / np.maximum(half, 1))
    thinner_to_tail = np.clip(1.1 - along, 0.2, 1)
    relief = round_back * thinner_to_tail - 3 * cuts
    return Piece(aside - half, relief, paint)


def _fish_body(along: np.ndarray, width: float) -> np.ndarray:
    """Half the body's width, px: widest behind the head, and a thin root of the tail."""
    to_tail = np.clip(along / 0.86, 0, 1)
    arch = np.clip(np.sin(np.pi * to_tail**0.62), 0, 1)
    body = width / 2 * arch**0.75
    root = width * 0.1 * (along > 0.08) * (along < 0.9)
    return np.maximum(body, root)


def fish_chunk(rng, length, width) -> Piece:
    """A cross-cut piece of fish: pale flesh with a dark band of skin."""
    far, relief, paint = block(rng, length, width, (178, 112, 56), 12, 9, 0.16)
    sheet = Sheet(rng, length * 1.25, width * 1.25)
    aside = np.abs(sheet.y)
    layers = sheet.y * 0.55 + 3 * sheet.noise(3, 3)
    flakes = np.sin(layers) > 0.55
    in_flesh = aside < width * 0.3
    paint = _mix(paint, (72, 38, 22), aside > width * 0.33, 0.85)
    paint = _mix(paint, (230, 190, 132), flakes * in_flesh, 0.7)
    return Piece(far, relief - 1.2 * flakes, paint)


def prawn(rng, size, shell, stripe, peeled=False) -> Piece:
    """A curled prawn with its segments; peeled ones have no legs."""
    sheet = Sheet(rng, size * 1.35, size * 1.35)
    x = sheet.x
    y = sheet.y
    rho = np.hypot(x, y)
    theta = (np.arctan2(y, x) + np.pi) / (2 * np.pi)  # once round, 0..1 from the head
    middle = size * 0.4
    half = size * (0.2 - 0.14 * theta)
    from_edge = np.abs(rho - middle) - half
    body = np.where(theta < 0.78, from_edge, 9)
    from_fan = np.hypot(x - size * 0.1, y - size * 0.46)
    fan = from_fan - size * 0.13
    far = np.minimum(body, fan)
    if not peeled:
        on_legs = np.sin(theta * 75) > 0.2
        has_leg = on_legs & (theta < 0.5) & (rho < middle)
        far = np.minimum(far, np.where(has_leg, middle * 0.45 - rho, 9))
    segments = np.sin(theta * 46)
    on_stripe = segments > 0.5
    striped = on_stripe * 0.75 + (fan < 0) * 0.6
    paint = _mix(sheet.paint(shell, 0.08), stripe, striped)
    rounded = _bulge(11, -body / np.maximum(half, 1))
    grooves = 1.5 * (segments > 0.75)
    return Piece(far, rounded - grooves + 2, paint)


def floret(rng, size) -> Piece:
    """A broccoli floret: a pale stalk under a crown of small buds."""
    sheet = Sheet(rng, size * 1.3, size * 1.3)
    crown = np.full_like(sheet.x, FAR_AWAY)
    relief = np.zeros_like(sheet.x)
    for _ in range(11):
        centre_x = rng.normal(0, size * 0.17)
        centre_y = rng.normal(-size * 0.08, size * 0.14)
        radius = size * rng.uniform(0.13, 0.21)
        from_centre = np.hypot(sheet.x - centre_x, sheet.y - centre_y)
        far = from_centre - radius
        ball = np.clip(radius * radius - (far + radius) ** 2, 0, None)
        crown = np.minimum(crown, far)
        relief = np.maximum(relief, 6 + 1.4 * np.sqrt(ball))
    below = sheet.y - size * 0.33
    stalk = _box(sheet.x, below, size * 0.1, size * 0.24)
    buds = sheet.mottle(3)
    paint = _mix(sheet.paint((52, 112, 40)), (104, 160, 62), buds * 0.35 + 0.15)
    paint = _mix(paint, (168, 200, 118), crown > 0)
    budding = np.where(crown < 0, relief + buds, 4)
    return Piece(np.minimum(crown, stalk), budding, paint)


def wood_ear(rng, size) -> Piece:
    """A frilled dark fungus."""
    far, relief, paint = blob(rng, size, size * 0.75, (44, 30, 28), 3, 0.28, 0.15, 1.6)
    frill = _bell((far + 2) / 1.5)
    rim = 2.5 * _bell(far / 3)
    return Piece(far, relief + rim, _mix(paint, (104, 76, 66), frill, 0.7))


def tomato(rng, size) -> Piece:
    """A soft wedge of tomato: skin outside, paler flesh and seeds inside."""
    sheet = Sheet(rng, size, size * 0.75)
    x = sheet.x
    y = sheet.y
    rho = _ellipse(x, y - size * 0.26, size, size)
    skin = (rho - 1) * size / 2
    far = np.maximum(skin, y - size * 0.28)
    pattern = np.sin(x * 0.9) * np.sin(y * 0.9)
    seeds = (rho < 0.6) * (pattern > 0.45)
    paint = _mix(sheet.paint((198, 44, 24), 0.1), (232, 108, 60), (0.72 - rho) * 6)
    paint = _mix(paint, (240, 188, 96), seeds, 0.8)
    return Piece(far, _bulge(8, -far / (size * 0.3)), paint)


def curd(rng, size, rgb=(246, 184, 40)) -> Piece:
    """A curd of scrambled egg, white showing here and there."""
    far, relief, paint = blob(rng, size, size * rng.uniform(0.6, 0.95), rgb, 8, 0.22, 0.1, 1.6)
    white = smooth_noise(rng, far.shape, (5, 5))
    paint = _mix(paint, (250, 226, 150), white - 0.5)
    paint = _mix(paint, (206, 130, 30), -white - 0.9)
    return Piece(far, relief, paint)


def fried_triangle(rng, size) -> Piece:
    """A triangle of deep-fried tofu: blistered golden skin, darker rim."""
    sheet = Sheet(rng, size * 1.1, size)
    x = sheet.x
    y = sheet.y
    half_height = size * 0.36
    slanting_sides = np.abs(x) * 0.87 + y * 0.5 - size * 0.22
    above_top = -y - half_height
    below_base = y - half_height
    far = np.maximum(np.maximum(slanting_sides, above_top), below_base) + 2
    paint = sheet.paint((206, 142, 60), 0.13, 3)
    bevelled = 9 * np.clip(-far / 4, 0, 1)
    relief = bevelled + 0.8 * sheet.noise(9, 9)
    return Piece(far, relief, _mix(paint, (140, 76, 24), _bell(far / 3.5)))
