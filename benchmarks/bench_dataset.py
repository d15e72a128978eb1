"""Stage 03 at full size: questions from 100,000 photos of 3,600 dishes, how long and with how much
memory, and the guesser's luck.

    python benchmarks/bench_dataset.py

Goals: 200,000 questions in under 60 s on 2 cores and under 2 GB; a guesser that never sees a photo
at most one point above chance on 10,000 test menus of 20.
"""

import resource
import time

import numpy as np
import pandas as pd

from dishvl_lib.dataset import conversations, leaks, menus, shortcuts

PHOTOS = 100_000
DISHES = 3600
TEST_MENUS = 10_000
PARTS = "鱼肉鸡鸭虾蟹豆笋瓜菇芹藕茄椒蛋牛羊猪鹅蛤"
WAYS = "红烧清蒸爆炒凉拌油焖干煸水煮"


def catalogue(rng: np.random.Generator) -> pd.DataFrame:
    dish = rng.integers(0, DISHES, PHOTOS)
    split = rng.choice(["train", "validation", "test"], PHOTOS, p=[0.944, 0.02, 0.036])
    ids = [f"{i:016x}" for i in range(PHOTOS)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"{d:04d}/{i}.jpg" for d, i in zip(dish, ids, strict=True)],
            "dish_id": [f"{d:04d}" for d in dish],
            "group_id": ids,
            "split": split,
            "sha256": ids,
            "site": [f"S{d % 12}" for d in dish],
            "folder": "",
        }
    )


def main() -> None:
    rng = np.random.default_rng(0)
    photos = catalogue(rng)
    ways = [WAYS[i : i + 2] for i in range(0, len(WAYS), 2)]
    names = {
        f"{d:04d}": f"{ways[d % 7]}{PARTS[d // 7 % 20]}{PARTS[d // 140 % 20]}{'一二三四五六七八九十'[d // 2800]}"
        for d in range(DISHES)
    }
    families = rng.permutation(DISHES).reshape(-1, 6)
    rows = [
        (f"{a:04d}", f"{b:04d}", str(rank))
        for family in families
        for a in family
        for rank, b in enumerate((b for b in family if b != a), start=1)
    ]
    similar = pd.DataFrame(rows, columns=["dish_id", "similar_id", "rank"])
    names, left_out = menus.askable(names)
    started = time.perf_counter()
    made = {
        split: conversations.rows(photos, split, names, similar, menu_size=size)
        for split, size in (("train", 10), ("validation", 20), ("test", 20))
    }
    seconds = time.perf_counter() - started
    count = sum(map(len, made.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} questions from {PHOTOS:,} photos of {len(names):,} dishes: {seconds:.1f} "
        f"s (goal 60), peak {peak:,.0f} MB (goal 2,000); {len(left_out)} dishes left out"
    )
    print(f"leaks: {len(leaks.find(photos))}")
    ranks = shortcuts.ranks_by_name(similar, names)
    guesser = shortcuts.fit(
        [row for row in made["train"] if row["kind"] == "menu"][:TEST_MENUS], ranks
    )
    per_photo = -(-TEST_MENUS // int((photos.split == "test").sum()))
    tried = conversations.rows(
        photos,
        "test",
        names,
        similar,
        menu_size=20,
        naming_per_photo=0,
        menus_per_photo=per_photo,
        seed=1,
    )[:TEST_MENUS]
    found = shortcuts.measure(guesser, tried)
    print(
        f"guesser without a photo: {found['correct']} of {found['n']} = "
        f"{found['accuracy']:.4f} {found['ci95']}, chance {found['chance']:.4f}, above it "
        f"{found['excess']:+.4f} (goal +0.01)"
    )


if __name__ == "__main__":
    main()
