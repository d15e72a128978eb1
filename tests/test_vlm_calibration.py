"""Calibration at its limits: a known temperature is found again, errors are counted right,
thresholds separate.
"""

import numpy as np
import pytest

from dishvl_lib.vlm import calibration


def drawn(n, temperature, size=10, seed=0):
    """Menus whose truth is drawn by softmax(scores / temperature): fitting must find that
    temperature.
    """
    rng = np.random.default_rng(seed)
    menus = []
    for _ in range(n):
        scores = rng.normal(0, 3, size)
        menus.append(
            (scores, int(rng.choice(size, p=calibration.probabilities(scores, temperature))))
        )
    return menus


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again_and_mends_the_error(temperature):
    fitted = calibration.fit(drawn(4000, temperature))
    assert fitted["temperature"] == pytest.approx(temperature, rel=0.1)
    assert fitted["ece_after"] < 0.03
    assert fitted["n"] == 4000
    assert temperature == 1.0 or fitted["ece_before"] > 2 * fitted["ece_after"]


def test_the_calibration_error_is_the_mean_gap():
    assert calibration.calibration_error(
        np.array([0.95] * 20), np.array([True] * 19 + [False])
    ) == pytest.approx(0.0)
    assert calibration.calibration_error(
        np.array([0.9] * 10 + [0.5] * 10), np.array([False] * 10 + [True] * 5 + [False] * 5)
    ) == pytest.approx(0.45)
    assert calibration.calibration_error(np.array([1.0]), np.array([True])) == 0


def test_the_area_under_the_curve():
    assert calibration.auroc(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1.0
    assert calibration.auroc(np.array([0.1]), np.array([0.9])) == 0.0
    assert calibration.auroc(np.array([0.5, 0.5]), np.array([0.5])) == 0.5
    assert calibration.auroc(np.array([0.3, 0.7]), np.array([0.5, 0.1])) == 0.75


def test_the_threshold_still_answers_most_menus_with_the_dish():
    present = np.linspace(0.01, 1, 100)
    absent = np.array([0.01, 0.04, 0.5, 0.9])
    threshold, answered, refused = calibration.threshold_for(present, absent)
    assert threshold == pytest.approx(0.06)
    assert answered == 0.95
    assert refused == 0.5
    assert calibration.threshold_for(np.array([0.9, 0.2]), np.array([0.5]))[:2] == (0.2, 1.0), (
        "of two menus none may be refused"
    )
    rng = np.random.default_rng(0)
    for n in (20, 33, 500):
        assert calibration.threshold_for(rng.random(n), rng.random(n))[1] >= 0.95


def test_without_its_true_entry_a_menu_is_less_sure():
    sure = [(np.array([10.0, 0, 0, 0]), 0)] * 30
    fitted = calibration.fit(sure)
    assert fitted["accuracy"] == fitted["auroc"] == fitted["answered"] == fitted["refused"] == 1.0
    assert 0 < fitted["off_menu_threshold"] <= 1
    assert calibration.without_truth((np.array([1.0, 2.0, 3.0]), 1))[0].tolist() == [1.0, 3.0]


def test_few_menus_fit_nothing():
    fitted = calibration.fit(drawn(19, 1.0))
    assert fitted["temperature"] == 1.0
    assert fitted["off_menu_threshold"] == 0.0
    assert "fewer than 20" in fitted["note"]


def test_a_model_that_is_never_wrong_is_not_trusted_without_limit():
    """With nothing but right answers likelihood alone would send the temperature to its end and the
    threshold to 1.
    """
    chance = np.random.default_rng(0)
    scored = []
    for _ in range(200):
        scores = chance.normal(-12, 1, 20)
        scores[3] = chance.normal(-0.5, 0.3)
        scored.append((scores, 3))
    fitted = calibration.fit(scored)
    assert 0.5 < fitted["temperature"] < 5
    assert 0.9 < fitted["off_menu_threshold"] < 0.9999
    assert fitted["accuracy"] == 1.0
    assert fitted["ece_after"] < 0.02
