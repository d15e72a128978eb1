"""Confusions by cluster of look-alikes: one table of counts, small however many dishes there are,
drawn as a picture and as HTML whose counts can be pressed.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dishvl_lib.core import artefacts, confused_pairs, records
from dishvl_lib.core.confused_pairs import NO_ANSWER, NOT_A_DISH
from dishvl_lib.core.types import DishNames
from dishvl_lib.display import fonts, pages
from dishvl_lib.display.look_alikes import side_by_side
from dishvl_lib.display.sheet import ACCENT, FAINT, INK, Picture, drawable_words, drawn, message
from dishvl_lib.display.words import Words, percent, shorten

MOST_CLUSTERS = 30
# Columns after the clusters: dishes that are in none, such as a site's own names; clusters that are
# not shown; answers that are no dish's name; no answer.
OTHERS = 0
ELSEWHERE = -1
NO_DISH = -2
SILENT = -3
LAST = {OTHERS: "others", ELSEWHERE: "other clusters", NO_DISH: NOT_A_DISH, SILENT: NO_ANSWER}
NO_NAMES = {NOT_A_DISH: NO_DISH, NO_ANSWER: SILENT}
DISHES_IN_LABEL = 2
# inches: a cell, the labels beside and below the cells, the picture of all clusters
CELL = 0.34
LEAST_WIDTH = 3.0
LEAST_HEIGHT = 1.2
LABELS_BESIDE = 3.4
LABELS_BELOW = 2.8
ALL_CLUSTERS = 7.0


class Clusters:
    """The clusters of look-alikes by the names of their dishes.

    clusters: dish_id, cluster, size as in clusters.csv, or None: then every dish is among the
    OTHERS. names: {dish_id: name}. Raises `RecordError` for a missing column.
    """

    def __init__(self, clusters: pd.DataFrame | None, names: DishNames):
        columns = list(artefacts.CLUSTER_COLUMNS)
        rows = pd.DataFrame(columns=columns) if clusters is None else clusters
        records.require_columns(rows, columns, "the clusters")
        numbers = dict(zip(rows["dish_id"], rows["cluster"].astype(int), strict=True))
        ids = confused_pairs.ids_by_name(names)
        self.number = {name: numbers[dish] for name, dish in ids.items() if dish in numbers}
        self.dishes: dict[int, list[str]] = {}
        for name, number in sorted(self.number.items()):
            dishes = self.dishes.setdefault(number, [])
            dishes.append(name)

    def of(self, answer: str) -> int:
        """The cluster of a dish's name, or one of LAST."""
        if answer in NO_NAMES:
            return NO_NAMES[answer]
        return self.number.get(answer, OTHERS)

    def label(self, cluster: int, words: Words, columns: int = 34) -> str:
        """`3: 红烧鱼, 红烧鱼块 +4`: the number, the first dishes, how many more; or the word for one of
        LAST.
        """
        if cluster in LAST:
            return words(LAST[cluster])
        dishes = self.dishes[cluster]
        first = ", ".join(dishes[:DISHES_IN_LABEL])
        n_more = len(dishes) - DISHES_IN_LABEL
        more = f" +{n_more}" if n_more > 0 else ""
        n_left = columns - len(more) - 4
        return f"{cluster}: {shorten(first, n_left)}{more}"


def last_after_clusters(cluster: int) -> tuple[bool, int]:
    """A key that sorts clusters by their numbers and puts LAST after them."""
    return (cluster in LAST, abs(cluster))


@dataclass(frozen=True)
class Matrix:
    """Wrong answers by cluster of the truth (rows) and of the answer (columns, the rows first, then
    LAST where there are any).

    counts: (rows, columns) answers; pairs: (rows, columns) pairs of dishes behind them. wrong: all
    wrong answers, within: those of them within a cluster. clusters: how many clusters have any,
    LAST not counted; skipped: how many of them come before.
    """

    rows: list[int]
    columns: list[int]
    counts: np.ndarray
    pairs: np.ndarray
    wrong: int
    within: int
    clusters: int
    skipped: int = 0

    def title(self, words: Words) -> str:
        """What is shown of what: clusters, wrong answers."""
        n_here = sum(row > 0 for row in self.rows)
        which = f"{self.skipped + 1}-{self.skipped + n_here}" if self.skipped else str(n_here)
        shown = f"{which} {words('of')} {self.clusters} {words('clusters with confusions')}"
        answers = f"{int(self.counts.sum())} {words('of')} {self.wrong} {words('wrong answers')}"
        return f"{words('confusions by cluster')}: {shown}, {answers}"


