"""What probabilities are worth, as pictures: reliability before and after the temperature, and
accuracy against coverage.
"""

from collections.abc import Mapping

import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import ACCENT, FAINT, WRONG, Picture, drawn
from dishvl_lib.display.words import Words, percent

WHEN = {"before": ("before the temperature", FAINT), "after": ("after the temperature", ACCENT)}


@drawn
def trust_curves(
    reliability: pd.DataFrame,
    coverage: pd.DataFrame,
    summary: Mapping[str, object],
    *,
    language: str = "en",
) -> Picture:
    """Two panels: accuracy of each confidence bin with its 95% interval, and accuracy of the surest
    answers with its interval.

    reliability: when (before, after), confidence, n, accuracy, ci_low, ci_high; coverage: coverage,
    n, accuracy, ci_low, ci_high; summary: n, ece_before, ece_after, accuracy. Without a menu (n 0)
    the sheet says so.
    """
    words = Words(language if fonts.find_chinese_font() else "en")
    figure = Picture(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if not summary["n"]:
        for axes in (left, right):
            axes.text(
                0.5,
                0.5,
                words("nothing to show"),
                transform=axes.transAxes,
                ha="center",
                color=FAINT,
            )
        return figure
    _reliability(left, reliability, summary, words)
    _coverage(right, coverage, summary, words)
    return figure


def _reliability(axes, table: pd.DataFrame, summary: Mapping[str, object], words: Words) -> None:
    records.require_columns(
        table, ("when", "confidence", "n", "accuracy", "ci_low", "ci_high"), "the reliability table"
    )
    axes.plot([0, 1], [0, 1], color="#cccccc", linestyle=(0, (4, 3)), linewidth=1)
    for when, (text, color) in WHEN.items():
        rows = table[table["when"] == when]
        errors = [rows["accuracy"] - rows["ci_low"], rows["ci_high"] - rows["accuracy"]]
        label = f"{words(text)}, ECE {summary[f'ece_{when}']:.3f}"
        axes.errorbar(
            rows["confidence"],
            rows["accuracy"],
            yerr=errors,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.4,
            color=color,
            label=label,
        )
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel=words("probability of the best entry"),
        ylabel=words("accuracy"),
    )
    axes.set_title(f"{words('reliability')}, n={summary['n']}", loc="left", fontsize=11)
    _finish(axes)


def _coverage(axes, table: pd.DataFrame, summary: Mapping[str, object], words: Words) -> None:
    records.require_columns(
        table, ("coverage", "n", "accuracy", "ci_low", "ci_high"), "the coverage table"
    )
    axes.plot(
        table["coverage"],
        table["accuracy"],
        marker="o",
        markersize=3,
        color=ACCENT,
        label=words("the surest answers, 95% interval"),
    )
    axes.fill_between(
        table["coverage"], table["ci_low"], table["ci_high"], color=ACCENT, alpha=0.15, linewidth=0
    )
    axes.axhline(
        summary["accuracy"],
        color=WRONG,
        linestyle=(0, (4, 3)),
        linewidth=1.2,
        label=f"{words('all answers')}: {percent(summary['accuracy'])}",
    )
    low = max(0.0, min(0.9, float(table["ci_low"].min()) - 0.02))
    axes.set(
        xlim=(0, 1.02),
        ylim=(low, 1.01),
        xlabel=words("share of the menus answered"),
        ylabel=words("accuracy"),
    )
    axes.set_title(f"{words('coverage')}, n={summary['n']}", loc="left", fontsize=11)
    _finish(axes)


def _finish(axes) -> None:
    axes.grid(color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
