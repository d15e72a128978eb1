"""The graph of look-alikes as a picture: each group of dishes a small graph of photos, joined by
lines with scores.
"""

from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from dishvl_lib.core import artefacts, records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames
from dishvl_lib.display.sheet import (
    ACCENT,
    FAINT,
    HEAD,
    MARGIN,
    Picture,
    Sheet,
    drawable_words,
    drawn,
    message,
)
from dishvl_lib.display.words import Words, shorten, wrapped

MOST_DISHES = 8
NAME_COLUMNS = 16
# inches: photo, name below it, between neighbours
SIDE = 0.85
NAME = 0.4
CELL = 1.55
HALF_SIDE = SIDE / 2
HALF_CELL = CELL / 2
# inches, inches, points, points
SHEET_WIDTH = 13.0
LEAST_WIDTH = 6.0
THIN = 0.8
THICK = 5.0
PLATE = {"facecolor": "#ffffffcc", "edgecolor": "none", "pad": 0.5}
# Where on a line its score may stand, the middle first.
PLACES_ON_LINE = (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73)
Scores = dict[tuple[str, str], float]


class Limits(NamedTuple):
    """The lowest and the highest score: the thinnest and the thickest line."""

    low: float
    high: float


class Flow(NamedTuple):
    """The upper left corner of each group, width and height of the sheet, in inches."""

    corners: list[np.ndarray]
    width: float
    height: float


@dataclass(frozen=True)
class Group:
    """A cluster as drawn: its best connected dishes around a circle, neighbours in look beside each
    other, and its size.
    """

    cluster: str
    size: int
    dishes: list[str]
    scores: Scores

    def centres(self) -> np.ndarray:
        """(n, 2) inches right and down from the middle."""
        n = len(self.dishes)
        if n == 2:
            aside = CELL * 0.7
            return np.array([(-aside, 0.0), (aside, 0.0)])
        places = np.arange(n)
        from_top = 2 * np.pi * places / n
        angles = from_top - np.pi / 2
        # One dish at the top, or of an even number two.
        if n % 2 == 0:
            angles = angles + np.pi / n
        half_step = np.sin(np.pi / n)
        radius = CELL / (2 * half_step)
        right = np.cos(angles)
        down = np.sin(angles)
        return radius * np.stack([right, down], axis=1)

    def corner(self) -> np.ndarray:
        """Inches right and down from the middle to the upper left corner."""
        upper_left = self.centres().min(axis=0)
        return upper_left - (HALF_CELL, HALF_SIDE + 0.3)

    def extent(self) -> np.ndarray:
        """(width, height) in inches, name and title included."""
        last_centre = self.centres().max(axis=0)
        lower_right = last_centre + (HALF_CELL, HALF_SIDE + NAME)
        return lower_right - self.corner()


@drawn
def look_alike_graph(
    similar: pd.DataFrame,
    clusters: pd.DataFrame,
    photos: pd.DataFrame,
    names: DishNames,
    image_root: AnyPath,
    *,
    top: int = 12,
    language: str = "en",
) -> Picture:
    """The `top` largest clusters of look-alikes as graphs: photos of the dishes, lines with scores
    between each other's look-alikes.

    `similar`: dish_id, similar_id, score, mutual (bool or its text). `clusters`: dish_id, cluster,
    size. Of a cluster its 8 best connected dishes are drawn; the closer two dishes, the thicker
    their line. Equally large clusters come by their highest score.
    """
    columns = ("dish_id", "similar_id", "score", "mutual")
    records.require_columns(similar, columns, "the similar dishes")
    records.require_columns(clusters, artefacts.CLUSTER_COLUMNS, "the clusters")
    words = drawable_words(language)
    book = PhotoBook(photos, image_root)
    groups = _groups(clusters, _mutual(similar))
    shown = groups[:top]
    if not shown:
        return message(words("no groups of look-alikes"))
    flow = _flow(shown)
    width = max(LEAST_WIDTH, flow.width)
    sheet = Sheet(width, flow.height)
    headline = _headline(shown, groups, words)
    sheet.text(MARGIN, 0.13, headline, size=11)
    limits = _limits(shown)
    for group, corner in zip(shown, flow.corners, strict=True):
        _draw(sheet, corner, group, limits, book, names, words)
    return sheet.done()


