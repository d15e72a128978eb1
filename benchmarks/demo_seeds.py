"""How much the demo's figures depend on the seed: every predictor, over several runs.

    python benchmarks/demo_seeds.py                          # seeds 0-4 on drawn dishes
    python benchmarks/demo_seeds.py --image-root DIR         # the same on your own folder of dishes
    python benchmarks/demo_seeds.py --image-root DIR --from-nothing   # with PP-LCNet from nothing
    python benchmarks/demo_seeds.py --seeds 0 1 --read-only  # only what has been run already

A run that has finished is read, not made again. The seed chooses the split, the questions, the
order of training and PP-LCNet's start; photos and base model are the same in all runs, so the runs
are not independent. One p is pooled all the same, of the goal that the model with its gallery is
not worse than the better of the two: questions that share photos make it smaller than it should be,
so that it is stricter than it looks.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib import cli, run
from dishvl_lib.core import markers, params, paths, records, settings
from dishvl_lib.evaluation import metrics

OURS = "tuned"
TOGETHER = "hybrid"
ALONE = ("tuned", "gallery")
MOST_BELOW = 0.005  # of the mean accuracy
SIGNIFICANT = 0.05
RIVALS = ("pplcnet",)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    tables = {}
    rivals = {}
    runs = []
    for seed in options.seeds:
        name = f"{options.prefix}{seed}"
        if not options.read_only:
            make(name, seed, options.image_root, options.from_nothing)
        predictions = read(name)
        if predictions is None:
            print(f"seed {seed}: {name} has not finished and is left out")
            continue
        runs.append(predictions)
        tables[seed] = metrics.accuracy_table(predictions)
        rivals[seed] = metrics.rivals(tables[seed], metrics.compare(predictions, OURS), RIVALS)
    if not tables:
        raise SystemExit("no run has finished; leave out --read-only")
    for seed, table in tables.items():
        print_run(seed, table, rivals[seed])
    print_spread(tables)
    print_together(runs)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The demo over several seeds: figures and spread.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--image-root", help="one folder of photos per dish; default: drawn dishes")
    parser.add_argument(
        "--from-nothing",
        action="store_true",
        help="stage 02 trains PP-LCNet on one's own photos even where the pretrained net is there",
    )
    parser.add_argument("--prefix", help="run names without the seed; default: demo_seed")
    parser.add_argument(
        "--read-only", action="store_true", help="only read runs that have finished"
    )
    options = parser.parse_args(arguments)
    if options.prefix is None:
        photos = Path(options.image_root).name if options.image_root else "demo"
        options.prefix = f"{photos}_seed"
    return options


def make(name: str, seed: int, image_root: str | None, from_nothing: bool) -> None:
    """Runs all five stages for one seed; says the seconds when anything was left to do."""
    started = time.time()
    overrides = cli.demo_overrides(image_root, name) | {"seed": seed}
    if from_nothing:
        for key in params.WITH_EFFICIENTNET_LITE0:
            overrides.pop(key, None)
    run.run(settings.load_profile("demo", overrides))
    print(f"{name}: {time.time() - started:.0f} s", flush=True)


def read(name: str) -> pd.DataFrame | None:
    """The predictions of a run that has finished, or None."""
    folder = paths.stage_folder(name, "05_evaluation")
    if not markers.finished(folder):
        return None
    return pd.DataFrame(records.read_jsonl(folder / "predictions.jsonl"))


def print_run(seed: int, table: pd.DataFrame, rivals: pd.DataFrame) -> None:
    """One seed: every predictor's accuracy, and McNemar's p against the best PP-LCNet row."""
    print(f"\nseed {seed}")
    for row in table.itertuples():
        interval = f"[{row.ci_low:.3f}, {row.ci_high:.3f}], n={row.n}, chance {row.chance:.2f}"
        print(f"  {row.predictor:<20}{row.protocol:<22}{row.accuracy:.3f} {interval}")
    for row in rivals.itertuples():
        pair = f"{OURS} {row.accuracy_reference:.3f} against {row.rival} {row.accuracy:.3f}"
        print(f"  {row.protocol:<22}{pair}: McNemar p={row.p:.2g} (n={row.n})")


def print_spread(tables: dict[int, pd.DataFrame]) -> None:
    """Mean, lowest and highest accuracy over the seeds, of every predictor and protocol."""
    joined = pd.concat([table.assign(seed=seed) for seed, table in tables.items()])
    print(f"\nover {len(tables)} seeds ({', '.join(map(str, tables))})")
    for (predictor, protocol), rows in joined.groupby(["predictor", "protocol"], sort=False):
        share = rows["accuracy"]
        seeds = "" if len(rows) == len(tables) else f", in {len(rows)} of the seeds"
        sizes = f"{rows['n'].min()}-{rows['n'].max()}"
        spread = share.std(ddof=1) if len(rows) > 1 else math.nan
        print(
            f"  {predictor:<20}{protocol:<22}mean {share.mean():.3f}, lowest {share.min():.3f}, "
            f"highest {share.max():.3f}, spread {spread:.3f}, n={sizes}{seeds}"
        )


def print_together(runs: Sequence[pd.DataFrame]) -> None:
    """The model with its gallery over all seeds, against the better of the two alone."""
    known = set(pd.concat(runs)["predictor"])
    if TOGETHER not in known:
        return
    print(f"\n{TOGETHER} against the better of {' and '.join(ALONE)}, {len(runs)} seeds together")
    print(
        "  (McNemar over the discordant questions of all seeds; photos are shared by seeds, which "
        "makes p smaller than it should be)"
    )
    table = metrics.against_better(runs, TOGETHER, ALONE)
    for row in table.itertuples():
        print(
            f"  {row.protocol:<22}{row.accuracy:.4f}, {row.rival} {row.accuracy_rival:.4f}: "
            f"{row.difference:+.4f}, {row.only_predictor} against {row.only_rival} questions, "
            f"p={row.p:.2g} (n={row.n}): {verdict(row)}"
        )


def verdict(row: Any) -> str:
    """Whether the goal holds in a protocol."""
    if row.difference < 0 and row.p < SIGNIFICANT:
        return "worse"
    return "below the goal" if row.difference < -MOST_BELOW else "not worse"


if __name__ == "__main__":
    main()