def matrix(
    table: pd.DataFrame, clusters: Clusters, most: int = MOST_CLUSTERS, skip: int = 0
) -> Matrix:
    """The `most` clusters with most wrong answers, given or received, after the first `skip`, those
    taken for each other side by side.

    `table`: truth, answer, n; right answers among them do not count. Answers of dishes of a cluster
    that is not shown are left out, and the title says how many are in; answers into one are the
    column ELSEWHERE.
    """
    wrong = _by_cluster(table, clusters)
    busy = _busiest_first(wrong)
    kept = busy[skip : skip + most]
    within = int(wrong.query("row == column and row > 0").n.sum())
    is_cluster = wrong.column > 0
    is_kept = wrong.column.isin(kept)
    wrong.loc[is_cluster & ~is_kept, "column"] = ELSEWHERE
    counts_of_kept = _spread(wrong, kept, kept, "sum")
    order = side_by_side(counts_of_kept)
    rows = [kept[place] for place in order]
    if OTHERS in set(wrong.row):
        rows.append(OTHERS)
    is_shown = wrong.row.isin(rows)
    answered = set(wrong.column[is_shown])
    last = [column for column in LAST if column in answered and column not in rows]
    columns = rows + last
    return Matrix(
        rows,
        columns,
        counts=_spread(wrong, rows, columns, "sum"),
        pairs=_spread(wrong, rows, columns, "size"),
        wrong=int(wrong["n"].sum()),
        within=within,
        clusters=len(busy),
        skipped=skip,
    )


def _by_cluster(table: pd.DataFrame, clusters: Clusters) -> pd.DataFrame:
    """The wrong pairs of `table` with the cluster of the truth as `row` and of the answer as
    `column`.
    """
    is_wrong = table.truth != table.answer
    wrong = table[is_wrong]
    rows = wrong.truth.map(clusters.of).astype(int)
    columns = wrong.answer.map(clusters.of).astype(int)
    return wrong.assign(row=rows, column=columns)


def _busiest_first(wrong: pd.DataFrame) -> list[int]:
    """Clusters, those with most wrong answers first, LAST left out."""
    given = wrong.groupby("row").n.sum()
    received = wrong.groupby("column").n.sum()
    busy = given.add(received, fill_value=0)
    of_clusters = busy[busy.index > 0]
    ordered = of_clusters.sort_values(ascending=False, kind="stable")
    return ordered.index.tolist()


def _spread(wrong: pd.DataFrame, rows: list[int], columns: list[int], how: str) -> np.ndarray:
    spread = wrong.pivot_table(index="row", columns="column", values="n", aggfunc=how, fill_value=0)
    whole = spread.reindex(index=rows, columns=columns, fill_value=0)
    return whole.to_numpy(int)


@dataclass(frozen=True)
class Cell:
    """A count of the matrix as HTML: what it is called, and the clusters that a press chooses."""

    count: int
    title: str
    shade: float
    truth: int
    answer: int
    is_own: bool

    @property
    def can_be_chosen(self) -> bool:
        """Clusters that are not shown are many, and no filter chooses them all."""
        return self.answer != ELSEWHERE


@dataclass(frozen=True)
class Label:
    """A cluster as a row or column is headed: in a word, and in full."""

    short: str
    whole: str


def matrix_html(table: Matrix, clusters: Clusters, words: Words) -> Markup:
    """The matrix as an HTML table under static/cluster_matrix.css. Every count is a button with
    both clusters as data-cluster and data-answered.
    """
    labels = [_label(column, clusters, words) for column in table.columns]
    rows = []
    of_rows = labels[: len(table.rows)]
    for place, label in enumerate(of_rows):
        cells = _cells(table, place, clusters, words)
        rows.append((label, cells))
    return pages.render("cluster_matrix.html.j2", columns=labels, rows=rows)


def _label(cluster: int, clusters: Clusters, words: Words) -> Label:
    whole = words.text(partial(clusters.label, cluster))
    return Label(str(cluster) if cluster > 0 else whole, whole)


def _cells(table: Matrix, row: int, clusters: Clusters, words: Words) -> list[Cell]:
    most = max(table.counts.max(initial=0), 1)
    truth = table.rows[row]
    cells = []
    for column, answer in enumerate(table.columns):
        count = int(table.counts[row, column])
        title = words.text(partial(_cell_title, table, row, column, clusters))
        shade = 0.12 + 0.6 * (count / most) ** 0.5
        cell = Cell(count, title, shade, truth, answer, is_own=column == row)
        cells.append(cell)
    return cells


def _cell_title(table: Matrix, row: int, column: int, clusters: Clusters, words: Words) -> str:
    truth = clusters.label(table.rows[row], words)
    answer = clusters.label(table.columns[column], words)
    count = f"{table.counts[row, column]} {words('wrong answers')}"
    return f"{truth} → {answer}: {count}, {table.pairs[row, column]} {words('pairs')}"


