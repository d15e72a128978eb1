"""New dishes by a few photos: the model alone, the gallery alone, both together, and what it costs
the dishes that were known before.

    python benchmarks/bench_new_dishes.py                    # three choices of three dishes
    python benchmarks/bench_new_dishes.py --read-only        # only what has been run already

Each choice holds three of the demo's dishes out of training (profile demo_new_dishes) and adds them
to the gallery by five photos each; their other photos are asked about on menus of 20. Goal: the two
together are right in 0.90. A run that has finished is read, not made again.
"""

import argparse
import time
from collections.abc import Sequence

import pandas as pd

from dishvl_lib import run
from dishvl_lib.core import intervals, markers, paths, records, settings
from dishvl_lib.evaluation import protocols

PROFILE = "demo_new_dishes"
# Look-alikes of trained dishes, dishes of their own kind, and a mixture.
CHOICES = (
    ("红烧鱼块", "麻婆豆腐", "宫保鸡丁"),
    ("青椒土豆丝", "番茄炒蛋", "米饭"),
    ("红烧排骨", "清炒菠菜", "辣子鸡丁"),
)
PREDICTORS = ("tuned", "gallery", "hybrid")
GOAL = 0.90
# What adding the dishes costs: {the test before: the same test with the new dishes}.
COST = {"naming": protocols.NAMING_WITH_NEW, "menu": protocols.MENU_WITH_NEW}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="New dishes by a few photos.")
    parser.add_argument("--read-only", action="store_true", help="only read finished runs")
    parser.add_argument("--choices", type=int, nargs="+", default=list(range(len(CHOICES))))
    options = parser.parse_args(arguments)
    runs = []
    for number in options.choices:
        name = f"{PROFILE}_{number}"
        if not options.read_only:
            make(name, CHOICES[number])
        predictions = read(name)
        if predictions is None:
            print(f"{name} has not finished and is left out")
            continue
        print(f"\nnew: {', '.join(CHOICES[number])}")
        report(predictions)
        runs.append(predictions.assign(run=name))
    if len(runs) > 1:
        print(f"\n{len(runs)} choices together")
        report(pd.concat(runs))


def make(name: str, dishes: Sequence[str]) -> None:
    """Runs all five stages with these dishes held out; says the seconds."""
    started = time.time()
    overrides = {"run_name": name, "hold_out_dishes": list(dishes)}
    run.run(settings.load_profile(PROFILE, overrides))
    print(f"{name}: {time.time() - started:.0f} s", flush=True)


def read(name: str) -> pd.DataFrame | None:
    """The predictions of a run that has finished, or None."""
    folder = paths.stage_folder(name, "05_evaluation")
    if not markers.finished(folder):
        return None
    rows = pd.DataFrame(records.read_jsonl(folder / "predictions.jsonl"))
    return rows.assign(run=name)


def report(predictions: pd.DataFrame) -> None:
    """Accuracy on the new dishes, and on the others before and after these were added."""
    for predictor in PREDICTORS:
        rows = predictions[predictions.predictor == predictor]
        new = rows[rows.protocol == protocols.NEW_DISHES]
        reached = f", goal {GOAL:.2f}" if predictor == "hybrid" else ""
        print(f"  {predictor:<10}new dishes      {shown(new.correct)}{reached}")
    for before, after in COST.items():
        for predictor in PREDICTORS:
            rows = predictions[predictions.predictor == predictor]
            report_cost(predictor, before, rows, after)


def report_cost(predictor: str, before: str, rows: pd.DataFrame, after: str) -> None:
    """The same questions before and after, paired."""
    first = rows[rows.protocol == before]
    second = rows[rows.protocol == after]
    if second.empty:
        return
    second = second.assign(id=second.id.str.removesuffix("-with_new"))
    pair = first.merge(second, on=["run", "id"], suffixes=("_before", ""))
    lost = int((pair.correct_before & ~pair.correct).sum())
    won = int((~pair.correct_before & pair.correct).sum())
    p = intervals.mcnemar(pair.correct_before.to_numpy(bool), pair.correct.to_numpy(bool))
    print(
        f"  {predictor:<10}known, {before:<9}{shown(pair.correct_before)}, with the new dishes "
        f"{shown(pair.correct)}: {lost} lost, {won} won, McNemar p={p:.2g}"
    )


def shown(marks: pd.Series) -> str:
    correct = int(marks.sum())
    low, high = intervals.wilson(correct, len(marks))
    share = correct / max(1, len(marks))
    return f"{share:.3f} [{low:.3f}, {high:.3f}] (n={len(marks)})"


if __name__ == "__main__":
    main()
