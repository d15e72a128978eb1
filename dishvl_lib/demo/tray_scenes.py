"""One photo of a whole tray, seen from above: dishes on plates and bowls or in the compartments of
a steel tray, empty vessels, and what else lies about.

Everything is laid on a table in light values, one thing after another, and exposed as one photo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from dishvl_lib.demo import tray_things
from dishvl_lib.demo.drawing import RGB, Lamp, Span, expose, per_plane, unit_rgb
from dishvl_lib.demo.plating import Place, Plating, hang_lamp, table_top
from dishvl_lib.demo.tray_things import Thing

WIDTH = 960
HEIGHT = 720
MARGIN = 6  # px between a vessel and the photo's edge
TABLE_STEP = 2  # px of the photo for a pixel of the table
LEAST_DISHES = 2
MOST_DISHES = 6
RADII = (62.0, 104.0)  # px, of plates and bowls
LEAST_RADIUS = 56.0
TRIES = 40  # places that are tried before a vessel is made smaller
SHADOW = 0.5  # how much of the light the middle of a shadow takes
TRAY_COLOURS: tuple[RGB, ...] = ((112, 66, 42), (168, 44, 40), (70, 120, 112), (150, 152, 150))
NAPKINS: tuple[RGB, ...] = ((246, 246, 242), (236, 222, 208), (214, 226, 236))
STICKS: tuple[RGB, ...] = ((150, 92, 52), (226, 220, 206), (60, 40, 34), (176, 180, 186))
# Compartments in shares of a steel tray's width and height.
COMPARTMENTS = (
    ((0.04, 0.06, 0.34, 0.46), (0.37, 0.06, 0.66, 0.46), (0.69, 0.06, 0.96, 0.46))
    + ((0.04, 0.52, 0.49, 0.94), (0.52, 0.52, 0.96, 0.94)),
    ((0.04, 0.06, 0.48, 0.47), (0.52, 0.06, 0.96, 0.47))
    + ((0.04, 0.53, 0.48, 0.94), (0.52, 0.53, 0.96, 0.94)),
    ((0.04, 0.06, 0.34, 0.47), (0.37, 0.06, 0.65, 0.47), (0.68, 0.06, 0.96, 0.47))
    + ((0.04, 0.53, 0.34, 0.94), (0.37, 0.53, 0.65, 0.94), (0.68, 0.53, 0.96, 0.94)),
    ((0.04, 0.06, 0.34, 0.46), (0.37, 0.06, 0.66, 0.46), (0.69, 0.06, 0.96, 0.94))
    + ((0.04, 0.52, 0.66, 0.94),),
)


@dataclass(frozen=True)
class Tray:
    """A drawn photo, upright, with the box around each dish's vessel in its pixels."""

    photo: Image.Image
    names: list[str]
    boxes: list[Span]


@dataclass(frozen=True)
class Disc:
    """A round place on the table, px; a tilted camera sees it flattened."""

    x: float
    y: float
    radius: float


class Scene:
    """A table on which things are laid; `light` (HEIGHT, WIDTH, 3) are light values.

    tilt: how flat a circle is seen, 1 from straight above.
    """

    def __init__(self, rng: np.random.Generator, place: Place):
        self.rng = rng
        self.place = place
        self.lamp = hang_lamp(rng, place)
        self.tilt = rng.uniform(0.93, 1.0)
        self.light = _table(rng, place, self.lamp)
        self.taken: list[Disc] = []
        self.names: list[str] = []
        self.boxes: list[Span] = []

    def put(self, thing: Thing, left: float, top: float) -> Span:
        """Lays a thing with its shadow; returns where it lies."""
        x = round(left)
        y = round(top)
        if thing.rise:
            self._darken(thing, x, y)
        height, width = thing.cover.shape
        below, part = _overlap(self.light, x, y, width, height)
        change = thing.light[part] - below
        below += thing.cover[part][..., None] * change
        return Span(x, y, x + width, y + height)

    def serve(self, name: str, where: Span) -> None:
        self.names.append(name)
        self.boxes.append(where)

    def put_at(self, thing: Thing, disc: Disc) -> Span:
        """The same with the thing's middle in the middle of a place."""
        height, width = thing.cover.shape
        left = disc.x - width / 2
        top = disc.y * self.tilt - height / 2
        return self.put(thing, left, top)

    def size_of(self, disc: Disc) -> tuple[int, int]:
        """(width, height) px of a round thing on the photo."""
        width = 2 * disc.radius
        return round(width), round(width * self.tilt)

    def find_place(self, radius: float, bounds: Span, touching: float) -> Disc | None:
        """A free place in a part of the photo; `touching` is how often it is sought right beside
        something round. It is taken by then. None when there is none.
        """
        while radius >= LEAST_RADIUS:
            for _ in range(TRIES):
                disc = self._tried(radius, bounds, touching)
                if self._is_free(disc, bounds):
                    self.taken.append(disc)
                    return disc
            radius *= 0.93
        return None

    def _tried(self, radius: float, bounds: Span, touching: float) -> Disc:
        rng = self.rng
        if self.taken and rng.random() < touching:
            beside = self.taken[rng.integers(len(self.taken))]
            angle = rng.uniform(0, 2 * np.pi)
            far = beside.radius + radius + rng.uniform(0, 3)
            x = beside.x + far * math.cos(angle)
            return Disc(x, beside.y + far * math.sin(angle), radius)
        x = rng.uniform(bounds.left, bounds.right)
        return Disc(x, rng.uniform(bounds.top, bounds.bottom) / self.tilt, radius)

    def _is_free(self, disc: Disc, bounds: Span) -> bool:
        down = disc.y * self.tilt
        if not bounds.left + disc.radius <= disc.x <= bounds.right - disc.radius:
            return False
        if not bounds.top + disc.radius <= down <= bounds.bottom - disc.radius:
            return False
        for other in self.taken:
            apart = math.hypot(disc.x - other.x, disc.y - other.y)
            if apart < disc.radius + other.radius:
                return False
        return True

    def _darken(self, thing: Thing, x: int, y: int) -> None:
        """The shadow that a thing casts on what lies below."""
        softness = round(thing.rise / 2) + 2
        reach = thing.rise / math.tan(self.lamp.elevation)
        pad = 2 * softness
        padded = np.pad(thing.cover, pad)
        mask = Image.fromarray((255 * padded).astype(np.uint8))
        blurred = np.asarray(mask.filter(ImageFilter.BoxBlur(softness)), np.float32) / 255
        height, width = blurred.shape
        across = round(reach * math.cos(self.lamp.direction))
        down = round(reach * math.sin(self.lamp.direction))
        below, part = _overlap(self.light, x - pad - across, y - pad - down, width, height)
        strength = np.float32(SHADOW * (1 - 0.5 * self.lamp.softness))
        below *= 1 - strength * blurred[part][..., None]


