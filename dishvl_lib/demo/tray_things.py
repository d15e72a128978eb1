"""What may stand or lie on a table: plates and bowls, compartments of steel trays, plastic trays,
napkins, phones, chopsticks, cups. Each is drawn on its own and lit by the lamp of its photo.

Lengths are px of the photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from dishvl_lib.demo.drawing import (
    RGB,
    Canvas,
    Lamp,
    Span,
    blank_canvas,
    cover,
    per_plane,
    smooth_noise,
    unit_rgb,
)
from dishvl_lib.demo.plating import Place, Plating, around, fill_vessel, lay_vessel

# Of the size that single dishes are drawn at: a plate is 200 px wide then, as on a tray's photo.
SCALE = 2 / 3
HEAP = 0.66  # radius of a heap, in plate radii, and of what lies whole in the middle: a fish
WHOLE = 0.92
LEAST_REACH = 0.1  # of the pieces of a heap
POOL = 0.74  # the part of a soup that is sure to be flooded, in plate radii
WALL = 9.0  # px: the slope around a compartment
RELIEF_STEP = 2  # px of the photo for a pixel of a tray's relief
STEEL = (186, 190, 196)
DRINKS: tuple[RGB, ...] = ((150, 88, 34), (60, 32, 20), (196, 204, 190), (206, 150, 60))


@dataclass(frozen=True)
class Thing:
    """A lit thing: light (h, w, 3) and cover (h, w) in 0..1, how high it rises over the table in px,
    which is how far its shadow falls.
    """

    light: np.ndarray
    cover: np.ndarray
    rise: float


def vessel(
    rng: np.random.Generator,
    lamp: Lamp,
    place: Place,
    plating: Plating | None,
    size: tuple[int, int],
    *,
    is_deep: bool,
) -> Thing:
    """A plate or bowl of `size` (width, height) with a helping, or empty."""
    canvas = blank_canvas(SCALE)
    centre = lay_vessel(canvas, rng, place, is_deep=is_deep)
    if plating is not None:
        fill_vessel(canvas, rng, plating, centre)
    rho = np.hypot(*around(canvas, centre, canvas.whole))
    body = cover((rho - 1) * canvas.radius)
    x, y = centre
    reach = canvas.radius + 0.5
    window = Span(x - reach, y - reach, x + reach, y + reach)
    light = _resized(lamp.light(canvas, canvas.whole), size, window)
    outline = _resized(body[..., None], size, window)[..., 0]
    return Thing(light, outline, rise=16 if is_deep else 9)


def drink(rng: np.random.Generator, lamp: Lamp, place: Place, size: tuple[int, int]) -> Thing:
    """A cup of tea or the like: round and full, and no dish."""
    rgb = DRINKS[rng.integers(len(DRINKS))]
    filling = Plating({}, {}, rgb, soup=True, mound=0)
    return vessel(rng, lamp, place, filling, size, is_deep=True)


def compartment(
    rng: np.random.Generator, lamp: Lamp, metal: np.ndarray, plating: Plating, size: tuple[int, int]
) -> Thing:
    """A helping in a compartment of `size` (width, height) of a tray of colour `metal` (3,)."""
    canvas = blank_canvas(SCALE)
    canvas.colour[:] = per_plane(metal)
    canvas.gloss[:] = 0.5
    middle = (canvas.side - 1) / 2
    fill_vessel(canvas, rng, plating, (middle, middle))
    width, height = size
    # A soup fills it to its corners; a heap is about as large as it is.
    if plating.soup:
        zoom = math.hypot(width, height) / 2 / (POOL * canvas.radius)
    else:
        heap = HEAP if plating.reach >= LEAST_REACH else WHOLE
        zoom = math.sqrt(width * height) / 2 / (heap * canvas.radius)
    # What is shown is not more than what is drawn.
    drawn = canvas.side - 1
    zoom = max(zoom, width / drawn, height / drawn)
    across = width / 2 / zoom
    down = height / 2 / zoom
    window = Span(middle - across, middle - down, middle + across, middle + down)
    light = _resized(lamp.light(canvas, canvas.whole), size, window)
    columns, rows = _pixels(size)
    inside = _outline(columns, rows, Span(0, 0, width, height), corner=24)
    return Thing(light, cover((inside + WALL / 2) / 3), rise=0)


def steel_tray(
    rng: np.random.Generator,
    lamp: Lamp,
    metal: np.ndarray,
    size: tuple[int, int],
    compartments: list[Span],
) -> Thing:
    """An empty tray of `size` (width, height) with compartments, in px from its corner."""
    columns, rows = _pixels(size, RELIEF_STEP)
    body = _outline(columns, rows, Span(0, 0, *size), corner=46)
    height = 9 + 5 * _bell(body / 5)
    for span in compartments:
        inside = _outline(columns, rows, span, corner=24)
        depth = np.clip(-inside / WALL, 0, 1)
        edge = _bell((inside - 2) / 3)
        height = height - 9 * depth
        height = height + 2 * edge
    brushed = smooth_noise(rng, height.shape, (160, 3))
    colour = per_plane(metal) * (1 + 0.02 * brushed)
    return _raised(lamp, size, body, height, colour, gloss=0.5)


def plastic_tray(rng: np.random.Generator, lamp: Lamp, rgb: RGB, size: tuple[int, int]) -> Thing:
    """A flat tray with a rim, for plates to stand on."""
    columns, rows = _pixels(size, RELIEF_STEP)
    body = _outline(columns, rows, Span(0, 0, *size), corner=40)
    height = 4 + 9 * _bell((body + 9) / 6)
    mottled = smooth_noise(rng, height.shape, (60, 80))
    colour = per_plane(unit_rgb(rgb)) * (1 + 0.03 * mottled)
    return _raised(lamp, size, body, height, colour, gloss=0.3)


def slab(
    lamp: Lamp, rgb: RGB, size: tuple[float, float], turn: float, rise: float, corner: float
) -> Thing:
    """A flat thing of one colour and `size` (length, width), turned by `turn` radians: a stick, a
    napkin.
    """
    far = _turned_outline(size, turn, corner)
    light = np.broadcast_to(unit_rgb(rgb) * lamp.on_flat(), (*far.shape, 3))
    return Thing(np.array(light, np.float32), cover(far), rise)


def napkin(lamp: Lamp, rgb: RGB, size: tuple[float, float], turn: float) -> Thing:
    """A slab with a fold across."""
    flat = slab(lamp, rgb, size, turn, rise=2, corner=3)
    length, width = size
    half = _turned_outline((length, width / 2), turn, 1)
    shade = np.ones(flat.cover.shape, np.float32)
    shade[_in_the_middle(half, flat.cover)] -= 0.1 * cover(half / 2)
    return replace(flat, light=flat.light * shade[..., None])


def phone(rng: np.random.Generator, lamp: Lamp, size: tuple[float, float], turn: float) -> Thing:
    """A slab with a dark or glowing screen."""
    body = slab(lamp, (24, 24, 28), size, turn, rise=5, corner=14)
    length, width = size
    edge = _turned_outline((length - 14, width - 12), turn, 8)
    glow = rng.uniform(0.02, 0.75)
    screen = glow * rng.uniform(0.5, 1.0, 3)
    pictures = np.clip(1 + 0.35 * smooth_noise(rng, edge.shape, (7, 5)), 0.2, 2)
    shown = (screen * pictures[..., None]).astype(np.float32)
    inside = body.light[_in_the_middle(edge, body.cover)]
    inside += cover(edge)[..., None] * (shown - inside)
    return body


def _raised(
    lamp: Lamp,
    size: tuple[int, int],
    body: np.ndarray,
    height: np.ndarray,
    colour: np.ndarray,
    gloss: float,
) -> Thing:
    """A thing from its relief: body (h, w) px to its outline, in pixels of RELIEF_STEP; colour
    (3, h, w).
    """
    inside = cover(body / RELIEF_STEP)
    relief = (height * inside).astype(np.float32)
    shine = np.full_like(relief, gloss)
    canvas = Canvas(colour.astype(np.float32), relief, shine, scale=1 / RELIEF_STEP)
    rows, columns = relief.shape
    window = Span(0, 0, columns, rows)
    light = _resized(lamp.light(canvas, canvas.whole), size, window)
    columns_in_full, rows_in_full = _pixels(size)
    outline = _outline(columns_in_full, rows_in_full, Span(0, 0, *size), corner=42)
    return Thing(light, cover(outline), rise=8)


def _in_the_middle(small: np.ndarray, large: np.ndarray) -> tuple[slice, slice]:
    """The window of an array in which a smaller one lies in the middle."""
    rows, columns = small.shape
    top = (large.shape[0] - rows) // 2
    left = (large.shape[1] - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def _bell(distance: np.ndarray) -> np.ndarray:
    return np.exp(-(distance**2))


def _pixels(size: tuple[int, int], step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of the middle of each step px of a thing."""
    width, height = size
    columns = np.arange(step / 2, width, step, dtype=np.float32)
    rows = np.arange(step / 2, height, step, dtype=np.float32)
    return columns[None, :], rows[:, None]


