"""The graph of look-alikes as a picture: each group of dishes a small graph of photos, joined by
lines with scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from dishvl_lib.core import records
from dishvl_lib.display.pairs import side_by_side
from dishvl_lib.display.sheet import ACCENT, FAINT, PhotoBook, Picture, Sheet, drawn
from dishvl_lib.display.words import Words, shorten, wrapped

MOST_DISHES = 8
NAME_COLUMNS = 16
# inches: photo, name below it, between neighbours, headline, border
SIDE = 0.85
NAME = 0.4
CELL = 1.55
HEAD = 0.5
MARGIN = 0.2
# inches, inches, points, points
SHEET_WIDTH = 13.0
LEAST_WIDTH = 6.0
THIN = 0.8
THICK = 5.0
PLATE = {"facecolor": "#ffffffcc", "edgecolor": "none", "pad": 0.5}
Scores = dict[tuple[str, str], float]


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
            return np.array([(-CELL * 0.7, 0.0), (CELL * 0.7, 0.0)])
        angles = 2 * np.pi * np.arange(n) / n - np.pi / 2 + (0 if n % 2 else np.pi / n)
        return CELL / (2 * np.sin(np.pi / n)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def corner(self) -> np.ndarray:
        """Inches right and down from the middle to the upper left corner."""
        return self.centres().min(axis=0) - (CELL / 2, SIDE / 2 + 0.3)

    def extent(self) -> np.ndarray:
        """(width, height) in inches, name and title included."""
        return self.centres().max(axis=0) + (CELL / 2, SIDE / 2 + NAME) - self.corner()


@drawn
def look_alike_graph(
    similar: pd.DataFrame,
    clusters: pd.DataFrame,
    photos: pd.DataFrame,
    names: Mapping[str, str],
    image_root: str | Path,
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
    records.require_columns(
        similar, ("dish_id", "similar_id", "score", "mutual"), "the similar dishes"
    )
    records.require_columns(clusters, ("dish_id", "cluster", "size"), "the clusters")
    groups = _groups(clusters, _mutual(similar))
    shown = groups[:top]
    corners, width, height = _flow(shown)
    sheet = Sheet(max(LEAST_WIDTH, width), height)
    words = Words(language)
    book = PhotoBook(photos, image_root)
    words = words if sheet.labels.font else Words("en")
    sheet.text(MARGIN, 0.13, _headline(shown, groups, words), size=11)
    scores = [score for group in shown for score in group.scores.values()]
    for group, corner in zip(shown, corners, strict=True):
        _draw(
            sheet,
            corner,
            group,
            (min(scores, default=0), max(scores, default=1)),
            book,
            names,
            words,
        )
    return sheet.done()


def _mutual(similar: pd.DataFrame) -> Scores:
    """{(dish, dish), in order of their ids: mean score of both directions} of those that are each
    other's look-alikes.
    """
    rows = similar[similar["mutual"].astype(str).str.lower().isin(("true", "1"))]
    pairs = [
        tuple(sorted(map(str, pair)))
        for pair in zip(rows["dish_id"], rows["similar_id"], strict=True)
    ]
    return (
        pd.to_numeric(rows["score"])
        .groupby(pd.Series(pairs, index=rows.index, dtype=object))
        .mean()
        .to_dict()
    )


def _groups(clusters: pd.DataFrame, scores: Scores) -> list[Group]:
    """Every cluster of two dishes or more, the largest first."""
    groups = []
    for cluster, rows in clusters.groupby("cluster", sort=True):
        inside = {
            pair: score for pair, score in scores.items() if set(pair) <= set(rows["dish_id"])
        }
        if len(rows) > 1:
            groups.append(
                _group(str(cluster), int(rows["size"].iloc[0]), list(rows["dish_id"]), inside)
            )
    return sorted(groups, key=lambda group: (-group.size, -max(group.scores.values(), default=0)))


def _group(cluster: str, size: int, dishes: list[str], scores: Scores) -> Group:
    found = np.array(
        [[scores.get(tuple(sorted((one, other))), np.nan) for other in dishes] for one in dishes]
    )
    closeness = np.nan_to_num(found)
    kept = _best_connected(~np.isnan(found), closeness)
    order = [dishes[kept[place]] for place in side_by_side(closeness[np.ix_(kept, kept)])]
    return Group(
        cluster,
        size,
        order,
        {pair: score for pair, score in scores.items() if set(pair) <= set(order)},
    )


def _best_connected(lines: np.ndarray, closeness: np.ndarray) -> list[int]:
    """Up to MOST_DISHES rows, first the one with most lines, then always the one with most lines to
    those before it.
    """
    kept: list[int] = []
    while len(kept) < min(MOST_DISHES, len(lines)):
        among = kept or range(len(lines))
        left = [row for row in range(len(lines)) if row not in kept]
        kept.append(
            max(
                left,
                key=lambda row: (
                    lines[row, among].sum(),
                    lines[row].sum(),
                    closeness[row, among].sum(),
                    -row,
                ),
            )
        )
    return kept


def _flow(groups: list[Group]) -> tuple[list[np.ndarray], float, float]:
    """(upper left corner of each group, width and height of the sheet), in inches: rows like those
    of a text.
    """
    corners = []
    x = MARGIN
    y = HEAD
    row = 0.0
    widest = 0.0
    for width, height in (group.extent() for group in groups):
        if x > MARGIN and x + width > SHEET_WIDTH:
            x = MARGIN
            y = y + row + MARGIN
            row = 0.0
        corners.append(np.array([x, y]))
        x = x + width
        row = max(row, height)
        widest = max(widest, x + MARGIN)
    return corners, widest, y + row + MARGIN


def _headline(shown: list[Group], groups: list[Group], words: Words) -> str:
    if not groups:
        return words("no groups of look-alikes")
    drawn_dishes = sum(len(group.dishes) for group in shown)
    dishes = sum(group.size for group in groups)
    counts = (
        f"{len(shown)} {words('of')} {len(groups)};  {drawn_dishes} {words('of')} {dishes} "
        f"{words('dishes')}"
    )
    return f"{words('groups of look-alikes')}: {counts}"


def _draw(
    sheet: Sheet,
    corner: np.ndarray,
    group: Group,
    limits: tuple[float, float],
    book: PhotoBook,
    names: Mapping[str, str],
    words: Words,
) -> None:
    centres = dict(zip(group.dishes, group.centres() - group.corner() + corner, strict=True))
    title = (
        f"{words('group')} {group.cluster}: {len(group.dishes)} {words('of')} {group.size} "
        f"{words('dishes')}"
    )
    sheet.text(*corner, title, size=9, color=FAINT)
    taken = [
        centre + below
        for centre in centres.values()
        for below in ((0, 0), (0, SIDE / 2 + NAME / 2))
    ]
    for (one, other), score in sorted(group.scores.items(), key=lambda item: item[1]):
        _line(sheet, centres[one], centres[other], score, limits, taken)
    for dish, (x, y) in centres.items():
        photo = next(iter(book.examples(dish, 1)), None)
        sheet.photo(photo, x - SIDE / 2, y - SIDE / 2, SIDE)
        sheet.text(
            x,
            y + SIDE / 2 + 0.03,
            _name(sheet.labels(names.get(dish, dish))),
            size=8,
            ha="center",
            linespacing=1.2,
            bbox=PLATE,
        )


def _line(
    sheet: Sheet,
    start: np.ndarray,
    end: np.ndarray,
    score: float,
    limits: tuple[float, float],
    taken: list[np.ndarray],
) -> None:
    low, high = limits
    width = THIN + (THICK - THIN) * (score - low) / max(high - low, 1e-9)
    (x0, y0) = start
    (x1, y1) = end
    across = (x0 / sheet.width, x1 / sheet.width)
    up = (1 - y0 / sheet.height, 1 - y1 / sheet.height)
    sheet.figure.add_artist(
        Line2D(
            across,
            up,
            transform=sheet.figure.transFigure,
            linewidth=width,
            color=ACCENT,
            alpha=0.45,
            zorder=-1,
        )
    )
    place = _free_place(start, end, taken)
    taken.append(place)
    sheet.text(*place, f"{score:.3f}", size=7, ha="center", va="center", bbox=PLATE)


def _free_place(start: np.ndarray, end: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """The point on the line's middle part that is farthest from photos, names and other scores."""
    points = [start + (end - start) * share for share in (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73)]
    return max(points, key=lambda point: min(np.linalg.norm(point - other) for other in taken))


def _name(label: str) -> str:
    first, *rest = wrapped(label, NAME_COLUMNS) or [""]
    return "\n".join([first, *([shorten(" ".join(rest), NAME_COLUMNS)] if rest else [])])
