"""A small height-field renderer for food seen from above: a canvas, stamps with relief, light, and
a camera.

A scene is three arrays of the same size: colour, height (px, towards the camera) and gloss. Food
pieces are stamped one on another, so piles, shadows and highlights come from one light instead of
being painted on.
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

RGB = tuple[int, int, int]  # 0..255
Plane = tuple[np.ndarray, np.ndarray]  # x and y of each pixel


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
    """A food piece, ready to be stamped: rgb (h, w, 3) in 0..1, cover (h, w) in 0..1, relief (h, w)
    px, gloss 0..1.
    """

    rgb: np.ndarray
    cover: np.ndarray
    relief: np.ndarray
    gloss: float


@dataclass
class Canvas:
    """colour (S, S, 3) in 0..1, height (S, S) in px of the full size, gloss (S, S) in 0..1, all
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


def blank_canvas(scale: float = 1.0) -> Canvas:
    side = round(SIZE * scale)
    colour = np.zeros((side, side, 3), np.float32)
    height = np.zeros((side, side), np.float32)
    return Canvas(colour, height, np.zeros_like(height), scale)


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


def unit_rgb(rgb: RGB) -> np.ndarray:
    """A colour's light, (3,) float32 in 0..1."""
    return np.array(rgb, np.float32) / 255


def lay(canvas: Canvas, mask: np.ndarray, colour: np.ndarray, gloss: float) -> None:
    """Paints colour (3,) or (S, S, 3) and gloss where mask (S, S) in 0..1 says so; the relief
    stays.
    """
    change = np.asarray(colour, np.float32) - canvas.colour
    change *= mask[..., None]
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
    colour = canvas.colour[window]
    gloss = canvas.gloss[window]
    # A piece rests partly on the pile's mean and partly follows it: piles stay flat enough to read.
    area = max(1e-3, float(cover.sum()))
    rest = 0.55 * float(np.vdot(below, cover)) / area
    below += cover * (sprite.relief[cut] + rest - 0.65 * below)
    colour += cover[..., None] * (sprite.rgb[cut] * tint - colour)
    gloss += cover * (sprite.gloss - gloss)


def light_scene(
    canvas: Canvas, direction: float, elevation: float, warmth: np.ndarray, softness: float
) -> np.ndarray:
    """Lights a canvas; (S, S, 3) float32 in about 0..1.

    direction and elevation are radians, warmth (3,) is the lamp's colour, softness in 0..1 weakens
    cast shadows.
    """
    height = canvas.height * np.float32(canvas.scale)
    slope_y, slope_x = map(_limited, np.gradient(height))
    ray_x = math.cos(direction) * math.cos(elevation)
    ray_y = math.sin(direction) * math.cos(elevation)
    ray_z = math.sin(elevation)
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    steep = 1 / length
    facing_lamp = (ray_z - ray_x * slope_x - ray_y * slope_y) * steep
    diffuse = np.clip(facing_lamp, 0, None)
    # Halfway between the lamp and the camera, which looks straight down: where a mirror would face.
    norm = math.sqrt(2 + 2 * ray_z)
    half_x = ray_x / norm
    half_y = ray_y / norm
    half_z = (ray_z + 1) / norm
    facing_half = (half_z - half_x * slope_x - half_y * slope_y) * steep
    mirror = np.clip(facing_half, 0, 1) ** 32
    sun = 1 - (1 - softness) * _cast_shadow(height, direction, math.tan(elevation))
    level = 0.45 * _occlusion(height) + 0.62 * diffuse * sun
    lit = canvas.colour * level[..., None]
    lit *= warmth
    lit += (0.75 * mirror * canvas.gloss * sun)[..., None]
    return lit


def _limited(slope: np.ndarray) -> np.ndarray:
    """A slope that comes near MAX_SLOPE and never reaches it."""
    return slope / np.sqrt(1 + (slope / MAX_SLOPE) ** 2)


def _occlusion(height: np.ndarray) -> np.ndarray:
    """Hollows get less sky than ridges; (S, S) factor around 1."""
    rows, columns = height.shape
    quarter = (rows // 4, columns // 4)
    small = _resized(height, quarter, Image.Resampling.BOX)
    around = _resized(_blur(small, 4), (rows, columns), Image.Resampling.BILINEAR)
    return np.clip(1 + 0.045 * (height - around), 0.45, 1.2)


def _cast_shadow(height: np.ndarray, direction: float, rise: float) -> np.ndarray:
    """How much of the lamp each pixel loses to higher neighbours (0..1), marched at half
    resolution.
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
    return _resized(shade, (rows, columns), Image.Resampling.BILINEAR)


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
    tone = np.exp(-1.75 * exposure * light)
    noise = rng.standard_normal(tone.shape[:2], np.float32)
    tone *= -1.16
    tone += 1.16 + grain * noise[..., None]
    # The tone curve took saturation; give it back.
    grey = (tone[..., 0] + tone[..., 1] + tone[..., 2]) / 3
    tone += 0.25 * (tone - grey[..., None])
    np.clip(tone, 0, 1, out=tone)
    photo = Image.fromarray((tone * 255).astype(np.uint8))
    return photo.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else photo