def _outline(x: np.ndarray, y: np.ndarray, span: Span, corner: float) -> np.ndarray:
    """px to the outline of a rectangle with round corners, < 0 inside."""
    half_width = span.width / 2
    half_height = span.height / 2
    from_middle_x = np.abs(x - span.left - half_width)
    from_middle_y = np.abs(y - span.top - half_height)
    aside = from_middle_x - half_width + corner
    above = from_middle_y - half_height + corner
    outside = np.hypot(np.maximum(aside, 0), np.maximum(above, 0))
    inside = np.minimum(np.maximum(aside, above), 0)
    return outside + inside - corner


def _turned_outline(size: tuple[float, float], turn: float, corner: float) -> np.ndarray:
    """px to the outline of a turned rectangle, in an array that just holds it."""
    length, width = size
    cosine = math.cos(turn)
    sine = math.sin(turn)
    across = abs(length * cosine) + abs(width * sine)
    down = abs(length * sine) + abs(width * cosine)
    size_around = (math.ceil(across) + 2, math.ceil(down) + 2)
    columns, rows = _pixels(size_around)
    x = columns - columns.mean()
    y = rows - rows.mean()
    along = x * cosine + y * sine
    aside = y * cosine - x * sine
    span = Span(-length / 2, -width / 2, length / 2, width / 2)
    return _outline(along, aside, span, corner)


def _resized(planes: np.ndarray, size: tuple[int, int], window: Span) -> np.ndarray:
    """The window of (h, w, c) float32 brought to `size` (width, height)."""
    resized = []
    for plane in np.moveaxis(planes, -1, 0):
        picture = Image.fromarray(np.ascontiguousarray(plane))
        resized.append(picture.resize(size, Image.Resampling.BILINEAR, box=window))
    return np.stack([np.asarray(picture) for picture in resized], axis=-1)
