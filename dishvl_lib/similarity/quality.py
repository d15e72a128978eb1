"""How far the features and the look-alike lists can be trusted: cosines, stability, coverage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.core import intervals
from dishvl_lib.similarity import neighbours

RULES = ("ranked", "reference")


def cosines(
    features: np.ndarray, photos: pd.DataFrame, most: int = 100_000, seed: int = 0
) -> pd.DataFrame:
    """kind ("same dish" | "other dish"), cosine: up to `most` random pairs of each kind.

    Of training photos of different groups.
    """
    is_train = photos["split"] == "train"
    rows = np.flatnonzero(is_train.to_numpy())
    dish, _ = pd.factorize(photos["dish_id"])
    group, _ = pd.factorize(photos["group_id"])
    rng = np.random.default_rng(seed)
    grouped = pd.Series(rows).groupby(dish[rows])
    by_dish = [part.to_numpy() for _, part in grouped]
    of_dish = _same_pairs(by_dish, most, rng)
    same = _differing(of_dish, group)
    drawn = rng.choice(rows, (most, 2)) if len(by_dish) > 1 else np.zeros((0, 2), int)
    # A pair counts once, in whatever order it was drawn.
    ordered = np.sort(_differing(drawn, dish), axis=1)
    other = np.unique(ordered, axis=0)
    tables = []
    for kind, pairs in (("same dish", same), ("other dish", other)):
        first, second = pairs.T
        products = features[first] * features[second]
        cosine = products.sum(axis=1)
        table = pd.DataFrame({"kind": kind, "cosine": cosine})
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _differing(pairs: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The pairs of rows (N, 2) whose two rows have another label."""
    first, second = pairs.T
    return pairs[label[first] != label[second]]


def stability(
    features: np.ndarray, photos: pd.DataFrame, *, seeds: int = 5, k: int = 5, **mining: Any
) -> pd.DataFrame:
    """How much of a dish's top `k` stays when other photos are drawn.

    rule, seeds, dishes, overlap (mean), lo, hi. Overlap of two seeds: shared entries of the two
    lists over the longer list's length, averaged over dishes and pairs of seeds; lo and hi: 95%
    bootstrap interval over dishes. `mining` as `neighbours.mine` takes it. A dish without any
    look-alike under both seeds counts as unchanged.
    """
    rows = []
    for rule in RULES:
        lists = []
        for seed in range(seeds):
            mined = neighbours.mine(features, photos, seed=seed, rule=rule, **mining)
            top = _top(mined, k)
            lists.append(top)
        dishes = sorted(set().union(*lists))
        overlaps = []
        for dish in dishes:
            of_dish = [top.get(dish, set()) for top in lists]
            overlap = _mean_overlap(of_dish)
            overlaps.append(overlap)
        per_dish = np.array(overlaps)
        low, high = intervals.bootstrap_mean(per_dish)
        rows.append(
            {
                "rule": rule,
                "seeds": seeds,
                "dishes": len(dishes),
                "overlap": float(per_dish.mean()),
                "lo": low,
                "hi": high,
            }
        )
    return pd.DataFrame(rows)


def coverage(
    lists: Mapping[str, pd.DataFrame],
    features: np.ndarray,
    photos: pd.DataFrame,
    ks: tuple[int, ...] = (1, 5, 10),
) -> pd.DataFrame:
    """Do the lists name the dishes that photos are really taken for?

    list, k, n, hits, share, lo, hi, chance. Asked are the validation photos whose nearest training
    photo shows another dish (n of them); a hit is when that dish is among the first `k` of the own
    dish's list. lo, hi: 95% Wilson interval; chance: a list of k dishes at random.
    """
    split = photos["split"].to_numpy()
    is_query = split == "validation"
    is_gallery = split == "train"
    dish = photos["dish_id"].to_numpy()
    gallery_dish = dish[is_gallery]
    nearest, _ = neighbours.nearest(features[is_query], features[is_gallery], 1)
    truth = dish[is_query]
    answer = gallery_dish[nearest[:, 0]] if len(truth) else truth
    wrong = [(a, b) for a, b in zip(truth, answer, strict=True) if a != b]
    n = len(wrong)
    others = len(set(gallery_dish)) - 1
    rows = []
    for name, similar in lists.items():
        for k in ks:
            top = _top(similar, k)
            hits = sum(b in top.get(a, ()) for a, b in wrong)
            low, high = intervals.wilson(hits, n)
            share = hits / n if n else float("nan")
            chance = min(1.0, k / max(1, others))
            rows.append(
                {
                    "list": name,
                    "k": k,
                    "n": n,
                    "hits": hits,
                    "share": share,
                    "lo": low,
                    "hi": high,
                    "chance": chance,
                }
            )
    return pd.DataFrame(rows)


def _same_pairs(dishes: list[np.ndarray], most: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of rows within dishes, of each dish up to an equal share of `most`."""
    n_dishes = max(1, len(dishes))
    each = max(1, most // n_dishes)
    pairs = [np.zeros((0, 2), int)]
    for rows in dishes:
        first, second = np.triu_indices(len(rows), 1)
        places = np.stack([first, second], axis=1)
        order = rng.permutation(len(places))
        chosen = places[order[:each]]
        pairs.append(rows[chosen])
    return np.concatenate(pairs)


def _top(similar: pd.DataFrame, k: int) -> dict[str, set[str]]:
    close = similar[similar["rank"].astype(int) <= k]
    return {dish: set(part) for dish, part in close.groupby("dish_id").similar_id}


def _mean_overlap(tops: list[set[str]]) -> float:
    """Over all pairs of a dish's lists."""
    pairs = [_overlap(a, b) for number, a in enumerate(tops) for b in tops[:number]]
    return float(np.mean(pairs))


def _overlap(top: set[str], other: set[str]) -> float:
    longest = max(len(top), len(other))
    return len(top & other) / longest if longest else 1.0
