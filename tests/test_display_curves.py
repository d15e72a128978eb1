"""Reliability and coverage are drawn with their n; without menus the sheet says so."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import records
from dishvl_lib.display import figures

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


def test_without_menus_there_is_a_sheet_that_says_so():
    figure = figures.trust_curves(BINS.head(0), COVERED.head(0), {"n": 0})
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"nothing to show"}


def test_a_missing_column_is_named():
    with pytest.raises(records.RecordError, match="confidence"):
        figures.trust_curves(BINS.drop(columns="confidence"), COVERED, SUMMARY)
