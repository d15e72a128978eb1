"""What the benchmarks over seeds and of new dishes print of runs that have finished."""

import os
import subprocess
import sys

import pytest
from evaluation_toys import prediction

from dishvl_lib.core import paths, records


def finished(outputs, run_name, rows):
    """A run that has finished stage 05 with these predictions."""
    folder = outputs / run_name / "05_evaluation"
    records.write_jsonl(folder / "predictions.jsonl", rows)
    records.write_json(folder / "_SUCCESS.json", {})


def printed(script, *arguments, outputs):
    done = subprocess.run(
        [sys.executable, str(paths.PROJECT_ROOT / "benchmarks" / script), *arguments],
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT,
        env={**os.environ, "DISHVL_OUTPUTS": str(outputs), "PYTHONPATH": str(paths.PROJECT_ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def marks(predictor, protocol, right, ending=""):
    return [
        prediction(
            number,
            "红烧鱼" if mark else "米饭",
            predictor=predictor,
            protocol=protocol,
            id=f"q{number}{ending}",
        )
        for number, mark in enumerate(right)
    ]


@pytest.mark.parametrize(
    ("hybrid", "verdict"),
    [([1] * 20, "not worse"), ([1] * 19 + [0], "below the goal"), ([0] * 20, "worse")],
)
def test_the_seeds_say_whether_the_two_together_are_worse_than_the_better(
    own_outputs, hybrid, verdict
):
    for seed in (0, 1):
        rows = [
            *marks("tuned", "menu", [1] * 20),
            *marks("gallery", "menu", [0] * 20),
            *marks("hybrid", "menu", hybrid),
        ]
        finished(own_outputs, f"demo_seed{seed}", rows)
    shown = printed("demo_seeds.py", "--read-only", outputs=own_outputs)
    line = next(line for line in shown.splitlines() if line.endswith(f": {verdict}"))
    assert "menu" in line
    assert "tuned 1.0000" in line
    assert "(n=40)" in line
    assert "2 seeds together" in shown


def test_new_dishes_and_their_cost_are_shown_of_each_choice_and_together(own_outputs):
    for number in (0, 1):
        rows = []
        for predictor in ("tuned", "gallery", "hybrid"):
            rows += marks(predictor, "new_dishes", [1, 1, 0, number])
            rows += marks(predictor, "menu", [1, 1, 1, 0], "-menu")
            rows += marks(predictor, "menu_with_new", [1, 0, 1, 1], "-menu-with_new")
        finished(own_outputs, f"demo_new_dishes_{number}", rows)
    shown = printed("bench_new_dishes.py", "--read-only", outputs=own_outputs).splitlines()
    assert "demo_new_dishes_2 has not finished and is left out" in shown
    (together,) = [number for number, line in enumerate(shown) if "2 choices together" in line]
    hybrid = [line for line in shown[together:] if line.startswith("  hybrid")]
    assert "0.625" in hybrid[0]
    assert "(n=8), goal 0.90" in hybrid[0]
    assert "2 lost, 2 won" in hybrid[1]
