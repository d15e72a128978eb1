"""What whole trays add up to."""

import pandas as pd
import pytest

from dishvl_lib.core import intervals
from dishvl_lib.evaluation import trays

FLAGGED = True


def table(*rows):
    """(frame, truth, answer, flagged) by one predictor, with menus of 20."""
    complete = [
        (frame, "tuned", "tray", truth, answer, flag, 20) for frame, truth, answer, flag in rows
    ]
    return pd.DataFrame(complete, columns=list(trays.COLUMNS))


ROWS = table(
    ("right", "饭", "饭", False),
    ("right", "面", "面", False),
    ("wrong", "饭", "面", False),
    ("wrong", "鱼", "鱼", False),
    ("doubted", "饭", "鱼", FLAGGED),
    ("missed", "饭", "", False),
    ("more", "饭", "饭", False),
    ("more", "", "面", False),
    ("empty", "", "", False),
)


@pytest.fixture
def measured():
    return trays.measures(ROWS)["tuned"]["tray"]


def test_a_tray_is_exact_when_every_dish_is_right_and_there_is_no_more(measured):
    assert measured["n"] == 6
    assert measured["correct"] == 2
    assert measured["accuracy"] == pytest.approx(2 / 6)
    assert measured["ci95"] == list(intervals.wilson(2, 6))


def test_counts_are_of_boxes(measured):
    assert measured["count_exact"] == 4


def test_dishes(measured):
    assert measured["dishes"] == 7
    assert measured["dishes_found"] == 6
    assert measured["dishes_right"] == 4


def test_the_interval_of_dishes_holds_their_share(measured):
    low, high = measured["dishes_ci95"]
    assert low <= 4 / 7 <= high


def test_a_silent_error_is_one_that_nobody_is_asked_about(measured):
    """A wrong dish, one that is missing, one too many; not the one that is flagged."""
    assert measured["silent_errors"] == 3


def test_chance_is_of_the_whole_tray(measured):
    expected = (1 / 400 + 1 / 400 + 1 / 20 + 1 / 20 + 1 / 20 + 1) / 6
    assert measured["chance"] == pytest.approx(expected)


def test_prices():
    prices = {"饭": 2.0, "面": 8.0, "鱼": 12.5}
    measured = trays.measures(ROWS, prices)["tuned"]["tray"]
    assert measured["priced"] == 6
    assert measured["overcharged"] == 3
    assert measured["undercharged"] == 1
    assert measured["mean_price_error"] == pytest.approx((6 + 10.5 + 2 + 8) / 6)


def test_a_tray_with_a_dish_of_unknown_price_is_left_out_of_prices():
    measured = trays.measures(ROWS, {"饭": 2.0, "面": 8.0})["tuned"]["tray"]
    assert measured["priced"] == 4


def test_where_no_tray_has_all_its_prices_there_is_no_mean_error():
    measured = trays.measures(ROWS, {"汤": 1.0})["tuned"]["tray"]
    assert measured["mean_price_error"] == 0.0
    without_empty = ROWS[ROWS.truth != ""]
    measured = trays.measures(without_empty, {"汤": 1.0})["tuned"]["tray"]
    assert measured["priced"] == 0
    assert "mean_price_error" not in measured


def test_without_prices_nothing_is_said_of_them(measured):
    assert "priced" not in measured


def test_every_predictor_and_protocol_has_its_own():
    both = pd.concat([ROWS, ROWS.assign(protocol="tray_true_boxes", answer=ROWS.truth)])
    measured = trays.measures(both)["tuned"]
    assert measured["tray"]["correct"] == 2
    assert measured["tray_true_boxes"]["correct"] == 6


def test_trays_stand_beside_the_other_protocols():
    known = {"tuned": {"naming": {"n": 1}}}
    together = trays.joined(known, trays.measures(ROWS))
    assert set(together["tuned"]) == {"naming", "tray"}
    assert known == {"tuned": {"naming": {"n": 1}}}


def test_the_table_has_a_row_each():
    shown = trays.table(trays.measures(ROWS))
    assert len(shown) == 1
    assert {"predictor", "protocol", "n", "accuracy", "ci_low", "ci_high"} <= set(shown)
