"""Test photos that people decided about: counted, and accuracy with and without them."""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts
from dishvl_lib.display import tables
from dishvl_lib.display.words import Words
from dishvl_lib.evaluation import decided, metrics


def predictions(n=10, wrong=(0, 1), protocols=("naming", "menu")):
    rows = []
    for protocol in protocols:
        for number in range(n):
            rows.append(
                {
                    "id": f"{protocol}-{number}",
                    "predictor": "tuned",
                    "protocol": protocol,
                    "image_id": f"p{number}",
                    "truth": f"d{number % 2}",
                    "answer": "d0",
                    "correct": number not in wrong,
                    "menu": ["d0", "d1"] if protocol == "menu" else [],
                }
            )
    return pd.DataFrame(rows)


def outcomes(*rows):
    """Rows (image_id, split, effect)."""
    table = pd.DataFrame(rows, columns=["image_id", "split", "effect"])
    return table.reindex(columns=list(artefacts.DECIDED_COLUMNS), fill_value="")


def test_accuracy_stands_with_and_without_the_moved_and_at_worst_with_the_left_out():
    people = outcomes(
        ("p2", "test", "moved"),
        ("p3", "test", "moved"),
        ("gone", "test", "left out"),
        ("trained", "train", "moved"),
        ("gone too", "train", "left out"),
    )
    row = decided.table(predictions(), people).to_dict("records")[0]
    assert (row["n"], row["moved"], row["left_out"]) == (10, 2, 1)
    assert row["accuracy"] == 0.8
    assert row["n_without"] == 8
    assert row["accuracy_without"] == 6 / 8
    assert row["n_at_worst"] == 11
    assert row["accuracy_at_worst"] == 6 / 11


def test_metrics_say_so_only_where_something_was_decided():
    table = predictions(protocols=("naming", "site:north", "new_dishes"))
    people = outcomes(("p2", "site:north", "left out"), ("p5", "held_out", "left out"))
    counted = decided.table(table, people)
    assert counted.protocol.tolist() == ["site:north", "new_dishes"]
    measured = decided.into_metrics(metrics.metrics_dict(metrics.accuracy_table(table)), counted)
    assert "decided" not in measured["tuned"]["naming"]
    assert measured["tuned"]["site:north"]["decided"] == {
        "moved": 0,
        "left_out": 1,
        "without": {
            "n": 10,
            "accuracy": 0.8,
            "ci95": measured["tuned"]["site:north"]["ci95"],
        },
        "at_worst": {"n": 11, "accuracy": 8 / 11},
    }


def test_a_photo_left_out_counts_as_many_questions_as_the_others_have():
    twice = pd.concat([predictions(), predictions().assign(id=lambda rows: rows.id + "b")])
    row = decided.table(twice, outcomes(("gone", "test", "left out"))).to_dict("records")[0]
    assert row["n"] == 20
    assert row["left_out"] == 2


def test_the_sentences_name_the_counts_and_the_three_accuracies():
    people = outcomes(("p2", "test", "moved"), ("gone", "test", "left out"))
    table = predictions(protocols=("naming",))
    first, second = decided.sentences(people, decided.table(table, people))
    assert first.startswith("people gave 1 test photos another dish and left out 1;")
    assert second == (
        "tuned, naming: 0.800 (n=10), 0.778 [0.453, 0.937] without the moved ones (n=9), and 0.636 "
        "if all of them counted as wrong (n=11)"
    )


def test_nothing_is_said_of_no_decisions_and_of_training_photos_that_none_is_tested():
    table = decided.table(predictions(), outcomes())
    assert table.empty
    assert decided.sentences(outcomes(), table) == []
    people = outcomes(("t", "train", "moved"))
    (sentence,) = decided.sentences(people, table)
    assert sentence == "none of the 1 photos that people moved or left out is a test photo"


@pytest.mark.parametrize("moved", [1, 10])
def test_a_protocol_whose_photos_were_all_moved_has_no_accuracy_without_them(moved):
    people = outcomes(*((f"p{number}", "test", "moved") for number in range(moved)))
    table = predictions(protocols=("naming",))
    counted = decided.table(table, people)
    measured = decided.into_metrics(metrics.metrics_dict(metrics.accuracy_table(table)), counted)
    without = measured["tuned"]["naming"]["decided"]["without"]
    assert without["n"] == 10 - moved
    assert (without["accuracy"] is None) == (moved == 10)


def test_the_report_shows_them_as_shares_in_both_languages():
    people = outcomes(("p2", "test", "moved"), ("gone", "test", "left out"))
    counted = decided.table(predictions(protocols=("naming",)), people)
    for language, head in (("en", "accuracy at worst"), ("zh", "全算答错的准确率")):
        shown = tables.any_table("test photos that people decided about", counted, Words(language))
        cells = dict(zip(shown.heads, shown.rows[0], strict=True))
        assert cells[head] == "63.6%"