def _mutual(similar: pd.DataFrame) -> Scores:
    """{(dish, dish), in order of their ids: mean score of both directions} of those that are each
    other's look-alikes.
    """
    is_mutual = similar["mutual"].astype(str).str.lower().isin(("true", "1"))
    rows = similar[is_mutual]
    pairs = []
    for dish, other in zip(rows["dish_id"], rows["similar_id"], strict=True):
        pair = _in_order(str(dish), str(other))
        pairs.append(pair)
    keys = pd.Series(pairs, index=rows.index, dtype=object)
    scores = pd.to_numeric(rows["score"])
    return scores.groupby(keys).mean().to_dict()


def _in_order(dish: str, other: str) -> tuple[str, str]:
    return (dish, other) if dish <= other else (other, dish)


def _groups(clusters: pd.DataFrame, scores: Scores) -> list[Group]:
    """Every cluster of two dishes or more, the largest first."""
    groups = []
    for cluster, rows in clusters.groupby("cluster", sort=True):
        dishes = list(rows["dish_id"])
        size = int(rows["size"].iloc[0])
        if len(dishes) > 1:
            group = _group(str(cluster), size, dishes, scores)
            groups.append(group)
    return sorted(groups, key=_largest_first)


def _largest_first(group: Group) -> tuple[int, float]:
    highest = max(group.scores.values(), default=0)
    return -group.size, -highest


def _group(cluster: str, size: int, dishes: list[str], scores: Scores) -> Group:
    n = len(dishes)
    lines = np.zeros((n, n), bool)
    closeness = np.zeros((n, n))
    place = {dish: number for number, dish in enumerate(dishes)}
    inner = _between(dishes, scores)
    for (dish, other), score in inner.items():
        row = place[dish]
        column = place[other]
        # Both directions.
        ends = [row, column]
        other_ends = [column, row]
        lines[ends, other_ends] = True
        closeness[ends, other_ends] = score
    kept = _best_connected(lines, closeness)
    among_kept = np.ix_(kept, kept)
    beside = side_by_side(closeness[among_kept])
    order = [dishes[kept[number]] for number in beside]
    shown_scores = _between(order, scores)
    return Group(cluster, size, order, shown_scores)


def _between(dishes: list[str], scores: Scores) -> Scores:
    """The scores of pairs of which both are among the dishes."""
    among = set(dishes)
    return {pair: score for pair, score in scores.items() if among.issuperset(pair)}


def _best_connected(lines: np.ndarray, closeness: np.ndarray) -> list[int]:
    """Up to MOST_DISHES rows, first the one with most lines, then always the one with most lines to
    those before it.
    """
    kept: list[int] = []
    rows = range(len(lines))
    left = list(rows)
    in_all = lines.sum(axis=1)
    while left and len(kept) < MOST_DISHES:
        among = kept or list(rows)
        to_kept = lines[:, among].sum(axis=1)
        near_kept = closeness[:, among].sum(axis=1)
        best = max(left, key=lambda row: (to_kept[row], in_all[row], near_kept[row], -row))
        kept.append(best)
        left.remove(best)
    return kept


def side_by_side(counts: np.ndarray) -> list[int]:
    """(n, n) counts or scores -> an order in which each dish is followed by the one closest to it,
    of those not placed yet.
    """
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    busy = both.sum(axis=1)
    left = set(range(len(both)))
    order: list[int] = []
    while left:
        nearness = both[order[-1]] if order else busy
        following = max(left, key=lambda place: (nearness[place], busy[place], -place))
        order.append(following)
        left.remove(following)
    return order


