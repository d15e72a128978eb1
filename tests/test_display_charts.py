"""Charts are drawn from toys: bars and bins carry n, interval and chance, histograms densities,
curves what the log has. Live curves stand in one place on the page however often they are drawn,
and in none in batch.
"""

import numpy as np
import pandas as pd
import pytest
from test_display_figures import png, texts_of, without_font  # noqa: F401

from dishvl_lib.core import kernel, records
from dishvl_lib.display import charts

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
ROWS = [
    {"step": 10, "max_steps": 40, "loss": 2.0, "eta_s": 30.0},
    {"step": 20, "max_steps": 40, "loss": 1.0, "eval_loss": 1.2, "eval_naming_accuracy": 0.5},
]


def accuracies():
    return pd.DataFrame(
        {
            "predictor": ["tuned", "base"],
            "protocol": ["naming", "naming"],
            "n": [10, 10],
            "correct": [9, 1],
            "accuracy": [0.9, 0.1],
            "ci_low": [0.6, 0.0],
            "ci_high": [0.98, 0.4],
            "chance": [0.05, 0.05],
            "majority": [0.2, 0.2],
        }
    )


def test_bars_carry_n_interval_and_chance():
    figure = charts.accuracy_bars(accuracies())
    assert {"9 of 10 = 90.0%", "1 of 10 = 10.0%"} <= set(texts_of(figure))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.9, 0.1]
    assert any(
        np.allclose(np.array(lines.get_segments())[:, :, 0], 0.05)
        for lines in figure.axes[0].collections
        if len(lines.get_segments())
    )
    png(figure)


def test_bars_need_a_row_and_their_columns():
    with pytest.raises(ValueError, match="no row"):
        charts.accuracy_bars(accuracies().iloc[:0])
    with pytest.raises(records.RecordError, match="chance"):
        charts.accuracy_bars(accuracies().drop(columns="chance"))


def test_curves_draw_what_the_log_has():
    log = [
        {
            "step": 1,
            "loss": 3.0,
            "learning_rate": 1e-5,
            "learning_rate_merger": 2e-5,
            "learning_rate_visual": 1e-5,
        },
        {
            "step": 2,
            "eval_loss": 2.0,
            "eval_menu_accuracy": 0.5,
            "eval_menu_ci_low": 0.3,
            "eval_menu_ci_high": 0.7,
        },
        {"step": 3, "loss": 0.1, "note": "x"},
    ]
    figure = charts.loss_curves(log)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 3.0], [3, 0.1]]
    assert figure.axes[0].get_yscale() == "log"
    (band,) = figure.axes[1].collections
    assert {tuple(point) for point in band.get_paths()[0].vertices.round(3).tolist()} == {
        (2.0, 0.3),
        (2.0, 0.7),
    }
    assert [line.get_label() for line in figure.axes[2].lines] == ["merger", "visual"]
    png(figure)
    assert [line.get_label() for line in charts.loss_curves(log[:1]).axes[1].lines] == [
        "merger",
        "visual",
    ]
    png(charts.loss_curves([{"step": 1}]))


def cosines():
    rows = [("same dish", value) for value in (0.2, 0.6, 0.7, 0.9)] + [
        ("other dish", value) for value in (-0.5, 0.1, 0.3, 0.66, 0.8)
    ]
    return pd.DataFrame(rows, columns=["kind", "cosine"])


def test_the_histogram_shows_densities_n_and_the_share_above_the_median():
    figure = charts.score_histogram(cosines())
    axes = figure.axes[0]
    assert axes.get_title(loc="left").startswith("40.0% of other-dish pairs are closer")
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["same dish, other group (n=4)", "other dishes (n=5)", "median 0.650"]
    areas = [sum(bar.get_width() * bar.get_height() for bar in bars) for bars in axes.containers]
    assert areas == pytest.approx([1, 1])
    assert [bar.get_x() for bar in axes.containers[0]] == [
        bar.get_x() for bar in axes.containers[1]
    ]
    png(figure)


def test_one_kind_alone_has_no_share_and_none_is_refused():
    figure = charts.score_histogram(cosines().query("kind == 'other dish'").astype(str))
    assert figure.axes[0].get_title(loc="left") == ""
    assert len(figure.axes[0].containers) == 1
    with pytest.raises(ValueError, match="no pair"):
        charts.score_histogram(cosines().iloc[:0])
    with pytest.raises(ValueError, match="hold third"):
        charts.score_histogram(cosines().assign(kind="third"))


def test_cosines_that_hardly_differ_have_a_histogram():
    table = cosines().assign(cosine=np.float32(0.99999) + np.arange(9, dtype=np.float32) * 1e-7)
    assert table["cosine"].dtype == np.float32
    assert len(charts.score_histogram(table).axes[0].containers) == 2


def test_the_histogram_speaks_english_without_a_font(without_font):  # noqa: F811
    assert charts.score_histogram(cosines(), language="zh").axes[0].get_xlabel() == "cosine"


def titles_and_legends(figure):
    return " ".join(
        [
            axes.get_title(loc="left")
            + " "
            + " ".join(text.get_text() for text in axes.get_legend().get_texts())
            for axes in figure.axes
        ]
    )


def test_both_panels_say_n_and_the_errors():
    figure = charts.trust_curves(BINS, COVERED, SUMMARY)
    assert all(
        part in titles_and_legends(figure)
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
    figure = charts.trust_curves(BINS.head(0), COVERED.head(0), {"n": 0})
    assert repr(figure) == "calibration: nothing to show"
    assert figure._repr_png_() is None


def test_a_missing_column_is_named():
    with pytest.raises(records.RecordError, match="confidence"):
        charts.trust_curves(BINS.drop(columns="confidence"), COVERED, SUMMARY)


@pytest.fixture
def shown(monkeypatch):
    """What was displayed and updated, in order."""
    seen = []

    class Handle:
        def update(self, figure):
            seen.append(("update", figure))

    monkeypatch.setattr(
        charts, "display", lambda figure, display_id: seen.append(("display", figure)) or Handle()
    )
    return seen


def test_the_second_drawing_takes_the_place_of_the_first(shown):
    drawing = charts.LiveCurves()
    drawing(ROWS[:1])
    drawing(ROWS)
    assert [what for what, _ in shown] == ["display", "update"]
    first, second = (figure for _, figure in shown)
    assert first.get_suptitle() == "10 / 40, about 30 s left"
    assert second.get_suptitle() == "20 / 40"
    assert len(second.axes) > len(first.axes)


def test_only_where_a_notebook_is_open(monkeypatch):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    assert charts.live() is None
    monkeypatch.setenv(kernel.SESSION, "04_training.ipynb")
    assert isinstance(charts.live("zh"), charts.LiveCurves)
