"""What stage 02's two nets know of real photos: PP-LCNet from nothing and EfficientNet-Lite0.

    DISHVL_TEST_DATA=... python benchmarks/bench_features.py

On zh_dishes10 (without DISHVL_TEST_DATA: drawn dishes). PP-LCNet x0.25 learns at 80 px for 12
epochs from the training photos, so both nets are asked about the photos of the other splits alone.
A photo never finds a near-duplicate of its own, by hash or by the list beside the photos, where it
is not said otherwise. Nothing here was chosen by these figures but the cosine of near-duplicates,
which `params.WITH_EFFICIENTNET_LITE0` explains.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

CORES = 2
os.sched_setaffinity(
    0, sorted(os.sched_getaffinity(0))[:CORES]
)  # before numpy and Paddle count the cores

import bench_near_duplicates as near  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from dishvl_lib.annotation import catalog  # noqa: E402
from dishvl_lib.core import intervals, params, photo_hashes  # noqa: E402
from dishvl_lib.demo import dishes  # noqa: E402
from dishvl_lib.evaluation import predictors  # noqa: E402
from dishvl_lib.similarity import (  # noqa: E402
    class_scores,
    classifier,
    features,
    look_alikes,
    neighbours,
    quality,
)

SIZES = {"scale": 0.25, "image_size": 80}
TRAINING = SIZES | {"epochs": 12, "batch_size": 32, "learning_rate": 0.005, "seed": near.SEED}
LISTED = "zh_dishes10_near_duplicates.csv"
REGISTERED = 2
DRAWS = 20
MISLABELLED = 0.06
COSINES = {
    params.PPLCNET: params.defaults("01")["min_cosine"],
    params.EFFICIENTNET_LITE0: params.WITH_EFFICIENTNET_LITE0["min_cosine"],
}


class Photos(NamedTuple):
    """The photos of a folder, and the pairs of near-duplicates that are listed beside them."""

    root: Path
    table: pd.DataFrame
    listed: list[tuple[str, str]]


class Net(NamedTuple):
    """A net's word, its file of weights if it was trained here, and its vectors of the photos."""

    word: str
    weights: Path | None
    vectors: np.ndarray


def read_photos(scratch: Path) -> Photos:
    data = os.environ.get("DISHVL_TEST_DATA", "")
    if data:
        root = Path(data) / "zh_dishes10"
        pairs = pd.read_csv(Path(data) / LISTED)[["a", "b"]].itertuples(index=False, name=None)
        listed = list(pairs)
    else:
        dishes.draw_demo_photos(scratch / "drawn", photos_per_dish=20)
        root = scratch / "drawn" / "photos"
        listed = []
    table, _, _ = catalog.build(root, [], **near.SHARES)
    return Photos(root, joined(table, listed), listed)


def joined(table: pd.DataFrame, listed: list[tuple[str, str]]) -> pd.DataFrame:
    """The photos with the groups of every listed pair made one, in the split of the first."""
    table = table.copy()
    for a, b in listed:
        first, second = (table.index[table.path == path][0] for path in (a, b))
        same = table.group_id == table.group_id[second]
        table.loc[same, "split"] = table.split[first]
        table.loc[same, "group_id"] = table.group_id[first]
    return table


def trained(photos: Photos, scratch: Path) -> Path:
    weights = scratch / "pplcnet.pdparams"
    splits = [photos.table[photos.table.split == split] for split in ("train", "validation")]
    classifier.train(*splits, photos.root, weights, **TRAINING)
    return weights


def opened(word: str, photos: Photos, scratch: Path) -> Net:
    """The net with its vectors; prints how many photos a second, its weights being there."""
    weights = trained(photos, scratch) if word == params.PPLCNET else None
    root = photos.root
    features.extract(photos.table[:1], root, weights, scratch / word, net=word, **SIZES)
    started = time.perf_counter()
    used = time.process_time()
    _, vectors, _ = features.extract(photos.table, root, weights, scratch / word, net=word, **SIZES)
    rate = (len(vectors) - 1) / (time.perf_counter() - started)
    core_rate = (len(vectors) - 1) / (time.process_time() - used)
    print(f"\n== {word} ==\n{rate:.0f} photos a second on {CORES} cores, decoding included")
    print(f"{core_rate:.0f} photos a core-second, which other processes hardly change")
    return Net(word, weights, vectors)


def shown(hits: int, n: int) -> str:
    low, high = intervals.wilson(hits, n)
    return f"{hits / n if n else float('nan'):.3f} [{low:.3f}, {high:.3f}], n={n}"


def unseen(table: pd.DataFrame) -> pd.DataFrame:
    """The photos with every split but train as one, which is asked about."""
    return table.assign(split=table.split.where(table.split == "train", "validation"))


def recall(net: Net, table: pd.DataFrame) -> None:
    asked = {"not trained on, against training photos": (unseen(table), "validation")}
    if net.weights is None:
        everything = table.assign(split="train")
        alone = everything.assign(group_id=everything.image_id)
        asked["all, each against all others"] = (everything, "train")
        asked["all, near-duplicates counted"] = (alone, "train")
    for title, (photos, split) in asked.items():
        for row in neighbours.recall_at_k(net.vectors, photos, query_split=split).itertuples():
            print(f"recall@{row.k}, {title}: {shown(row.hits, row.n)}, chance {row.chance:.2f}")


