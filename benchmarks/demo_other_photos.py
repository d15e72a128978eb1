"""What finished runs of the demo get on far more photos than their test has, drawn with another seed.

    python benchmarks/demo_other_photos.py demo_seed0 [demo_seed1 ...]

A test of 428 photos tells 0.990 from 0.995 badly, and the runs of several seeds share its hard
photos. Each of these photos is asked about by name and on a menu that the run's own test has for the
dish. Settings of the demo are chosen on these photos, never on the test's.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from dishvl_lib.annotation import catalog
from dishvl_lib.core import artefacts, caches, intervals, paths, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import Record
from dishvl_lib.demo import dishes
from dishvl_lib.vlm.recognizer import Recognizer

PHOTOS_PER_DISH = 80
SEED = 1000  # the demo's is 0
BATCH = 16


def main(run_names: Sequence[str]) -> None:
    if not run_names:
        raise SystemExit("name one or more finished runs of the demo, such as demo_seed0")
    drawn = drawn_photos()
    for run_name in run_names:
        wrong, n = errors(run_name, drawn)
        for kind, count in wrong.items():
            low, high = intervals.wilson(n - count, n)
            print(
                f"{run_name}: {kind} {count} of {n} wrong, {(n - count) / n:.4f} "
                f"[{low:.4f}, {high:.4f}]"
            )


def drawn_photos() -> Path:
    """The folder of the other photos; drawn where they are not in the cache."""
    folder = paths.cache("demo_other_photos") / f"{PHOTOS_PER_DISH}_{SEED}"

    def draw(empty: Path) -> None:
        dishes.draw_demo_photos(empty / "set", photos_per_dish=PHOTOS_PER_DISH, seed=SEED)

    return caches.folder(folder, draw, "the other photos") / "set"


def errors(run_name: str, drawn: Path) -> tuple[dict[str, int], int]:
    """({naming, menu: wrong answers}, photos)."""
    test = records.read_jsonl(paths.stage_folder(run_name, "03_dataset") / "test.jsonl")
    naming = next(artefacts.text_of(row) for row in test if row["kind"] == "naming")
    recognizer = Recognizer.load(paths.stage_folder(run_name, "04_training") / "best")
    asked = questions(test, named_photos(run_name, drawn))
    wrong = {"naming": 0, "menu": 0}
    progress = Progress(run_name, len(asked), "photos")
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        queries = []
        for photo, _, row in batch:
            queries.append((photo, [naming], [(artefacts.text_of(row), row["menu"])]))
        replies = recognizer.answer_questions(queries, top_k=1)
        for (_, name, _), reply in zip(batch, replies, strict=True):
            best, _ = reply.choices[0].entries[0]
            wrong["naming"] += reply.names[0] != name
            wrong["menu"] += best != name
        progress.advance(len(batch))
    progress.close()
    return wrong, len(asked)


def named_photos(run_name: str, drawn: Path) -> list[tuple[Path, str]]:
    """(photo, its dish's name) of all that were not spoilt on purpose; folders are the demo's own."""
    annotation = paths.stage_folder(run_name, "01_annotation")
    names = artefacts.names_by_dish(records.read_jsonl(annotation / "dishes.jsonl"))
    known = catalog.read(annotation / "catalog.parquet")
    dish_of = dict(zip(known.folder, known.dish_id, strict=True))
    spoilt = set(records.read_json(drawn / "planted.json").values())
    photos = []
    for file in sorted((drawn / "photos").glob("*/*")):
        if str(file.relative_to(drawn)) not in spoilt:
            photos.append((file, names[dish_of[file.parent.name]]))
    return photos


def questions(
    test: Sequence[Record], photos: Sequence[tuple[Path, str]]
) -> list[tuple[Path, str, Record]]:
    """(photo, name, one of the test's menu questions about that dish)."""
    menus: dict[str, list[Record]] = {}
    for row in test:
        if row["kind"] == "menu":
            menus.setdefault(artefacts.answer_of(row), []).append(row)
    chance = random.Random(SEED)
    return [(file, name, chance.choice(menus[name])) for file, name in photos]


if __name__ == "__main__":
    main(sys.argv[1:])
