"""Charts as matplotlib figures: accuracies with intervals and chance, cosines of photo pairs, the
losses of a training, also while it runs, and what a trained model's probabilities are worth.
"""

import itertools
import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes

from dishvl_lib.core import records
from dishvl_lib.core.kernel import in_jupyter
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import (
    ACCENT,
    FAINT,
    INK,
    WRONG,
    Picture,
    drawable_words,
    drawn,
    message,
)
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
# of histograms
PAIR_KINDS = {
    "same dish": ("same dish, other group", ACCENT),
    "other dish": ("other dishes", WRONG),
}
COSINE_BINS = 50
# of curves
LOSSES = {"loss": "loss", "eval_loss": "validation loss"}
FEW_POINTS = 25  # so few are marked, for one alone is no line
WHEN = {"before": ("before the temperature", FAINT), "after": ("after the temperature", ACCENT)}
RELIABILITY_COLUMNS = ("when", "confidence", "n", "accuracy", "ci_low", "ci_high")
COVERAGE_COLUMNS = ("coverage", "n", "accuracy", "ci_low", "ci_high")


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
    figure, panels = _bar_panels([len(rows) for rows in by_protocol.values()])
    for panel, (protocol, rows) in zip(panels, by_protocol.items(), strict=True):
        _draw_bars(panel, rows, words)
        names = [shorten(labels(name), 24) for name in rows["predictor"]]
        panel.set_yticks(_places(rows), names)
        panel.set_title(labels(str(protocol)), loc="left", fontsize=11)
    panels[-1].set_xlabel(words("accuracy"))
    labels.print_legend()
    return figure


def _bar_panels(n_bars: list[int]) -> tuple[Picture, list[Axes]]:
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


@drawn
def loss_curves(rows: pd.DataFrame | Iterable[RecordView], *, language: str = "en") -> Picture:
    """Panels over `step`: loss and eval_loss; eval_KIND_accuracy with its 95% interval as a band;
    learning rates.

    `rows`: lines of metrics.jsonl; a line need not have every field. Columns that hold no number
    are left out; without any loss the panel says so. Raises `RecordError` without a column `step`.
    """
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    records.require_columns(table, ("step",), "the training log")
    words = drawable_words(language)
    losses = {name: words(text) for name, text in LOSSES.items() if _has_numbers(table, name)}
    panels = {"loss": losses}
    if accuracies := _curve_columns(table, r"eval_(.+)_accuracy"):
        panels["accuracy"] = accuracies
    of_parts = _curve_columns(table, r"learning_rate_(.+)")
    if learning_rates := of_parts or _curve_columns(table, r"(learning_rate)"):
        panels["learning rate"] = learning_rates
    n = len(panels)
    figure = Picture(figsize=(4.2 * max(n, 2), 3.4), layout="constrained")
    (subplots,) = figure.subplots(1, n, squeeze=False)
    if _spans_powers(table, list(losses)):
        subplots[0].set_yscale("log")
    for axes, (title, columns) in zip(subplots, panels.items(), strict=True):
        _draw_curves(axes, table, columns)
        axes.set(title=words(title), xlabel=words("step"))
    return figure


def _curve_columns(table: pd.DataFrame, pattern: str) -> dict[str, str]:
    """{column that holds numbers: what the pattern's group says of it}, as the curve is called."""
    columns = {}
    for name in table.columns:
        match = re.fullmatch(pattern, str(name))
        if match and _has_numbers(table, name):
            columns[str(name)] = match[1].replace("_", " ")
    return columns


def _has_numbers(table: pd.DataFrame, name: str) -> bool:
    return name in table and bool(_numbers(table, name).notna().any())


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    return pd.to_numeric(table[name], errors="coerce")


def _spans_powers(table: pd.DataFrame, columns: list[str]) -> bool:
    """Whether positive values differ by more than a power of ten: then a line would hide the low
    ones.
    """
    if not columns:
        return False
    numbers = [_numbers(table, name) for name in columns]
    low = min(values.min() for values in numbers)
    high = max(values.max() for values in numbers)
    return bool(low > 0 and high > 10 * low)