def few_registered(net: Net, table: pd.DataFrame) -> None:
    """How often the nearest of a few registered photos a dish is right, over several draws."""
    vectors = dict(zip(table.image_id, net.vectors, strict=True))
    asked = table[table.split != "train"]
    queries = np.stack([vectors[image_id] for image_id in asked.image_id])
    rates = []
    for seed in range(DRAWS):
        gallery = predictors.register(table, REGISTERED, seed)
        cosines = queries @ np.stack([vectors[image_id] for image_id in gallery.image_id]).T
        answers = gallery.dish_id.to_numpy()[cosines.argmax(axis=1)]
        rates.append(float((answers == asked.dish_id.to_numpy()).mean()))
    print(
        f"{REGISTERED} registered per dish, {DRAWS} draws: mean {np.mean(rates):.3f} "
        f"({min(rates):.3f}-{max(rates):.3f}), n={len(asked)} each"
    )


def classes(net: Net, photos: Photos) -> None:
    asked = photos.table[photos.table.split != "train"]
    if net.weights is None:
        train = photos.table[photos.table.split == "train"]
        scores = class_scores.fitted(train, asked, net.vectors)
    else:
        scores = class_scores.class_scores(asked, photos.root, net.weights, **SIZES)
    answers = scores["dish_id"][scores["log_probability"].argmax(axis=1)]
    print(f"class head: {shown(int((answers == asked.dish_id).sum()), len(asked))}")


def look_alike_lists(net: Net, table: pd.DataFrame) -> None:
    """Of the photos that are taken for another dish, how many have it on their dish's list."""
    photos = unseen(table)
    lists = {rule: neighbours.mine(net.vectors, photos, rule=rule) for rule in quality.RULES}
    for row in quality.coverage(lists, net.vectors, photos, ks=(1, 3, 5)).itertuples():
        print(
            f"confusions on the {row.list} list's first {row.k}: {shown(row.hits, row.n)}, "
            f"chance {row.chance:.2f}"
        )


def planted_labels(net: Net, table: pd.DataFrame) -> None:
    """Training photos that are given another dish's label: how many are suspected, and who else."""
    rng = np.random.default_rng(near.SEED)
    train = table.index[table.split == "train"]
    wrong = rng.choice(train, round(MISLABELLED * len(train)), replace=False)
    labels = sorted(table.dish_id.unique())
    planted = table.copy()
    for row in wrong:
        others = [label for label in labels if label != table.dish_id[row]]
        planted.loc[row, "dish_id"] = others[rng.integers(len(others))]
    near_by = look_alikes.neighbourhood(net.vectors, planted, seed=near.SEED)
    suspects = set(look_alikes.suspect_labels(near_by).image_id)
    hits = len(suspects & set(table.image_id[wrong]))
    print(
        f"wrong labels that are suspected: {shown(hits, len(wrong))}; other suspects "
        f"{len(suspects) - hits} of {len(train) - len(wrong)}"
    )


def planted_twins(net: Net, table: pd.DataFrame) -> None:
    """Each dish in turn under two names, half of its groups each: how often the two are listed.

    A net that was trained here was so under the true names.
    """
    hits = 0
    others = set()
    dishes = sorted(table.dish_id.unique())
    for dish in dishes:
        groups = sorted(table.group_id[table.dish_id == dish].unique())
        twin = table.group_id.isin(groups[::2]) & (table.dish_id == dish)
        planted = table.assign(dish_id=table.dish_id.mask(twin, f"{dish} II"))
        names = {name: name for name in planted.dish_id.unique()}
        near_by = look_alikes.neighbourhood(net.vectors, planted, seed=near.SEED)
        listed = look_alikes.twins(near_by, names)[["dish_id", "other_dish"]]
        pairs = {frozenset(pair) for pair in listed.itertuples(index=False, name=None)}
        hits += frozenset((dish, f"{dish} II")) in pairs
        others |= pairs - {frozenset((dish, f"{dish} II"))}
    print(
        f"dishes under two names that are listed: {shown(hits, len(dishes))}; others {len(others)}"
    )


def near_duplicates(net: Net, photos: Photos, scratch: Path) -> None:
    """Planted crops and shifts that are joined, by hashes alone and with the net's vectors."""
    root = scratch / f"planted_{net.word}"
    planted = near.plant(photos.root, root, near.PLANTED, tuple(near.KINDS)[4:])
    table, _, _ = catalog.build(root, [], **near.SHARES)
    planted = planted[planted.a.isin(set(table.path)) & planted.b.isin(set(table.path))]
    known = {frozenset(pair) for pair in photos.listed}
    image_ids, vectors, _ = features.extract(
        table, root, net.weights, scratch / net.word, net=net.word, **SIZES
    )
    by_id = dict(zip(image_ids, vectors, strict=True))
    cosine = COSINES[net.word]
    limits = {"hashes alone": {}}
    loose = photo_hashes.loose_for(net.word)
    title = f"hashes and vectors, min_cosine {cosine:g}, at most {loose:g} times the limit of bits"
    limits[title] = {"features": by_id, "min_cosine": cosine, "loose": loose}
    for title, chosen in limits.items():
        near.unplanted(near.joined(table, planted, title, **chosen), planted, known)


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        photos = read_photos(scratch)
        splits = photos.table.split.value_counts().to_dict()
        print(f"{len(photos.table)} photos, {photos.table.group_id.nunique()} groups, {splits}")
        for word in words or list(COSINES):
            net = opened(word, photos, scratch)
            recall(net, photos.table)
            few_registered(net, photos.table)
            classes(net, photos)
            look_alike_lists(net, photos.table)
            planted_labels(net, photos.table)
            planted_twins(net, photos.table)
            near_duplicates(net, photos, scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
