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

import numpy as np
from PIL import Image, ImageFilter

SIZE = 384  # side of the square canvas in px; a plate of radius 1 spans RADIUS px
RADIUS = 152.0
MAX_SLOPE = 1.6  # steeper flanks would be drawn as dark outlines

RGB = tuple[int, int, int]  # 0..255
Plane = tuple[np.ndarray, np.ndarray]  # x and y of each pixel


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
    """colour (S, S, 3) in 0..1, height (S, S) in px, gloss (S, S) in 0..1, all float32."""

    colour: np.ndarray
    height: np.ndarray
    gloss: np.ndarray


def blank_canvas() -> Canvas:
    shape = (SIZE, SIZE)
    return Canvas(
        np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    )


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
    """Noise of about unit spread, smooth over shape / cells pixels; (h, w) float32."""
    coarse = rng.standard_normal((max(2, cells[0]), max(2, cells[1]))).astype(np.float32)
    return np.asarray(
        Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    )


@cache
def plane() -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel in plate radii, centre 0; (SIZE, SIZE) float32 each, not to be written
    to.
    """
    axis = ((np.arange(SIZE) - (SIZE - 1) / 2) / RADIUS).astype(np.float32)
    return np.meshgrid(axis, axis)


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
    x1 = min(SIZE, left + width)
    y1 = min(SIZE, top + height)
    if x0 >= x1 or y0 >= y1:
        return
    at = (slice(y0, y1), slice(x0, x1))
    cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    cover = sprite.cover[cut]
    below = canvas.height[at]
    colour = canvas.colour[at]
    gloss = canvas.gloss[at]
    # A piece rests partly on the pile's mean and partly follows it: piles stay flat enough to read.
    rest = 0.55 * float(np.vdot(below, cover)) / max(1e-3, float(cover.sum()))
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
    height = canvas.height
    slope_y, slope_x = (
        slope / np.sqrt(1 + (slope / MAX_SLOPE) ** 2) for slope in np.gradient(height)
    )
    ray = [math.cos(direction) * math.cos(elevation), math.sin(direction) * math.cos(elevation)]
    steep = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    diffuse = np.clip((math.sin(elevation) - ray[0] * slope_x - ray[1] * slope_y) * steep, 0, None)
    norm = math.sqrt(2 + 2 * math.sin(elevation))
    half = [ray[0] / norm, ray[1] / norm, (math.sin(elevation) + 1) / norm]
    mirror = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) * steep, 0, 1) ** 32
    sun = 1 - (1 - softness) * _cast_shadow(height, direction, math.tan(elevation))
    level = 0.45 * _occlusion(height) + 0.62 * diffuse * sun
    lit = canvas.colour * level[..., None]
    lit *= warmth
    lit += (0.75 * mirror * canvas.gloss * sun)[..., None]
    return lit


def _occlusion(height: np.ndarray) -> np.ndarray:
    """Hollows get less sky than ridges; (S, S) factor around 1."""
    small = Image.fromarray(height).resize((SIZE // 4, SIZE // 4), Image.Resampling.BOX)
    wide = Image.fromarray(_blur(np.asarray(small), 4)).resize(
        (SIZE, SIZE), Image.Resampling.BILINEAR
    )
    return np.clip(1 + 0.045 * (height - np.asarray(wide)), 0.45, 1.2)


def _cast_shadow(height: np.ndarray, direction: float, rise: float) -> np.ndarray:
    """How much of the lamp each pixel loses to higher neighbours (0..1), marched at half
    resolution.
    """
    small = np.asarray(Image.fromarray(height).resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX))
    blocked = np.zeros_like(small)
    for distance in (1, 2, 4, 7, 11, 16):
        shift = (round(-math.sin(direction) * distance), round(-math.cos(direction) * distance))
        blocked = np.maximum(blocked, np.roll(small, shift, (0, 1)) - small - 2 * rise * distance)
    shade = _blur(np.clip(blocked / 5, 0, 1), 2)
    return np.asarray(Image.fromarray(shade).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _blur(values: np.ndarray, radius: int) -> np.ndarray:
    """Two box blurs with edge padding; (h, w) float32."""
    for axis in (0, 1, 0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis, dtype=np.float32)
        n = 2 * radius + 1
        high = np.take(total, range(n, total.shape[axis]), axis)
        values = (high - np.take(total, range(total.shape[axis] - n), axis)) / n
    return values


def expose(
    light: np.ndarray, rng: np.random.Generator, exposure: float, blur: float, grain: float
) -> Image.Image:
    """A camera's tone curve, grain and focus; an RGB picture of the canvas's size."""
    tone = np.exp(-1.75 * exposure * light)
    tone *= -1.16
    tone += 1.16 + grain * rng.standard_normal(tone.shape[:2], np.float32)[..., None]
    tone += 0.25 * (
        tone - tone.mean(axis=2, keepdims=True)
    )  # the tone curve took saturation; give it back
    photo = Image.fromarray((np.clip(tone, 0, 1, out=tone) * 255).astype(np.uint8))
    return photo.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else photo
