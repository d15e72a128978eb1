"""A small height-field renderer for food seen from above: a canvas, stamps with relief, light, and
a camera.

A scene is three arrays of the same size: colour, height (px, towards the camera) and gloss. Food
pieces are stamped one on another, so piles, shadows and highlights come from one light instead of
being painted on.

Colours of canvases and pieces are kept in planes, (3, h, w): a mask then runs along rows of one
plane, several times faster than along the three values of each pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

SIZE = 384  # side of the square canvas in px; a plate of radius 1 spans RADIUS px
RADIUS = 152.0
# A canvas may be drawn smaller, by a scale below 1: its places are px of its own then, its heights
# and outlines still px of the full size.
MAX_SLOPE = 1.6  # steeper flanks would be drawn as dark outlines
AMBIENT = 0.45  # the share of the light that comes from everywhere, and that of the lamp
DIRECT = 0.62

RGB = tuple[int, int, int]  # 0..255
Plane = tuple[np.ndarray, np.ndarray]  # x and y of each pixel
Window = tuple[slice, slice]  # rows and columns of a canvas, from start to stop


class Span(NamedTuple):
    """A rectangle, px; width and height need not be whole."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Sprite:
    """A food piece, ready to be stamped: rgb (3, h, w) in 0..1, cover (h, w) in 0..1, relief (h, w)
    px, gloss 0..1.
    """

    rgb: np.ndarray
    cover: np.ndarray
    relief: np.ndarray
    gloss: float


@dataclass
class Canvas:
    """colour (3, S, S) in 0..1, height (S, S) in px of the full size, gloss (S, S) in 0..1, all
    float32. scale: px of this canvas for one of the full size.
    """

    colour: np.ndarray
    height: np.ndarray
    gloss: np.ndarray
    scale: float = 1.0

    @property
    def side(self) -> int:
        """px"""
        return len(self.height)

    @property
    def radius(self) -> float:
        """The plate's, px."""
        return RADIUS * self.scale

    @property
    def whole(self) -> Window:
        rows, columns = self.height.shape
        return slice(0, rows), slice(0, columns)

    def disc(self, x: float, y: float, radius: float) -> Window:
        """Where a disc lies, all in px, with a margin for its soft outline."""
        reach = radius + 2
        return self._pixels(y - reach, y + reach), self._pixels(x - reach, x + reach)

    def part(self, window: Window) -> Canvas:
        """A view: what is drawn on it is drawn here. Its side is the window's, not the canvas's."""
        rows, columns = window
        colour = self.colour[:, rows, columns]
        return Canvas(colour, self.height[window], self.gloss[window], self.scale)

    def _pixels(self, first: float, last: float) -> slice:
        start = max(0, math.floor(first))
        return slice(start, max(start, min(self.side, math.ceil(last) + 1)))


def blank_canvas(scale: float = 1.0) -> Canvas:
    side = round(SIZE * scale)
    colour = np.zeros((3, side, side), np.float32)
    height = np.zeros((side, side), np.float32)
    return Canvas(colour, height, np.zeros_like(height), scale)


def per_plane(values: np.ndarray) -> np.ndarray:
    """(3,) as (3, 1, 1), which goes with planes."""
    return values[:, None, None]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
    """Noise of about unit spread, smooth over shape / cells pixels; (h, w) float32."""
    at_least_two = np.maximum(cells, 2)
    coarse = rng.standard_normal(at_least_two).astype(np.float32)
    return _resized(coarse, shape, Image.Resampling.BICUBIC)


