"""Charts as matplotlib figures: accuracies with intervals and chance, cosines of photo pairs."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dishvl_lib.core import records
from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import ACCENT, FAINT, INK, WRONG, Picture, drawable_words, drawn
from dishvl_lib.display.words import Words, percent, shorten

BARS = (ACCENT, "#9db4c8", "#c8b48a", "#d9d3c5")
GRID = "#e5e5e5"
DASHED = (0, (4, 3))
DOTTED = (0, (1, 1.5))
# lines across the bars: their column, style and colour
BASELINES = (("chance", DASHED, WRONG), ("majority", DOTTED, FAINT))
ACCURACY_COLUMNS = (
    "predictor",
    "protocol",
    "n",
    "correct",
    "accuracy",
    "ci_low",
    "ci_high",
    "chance",
)
PAIR_KINDS = {
    "same dish": ("same dish, other group", ACCENT),
    "other dish": ("other dishes", WRONG),
}
COSINE_BINS = 50


@drawn
def accuracy_bars(table: pd.DataFrame, *, language: str = "en") -> Picture:
    """Accuracy of each predictor, one panel per protocol, with 95% interval, n, chance (dashed) and
    majority (dotted).

    `table`: predictor, protocol, n, correct, accuracy, ci_low, ci_high, chance, majority. Raises
    ValueError when it is empty.
    """
    records.require_columns(table, ACCURACY_COLUMNS, "the accuracy table")
    if table.empty:
        raise ValueError("the accuracy table has no row to draw")
    words = drawable_words(language)
    labels = fonts.Labels()
    by_protocol = dict(list(table.groupby("protocol", sort=False)))
    figure, panels = _panels([len(rows) for rows in by_protocol.values()])
    for panel, (protocol, rows) in zip(panels, by_protocol.items(), strict=True):
        _draw_bars(panel, rows, words)
        names = [shorten(labels(name), 24) for name in rows["predictor"]]
        panel.set_yticks(_places(rows), names)
        panel.set_title(labels(str(protocol)), loc="left", fontsize=11)
    panels[-1].set_xlabel(words("accuracy"))
    labels.print_legend()
    return figure


def _panels(n_bars: list[int]) -> tuple[Picture, list[Axes]]:
    """The empty picture with a panel for each protocol, as high as it has bars."""
    height = 0.7 + sum(0.75 + 0.36 * count for count in n_bars)
    figure = Picture(figsize=(9, height), layout="constrained")
    ratios = [1 + count for count in n_bars]
    panels = figure.subplots(len(n_bars), 1, squeeze=False, height_ratios=ratios, sharex=True)
    return figure, list(panels[:, 0])


def _places(rows: pd.DataFrame) -> np.ndarray:
    """The heights of the bars: the first one is on top."""
    return np.arange(len(rows))[::-1]


def _draw_bars(panel: Axes, rows: pd.DataFrame, words: Words) -> None:
    places = _places(rows)
    accuracy = rows["accuracy"].to_numpy(float)
    # What there is no colour for has the last one.
    *first, last = BARS
    endless = itertools.chain(first, itertools.repeat(last))
    colors = list(itertools.islice(endless, len(rows)))
    panel.barh(places, accuracy, height=0.62, color=colors, zorder=2)
    low = rows["ci_low"].to_numpy(float)
    high = rows["ci_high"].to_numpy(float)
    errors = [accuracy - low, high - accuracy]
    panel.errorbar(
        accuracy, places, xerr=errors, fmt="none", ecolor=INK, capsize=3, linewidth=1.2, zorder=3
    )
    _draw_baselines(panel, rows, words)
    beside = panel.get_yaxis_transform()
    for place, row in zip(places, rows.itertuples(), strict=True):
        counts = f"{row.correct} {words('of')} {row.n}"
        text = f"{counts} = {percent(row.accuracy)}"
        panel.text(1.02, place, text, va="center", fontsize=9, transform=beside)
    panel.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    panel.grid(axis="x", color=GRID, zorder=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.legend(
        ncols=2,
        fontsize=8,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        borderaxespad=0.2,
    )


def _draw_baselines(panel: Axes, rows: pd.DataFrame, words: Words) -> None:
    places = _places(rows)
    for column, style, color in BASELINES:
        marks = np.full(len(rows), np.nan)
        if column in rows:
            marks = rows[column].to_numpy(float)
        panel.vlines(
            marks,
            places - 0.42,
            places + 0.42,
            color=color,
            linestyle=style,
            linewidth=1.6,
            label=words(column),
            zorder=4,
        )


@drawn
def score_histogram(table: pd.DataFrame, *, language: str = "en") -> Picture:
    """Densities of the cosines of photo pairs of one dish and of two; the title says how much of
    the second beats the first's median.

    `table`: kind ("same dish", of different groups, or "other dish"), cosine. A kind without pairs
    is left out, and with it the title. Raises ValueError when there is no pair at all or one of
    another kind.
    """
    records.require_columns(table, ("kind", "cosine"), "the cosines")
    words = drawable_words(language)
    cosines = _cosines(table)
    edges = np.histogram_bin_edges(np.concatenate(list(cosines.values())), COSINE_BINS)
    figure = Picture(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for kind, values in cosines.items():
        text, color = PAIR_KINDS[kind]
        label = f"{words(text)} (n={len(values):,})"
        axes.hist(values, list(edges), density=True, color=color, alpha=0.5, label=label)
    if len(cosines) == len(PAIR_KINDS):
        _draw_median(axes, cosines, words)
    axes.set(xlabel=words("cosine"), ylabel=words("density"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)
    return figure


def _cosines(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """{kind: cosines} of the kinds that have any, in the order of PAIR_KINDS."""
    unknown = set(table["kind"]) - set(PAIR_KINDS)
    if unknown:
        known = ", ".join(PAIR_KINDS)
        others = ", ".join(map(str, unknown))
        raise ValueError(f"the kind of a pair is one of {known}, the cosines hold {others}")
    # In float32 the bins of cosines that hardly differ would have no width.
    values = pd.to_numeric(table["cosine"]).astype(float)
    cosines = {}
    for kind in PAIR_KINDS:
        of_kind = values[table["kind"] == kind].dropna()
        if len(of_kind):
            cosines[kind] = of_kind.to_numpy()
    if not cosines:
        raise ValueError("there is no pair of photos whose cosine could be drawn")
    return cosines


def _draw_median(axes: Axes, cosines: Mapping[str, np.ndarray], words: Words) -> None:
    median = np.median(cosines["same dish"])
    label = f"{words('median')} {median:.3f}"
    axes.axvline(median, color=ACCENT, linestyle=DASHED, linewidth=1.4, label=label)
    share = percent((cosines["other dish"] > median).mean())
    claim = words("of other-dish pairs are closer than the median same-dish pair")
    axes.set_title(f"{share} {claim}", loc="left", fontsize=11)
