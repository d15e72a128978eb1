"""The benchmark of own confusions: what difference so many questions could show, and that it
compares like with like.
"""

import importlib.util

import pandas as pd
import pytest

from dishvl_lib.core import intervals, paths, records

FILE = paths.PROJECT_ROOT / "benchmarks" / "bench_own_confusions.py"
bench = importlib.util.module_from_spec(importlib.util.spec_from_file_location("bench", FILE))
bench.__spec__.loader.exec_module(bench)


@pytest.mark.parametrize("differing, least", [(20, 10), (6, 6), (3, 6), (0, 6)])
def test_the_smallest_difference_is_the_first_that_mcnemar_finds(differing, least):
    assert bench.smallest_difference(100, differing) == least / 100


def test_one_answer_less_than_the_smallest_difference_shows_nothing():
    first = pd.Series(range(20)) < 14
    assert intervals.mcnemar(first, ~first) > bench.SIGNIFICANT


def finish(outputs, name, marks, steps=3, test="{}"):
    run = outputs / name
    rows = [
        {"id": number, "predictor": "tuned", "protocol": "menu", "correct": correct}
        for number, correct in enumerate(marks)
    ]
    others = [{"id": 0, "predictor": "base", "protocol": "menu", "correct": False}]
    records.write_jsonl(run / "05_evaluation" / "predictions.jsonl", [*rows, *others])
    (run / "03_dataset").mkdir()
    (run / "03_dataset" / "test.jsonl").write_text(test, "utf-8")
    marker = {"inputs": {}, "outputs": {}, "parameters": {}, "cost": {}, "seconds": 1.0}
    marker |= {"finished_at": "", "counts": {"steps": steps}, "best": {}, "validation_loss": 1.0}
    for stage in ("04_training", "05_evaluation"):
        records.write_json(run / stage / "_SUCCESS.json", marker | {"stage": stage})


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("DISHVL_OUTPUTS", str(tmp_path))
    finish(tmp_path, "r", [True, False, True])
    return tmp_path


def test_both_runs_are_compared_question_by_question(outputs, capsys):
    assert bench.answers("r") is None
    finish(outputs, "r_with", [True, True, False])
    pair = bench.answers("r")
    assert pair.values.tolist() == [[True, True], [False, True], [True, False]]
    bench.print_pair("seed 0", pair)
    printed = capsys.readouterr().out
    assert "without 0.667" in printed
    assert "McNemar p=1 (n=3, 2 answered differently" in printed


@pytest.mark.parametrize("other", [{"steps": 4}, {"test": "[]"}])
def test_other_questions_and_other_numbers_of_steps_are_refused(outputs, other):
    finish(outputs, "r_with", [True, True, False], **other)
    with pytest.raises(ValueError, match="same test questions|took 3 steps and r_with 4"):
        bench.answers("r")