def _resized(
    values: np.ndarray, shape: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    """(h, w) float32 brought to another shape."""
    height, width = shape
    return np.asarray(Image.fromarray(values).resize((width, height), resampling))


@cache
def plane(scale: float = 1.0) -> Plane:
    """x and y of each pixel of a canvas in plate radii, centre 0; (S, S) float32 each, not to be
    written to.
    """
    side = round(SIZE * scale)
    from_middle = np.arange(side) - (side - 1) / 2
    axis = (from_middle / (RADIUS * scale)).astype(np.float32)
    return np.meshgrid(axis, axis)


def cover(far: np.ndarray) -> np.ndarray:
    """1 inside of an outline that is `far` px away (< 0 inside), 0 outside, soft over one pixel."""
    return np.clip(0.5 - far, 0, 1).astype(np.float32)


def extent(cover: np.ndarray) -> Window:
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


def unit_rgb(rgb: RGB) -> np.ndarray:
    """A colour's light, (3,) float32 in 0..1."""
    return np.array(rgb, np.float32) / 255


def lay(canvas: Canvas, mask: np.ndarray, colour: np.ndarray, gloss: float) -> None:
    """Paints colour (3, 1, 1) or (3, S, S) and gloss where mask (S, S) in 0..1 says so; the relief
    stays.
    """
    change = np.asarray(colour, np.float32) - canvas.colour
    change *= mask
    canvas.colour += change
    canvas.gloss += mask * (gloss - canvas.gloss)


def stamp(canvas: Canvas, sprite: Sprite, x: float, y: float, tint: np.ndarray) -> None:
    """Puts a piece on what lies at (x, y) (px); tint (3,) multiplies its colour."""
    height, width = sprite.cover.shape
    left = round(x - width / 2)
    top = round(y - height / 2)
    x0 = max(0, left)
    y0 = max(0, top)
    x1 = min(canvas.side, left + width)
    y1 = min(canvas.side, top + height)
    if x0 >= x1 or y0 >= y1:
        return
    window = (slice(y0, y1), slice(x0, x1))
    rows = slice(y0 - top, y1 - top)
    columns = slice(x0 - left, x1 - left)
    cut = (rows, columns)
    cover = sprite.cover[cut]
    below = canvas.height[window]
    colour = canvas.colour[:, y0:y1, x0:x1]
    gloss = canvas.gloss[window]
    # A piece rests partly on the pile's mean and partly follows it: piles stay flat enough to read.
    area = max(1e-3, float(cover.sum()))
    rest = 0.55 * float(np.vdot(below, cover)) / area
    rise = sprite.relief[cut] + rest
    rise -= 0.65 * below
    rise *= cover
    below += rise
    change = sprite.rgb[:, *cut] * per_plane(tint)
    change -= colour
    change *= cover
    colour += change
    gloss += cover * (sprite.gloss - gloss)


@dataclass(frozen=True)
class Lamp:
    """The light of a scene: direction and elevation in radians, colour (3,), and softness in 0..1,
    which weakens cast shadows.
    """

    direction: float
    elevation: float
    colour: np.ndarray
    softness: float

    def on_flat(self) -> np.ndarray:
        """What a flat thing that faces up gives back of its colour; (3,)."""
        return self.colour * np.float32(AMBIENT + DIRECT * math.sin(self.elevation))

    def light(self, canvas: Canvas, window: Window) -> np.ndarray:
        """A window of a canvas under this lamp; (h, w, 3) float32 in about 0..1."""
        height = canvas.height * np.float32(canvas.scale)
        slope_y, slope_x = _slopes(height, window)
        ray_x = math.cos(self.direction) * math.cos(self.elevation)
        ray_y = math.sin(self.direction) * math.cos(self.elevation)
        ray_z = math.sin(self.elevation)
        length = np.sqrt(1 + slope_x**2 + slope_y**2)
        steep = 1 / length
        facing_lamp = (ray_z - ray_x * slope_x - ray_y * slope_y) * steep
        diffuse = np.clip(facing_lamp, 0, None)
        # Halfway between the lamp and the camera, which looks straight down: where a mirror would
        # face.
        norm = math.sqrt(2 + 2 * ray_z)
        half_x = ray_x / norm
        half_y = ray_y / norm
        half_z = (ray_z + 1) / norm
        facing_half = (half_z - half_x * slope_x - half_y * slope_y) * steep
        mirror = np.clip(facing_half, 0, 1) ** 32
        rise = math.tan(self.elevation)
        sun = 1 - (1 - self.softness) * _cast_shadow(height, self.direction, rise, window)
        level = AMBIENT * _occlusion(height, window) + DIRECT * diffuse * sun
        shown = canvas.part(window)
        lit = shown.colour * level
        lit *= per_plane(self.colour)
        lit += 0.75 * mirror * shown.gloss * sun
        return np.moveaxis(lit, 0, -1)


def _slopes(height: np.ndarray, window: Window) -> Plane:
    """How steep a window is, down and across; near MAX_SLOPE it rises no more."""
    rows, columns = window
    # A slope is measured from one neighbour to the other.
    top = max(0, rows.start - 1)
    left = max(0, columns.start - 1)
    beside = height[top : rows.stop + 1, left : columns.stop + 1]
    down, across = np.gradient(beside)
    inner_rows = slice(rows.start - top, rows.stop - top)
    inner_columns = slice(columns.start - left, columns.stop - left)
    inner = (inner_rows, inner_columns)
    return _limited(down[inner]), _limited(across[inner])


def _limited(slope: np.ndarray) -> np.ndarray:
    """A slope that comes near MAX_SLOPE and never reaches it."""
    return slope / np.sqrt(1 + (slope / MAX_SLOPE) ** 2)


def _occlusion(height: np.ndarray, window: Window) -> np.ndarray:
    """Hollows get less sky than ridges; a factor around 1 for each pixel of a window."""
    rows, columns = height.shape
    quarter = (rows // 4, columns // 4)
    small = _resized(height, quarter, Image.Resampling.BOX)
    around = _enlarged(_blur(small, 4), height.shape, window)
    return np.clip(1 + 0.045 * (height[window] - around), 0.45, 1.2)


def _cast_shadow(height: np.ndarray, direction: float, rise: float, window: Window) -> np.ndarray:
    """How much of the lamp each pixel of a window loses to higher neighbours (0..1), marched at
    half resolution.
    """
    rows, columns = height.shape
    half = (rows // 2, columns // 2)
    small = _resized(height, half, Image.Resampling.BOX)
    blocked = np.zeros_like(small)
    for distance in (1, 2, 4, 7, 11, 16):
        down = round(-math.sin(direction) * distance)
        across = round(-math.cos(direction) * distance)
        towards_lamp = np.roll(small, (down, across), (0, 1))
        blocked = np.maximum(blocked, towards_lamp - small - 2 * rise * distance)
    shade = _blur(np.clip(blocked / 5, 0, 1), 2)
    return _enlarged(shade, height.shape, window)


def _enlarged(small: np.ndarray, shape: tuple[int, int], window: Window) -> np.ndarray:
    """A window of what (h, w) float32 is at a larger shape."""
    rows, columns = window
    down, across = shape
    small_down, small_across = small.shape
    left = columns.start * small_across / across
    right = columns.stop * small_across / across
    top = rows.start * small_down / down
    bottom = rows.stop * small_down / down
    width = columns.stop - columns.start
    height = rows.stop - rows.start
    picture = Image.fromarray(small)
    # In one call, Pillow would choose by the window which axis comes first, and round by that.
    bilinear = Image.Resampling.BILINEAR
    wide = picture.resize((width, small_down), bilinear, box=(left, 0, right, small_down))
    return np.asarray(wide.resize((width, height), bilinear, box=(0, top, width, bottom)))


def _blur(values: np.ndarray, radius: int) -> np.ndarray:
    """Two box blurs with edge padding; (h, w) float32."""
    width = 2 * radius + 1
    none = (0, 0)
    margin = (radius + 1, radius)
    for _ in range(2):
        down = np.pad(values, (margin, none), mode="edge")
        total = np.cumsum(down, axis=0, dtype=np.float32)
        values = (total[width:] - total[:-width]) / width
        across = np.pad(values, (none, margin), mode="edge")
        total = np.cumsum(across, axis=1, dtype=np.float32)
        values = (total[:, width:] - total[:, :-width]) / width
    return values


def expose(
    light: np.ndarray, rng: np.random.Generator, exposure: float, blur: float, grain: float
) -> Image.Image:
    """A camera's tone curve, grain and focus; an RGB picture of the canvas's size."""
    tone = np.exp(-1.75 * exposure * np.moveaxis(light, -1, 0))
    noise = rng.standard_normal(light.shape[:2], np.float32)
    tone *= -1.16
    tone += 1.16 + grain * noise
    # The tone curve took saturation; give it back.
    red, green, blue = tone
    grey = (red + green + blue) / 3
    tone += 0.25 * (tone - grey)
    np.clip(tone, 0, 1, out=tone)
    levels = np.moveaxis(tone * 255, 0, -1).astype(np.uint8, order="C")
    photo = Image.fromarray(levels)
    return photo.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else photo
