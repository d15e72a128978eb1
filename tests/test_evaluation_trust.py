"""Calibration on the test menus: exact at its limits, and the same as stage 04's numbers on the
same menus.
"""

import numpy as np
import pytest
from evaluation_toys import prediction, table

from dishvl_lib.evaluation import trust
from dishvl_lib.vlm import calibration

MENU = ["红烧鱼", "米饭", "汤"]


def menus(*given, **more):
    """Predictions of (truth, probabilities of MENU) after the temperature."""
    rows = [
        prediction(
            place,
            MENU[int(np.argmax(shares))],
            truth,
            protocol="menu",
            menu=MENU,
            log_probabilities=np.log(shares).tolist(),
            **more,
        )
        for place, (truth, shares) in enumerate(given)
    ]
    return table(*rows)


def test_the_scores_before_the_temperature_come_back():
    scores = np.array([3.0, 1.0, -2.0])
    after = calibration.probabilities(scores, 1.7)
    ((logits, place),) = trust.scored(menus(("米饭", after)), 1.7)
    assert place == 1
    assert calibration.probabilities(logits, 1.0) == pytest.approx(
        calibration.probabilities(scores, 1.0)
    )


def test_a_sure_and_right_model_is_perfect():
    scored = trust.scored(menus(*[("红烧鱼", [1 - 2e-9, 1e-9, 1e-9])] * 20), 1.0)
    summary = trust.summary(scored, 1.0, 0.9)
    assert (
        summary["n"],
        summary["accuracy"],
        summary["answered"],
        summary["refused"],
        summary["auroc"],
    ) == (
        20,
        1,
        1,
        1,
        1,
    )
    assert summary["ece_before"] == pytest.approx(0, abs=1e-6)
    assert summary["accuracy_ci95"][1] == 1
    assert summary["accuracy_ci95"][0] < 0.9


def test_a_model_that_is_half_as_often_right_as_it_says_shows_it():
    scored = trust.scored(
        menus(*[("红烧鱼", [0.8, 0.1, 0.1]), ("米饭", [0.8, 0.1, 0.1])] * 10), 1.0
    )
    summary = trust.summary(scored, 1.0, 0.9)
    assert summary["ece_after"] == pytest.approx(0.3)
    assert summary["accuracy"] == 0.5
    assert (summary["answered"], summary["accuracy_answered"], summary["accuracy_answered_n"]) == (
        0,
        None,
        0,
    )


def test_the_numbers_are_those_that_stage_04_would_fit_on_the_same_menus():
    rng = np.random.default_rng(0)
    raw = [(rng.normal(0, 2, 5), int(rng.integers(5))) for _ in range(60)]
    raw = [(scores + 2 * (np.arange(5) == place), place) for scores, place in raw]
    fitted = calibration.fit(raw)
    summary = trust.summary(raw, fitted["temperature"], fitted["off_menu_threshold"])
    for name in ("accuracy", "ece_before", "ece_after", "auroc"):
        assert summary[name] == pytest.approx(fitted[name], abs=2e-3), name
    for name in (
        "answered",
        "refused",
    ):  # the stored threshold is rounded: it may pass over the menu that it was taken from
        assert summary[name] == pytest.approx(fitted[name], abs=1.01 / 60), name


def test_reliability_bins_hold_every_menu_once():
    scored = trust.scored(
        menus(
            ("红烧鱼", [0.9, 0.05, 0.05]), ("红烧鱼", [0.91, 0.05, 0.04]), ("汤", [0.5, 0.3, 0.2])
        ),
        1.0,
    )
    table = trust.reliability(scored, 2.0)
    before = table[table.when == "before"]
    assert before[["n", "correct"]].values.tolist() == [
        [1, 0],
        [2, 2],
    ]
    assert before.confidence.tolist() == pytest.approx([0.5, 0.905])
    assert table[table.when == "after"].n.sum() == 3


def test_coverage_answers_the_surest_first():
    scored = trust.scored(
        menus(
            ("红烧鱼", [0.9, 0.05, 0.05]),
            ("米饭", [0.6, 0.2, 0.2]),
            ("红烧鱼", [0.8, 0.1, 0.1]),
            ("红烧鱼", [0.7, 0.2, 0.1]),
        ),
        1.0,
    )
    table = trust.coverage(scored, 1.0)
    assert table[["n", "correct"]].values.tolist() == [[1, 1], [2, 2], [3, 3], [4, 3]]
    assert table.coverage.tolist() == [
        0.25,
        0.5,
        0.75,
        1.0,
    ]
    assert table.least.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_failures_are_left_out_and_no_menu_at_all_is_said():
    assert trust.scored(menus(("红烧鱼", [0.9, 0.05, 0.05])), 1.0, protocol="menu_unseen") == []
    failed = table(prediction(9, None, protocol="menu", menu=MENU, error="damaged"))
    assert trust.scored(failed, 1.0) == []
    assert trust.summary([], 1.0, 0.5) == {"n": 0}
    assert trust.reliability([], 1.0).empty
    assert trust.coverage([], 1.0).empty
    assert trust.shown({"n": 0}).empty


def test_the_shown_table_has_interval_and_n_of_every_share():
    table = trust.shown(
        trust.summary(trust.scored(menus(*[("红烧鱼", [0.8, 0.1, 0.1])] * 4), 1.0), 1.0, 0.5)
    ).set_index("measure")
    assert table.loc["accuracy"].tolist() == ["1.000", "[0.510, 1.000]", 4]
    assert table.loc["auroc", "interval"] == ""
    assert table.loc["temperature", "n"] == ""
