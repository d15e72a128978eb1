"""The confusion matrix by cluster of look-alikes as a figure: readable with thousands of dishes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from dishvl_lib.core import records
from dishvl_lib.display import fonts
from dishvl_lib.display.families import Families, Matrix, by_cluster, matrix
from dishvl_lib.display.sheet import ACCENT, FAINT, INK, Picture, Sheet, drawn
from dishvl_lib.display.words import Words, percent

MOST = 30


@drawn
def cluster_matrix(
    confusions: pd.DataFrame,
    clusters: pd.DataFrame | None,
    names: Mapping[str, str],
    *,
    most: int = MOST,
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
    labels = fonts.Labels()
    families = Families(clusters, names)
    words = Words(language if labels.font else "en")
    found = matrix(confusions, families, most)
    if found.wrong == 0:
        return _nothing(int(confusions["n"].sum()), words)
    whole = found.clusters > most
    side = [max(0.34 * len(found.columns), 3), max(0.34 * len(found.rows), 1.2)]
    figure = Picture(figsize=(side[0] + 3.4 + 7 * whole, side[1] + 2.8), layout="constrained")
    panels = figure.subplots(
        1, 1 + whole, squeeze=False, width_ratios=[side[0] + 3.4, *[7] * whole]
    )[0]
    _draw(
        panels[0],
        found,
        [labels(families.label(column, words, 30)) for column in found.columns],
        words,
    )
    if whole:
        _dots(panels[1], by_cluster(confusions, families), found, words)
    figure.suptitle(
        f"{labels(title)}  {found.title(words)}".strip(), fontsize=11, x=0.01, ha="left"
    )
    labels.print_legend()
    return figure


@drawn
def cluster_dots(
    confusions: pd.DataFrame, families: Families, found: Matrix, *, language: str = "en"
) -> Picture:
    """A dot for every count of all clusters, by their numbers, as `cluster_matrix` shows beside the
    busiest ones.
    """
    words = Words(language if fonts.find_chinese_font() else "en")
    figure = Picture(figsize=(7, 7), layout="constrained")
    _dots(figure.add_subplot(), by_cluster(confusions, families), found, words)
    return figure


def _nothing(questions: int, words: Words) -> Picture:
    sheet = Sheet(7, 1)
    sheet.text(
        3.5,
        0.5,
        f"{words('no confusions among')} {questions} {words('questions')}",
        size=12,
        ha="center",
        va="center",
        color=FAINT,
    )
    return sheet.done()


def _draw(axes, found: Matrix, names: list[str], words: Words) -> None:
    axes.imshow(np.sqrt(found.counts), cmap="Blues", vmin=0, aspect="equal")
    axes.set_xticks(
        range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_yticks(range(len(found.rows)), names[: len(found.rows)], fontsize=8)
    dark = found.counts.max() / 2.5
    for row, column in zip(*np.nonzero(found.counts), strict=True):
        count = found.counts[row, column]
        axes.text(
            column,
            row,
            f"{count:,}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if count > dark else INK,
        )
    for place in range(len(found.rows)):
        axes.add_patch(
            Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor=ACCENT, linewidth=0.8)
        )
    axes.axvline(sum(column > 0 for column in found.columns) - 0.5, color=FAINT, linewidth=1)
    axes.set(xlabel=words("cluster of the answer"), ylabel=words("cluster of the truth"))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _dots(axes, wrong: pd.DataFrame, found: Matrix, words: Words) -> None:
    """Every cluster, thousands if need be: dots on the diagonal are look-alikes taken for each
    other.
    """
    counts = (
        wrong[(wrong["row"] > 0) & (wrong["column"] > 0)]
        .groupby(["row", "column"])["n"]
        .sum()
        .reset_index()
    )
    axes.scatter(
        counts["column"],
        counts["row"],
        s=3 + 9 * np.sqrt(counts["n"] / counts["n"].max()),
        color=ACCENT,
        alpha=0.6,
        linewidths=0,
    )
    axes.set(
        xlabel=words("cluster of the answer"), ylabel=words("cluster of the truth"), aspect="equal"
    )
    axes.set_title(
        f"{words('all clusters')}; {words('within the cluster')}: "
        f"{percent(found.within / found.wrong)} {words('of the wrong answers')}",
        fontsize=10,
    )
    axes.invert_yaxis()
    axes.grid(color="#eeeeee")
    axes.spines[:].set_visible(False)
