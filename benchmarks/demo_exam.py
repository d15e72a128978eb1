"""Whether the demo's test became easier when it grew, judged by a PP-LCNet that learns as before.

    python benchmarks/demo_exam.py demo_seed0 demo_seed1     (runs that have finished stage 03)

The demo once drew 44 photos of each dish, fewer than today. Here PP-LCNet, with the settings of the
run, learns from as many of each dish's training and validation photos as it had then, and answers
today's test questions. If the test is as hard as it was, it scores what it scored then: its figures
of that time are printed below its figures of today.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dishvl_lib.annotation import catalog
from dishvl_lib.core import artefacts, intervals, paths, records, stages
from dishvl_lib.demo import builtin
from dishvl_lib.evaluation import predictors
from dishvl_lib.similarity import class_scores, classifier, features

PHOTOS_BEFORE = 44
# Training and validation photos of a dish, when a fifth was kept for the test.
LEARNED_BEFORE = 0.8 * PHOTOS_BEFORE
# (correct, n) when 44 photos a dish were drawn, from the README of that time.
BEFORE = {"all training photos registered": {"naming": (208, 231), "menu": (210, 231)}}
SETTINGS = ("scale", "image_size", "epochs", "batch_size", "learning_rate", "seed")


def main(run_names: Sequence[str]) -> None:
    for run_name in run_names:
        print(f"\n{run_name}: PP-LCNet from {PHOTOS_BEFORE} photos a dish, on today's test")
        for predictor, answered in answers(run_name).items():
            for kind, marks in answered.groupby("kind")["correct"]:
                print(f"  {predictor:<32}{kind:<8}{shown(int(marks.sum()), len(marks))}")
    print(f"\nwith {PHOTOS_BEFORE} photos a dish drawn, on the test of that time")
    for predictor, kinds in BEFORE.items():
        for kind, (correct, n) in kinds.items():
            print(f"  {predictor:<32}{kind:<8}{shown(correct, n)}")


def answers(
    run_name: str, most_per_dish: int | None = round(LEARNED_BEFORE), init_weights: str | Path = ""
) -> dict[str, pd.DataFrame]:
    """{predictor: kind and correct of each test question}, for another PP-LCNet than the run's.

    `most_per_dish`: photos of a dish that it learns from (None: all); `init_weights`: where its
    training starts.
    """
    photos = catalog.read(paths.stage_folder(run_name, "01_annotation") / "catalog.parquet")
    dishes = records.read_jsonl(paths.stage_folder(run_name, "01_annotation") / "dishes.jsonl")
    marker = records.read_json(paths.stage_folder(run_name, "02_similar_dishes") / stages.SUCCESS)
    chosen = {name: marker["parameters"][name] for name in SETTINGS}
    names = artefacts.names_by_dish(dishes)
    root, _ = builtin.photos(builtin.BUILTIN, [])
    train = thinned(photos[photos.split == "train"], chosen["seed"], most_per_dish)
    validation = thinned(photos[photos.split == "validation"], chosen["seed"], most_per_dish)
    test = photos[photos.split == "test"]
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "pplcnet.pdparams"
        classifier.train(train, validation, root, weights, init_weights=init_weights, **chosen)
        sizes = {"scale": chosen["scale"], "image_size": chosen["image_size"]}
        looked_at = pd.concat([train, test])
        cache = Path(scratch) / "features"
        image_ids, vectors, _ = features.extract(looked_at, root, weights, cache, **sizes)
        scores = class_scores.class_scores(test, root, weights, **sizes)
    by_image = dict(zip(image_ids, vectors, strict=True))
    asked = {
        "all training photos registered": predictors.NearestPredictor(by_image, train, names),
        "classifier": predictors.ClassifierPredictor(scores, names),
    }
    rows = records.read_jsonl(paths.stage_folder(run_name, "03_dataset") / "test.jsonl")
    return {name: marked(predictor.answer(rows), rows) for name, predictor in asked.items()}


def thinned(photos: pd.DataFrame, seed: int, most_per_dish: int | None) -> pd.DataFrame:
    """At most so many of each dish's photos, drawn by the seed."""
    if most_per_dish is None:
        return photos
    mixed = photos.sample(frac=1, random_state=seed)
    return pd.concat([rows.head(most_per_dish) for _, rows in mixed.groupby("dish_id")])


def marked(answered: Sequence[predictors.Answer], rows: Sequence[dict]) -> pd.DataFrame:
    truths = [artefacts.answer_of(row) for row in rows]
    correct = [answer.text == truth for answer, truth in zip(answered, truths, strict=True)]
    return pd.DataFrame({"kind": [row["kind"] for row in rows], "correct": correct})


def shown(correct: int, n: int) -> str:
    low, high = intervals.wilson(correct, n)
    return f"{correct / n:.3f} [{low:.3f}, {high:.3f}], n={n}"


if __name__ == "__main__":
    main(sys.argv[1:])
