"""Accuracy tables at their limits: perfect, none, no rows, no column, one question."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from evaluation_toys import prediction, table

from dishvl_lib.core import intervals, records
from dishvl_lib.evaluation import metrics


def naming(answers, truths, predictor="tuned"):
    rows = [
        {
            "id": f"q{i}",
            "predictor": predictor,
            "protocol": "naming",
            "dish_id": f"d-{truth}",
            "truth": truth,
            "menu": None,
            "answer": answer,
            "correct": answer == truth,
            "correct_normalised": answer == truth,
        }
        for i, (answer, truth) in enumerate(zip(answers, truths, strict=True))
    ]
    return pd.DataFrame(rows)


def menus(answers, truths, lists, predictor="tuned"):
    table = naming(answers, truths, predictor)
    return table.assign(protocol="menu", menu=pd.Series(lists, dtype=object))


def only_row(predictions):
    table = metrics.accuracy_table(predictions)
    assert len(table) == 1
    return table.iloc[0]


def test_all_right_is_one_with_an_interval_below_it():
    row = only_row(naming("abcd", "abcd"))
    assert (row["n"], row["correct"], row["accuracy"], row["macro_accuracy"]) == (4, 4, 1.0, 1.0)
    assert (row["ci_low"], row["ci_high"]) == intervals.wilson(4, 4)


def test_all_wrong_is_zero_with_an_interval_above_it():
    row = only_row(naming("bbbb", "aaaa"))
    assert (row["correct"], row["accuracy"], row["ci_low"]) == (0, 0.0, 0.0)
    assert 0 < row["ci_high"] < 1


def test_one_question_is_measured():
    row = only_row(naming("a", "a"))
    assert (row["n"], row["chance"], row["majority"], row["n_dishes"]) == (1, 1.0, 1.0, 1)


def test_naming_baselines_count_the_truths():
    row = only_row(naming("aaaa", "aaab"))
    assert row["chance"] == 1 / 2
    assert row["majority"] == 3 / 4
    assert row["menu_size"] is None or math.isnan(row["menu_size"])


def test_macro_accuracy_gives_every_dish_one_vote():
    row = only_row(naming("aaaa", "aaab"))
    assert row["accuracy"] == 3 / 4
    assert row["macro_accuracy"] == 1 / 2
    assert (row["macro_ci_low"], row["macro_ci_high"]) == intervals.bootstrap_mean(
        np.array([1.0, 0.0])
    )


def test_menu_chance_is_the_mean_over_menus_of_different_sizes():
    row = only_row(menus("aa", "aa", [["a", "b"], ["a", "b", "c", "d"]]))
    assert row["chance"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert row["menu_size"] == 3


def test_menu_majority_picks_the_entry_that_is_most_often_true():
    row = only_row(menus("aaab", "aaab", [["a", "b"], ["a", "c"], ["b", "a"], ["a", "b"]]))
    assert row["majority"] == 3 / 4


def test_menu_entries_that_are_equally_frequent_share_the_guess():
    row = only_row(menus("ab", "ab", [["a", "b"], ["b", "a"]]))
    assert row["majority"] == 1 / 2


def test_answers_off_the_menu_and_missing_ones_are_counted_apart():
    row = only_row(menus(["a", "z", None, "b"], "aaaa", [["a", "b"]] * 4))
    assert row["off_menu"] == pytest.approx(1 / 3)
    assert row["no_answer"] == 1
    assert row["correct"] == 1


def test_a_menu_without_the_truth_has_no_chance():
    assert only_row(menus("b", "a", [["b", "c"]]))["chance"] == 0


def test_strict_and_normalised_marks_stay_apart():
    predictions = naming(["a.", "b"], "ab").assign(correct_normalised=[True, True])
    row = only_row(predictions)
    assert (row["accuracy"], row["accuracy_normalised"]) == (0.5, 1.0)


def test_a_missing_mark_counts_as_wrong():
    predictions = naming("ab", "ab").assign(correct=pd.Series([True, None], dtype=object))
    assert only_row(predictions)["correct"] == 1


def test_rows_are_predictor_by_protocol():
    table = metrics.accuracy_table(
        pd.concat([naming("a", "a"), menus("a", "a", [["a"]]), naming("b", "a", "base")])
    )
    assert table[["predictor", "protocol"]].to_numpy().tolist() == [
        ["tuned", "naming"],
        ["tuned", "menu"],
        ["base", "naming"],
    ]
    assert tuple(table.columns) == metrics.TABLE_COLUMNS


def test_no_predictions_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no predictions"):
        metrics.accuracy_table(naming("a", "a").iloc[:0])


def test_a_missing_column_is_named():
    with pytest.raises(records.RecordError, match="truth"):
        metrics.accuracy_table(naming("a", "a").drop(columns="truth"))


def test_a_question_answered_twice_is_refused():
    with pytest.raises(ValueError, match="q0 is answered twice"):
        metrics.accuracy_table(pd.concat([naming("a", "a")] * 2))


def test_metrics_dict_is_json_without_nan():
    predictions = pd.concat([naming("ab", "ab"), menus("a", "a", [["a", "b"]])])
    value = metrics.metrics_dict(metrics.accuracy_table(predictions))
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["tuned"]["menu"]["menu_size"] == 2
    assert "menu_size" not in value["tuned"]["naming"]
    assert value["tuned"]["naming"]["ci95"] == list(intervals.wilson(2, 2))
    assert type(value["tuned"]["naming"]["n"]) is int


def test_how_long_it_took_does_not_change_the_metrics():
    slow, fast = (
        metrics.metrics_dict(metrics.accuracy_table(naming("ab", "ab").assign(seconds=seconds)))
        for seconds in (9.0, 0.1)
    )
    assert slow == fast


def test_compare_uses_the_questions_that_both_answered():
    first = naming("aaaa", "aaaa")
    second = naming("abb", "aaa", "base")
    row = metrics.compare(pd.concat([first, second])).iloc[0]
    assert (row["n"], row["only_reference"], row["only_predictor"]) == (3, 2, 0)
    assert row["difference"] == pytest.approx(2 / 3)
    assert row["p"] == pytest.approx(0.5)


def test_equal_predictors_differ_by_nothing():
    row = metrics.compare(pd.concat([naming("ab", "aa"), naming("ab", "aa", "base")])).iloc[0]
    assert (row["difference"], row["p"]) == (0, 1)


def test_compare_without_common_questions_has_no_row():
    other = naming("a", "a", "base").assign(id="elsewhere")
    assert metrics.compare(pd.concat([naming("a", "a"), other])).empty


def test_compare_names_the_predictors_there_are():
    with pytest.raises(ValueError, match="no predictor 'tuned'.*base"):
        metrics.compare(naming("a", "a", "base"))


def test_by_dish_shows_the_worst_first():
    table = metrics.by_dish(naming("aabbc", "aabac"), "tuned", "naming")
    assert table["dish_id"].tolist() == ["d-a", "d-b", "d-c"]
    assert table.loc[0, ["truth", "n", "correct"]].tolist() == ["a", 3, 2]
    assert (table.loc[0, "ci_low"], table.loc[0, "ci_high"]) == intervals.wilson(2, 3)


def test_by_group_takes_any_column_and_names_what_is_missing():
    predictions = naming("ab", "aa").assign(site=["HGD", "BJ2"])
    assert metrics.by_group(predictions, "site", "tuned", "naming")["site"].tolist() == [
        "BJ2",
        "HGD",
    ]
    with pytest.raises(records.RecordError, match="cluster"):
        metrics.by_group(predictions, "cluster", "tuned", "naming")
    with pytest.raises(
        ValueError, match="no predictions of base / naming; there are tuned / naming"
    ):
        metrics.by_group(predictions, "site", "base", "naming")


def test_mishaps_are_counted_where_their_columns_are():
    predictions = naming(["a", None, None, "b"], "aabb").assign(
        error=["", "damaged", "", ""],
        lost=["", "", "2 dishes", ""],
        near_training=["same frame", "", "", None],
        seconds=[1.0, 2.0, 0.0, 10.0],
    )
    row = only_row(predictions)
    assert (row["failed"], row["lost"], row["near_training"], row["no_answer"], row["seconds"]) == (
        1,
        1,
        1,
        2,
        2.0,
    )
    plain = only_row(naming("ab", "ab"))
    assert (plain["failed"], plain["lost"], plain["near_training"]) == (0, 0, 0)


def test_questions_that_a_predictor_framed_itself_are_compared_with_nobodys():
    rows = pd.concat([naming("ab", "ab"), naming("ab", "ab", "base")]).assign(framed=False)
    framed = rows.assign(protocol="site:b", framed=True)
    assert metrics.compare(pd.concat([rows, framed]))["protocol"].tolist() == ["naming"]


def test_the_rival_is_the_best_of_its_family_in_each_protocol():
    menu = [["a", "b"]] * 4
    parts = [
        naming("aaaa", "aaaa"),
        naming("abbb", "aaaa", "pplcnet"),
        naming("aaab", "aaaa", "pplcnet_classifier"),
        naming("aaaa", "aaaa", "base"),
    ]
    parts += [
        menus("aaaa", "aaaa", menu),
        menus("aabb", "aaaa", menu).assign(predictor="pplcnet"),
        menus("abbb", "aaaa", menu).assign(predictor="pplcnet_classifier"),
    ]
    rows = pd.concat(parts)
    rivals = metrics.rivals(metrics.accuracy_table(rows), metrics.compare(rows))
    assert rivals[["protocol", "rival", "accuracy"]].values.tolist() == [
        ["naming", "pplcnet_classifier", 0.75],
        ["menu", "pplcnet", 0.5],
    ]
    assert rivals["difference"].tolist() == [0.25, 0.5]
    assert rivals["p"].tolist() == pytest.approx([1.0, 0.5])


def test_every_net_of_stage_02_is_a_rival():
    rows = pd.concat([naming("aaaa", "aaaa"), naming("aabb", "aaaa", "efficientnet_lite0")])
    rivals = metrics.rivals(metrics.accuracy_table(rows), metrics.compare(rows))
    assert rivals["rival"].tolist() == ["efficientnet_lite0"]


def runs_of(marks):
    """[{predictor: marks of naming questions}] as predictions of runs."""
    runs = []
    for of_run in marks:
        rows = []
        for predictor, right in of_run.items():
            for number, mark in enumerate(right):
                answer = "红烧鱼" if mark else "米饭"
                rows.append(prediction(number, answer, predictor=predictor))
        runs.append(table(*rows))
    return runs


def test_runs_together_are_compared_with_the_better_of_the_others():
    runs = runs_of(
        [
            {"hybrid": [1, 1, 1, 0], "tuned": [1, 1, 0, 0], "gallery": [1, 0, 0, 0]},
            {"hybrid": [1, 0, 1, 1], "tuned": [0, 1, 1, 1], "gallery": [1, 1, 0, 0]},
        ]
    )
    (row,) = metrics.against_better(runs, "hybrid", ["tuned", "gallery"]).to_dict("records")
    assert (row["rival"], row["n"]) == ("tuned", 8)
    assert (row["accuracy"], row["accuracy_rival"]) == (6 / 8, 5 / 8)
    assert row["difference"] == pytest.approx(1 / 8)
    assert (row["only_predictor"], row["only_rival"]) == (2, 1)


def test_runs_are_paired_within_themselves():
    """The same id in two runs is two questions."""
    runs = runs_of([{"hybrid": [0], "tuned": [1]}, {"hybrid": [1], "tuned": [0]}])
    (row,) = metrics.against_better(runs, "hybrid", ["tuned"]).to_dict("records")
    assert (row["n"], row["only_predictor"], row["only_rival"]) == (2, 1, 1)


def test_a_protocol_that_no_rival_was_asked_under_is_left_out():
    runs = runs_of([{"hybrid": [1], "tuned": [1]}])
    alone = prediction(9, "红烧鱼", predictor="hybrid", protocol="naming_with_new")
    runs[0] = table(*runs[0].to_dict("records"), alone)
    compared = metrics.against_better(runs, "hybrid", ["tuned"])
    assert compared.protocol.tolist() == ["naming"]
