"""Curves as matplotlib figures: losses over a training, also while it runs, and what the
probabilities of a trained model are worth.
"""

import re
from collections.abc import Iterable, Mapping

import pandas as pd
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes

from dishvl_lib.core import records
from dishvl_lib.core.kernel import in_jupyter
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.display.charts import DASHED, GRID
from dishvl_lib.display.sheet import ACCENT, FAINT, WRONG, Picture, drawable_words, drawn, message
from dishvl_lib.display.words import Words, percent

LOSSES = {"loss": "loss", "eval_loss": "validation loss"}
FEW_POINTS = 25  # so few are marked, for one alone is no line
WHEN = {"before": ("before the temperature", FAINT), "after": ("after the temperature", ACCENT)}
RELIABILITY_COLUMNS = ("when", "confidence", "n", "accuracy", "ci_low", "ci_high")
COVERAGE_COLUMNS = ("coverage", "n", "accuracy", "ci_low", "ci_high")


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
    if accuracies := _columns(table, r"eval_(.+)_accuracy"):
        panels["accuracy"] = accuracies
    of_parts = _columns(table, r"learning_rate_(.+)")
    if learning_rates := of_parts or _columns(table, r"(learning_rate)"):
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


def _columns(table: pd.DataFrame, pattern: str) -> dict[str, str]:
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