def _flow(groups: list[Group]) -> Flow:
    """The groups in rows like those of a text."""
    corners = []
    x = MARGIN
    y = HEAD
    row = 0.0
    widest = 0.0
    for group in groups:
        width, height = group.extent()
        if x > MARGIN and x + width > SHEET_WIDTH:
            x = MARGIN
            y = y + row + MARGIN
            row = 0.0
        corner = np.array([x, y])
        corners.append(corner)
        x = x + width
        row = max(row, height)
        widest = max(widest, x + MARGIN)
    bottom = y + row + MARGIN
    return Flow(corners, widest, bottom)


def _headline(shown: list[Group], groups: list[Group], words: Words) -> str:
    n_drawn = sum(len(group.dishes) for group in shown)
    n_dishes = sum(group.size for group in groups)
    n_groups = f"{len(shown)} {words('of')} {len(groups)}"
    dishes = f"{n_drawn} {words('of')} {n_dishes} {words('dishes')}"
    return f"{words('groups of look-alikes')}: {n_groups};  {dishes}"


def _limits(groups: list[Group]) -> Limits:
    scores: list[float] = []
    for group in groups:
        scores.extend(group.scores.values())
    lowest = min(scores, default=0)
    highest = max(scores, default=1)
    return Limits(lowest, highest)


def _draw(
    sheet: Sheet,
    corner: np.ndarray,
    group: Group,
    limits: Limits,
    book: PhotoBook,
    names: DishNames,
    words: Words,
) -> None:
    places = group.centres() - group.corner() + corner
    centres = dict(zip(group.dishes, places, strict=True))
    n_drawn = f"{len(group.dishes)} {words('of')} {group.size} {words('dishes')}"
    title = f"{words('group')} {group.cluster}: {n_drawn}"
    left, top = corner
    sheet.text(left, top, title, size=9, color=FAINT)
    to_name = HALF_SIDE + NAME / 2
    name_places = places + (0, to_name)
    taken = [*places, *name_places]
    for (dish, other), score in sorted(group.scores.items(), key=itemgetter(1)):
        ends = (centres[dish], centres[other])
        width = _line_width(score, limits)
        _line(sheet, *ends, width)
        place = _free_place(*ends, taken)
        taken.append(place)
        x, y = place
        sheet.text(x, y, f"{score:.3f}", size=7, ha="center", va="center", bbox=PLATE)
    for dish, (x, y) in centres.items():
        label = sheet.labels(names.get(dish, dish))
        name = _in_two_lines(label)
        example = book.example(dish)
        left = x - HALF_SIDE
        top = y - HALF_SIDE
        below = y + HALF_SIDE + 0.03
        sheet.photo(example, left, top, SIDE)
        sheet.text(x, below, name, size=8, ha="center", linespacing=1.2, bbox=PLATE)


def _line_width(score: float, limits: Limits) -> float:
    # Limits may be one score.
    span = max(limits.high - limits.low, 1e-9)
    relative = (score - limits.low) / span
    return THIN + (THICK - THIN) * relative


def _line(sheet: Sheet, start: np.ndarray, end: np.ndarray, width: float) -> None:
    start_x, start_y = start
    end_x, end_y = end
    across = (start_x / sheet.width, end_x / sheet.width)
    up = (1 - start_y / sheet.height, 1 - end_y / sheet.height)
    line = Line2D(across, up, linewidth=width, color=ACCENT, alpha=0.45, zorder=-1)
    line.set_transform(sheet.figure.transFigure)
    sheet.figure.add_artist(line)


def _free_place(start: np.ndarray, end: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """The point on the line's middle part that is farthest from photos, names and other scores."""
    way = end - start
    points = [start + way * share for share in PLACES_ON_LINE]
    others = np.array(taken)
    return max(points, key=lambda point: np.linalg.norm(others - point, axis=1).min())


def _in_two_lines(label: str) -> str:
    lines = wrapped(label, NAME_COLUMNS)
    if len(lines) < 2:
        return "".join(lines)
    second = shorten(" ".join(lines[1:]), NAME_COLUMNS)
    return f"{lines[0]}\n{second}"
