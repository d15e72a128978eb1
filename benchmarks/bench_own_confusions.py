"""Do menus seeded by a run's own confusions help? A second training from the same base with the
same number of steps, with and without them, asked the same test menus.

    DISHVL_TEST_DATA=... python benchmarks/bench_own_confusions.py     # zh_dishes10, seeds 0, 1, 2
    python benchmarks/bench_own_confusions.py --image-root DIR         # your own folder of dishes
    python benchmarks/bench_own_confusions.py --read-only              # only what has finished

Of each seed the run PREFIX_SEED goes through all stages; what it confuses on its validation menus
seeds the training menus of PREFIX_SEED_with (`confusions_from`), which takes the stages before from
it. Both start from the same base model and take the same number of steps; the first is therefore
the training without. Training menus are short (`--menu-size`): with as many entries as dishes every
menu would hold all of them. No gain is asked for. The seeds share photos, so the pooled p is only
as good as three trainings on one folder can be.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib import cli, run
from dishvl_lib.core import intervals, markers, paths, records, settings

PROTOCOL = "menu"
PREDICTOR = "tuned"
SIGNIFICANT = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    pairs = []
    for seed in options.seeds:
        name = f"{options.prefix}_{seed}"
        if not options.read_only:
            make(options, seed, name)
        pair = answers(name)
        if pair is None:
            print(f"seed {seed}: {name} or {name}_with has not finished and is left out")
            continue
        print_seed(seed, name, pair)
        pairs.append(pair)
    if not pairs:
        raise SystemExit("no pair of runs has finished; leave out --read-only")
    print_pair(f"{len(pairs)} seeds together", pd.concat(pairs))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training menus with and without own confusions.")
    data = os.environ.get("DISHVL_TEST_DATA", "")
    folder = str(Path(data) / "zh_dishes10") if data else None
    parser.add_argument("--image-root", default=folder, help="one folder of photos per dish")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--menu-size", type=int, default=4, help="entries of a training menu")
    parser.add_argument("--test-menu-size", type=int, default=10)
    parser.add_argument("--epochs", type=float, help="of each training; default: the demo's")
    parser.add_argument("--photos", type=int, default=0, help="of each dish; 0: all")
    parser.add_argument("--prefix", help="run names without the seed; default: the folder's")
    parser.add_argument("--read-only", action="store_true", help="only read what has finished")
    options = parser.parse_args(arguments)
    if not options.image_root:
        parser.error(
            "give --image-root, or set DISHVL_TEST_DATA: drawn dishes are confused too little"
        )
    options.prefix = options.prefix or f"{Path(options.image_root).name}_confusions"
    return options


def make(options: argparse.Namespace, seed: int, name: str) -> None:
    """Both runs of a seed; a finished stage is not made again."""
    chosen: dict[str, Any] = {
        "seed": seed,
        "menu_size": options.menu_size,
        "test_menu_size": options.test_menu_size,
        "max_photos_per_dish": options.photos,
    }
    if options.epochs:
        chosen["num_train_epochs"] = options.epochs
    started = time.time()
    demo = cli.demo_overrides(options.image_root, name)
    run.run(settings.load_profile("demo", demo | chosen))
    own = {"run_name": f"{name}_with", "upstream_run": name, "confusions_from": name}
    run.run(settings.load_profile("demo", demo | chosen | own), first="03")
    print(f"{name}: both runs in {time.time() - started:.0f} s", flush=True)


def answers(name: str) -> pd.DataFrame | None:
    """The test menus of a seed: id, without, with (bool); None until both runs have finished.

    Raises ValueError unless both were asked the same menus after the same number of steps.
    """
    names = (name, f"{name}_with")
    folders = [paths.stage_folder(run_name, "05_evaluation") for run_name in names]
    if not all(markers.finished(folder) for folder in folders):
        return None
    asked = [paths.stage_folder(run_name, "03_dataset") / "test.jsonl" for run_name in names]
    if records.sha256_file(asked[0]) != records.sha256_file(asked[1]):
        raise ValueError(f"{names[0]} and {names[1]} were not asked the same test questions")
    steps = [steps_of(run_name) for run_name in names]
    if steps[0] != steps[1]:
        raise ValueError(f"{names[0]} took {steps[0]} steps and {names[1]} {steps[1]}")
    marked = [menu_marks(folder) for folder in folders]
    return pd.DataFrame({"without": marked[0], "with": marked[1]})


def steps_of(run_name: str) -> int:
    return markers.read(paths.stage_folder(run_name, "04_training"))["counts"]["steps"]


def menu_marks(folder: Path) -> pd.Series:
    """{question's id: whether it was answered rightly} of the tuned model's test menus."""
    rows = pd.DataFrame(records.read_jsonl(folder / "predictions.jsonl"))
    is_menu = (rows.predictor == PREDICTOR) & (rows.protocol == PROTOCOL)
    return rows[is_menu].set_index("id").correct.astype(bool)


def print_seed(seed: int, name: str, pair: pd.DataFrame) -> None:
    folder = paths.stage_folder(f"{name}_with", "03_dataset")
    confused = records.read_table(folder / "confused_pairs.csv")
    audit = records.read_json(folder / "audit.json")
    guesser = audit["shortcut_test_confused"]
    print(
        f"seed {seed}: {len(confused)} pairs confused on validation, "
        f"{confused.n.astype(int).sum()} times; {steps_of(name)} steps each; a guesser without a "
        f"photo is right in {guesser['accuracy']:.4f} of {guesser['n']} such menus, chance "
        f"{guesser['chance']:.4f}"
    )
    print_pair(f"seed {seed}", pair)


def print_pair(what: str, pair: pd.DataFrame) -> None:
    """Both accuracies with their intervals, McNemar's p, and what difference n could show."""
    n = len(pair)
    without = pair["without"].to_numpy(bool)
    with_confusions = pair["with"].to_numpy(bool)
    shown = []
    for name, right in (("without", without), ("with", with_confusions)):
        low, high = intervals.wilson(int(right.sum()), n)
        shown.append(f"{name} {right.mean():.3f} [{low:.3f}, {high:.3f}]")
    difference = with_confusions.mean() - without.mean()
    differing = int((without != with_confusions).sum())
    p = intervals.mcnemar(without, with_confusions)
    print(
        f"  {what}, test menus: {', '.join(shown)}, difference {difference:+.3f}, McNemar p={p:.2g} "
        f"(n={n}, {differing} answered differently; the smallest difference that would show with so "
        f"many is {smallest_difference(n, differing):.3f})"
    )


def smallest_difference(n: int, differing: int) -> float:
    """The least difference of two accuracies on `n` questions that McNemar's test finds at 5%, when
    they differ on `differing` of them; on as few as any could, if those are too few.
    """
    while True:
        for only_first in range(differing // 2, differing + 1):
            first = np.arange(differing) < only_first
            if intervals.mcnemar(first, ~first) < SIGNIFICANT:
                return (2 * only_first - differing) / n
        differing += 1


if __name__ == "__main__":
    main()
