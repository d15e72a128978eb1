"""Charts as matplotlib figures: accuracies with intervals and chance, loss curves, cosines of photo
pairs.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display import fonts
from dishvl_lib.display.sheet import ACCENT, FAINT, INK, WRONG, Picture, drawn
from dishvl_lib.display.words import Words, percent, shorten

BARS = (ACCENT, "#9db4c8", "#c8b48a", "#d9d3c5")
PAIR_KINDS = {
    "same dish": ("same dish, other group", ACCENT),
    "other dish": ("other dishes", WRONG),
}


@drawn
def accuracy_bars(table: pd.DataFrame, *, language: str = "en") -> Picture:
    """Accuracy of each predictor, one panel per protocol, with 95% interval, n, chance (dashed) and
    majority (dotted).

    `table`: predictor, protocol, n, correct, accuracy, ci_low, ci_high, chance, majority. Raises
    ValueError when it is empty.
    """
    records.require_columns(
        table,
        ("predictor", "protocol", "n", "correct", "accuracy", "ci_low", "ci_high", "chance"),
        "the accuracy table",
    )
    if table.empty:
        raise ValueError("the accuracy table has no row to draw")
    labels = fonts.Labels()
    protocols = list(dict.fromkeys(table["protocol"]))
    words = Words(language if labels.font else "en")
    rows = [int((table["protocol"] == name).sum()) for name in protocols]
    figure = Picture(
        figsize=(9, 0.7 + sum(0.75 + 0.36 * count for count in rows)), layout="constrained"
    )
    panels = figure.subplots(
        len(protocols), 1, squeeze=False, height_ratios=[1 + count for count in rows], sharex=True
    )[:, 0]
    for panel, protocol in zip(panels, protocols, strict=True):
        _bars(panel, table[table["protocol"] == protocol], labels, words)
        panel.set_title(labels(protocol), loc="left", fontsize=11)
    panels[-1].set_xlabel(words("accuracy"))
    labels.print_legend()
    return figure


@drawn
def loss_curves(rows: pd.DataFrame | Iterable[Mapping], *, language: str = "en") -> Picture:
    """Panels over `step`: loss and eval_loss; eval_KIND_accuracy with its 95% interval as a band;
    learning rates.

    `rows`: lines of metrics.jsonl; a line need not have every field. Columns that hold no number
    are left out; without any loss the panel says so. Raises `RecordError` without a column `step`.
    """
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    records.require_columns(table, ("step",), "the training log")
    words = Words(language if fonts.find_chinese_font() else "en")
    losses = {
        name: words(text)
        for name, text in (("loss", "loss"), ("eval_loss", "validation loss"))
        if _numbers(table, name)
    }
    marks = _endings(table, r"eval_(.+)_accuracy")
    rates = _endings(table, r"learning_rate_(.+)") or _endings(table, r"(learning_rate)")
    panels = [
        ("loss", losses),
        *(
            (text, found)
            for text, found in (("accuracy", marks), ("learning rate", rates))
            if found
        ),
    ]
    figure = Picture(figsize=(4.2 * max(len(panels), 2), 3.4), layout="constrained")
    for axes, (text, columns) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        axes.set(
            title=words(text),
            xlabel=words("step"),
            yscale="log" if text == "loss" and _spread(table, columns) else "linear",
        )
        _curves(axes, table, columns)
    return figure


@drawn
def score_histogram(table: pd.DataFrame, *, language: str = "en") -> Picture:
    """Densities of the cosines of photo pairs of one dish and of two; the title says how much of
    the second beats the first's median.

    `table`: kind ("same dish", of different groups, or "other dish"), cosine. A kind without pairs
    is left out, and with it the title. Raises ValueError when there is no pair at all or one of
    another kind.
    """
    records.require_columns(table, ("kind", "cosine"), "the cosines")
    if unknown := set(table["kind"]) - set(PAIR_KINDS):
        raise ValueError(
            f"the kind of a pair is one of {', '.join(PAIR_KINDS)}, the cosines hold "
            f"{', '.join(map(str, unknown))}"
        )
    cosines = {
        kind: pd.to_numeric(rows["cosine"]).dropna().to_numpy()
        for kind, rows in table.groupby("kind")
    }
    words = Words(language if fonts.find_chinese_font() else "en")
    figure = Picture(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(_any_pair(cosines), 50)
    for kind, (text, color) in PAIR_KINDS.items():
        if len(values := cosines.get(kind, ())):
            axes.hist(
                values,
                edges,
                density=True,
                color=color,
                alpha=0.5,
                label=f"{words(text)} (n={len(values):,})",
            )
    _beaten(axes, cosines, words)
    axes.set(xlabel=words("cosine"), ylabel=words("density"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)
    return figure


def _any_pair(cosines: Mapping[str, np.ndarray]) -> np.ndarray:
    values = np.concatenate([*cosines.values(), []])
    if not len(values):
        raise ValueError("there is no pair of photos whose cosine could be drawn")
    return values


def _beaten(axes, cosines: Mapping[str, np.ndarray], words: Words) -> None:
    if all(len(cosines.get(kind, ())) for kind in PAIR_KINDS):
        median = np.median(cosines["same dish"])
        axes.axvline(
            median,
            color=ACCENT,
            linestyle=(0, (4, 3)),
            linewidth=1.4,
            label=f"{words('median')} {median:.3f}",
        )
        said = words("of other-dish pairs are closer than the median same-dish pair")
        axes.set_title(
            f"{percent((cosines['other dish'] > median).mean())} {said}", loc="left", fontsize=11
        )


def _bars(panel, rows: pd.DataFrame, labels: fonts.Labels, words: Words) -> None:
    places = np.arange(len(rows))[::-1]
    value, low, high = (rows[name].to_numpy(float) for name in ("accuracy", "ci_low", "ci_high"))
    panel.barh(
        places,
        value,
        height=0.62,
        color=[BARS[min(i, len(BARS) - 1)] for i in range(len(rows))],
        zorder=2,
    )
    panel.errorbar(
        value,
        places,
        xerr=[value - low, high - value],
        fmt="none",
        ecolor=INK,
        capsize=3,
        linewidth=1.2,
        zorder=3,
    )
    for name, style, color in (("chance", (0, (4, 3)), WRONG), ("majority", (0, (1, 1.5)), FAINT)):
        marks = rows[name].to_numpy(float) if name in rows else np.full(len(rows), np.nan)
        panel.vlines(
            marks,
            places - 0.42,
            places + 0.42,
            color=color,
            linestyle=style,
            linewidth=1.6,
            label=words(name),
            zorder=4,
        )
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        said = f"{row['correct']} {words('of')} {row['n']} = {percent(row['accuracy'])}"
        panel.text(
            1.02, place, said, va="center", fontsize=9, transform=panel.get_yaxis_transform()
        )
    panel.set_yticks(places, [shorten(labels(name), 24) for name in rows["predictor"]])
    panel.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    panel.grid(axis="x", color="#e5e5e5", zorder=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        ncols=2,
        fontsize=8,
        frameon=False,
        borderaxespad=0.2,
    )


def _endings(table: pd.DataFrame, pattern: str) -> dict[str, str]:
    """{column that holds numbers: what the pattern's group says of it}, as the curve is called."""
    found = {str(name): re.fullmatch(pattern, str(name)) for name in table.columns}
    return {
        name: match[1].replace("_", " ")
        for name, match in found.items()
        if match and _numbers(table, name)
    }


def _numbers(table: pd.DataFrame, name: str) -> bool:
    return name in table and pd.to_numeric(table[name], errors="coerce").notna().any()


def _spread(table: pd.DataFrame, columns: Mapping[str, str]) -> bool:
    values = pd.concat(
        [pd.to_numeric(table[name], errors="coerce") for name in columns]
        or [pd.Series(dtype=float)]
    ).dropna()
    return len(values) > 0 and values.min() > 0 and values.max() > 10 * values.min()


def _curves(axes, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    for index, (name, label) in enumerate(columns.items()):
        points = table[["step"]].assign(value=pd.to_numeric(table[name], errors="coerce")).dropna()
        bounds = [name.replace("_accuracy", end) for end in ("_ci_low", "_ci_high")]
        if name.endswith("_accuracy") and all(_numbers(table, bound) for bound in bounds):
            axes.fill_between(
                points["step"],
                *(table.loc[points.index, bound].astype(float) for bound in bounds),
                color=f"C{index}",
                alpha=0.15,
                linewidth=0,
            )
        axes.plot(
            points["step"],
            points["value"],
            marker="o" if len(points) < 25 else None,
            markersize=3,
            label=label,
            color=f"C{index}",
        )
    if not columns:
        axes.text(0.5, 0.5, "-", transform=axes.transAxes, ha="center")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.grid(color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    if len(columns) > 1:
        axes.legend(fontsize=8, frameon=False)
