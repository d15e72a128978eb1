"""Reliability and coverage are drawn with their n, and without menus the sheet says so. Live curves
stand in one place on the page however often they are drawn, and in none in batch.
"""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import kernel, records
from dishvl_lib.display import curves, figures

BINS = pd.DataFrame(
    {
        "when": ["before", "before", "after"],
        "confidence": [0.5, 0.9, 0.7],
        "n": [4, 6, 10],
        "accuracy": [0.5, 1.0, 0.8],
        "ci_low": [0.2, 0.6, 0.5],
        "ci_high": [0.8, 1.0, 0.9],
    }
)
COVERED = pd.DataFrame(
    {
        "coverage": [0.5, 1.0],
        "n": [5, 10],
        "accuracy": [1.0, 0.8],
        "ci_low": [0.6, 0.5],
        "ci_high": [1.0, 0.9],
    }
)
SUMMARY = {"n": 10, "accuracy": 0.8, "ece_before": 0.1234, "ece_after": 0.0567}


def texts(figure):
    return " ".join(
        [
            axes.get_title(loc="left")
            + " "
            + " ".join(text.get_text() for text in axes.get_legend().get_texts())
            for axes in figure.axes
        ]
    )


def test_both_panels_say_n_and_the_errors():
    figure = figures.trust_curves(BINS, COVERED, SUMMARY)
    assert all(
        part in texts(figure)
        for part in (
            "reliability, n=10",
            "ECE 0.123",
            "ECE 0.057",
            "coverage, n=10",
            "all answers: 80.0%",
        )
    )
    line = next(
        line
        for line in figure.axes[1].get_lines()
        if len(line.get_xdata()) == 2 and list(line.get_xdata()) == [0.5, 1.0]
    )
    assert np.asarray(line.get_ydata()).tolist() == [1.0, 0.8]


def test_without_menus_there_is_a_sentence_and_no_picture():
    figure = figures.trust_curves(BINS.head(0), COVERED.head(0), {"n": 0})
    assert repr(figure) == "calibration: nothing to show"
    assert figure._repr_png_() is None


def test_a_missing_column_is_named():
    with pytest.raises(records.RecordError, match="confidence"):
        figures.trust_curves(BINS.drop(columns="confidence"), COVERED, SUMMARY)


ROWS = [
    {"step": 10, "max_steps": 40, "loss": 2.0, "eta_s": 30.0},
    {"step": 20, "max_steps": 40, "loss": 1.0, "eval_loss": 1.2, "eval_naming_accuracy": 0.5},
]


@pytest.fixture
def shown(monkeypatch):
    """What was displayed and updated, in order."""
    seen = []

    class Handle:
        def update(self, figure):
            seen.append(("update", figure))

    monkeypatch.setattr(
        curves, "display", lambda figure, display_id: seen.append(("display", figure)) or Handle()
    )
    return seen


def test_the_second_drawing_takes_the_place_of_the_first(shown):
    drawing = curves.LiveCurves()
    drawing(ROWS[:1])
    drawing(ROWS)
    assert [what for what, _ in shown] == ["display", "update"]
    first, second = (figure for _, figure in shown)
    assert first.get_suptitle() == "10 / 40, about 30 s left"
    assert second.get_suptitle() == "20 / 40"
    assert len(second.axes) > len(first.axes)


def test_only_where_a_notebook_is_open(monkeypatch):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    assert curves.live() is None
    monkeypatch.setenv(kernel.SESSION, "04_training.ipynb")
    assert isinstance(curves.live("zh"), curves.LiveCurves)