@drawn
def cluster_matrix(
    confusions: pd.DataFrame,
    clusters: pd.DataFrame | None,
    names: DishNames,
    *,
    most: int = MOST_CLUSTERS,
    language: str = "en",
    title: str = "",
) -> Picture:
    """Wrong answers by cluster of the truth (rows) and of the answer (columns); the diagonal is
    confusion within a cluster.

    `confusions`: truth, answer, n of one predictor and protocol. `clusters`: dish_id, cluster,
    size. Answers that are no dish's name are one column. Over `most` clusters those with most wrong
    answers are shown, and the title says so; then a second panel has a dot for every count of all
    clusters, by their numbers.
    """
    records.require_columns(confusions, ("truth", "answer", "n"), "the confusions")
    words = drawable_words(language)
    labels = fonts.Labels()
    groups = Clusters(clusters, names)
    table = matrix(confusions, groups, most)
    if table.wrong == 0:
        n_questions = int(confusions["n"].sum())
        return message(f"{words('no confusions among')} {n_questions} {words('questions')}")
    figure, panels = _panels(table, with_all=table.clusters > most)
    names_drawn = [labels(groups.label(column, words, 30)) for column in table.columns]
    _draw_counts(panels[0], table, names_drawn, words)
    for panel in panels[1:]:
        _draw_dots(panel, _by_cluster(confusions, groups), table, words)
    heading = f"{labels(title)}  {table.title(words)}".strip()
    figure.suptitle(heading, fontsize=11, x=0.01, ha="left")
    labels.print_legend()
    return figure


@drawn
def cluster_dots(
    confusions: pd.DataFrame, clusters: Clusters, table: Matrix, *, language: str = "en"
) -> Picture:
    """A dot for every count of all clusters, by their numbers, as `cluster_matrix` shows beside the
    busiest ones.
    """
    figure = Picture(figsize=(ALL_CLUSTERS, ALL_CLUSTERS), layout="constrained")
    wrong = _by_cluster(confusions, clusters)
    axes = figure.add_subplot()
    words = drawable_words(language)
    _draw_dots(axes, wrong, table, words)
    return figure


def _panels(table: Matrix, with_all: bool) -> tuple[Picture, list[Axes]]:
    """The empty picture with a panel for the counts, and one for the dots of all clusters."""
    width_of_cells = CELL * len(table.columns)
    height_of_cells = CELL * len(table.rows)
    widths = [max(width_of_cells, LEAST_WIDTH) + LABELS_BESIDE]
    if with_all:
        widths.append(ALL_CLUSTERS)
    height = max(height_of_cells, LEAST_HEIGHT) + LABELS_BELOW
    figure = Picture(figsize=(sum(widths), height), layout="constrained")
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)
    return figure, list(panels[0])


def _draw_counts(axes: Axes, table: Matrix, names: list[str], words: Words) -> None:
    axes.imshow(np.sqrt(table.counts), cmap="Blues", vmin=0, aspect="equal")
    places = range(len(names))
    axes.set_xticks(places, names, fontsize=8, rotation=60, ha="right", rotation_mode="anchor")
    n_rows = len(table.rows)
    axes.set_yticks(range(n_rows), names[:n_rows], fontsize=8)
    dark = table.counts.max() / 2.5
    for row, column in zip(*np.nonzero(table.counts), strict=True):
        count = table.counts[row, column]
        color = "white" if count > dark else INK
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    for place in range(n_rows):
        corner = (place - 0.5, place - 0.5)
        frame = Rectangle(corner, 1, 1, fill=False, edgecolor=ACCENT, linewidth=0.8)
        axes.add_patch(frame)
    n_clusters = sum(column > 0 for column in table.columns)
    axes.axvline(n_clusters - 0.5, color=FAINT, linewidth=1)
    axes.set(xlabel=words("cluster of the answer"), ylabel=words("cluster of the truth"))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _draw_dots(axes: Axes, wrong: pd.DataFrame, table: Matrix, words: Words) -> None:
    """Every cluster, thousands if need be: dots on the diagonal are look-alikes taken for each
    other.
    """
    between = wrong.query("row > 0 and column > 0")
    counts = between.groupby(["row", "column"]).n.sum().reset_index()
    relative = counts.n / counts.n.max()
    sizes = 3 + 9 * np.sqrt(relative)
    axes.scatter(counts.column, counts.row, s=sizes, color=ACCENT, alpha=0.6, linewidths=0)
    axes.set(xlabel=words("cluster of the answer"), ylabel=words("cluster of the truth"))
    axes.set_aspect("equal")
    share_within = percent(table.within / table.wrong)
    within = f"{words('within the cluster')}: {share_within}"
    title = f"{words('all clusters')}; {within} {words('of the wrong answers')}"
    axes.set_title(title, fontsize=10)
    axes.invert_yaxis()
    axes.grid(color="#eeeeee")
    axes.spines[:].set_visible(False)