def draw_tray(menu: Mapping[str, Plating], rng: np.random.Generator, place: Place) -> Tray:
    """A photo of a tray with some of the dishes of `menu`, none of them twice."""
    scene = Scene(rng, place)
    n = int(rng.integers(LEAST_DISHES, MOST_DISHES + 1))
    chosen = rng.permutation(len(menu))[:n]
    names = list(menu)
    dishes = {names[index]: menu[names[index]] for index in chosen}
    if rng.random() < 0.35:
        _serve_on_steel(scene, dishes)
    else:
        _serve_on_plates(scene, dishes)
    return Tray(_exposed(scene), scene.names, scene.boxes)


def _serve_on_plates(scene: Scene, dishes: Mapping[str, Plating]) -> None:
    """Plates and bowls on a plastic tray or on the table, some of them empty, some touching."""
    rng = scene.rng
    bounds = Span(MARGIN, MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN)
    if rng.random() < 0.5:
        bounds = _put_plastic_tray(scene)
    if rng.random() < 0.35:
        _put_napkin(scene)
    touching = rng.choice([0.0, 0.5, 0.9])
    most = RADII[1] if len(dishes) < 5 else 88.0
    empty = [None] * int(rng.choice(3, p=(0.45, 0.35, 0.2)))
    for name, plating in [*dishes.items(), *(("", none) for none in empty)]:
        disc = scene.find_place(rng.uniform(RADII[0], most), bounds, touching)
        if disc is None:
            continue
        is_deep = _is_deep(rng, plating)
        size = scene.size_of(disc)
        thing = tray_things.vessel(rng, scene.lamp, scene.place, plating, size, is_deep=is_deep)
        where = scene.put_at(thing, disc)
        if plating is not None:
            scene.serve(name, where)
    _put_others(scene)


def _is_deep(rng: np.random.Generator, plating: Plating | None) -> bool:
    """Whether a dish, or none, comes in a bowl."""
    if plating is None:
        return rng.random() < 0.25
    return plating.soup or rng.random() < 0.2


def _serve_on_steel(scene: Scene, dishes: Mapping[str, Plating]) -> None:
    """A tray with compartments, some of which may stay empty."""
    rng = scene.rng
    width = int(rng.integers(640, 830))
    height = round(width * rng.uniform(0.68, 0.76))
    left = rng.uniform(MARGIN, WIDTH - MARGIN - width)
    top = rng.uniform(MARGIN, HEIGHT - MARGIN - height)
    metal = unit_rgb(tray_things.STEEL) * np.float32(rng.uniform(0.8, 1.05))
    spans = _compartments(rng, width, height)
    tray = tray_things.steel_tray(rng, scene.lamp, metal, (width, height), spans)
    scene.put(tray, left, top)
    order = rng.permutation(len(spans))
    for index, (name, plating) in zip(order, dishes.items(), strict=False):
        span = spans[index]
        size = (round(span.width), round(span.height))
        thing = tray_things.compartment(rng, scene.lamp, metal, plating, size)
        where = scene.put(thing, round(left) + span.left, round(top) + span.top)
        scene.serve(name, where)
    middle_x = left + width / 2
    middle_y = (top + height / 2) / scene.tilt
    scene.taken.append(Disc(middle_x, middle_y, width / 2))
    _put_others(scene)