def _draw_curves(axes: Axes, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """The columns over the steps, each with its label; a dash where there is none."""
    for index, (name, label) in enumerate(columns.items()):
        color = f"C{index}"
        points = table[["step"]].assign(value=_numbers(table, name)).dropna()
        _draw_interval(axes, table.loc[points.index], name, color)
        marker = "o" if len(points) < FEW_POINTS else None
        axes.plot(points.step, points.value, marker=marker, markersize=3, label=label, color=color)
    if not columns:
        axes.text(0.5, 0.5, "-", transform=axes.transAxes, ha="center")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.grid(color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    if len(columns) > 1:
        axes.legend(fontsize=8, frameon=False)


def _draw_interval(axes: Axes, table: pd.DataFrame, name: str, color: str) -> None:
    """The 95% interval of an accuracy as a band, where the log has it."""
    low = name.replace("_accuracy", "_ci_low")
    high = name.replace("_accuracy", "_ci_high")
    if not name.endswith("_accuracy"):
        return
    if _has_numbers(table, low) and _has_numbers(table, high):
        band = (table[low].astype(float), table[high].astype(float))
        axes.fill_between(table["step"], *band, color=color, alpha=0.15, linewidth=0)


class LiveCurves:
    """Called with the rows of metrics.jsonl; shows loss, accuracies and learning rates, always in
    one and the same place.
    """

    def __init__(self, language: str = "en"):
        self.language = language
        self.handle: DisplayHandle | None = None

    def __call__(self, rows: RecordViews) -> None:
        figure = loss_curves(rows, language=self.language)
        newest = rows[-1]
        left = f", about {newest['eta_s']:.0f} s left" if newest.get("eta_s") else ""
        progress = f"{newest['step']} / {newest['max_steps']}{left}"
        figure.suptitle(progress, fontsize=10, x=0.01, ha="left")
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def live(language: str = "en") -> LiveCurves | None:
    """`LiveCurves` where a notebook is open in Jupyter; None in batch, where a line of text is
    better.
    """
    return LiveCurves(language) if in_jupyter() else None


@drawn
def trust_curves(
    reliability: pd.DataFrame,
    coverage: pd.DataFrame,
    summary: RecordView,
    *,
    language: str = "en",
) -> Picture:
    """Two panels: accuracy of each confidence bin with its 95% interval, and accuracy of the surest
    answers with its interval.

    reliability: when (before, after), confidence, n, accuracy, ci_low, ci_high; coverage: coverage,
    n, accuracy, ci_low, ci_high; summary: n, ece_before, ece_after, accuracy. Without a menu (n 0)
    a sentence says so.
    """
    words = drawable_words(language)
    if not summary["n"]:
        return message(f"{words('calibration')}: {words('nothing to show')}")
    figure = Picture(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_reliability(left, reliability, summary, words)
    _draw_coverage(right, coverage, summary, words)
    return figure


def _draw_reliability(axes: Axes, table: pd.DataFrame, summary: RecordView, words: Words) -> None:
    records.require_columns(table, RELIABILITY_COLUMNS, "the reliability table")
    axes.plot([0, 1], [0, 1], color="#cccccc", linestyle=DASHED, linewidth=1)
    for when, (text, color) in WHEN.items():
        rows = table[table["when"] == when]
        below = rows.accuracy - rows.ci_low
        above = rows.ci_high - rows.accuracy
        label = f"{words(text)}, ECE {summary[f'ece_{when}']:.3f}"
        axes.errorbar(
            rows.confidence,
            rows.accuracy,
            yerr=[below, above],
            color=color,
            label=label,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.4,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set(xlabel=words("probability of the best entry"), ylabel=words("accuracy"))
    axes.set_title(f"{words('reliability')}, n={summary['n']}", loc="left", fontsize=11)
    _finish(axes)


def _draw_coverage(axes: Axes, table: pd.DataFrame, summary: RecordView, words: Words) -> None:
    records.require_columns(table, COVERAGE_COLUMNS, "the coverage table")
    surest = words("the surest answers, 95% interval")
    of_all = summary["accuracy"]
    every = f"{words('all answers')}: {percent(of_all)}"
    coverage = table.coverage
    axes.plot(coverage, table.accuracy, marker="o", markersize=3, color=ACCENT, label=surest)
    band = (table.ci_low, table.ci_high)
    axes.fill_between(coverage, *band, color=ACCENT, alpha=0.15, linewidth=0)
    axes.axhline(of_all, color=WRONG, linestyle=DASHED, linewidth=1.2, label=every)
    lowest = float(table.ci_low.min()) - 0.02
    low = max(0.0, min(0.9, lowest))
    axes.set(xlim=(0, 1.02), ylim=(low, 1.01))
    axes.set(xlabel=words("share of the menus answered"), ylabel=words("accuracy"))
    axes.set_title(f"{words('coverage')}, n={summary['n']}", loc="left", fontsize=11)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.grid(color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
