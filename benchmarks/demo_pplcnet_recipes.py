"""What PP-LCNet gains from the drawn recipes that the demo's vision tower has seen.

    python benchmarks/demo_pplcnet_recipes.py demo_seed0 [demo_seed1 ...]

It first learns to tell the recipes apart, with the demo's settings, and then the dishes of each
run, from those weights. Both its ways of naming are marked on the run's test questions.
"""

import sys
import tempfile
from pathlib import Path

import demo_exam
import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.core import settings
from dishvl_lib.demo import pretrain
from dishvl_lib.similarity import classifier

HELD_OUT = 1  # photos of each recipe by which the best epoch is chosen


def main(run_names: list[str]) -> None:
    if not run_names:
        raise SystemExit("name one or more finished runs of the demo, such as demo_seed0")
    with tempfile.TemporaryDirectory() as scratch:
        weights = learn_recipes(Path(scratch))
        for run_name in run_names:
            print(f"\n{run_name}: PP-LCNet that has seen the recipes, all training photos")
            made = demo_exam.answers(run_name, most_per_dish=None, init_weights=weights)
            for predictor, answered in made.items():
                for kind, marks in answered.groupby("kind")["correct"]:
                    shown = demo_exam.shown(int(marks.sum()), len(marks))
                    print(f"  {predictor:<32}{kind:<8}{shown}", flush=True)


def learn_recipes(folder: Path) -> Path:
    """Weights of the demo's PP-LCNet after training on the drawn recipes."""
    drawn = pretrain.draw(pretrain.Settings())
    photos = write_photos(drawn, folder / "recipes")
    chosen = settings.load_profile("demo")["02_similar_dishes"]
    learned = photos[photos["number"] >= HELD_OUT]
    held_out = photos[photos["number"] < HELD_OUT]
    weights = folder / "recipes.pdparams"
    options = {name: chosen[name] for name in demo_exam.SETTINGS}
    epochs = classifier.train(learned, held_out, folder / "recipes", weights, **options)
    best = max(epoch["validation_accuracy"] for epoch in epochs)
    print(f"recipes: {len(drawn)}, held-out photos named rightly: {best:.3f} (n={len(held_out)})")
    return weights


def write_photos(drawn: np.ndarray, folder: Path) -> pd.DataFrame:
    """Write (recipes, photos, side, side, 3) uint8 as files; path, dish_id and number of each."""
    rows = []
    for recipe, photos in enumerate(drawn):
        for number, pixels in enumerate(photos):
            path = f"{recipe:04d}/{number:03d}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / path)
            rows.append((path, f"{recipe:04d}", number))
    return pd.DataFrame(rows, columns=["path", "dish_id", "number"])


if __name__ == "__main__":
    main(sys.argv[1:])