def _compartments(rng: np.random.Generator, width: int, height: int) -> list[Span]:
    """Compartments of one of some trays, perhaps turned about, in px from the tray's corner."""
    shares = np.array(COMPARTMENTS[rng.integers(len(COMPARTMENTS))])
    if rng.random() < 0.5:
        shares = 1 - shares[:, [2, 3, 0, 1]]
    pixels = np.round(shares * [width, height, width, height])
    return [Span(*row) for row in pixels.tolist()]


def _put_plastic_tray(scene: Scene) -> Span:
    """A tray to stand plates on; returns where they may stand."""
    rng = scene.rng
    width = int(rng.integers(780, WIDTH - 20))
    height = int(rng.integers(570, HEIGHT - 20))
    rgb = TRAY_COLOURS[rng.integers(len(TRAY_COLOURS))]
    tray = tray_things.plastic_tray(rng, scene.lamp, rgb, (width, height))
    left = rng.uniform(4, WIDTH - 4 - width)
    top = rng.uniform(4, HEIGHT - 4 - height)
    where = scene.put(tray, left, top)
    rim = 16
    return Span(where.left + rim, where.top + rim, where.right - rim, where.bottom - rim)


def _put_napkin(scene: Scene) -> None:
    """A napkin anywhere: plates may stand on it."""
    rng = scene.rng
    size = (rng.uniform(120, 240), rng.uniform(100, 200))
    rgb = NAPKINS[rng.integers(len(NAPKINS))]
    napkin = tray_things.napkin(scene.lamp, rgb, size, rng.uniform(0, np.pi))
    left = rng.uniform(0, WIDTH - 200)
    top = rng.uniform(0, HEIGHT - 200)
    scene.put(napkin, left, top)


def _put_others(scene: Scene) -> None:
    """Chopsticks, phones and cups, where there is room; chopsticks may lie across a plate."""
    rng = scene.rng
    photo = Span(-40, -40, WIDTH + 40, HEIGHT + 40)
    for share, put in ((0.5, _put_sticks), (0.3, _put_phone), (0.3, _put_drink)):
        if rng.random() >= share:
            continue
        disc = scene.find_place(rng.uniform(60, 84), photo, 0.0)
        if disc is not None:
            put(scene, disc)


def _put_sticks(scene: Scene, disc: Disc) -> None:
    rng = scene.rng
    rgb = STICKS[rng.integers(len(STICKS))]
    turn = rng.uniform(0, np.pi)
    size = (3 * disc.radius, 7)
    stick = tray_things.slab(scene.lamp, rgb, size, turn, rise=3, corner=3)
    scene.put_at(stick, disc)
    beside_x = disc.x + 11 * math.sin(turn)
    beside_y = disc.y - 11 * math.cos(turn) / scene.tilt
    scene.put_at(stick, Disc(beside_x, beside_y, disc.radius))


def _put_phone(scene: Scene, disc: Disc) -> None:
    rng = scene.rng
    size = (1.75 * disc.radius, 0.86 * disc.radius)
    phone = tray_things.phone(rng, scene.lamp, size, rng.uniform(0, np.pi))
    scene.put_at(phone, disc)


def _put_drink(scene: Scene, disc: Disc) -> None:
    small = Disc(disc.x, disc.y, scene.rng.uniform(30, 40))
    size = scene.size_of(small)
    scene.put_at(tray_things.drink(scene.rng, scene.lamp, scene.place, size), small)


def _table(rng: np.random.Generator, place: Place, lamp: Lamp) -> np.ndarray:
    """The bare table under the lamp, (HEIGHT, WIDTH, 3), brighter at one side."""
    side = WIDTH // TABLE_STEP
    bare = table_top(rng, place, side)[:, : HEIGHT // TABLE_STEP]
    lit = bare * per_plane(lamp.on_flat())
    slope = rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, side, dtype=np.float32)
    lit *= 1 + slope
    light = np.empty((HEIGHT, WIDTH, 3), np.float32)
    for channel, plane in enumerate(lit):
        picture = Image.fromarray(np.ascontiguousarray(plane, np.float32))
        full = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        light[..., channel] = np.asarray(full)
    return light


def _exposed(scene: Scene) -> Image.Image:
    rng = scene.rng
    exposure = rng.uniform(0.9, 1.12)
    blur = 0.0 if rng.random() < 0.6 else rng.uniform(0.3, 0.9)
    return expose(scene.light, rng, exposure, blur, rng.uniform(0.004, 0.02))


def _overlap(
    light: np.ndarray, x: int, y: int, width: int, height: int
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The part of the photo under a thing at (x, y), and the same part of the thing's arrays."""
    rows, columns = light.shape[:2]
    left = max(0, x)
    top = max(0, y)
    right = max(left, min(columns, x + width))
    bottom = max(top, min(rows, y + height))
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    return light[top:bottom, left:right], part
