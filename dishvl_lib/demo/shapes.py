"""The shapes of food pieces: each function draws one as (distance to its outline, relief, colours).

Lengths are px on the canvas, RGB is 0..255. Pieces of one kind differ by the generator that is
handed in.
"""

from __future__ import annotations

import numpy as np

from dishvl_lib.demo.drawing import smooth_noise

Piece = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # distance to the outline (px, < 0 inside), relief (px), RGB 0..255


def _grid(width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    w = int(width) + 4
    h = int(height) + 4
    x, y = np.meshgrid(np.arange(w) - (w - 1) / 2, np.arange(h) - (h - 1) / 2)
    return x.astype(np.float32), y.astype(np.float32)


def _paint(
    rng: np.random.Generator, like: np.ndarray, rgb: tuple, grain: float = 0.08, cell: int = 5
) -> np.ndarray:
    """A plain colour with mottling; (h, w, 3) in 0..255."""
    mottle = smooth_noise(rng, like.shape, (like.shape[0] // cell, like.shape[1] // cell))
    return np.array(rgb, np.float32) * (1 + grain * mottle)[..., None]


def _mix(base: np.ndarray, rgb: tuple, amount: np.ndarray) -> np.ndarray:
    return base + np.clip(amount, 0, 1)[..., None] * (np.array(rgb, np.float32) - base)


def _wobble(rng: np.random.Generator, theta: np.ndarray, rough: float) -> np.ndarray:
    waves = (rng.normal(0, rough / k, 2) for k in range(2, 6))
    return 1 + sum(
        a * np.cos(k * theta) + b * np.sin(k * theta) for k, (a, b) in enumerate(waves, 2)
    )


def blob(rng, width, height, rgb, thick=7.0, rough=0.12, grain=0.08, lumps=0.0) -> Piece:
    """A rounded lump: nuts, curds, mince, meat."""
    x, y = _grid(width * 1.3, height * 1.3)
    rho = np.hypot(x / width, y / height) * 2 / _wobble(rng, np.arctan2(y, x), rough)
    relief = thick * np.sqrt(np.clip(1 - rho**2, 0, 1))
    relief += lumps * smooth_noise(rng, x.shape, (x.shape[0] // 5, x.shape[1] // 5))
    return (rho - 1) * min(width, height) / 2, relief, _paint(rng, x, rgb, grain)


def block(rng, width, height, rgb, thick=8.0, corner=4.0, grain=0.06, skew=0.12) -> Piece:
    """A cut block with a flat top and bevelled edges: dice, tofu, squares of pepper."""
    x, y = _grid(width * 1.25, height * 1.25)
    x, y = x + rng.normal(0, skew) * y, y + rng.normal(0, skew) * x
    dx = np.abs(x) - width / 2 + corner
    dy = np.abs(y) - height / 2 + corner
    far = (
        np.hypot(np.clip(dx, 0, None), np.clip(dy, 0, None))
        + np.minimum(np.maximum(dx, dy), 0)
        - corner
    )
    top = np.clip(-far / 4, 0, 1)
    relief = (
        thick * (1 - (1 - top) ** 2)
        + 0.5 * smooth_noise(rng, x.shape, (4, 4))
        + rng.normal(0, 0.08) * x
    )
    return far, relief, _paint(rng, x, rgb, grain)


def strip(rng, length, width, rgb, thick=4.0, bend=0.25, taper=0.0, grain=0.06) -> Piece:
    """A bent bar: shreds, noodles, chillies, grains of rice."""
    curve = rng.normal(0, bend) * length / 2
    x, y = _grid(length, width + 2 * abs(curve))
    along = x / (length / 2)
    half = width / 2 * (1 - taper * (along + 1) / 2)
    across = y - curve * (along**2 - 0.4)
    far = np.maximum(np.abs(across) - half, np.abs(x) - length / 2)
    relief = thick * np.sqrt(np.clip(1 - (across / np.maximum(half, 0.5)) ** 2, 0, 1))
    return far, relief, _paint(rng, x, rgb, grain)


def grains(rng, count, rgb) -> Piece:
    """A pinch of rice: many grains in one piece, which stamps faster than single ones."""
    x, y = _grid(46, 46)
    nearest = np.full_like(x, 99)
    relief = np.zeros_like(x)
    paint = _paint(rng, x, rgb, 0.02)
    for _ in range(count):
        (cx, cy) = rng.normal(0, 9, 2).tolist()
        turn = rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        far = (np.hypot(u / 7, v / 2.9) - 1) * 2.9
        bump = rng.uniform(2, 3.5) + 2 * np.sqrt(np.clip(1 - np.hypot(u / 7, v / 2.9) ** 2, 0, 1))
        relief = np.where(far < 0, bump, relief)
        paint[far < 0] *= rng.uniform(0.95, 1.03)
        nearest = np.minimum(nearest, far)
    return nearest, relief, np.minimum(paint, 255)


def ring(rng, size, rgb, hole=0.5, thick=3.0) -> Piece:
    """A hollow ring: chopped scallion."""
    x, y = _grid(size, size)
    rho = np.hypot(x, y * rng.uniform(1, 1.5)) * 2 / size
    far = (np.abs(rho - (1 + hole) / 2) - (1 - hole) / 2) * size / 2
    return far, np.full_like(x, thick), _mix(_paint(rng, x, rgb), (205, 222, 150), (0.75 - rho) * 3)


def disc(rng, width, height, rind, flesh, thick=4.0, edge=0.85, seeds=0.0) -> Piece:
    """A slice with a rind: cucumber, braised bean-curd roll."""
    far, relief, paint = blob(rng, width, height, rind, thick, 0.03)
    x, y = _grid(width * 1.3, height * 1.3)
    rho = np.hypot(x / width, y / height) * 2
    inside = _mix(paint, flesh, (edge - rho) * 12)
    inside = inside * (1 - seeds * (rho < 0.5) * (np.cos(7 * np.arctan2(y, x)) > 0.4))[..., None]
    return far, np.clip(-far, 0, thick) + 0.3 * smooth_noise(rng, x.shape, (5, 5)), inside


def leaf(rng, length, width, rgb, stem, root=None, stem_part=0.3, blunt=0.6) -> Piece:
    """A cooked leaf with its stem; root (RGB) colours the stem's end."""
    x, y = _grid(length, width * 1.6)
    along = x / length + 0.5
    y = y - rng.normal(0, 0.18) * width * np.sin(3 * along)
    blade = np.clip((along - stem_part) / (1 - stem_part), 0, 1)
    half = (
        width
        / 2
        * np.sin(3.1415 * blade**blunt) ** 0.7
        * (1 + 0.12 * smooth_noise(rng, x.shape, (2, 9)))
    )
    half = np.maximum(half, width * 0.11 * (along < stem_part + 0.15))
    vein = np.exp(-((y / 2.2) ** 2)) + 0.35 * (np.sin(0.5 * (x - np.abs(y))) > 0.8) * (blade > 0)
    colour = _mix(_paint(rng, x, rgb, 0.16, 6), stem, vein * 0.7 + (along < stem_part) * 1.0)
    colour = colour if root is None else _mix(colour, root, (along < 0.13) * 0.9)
    relief = (
        3 + 1.6 * smooth_noise(rng, x.shape, (4, 8)) - 1.5 * np.exp(-((y / 2) ** 2)) * (blade > 0)
    )
    return np.abs(y) - half, relief, colour


def pork_belly(rng, size, rgb=(120, 48, 24)) -> Piece:
    """A cube of belly: skin, fat and lean in layers."""
    far, relief, paint = block(rng, size, size * 0.9, rgb, 13, 6, 0.1)
    _, y = _grid(size * 1.25, size * 0.9 * 1.25)
    level = y / size + 0.03 * smooth_noise(rng, y.shape, (2, 4))
    paint = _mix(paint, (222, 168, 112), (np.abs(level + 0.14) < 0.085) * 0.85)
    paint = _mix(paint, (214, 156, 102), (np.abs(level - 0.17) < 0.05) * 0.8)
    return far, relief, _mix(paint, (84, 26, 12), (level < -0.27) * 0.8)


def rib(rng, length, width) -> Piece:
    """A short rib: dark meat round a pale bone that looks out at one end."""
    x, y = _grid(length * 1.3, width * 1.35)
    theta = np.arctan2(y, x)
    meat = (
        (np.hypot((x + length * 0.1) / length, y / width) * 2 / _wobble(rng, theta, 0.07) / 0.9 - 1)
        * width
        / 2
    )
    bone = np.maximum(np.abs(y) - width * 0.16, np.abs(x - length * 0.38) - length * 0.22)
    relief = 12 * np.sqrt(np.clip(-meat / (width / 2), 0, 1)) + 5 * (meat > -2) * (bone < 0)
    paint = _paint(rng, x, (112, 46, 22), 0.18, 4)
    paint = _mix(paint, (232, 214, 178), (meat > -2) * (bone < 0) * 1.0)
    marrow = np.hypot(x - length * 0.57, y) < width * 0.1
    return np.minimum(meat, bone), relief, _mix(paint, (170, 120, 90), marrow * 1.0)


def fish(rng, length=255.0, width=84.0) -> Piece:
    """A whole braised fish: head, scored body, fins and tail."""
    x, y = _grid(length, width * 1.35)
    along = x / length + 0.5
    y = y - 7 * np.sin(2.6 * along + rng.uniform(0, 2))
    body = width / 2 * np.clip(np.sin(np.pi * np.clip(along / 0.86, 0, 1) ** 0.62), 0, 1) ** 0.75
    body = np.maximum(body, width * 0.1 * (along > 0.08) * (along < 0.9))
    tail = width * 0.1 + (along - 0.8) * length * 0.62 - 6 * (np.abs(y) < 4)
    half = np.where(along > 0.81, tail, body + 6 * (np.abs(along - 0.42) < 0.13) * (y < 0))
    paint = _mix(
        _paint(rng, x, (150, 82, 36), 0.14, 6),
        (96, 46, 20),
        np.abs(y) / width * 1.5 + (along > 0.8) * 0.5,
    )
    flank = (along > 0.3) * (along < 0.76) * (np.abs(y) < body * 0.7)
    cuts = (np.abs((along * 11 + y / width * 1.6) % 2 - 1) < 0.16) * flank
    paint = _mix(paint, (236, 206, 160), cuts * 0.85)
    paint = _mix(paint, (84, 40, 20), (np.abs(along - 0.235 - 0.0009 * y**2 / 4) < 0.009) * 0.9)
    eye = np.hypot(x + length * 0.39, y + 7)
    paint = _mix(_mix(paint, (238, 232, 214), (eye < 6.5) * 1.0), (30, 20, 16), (eye < 3) * 1.0)
    round_back = np.sqrt(np.clip(1 - (np.abs(y) / np.maximum(half, 1)) ** 2, 0, 1))
    relief = 24 * round_back * np.clip(1.1 - along, 0.2, 1) - 3 * cuts
    return np.abs(y) - half, relief, paint


def fish_chunk(rng, length, width) -> Piece:
    """A cross-cut piece of fish: pale flesh with a dark band of skin."""
    far, relief, paint = block(rng, length, width, (178, 112, 56), 12, 9, 0.16)
    _, y = _grid(length * 1.25, width * 1.25)
    paint = _mix(paint, (72, 38, 22), (np.abs(y) > width * 0.33) * 0.85)
    flakes = np.sin(y * 0.55 + 3 * smooth_noise(rng, y.shape, (3, 3))) > 0.55
    return (
        far,
        relief - 1.2 * flakes,
        _mix(paint, (230, 190, 132), flakes * (np.abs(y) < width * 0.3) * 0.7),
    )


def prawn(rng, size, shell, stripe, peeled=False) -> Piece:
    """A curled prawn with its segments; peeled ones have no legs."""
    x, y = _grid(size * 1.35, size * 1.35)
    rho = np.hypot(x, y)
    theta = (np.arctan2(y, x) + np.pi) / (2 * np.pi)
    mid = size * 0.4
    half = size * (0.2 - 0.14 * theta)
    body = np.where(theta < 0.78, np.abs(rho - mid) - half, 9)
    fan = np.hypot(x - size * 0.1, y - size * 0.46) - size * 0.13
    legs = (
        np.where((np.sin(theta * 75) > 0.2) & (theta < 0.5) & (rho < mid), mid * 0.45 - rho, 9)
        if not peeled
        else 9
    )
    paint = _mix(
        _paint(rng, x, shell, 0.08), stripe, (np.sin(theta * 46) > 0.5) * 0.75 + (fan < 0) * 0.6
    )
    relief = (
        11 * np.sqrt(np.clip(-body / np.maximum(half, 1), 0, 1))
        - 1.5 * (np.sin(theta * 46) > 0.75)
        + 2
    )
    return np.minimum(np.minimum(body, fan), legs), relief, paint


def floret(rng, size) -> Piece:
    """A broccoli floret: a pale stalk under a crown of small buds."""
    x, y = _grid(size * 1.3, size * 1.3)
    crown = np.full_like(x, 99)
    relief = np.zeros_like(x)
    for _ in range(11):
        cx = rng.normal(0, size * 0.17)
        cy = rng.normal(-size * 0.08, size * 0.14)
        r = size * rng.uniform(0.13, 0.21)
        far = np.hypot(x - cx, y - cy) - r
        bump = 6 + 1.4 * np.sqrt(np.clip(r * r - (far + r) ** 2, 0, None))
        crown = np.minimum(crown, far)
        relief = np.maximum(relief, bump)
    stalk = np.maximum(np.abs(x) - size * 0.1, np.abs(y - size * 0.33) - size * 0.24)
    buds = smooth_noise(rng, x.shape, (x.shape[0] // 3, x.shape[1] // 3))
    paint = _mix(_paint(rng, x, (52, 112, 40)), (104, 160, 62), buds * 0.35 + 0.15)
    paint = _mix(paint, (168, 200, 118), (crown > 0) * 1.0)
    return np.minimum(crown, stalk), np.where(crown < 0, relief + buds, 4), paint


def wood_ear(rng, size) -> Piece:
    """A frilled dark fungus."""
    far, relief, paint = blob(rng, size, size * 0.75, (44, 30, 28), 3, 0.28, 0.15, 1.6)
    frill = np.exp(-(((far + 2) / 1.5) ** 2))
    return far, relief + 2.5 * np.exp(-((far / 3) ** 2)), _mix(paint, (104, 76, 66), frill * 0.7)


def tomato(rng, size) -> Piece:
    """A soft wedge of tomato: skin outside, paler flesh and seeds inside."""
    x, y = _grid(size, size * 0.75)
    rho = np.hypot(x / size, (y - size * 0.26) / size) * 2
    far = np.maximum((rho - 1) * size / 2, y - size * 0.28)
    paint = _mix(_paint(rng, x, (198, 44, 24), 0.1), (232, 108, 60), (0.72 - rho) * 6)
    paint = _mix(
        paint, (240, 188, 96), (rho < 0.6) * (np.sin(x * 0.9) * np.sin(y * 0.9) > 0.45) * 0.8
    )
    return far, 8 * np.sqrt(np.clip(-far / (size * 0.3), 0, 1)), paint


def curd(rng, size, rgb=(246, 184, 40)) -> Piece:
    """A curd of scrambled egg, white showing here and there."""
    far, relief, paint = blob(rng, size, size * rng.uniform(0.6, 0.95), rgb, 8, 0.22, 0.1, 1.6)
    white = smooth_noise(rng, far.shape, (5, 5))
    return (
        far,
        relief,
        _mix(_mix(paint, (250, 226, 150), white - 0.5), (206, 130, 30), -white - 0.9),
    )


def fried_triangle(rng, size) -> Piece:
    """A triangle of deep-fried tofu: blistered golden skin, darker rim."""
    x, y = _grid(size * 1.1, size)
    far = np.maximum(np.abs(x) * 0.87 + y * 0.5 - size * 0.22, -y - size * 0.36)
    far = np.maximum(far, y - size * 0.36) + 2
    paint = _paint(rng, x, (206, 142, 60), 0.13, 3)
    relief = 9 * np.clip(-far / 4, 0, 1) + 0.8 * smooth_noise(rng, x.shape, (9, 9))
    return far, relief, _mix(paint, (140, 76, 24), np.exp(-((far / 3.5) ** 2)))
