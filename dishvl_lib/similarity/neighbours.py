"""Which dishes look alike: nearest neighbours over unit-length features.

By matrix multiplication in blocks: 3600 x 7200 x 1280 takes a second.

Only photos with split = train are registered or queried, everywhere in this module.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, intervals, records
from dishvl_lib.core.names import normalise
from dishvl_lib.core.types import DishNames

COLUMNS = ("dish_id", "group_id", "split")
BLOCK_ROWS = 1024


def nearest(
    queries: np.ndarray, gallery: np.ndarray, k: int, *, query_groups=None, gallery_groups=None
) -> tuple:
    """(indices (Q, k) int64, scores (Q, k) float32) of each query's `k` best rows, best first.

    Scores are dot products: cosines for unit-length rows. With groups (Q,) and (G,) a query never
    finds a row of its own group; where fewer than k rows are left, index -1 and score -inf fill up.
    Equal scores keep gallery order.
    """
    k = min(k, len(gallery))
    indices = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block = queries[rows] @ gallery.T
        if query_groups is not None:
            group_of_row = np.asarray(query_groups)[rows, None]
            block[group_of_row == np.asarray(gallery_groups)] = -np.inf
        indices[rows], scores[rows] = _top(block, k)
    indices[np.isneginf(scores)] = -1
    return indices, scores


def _top(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(columns, scores) of each row's `k` highest scores, (rows, k) each, equal ones in order."""
    if k < block.shape[1]:
        highest = np.argpartition(-block, k - 1, axis=1)[:, :k]
        columns = np.sort(highest, axis=1)
        scores = np.take_along_axis(block, columns, 1)
    else:
        columns = np.tile(np.arange(k), (len(block), 1))
        scores = block
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), np.take_along_axis(scores, order, 1)


def mine(
    features: np.ndarray,
    photos: pd.DataFrame,
    *,
    register_per_dish: int = 2,
    query_per_dish: int = 1,
    top_k: int = 10,
    margin: float = 0.1,
    seed: int = 0,
    names: DishNames | None = None,
    rule: str = "ranked",
) -> pd.DataFrame:
    """Look-alikes of each dish: dish_id, similar_id, rank (1 = closest), score, n_votes.

    `features` (N, D), unit length, row by row those of `photos` (dish_id, group_id, split). Of each
    dish `register_per_dish` photos are registered and `query_per_dish` others, of other groups
    where there are any, are compared with all registered photos; a dish's score for a query is its
    best registered photo's. A query votes for the (at most `top_k`) dishes whose score is at least
    its own dish's minus `margin`: n_votes.

    rule "reference" keeps the dishes with a vote, by votes and then mean query score. rule "ranked"
    gives every dish its `top_k` closest, by the mean of query score and cosine of the dishes'
    centroids, votes shown beside. Dishes with the same name in `names` never are each other's
    look-alikes. `attrs` of the result hold `not_queried` (dishes with one photo), `registered` and
    `queried` (row numbers of `photos`). Raises ValueError when features and photos do not fit
    together or fewer than two dishes can be compared.
    """
    _check(features, photos)
    if rule not in ("ranked", "reference"):
        raise ValueError(f"rule must be 'ranked' or 'reference', got {rule!r}")
    registered, queried = draw(photos, register_per_dish, query_per_dish, seed)
    dishes = sorted(registered)
    n = len(dishes)
    if n < 2:
        raise ValueError(f"look-alikes need at least two dishes with training photos, got {n}")
    forbidden = _forbidden(dishes, names)
    ranking, votes = _query_scores(features, dishes, registered, queried, forbidden, margin, top_k)
    if rule == "ranked":
        centroid_scores = _centroid_scores(features, photos, dishes)
        ranking = (ranking + centroid_scores) / 2
    ranking[forbidden] = -np.inf
    table = _as_table(dishes, ranking, votes, top_k, rule)
    table.attrs = {
        "not_queried": [dish for dish, rows in queried.items() if not rows],
        "registered": list(itertools.chain.from_iterable(registered.values())),
        "queried": list(itertools.chain.from_iterable(queried.values())),
    }
    return table


def draw(
    photos: pd.DataFrame, register_per_dish: int, query_per_dish: int, seed: int
) -> tuple[dict, dict]:
    """(registered, queried): dish -> row numbers of its training photos, never overlapping.

    Both name the dishes in their order.
    """
    if register_per_dish < 1 or query_per_dish < 1:
        raise ValueError("register_per_dish and query_per_dish must be at least 1")
    numbered = photos.reset_index(drop=True)
    is_train = numbered["split"] == "train"
    train = numbered[is_train]
    registered = {}
    queried = {}
    for dish, rows in train.groupby("dish_id", sort=True):
        rng = np.random.default_rng([seed, *str(dish).encode()])
        members = rows.groupby("group_id", sort=True).indices.values()
        shuffled = []
        for places in members:
            mixed = rng.permutation(places)
            shuffled.append(rows.index[mixed].tolist())
        order = rng.permutation(len(shuffled))
        groups = [shuffled[number] for number in order]
        registered[dish], queried[dish] = _divide(groups, register_per_dish, query_per_dish)
    return registered, queried


def _divide(groups: list[list[int]], register: int, query: int) -> tuple[list[int], list[int]]:
    """The photos of one dish, group by group, as registered ones and queries."""
    if len(groups) == 1:
        (photos,) = groups
        count = max(1, min(register, len(photos) - 1))
        return photos[:count], photos[count : count + query]
    n = len(groups)
    n_registered = max(1, min(register, n - query, n - 1))
    registered = _round_robin(groups[:n_registered])
    queried = _round_robin(groups[n_registered:])
    return registered[:register], queried[:query]


def _round_robin(groups: list[list[int]]) -> list[int]:
    """The first photo of each group, then the second of each, and so on."""
    turns = itertools.zip_longest(*groups)
    return [photo for turn in turns for photo in turn if photo is not None]


def _query_scores(
    features, dishes, registered, queried, forbidden, margin, top_k
) -> tuple[np.ndarray, np.ndarray]:
    """((dishes, dishes) mean query score, votes).

    A dish without a query is ranked by its registered photos.
    """
    counts = [len(rows) for rows in registered.values()]
    starts = np.cumsum([0, *counts[:-1]])
    gallery_rows = np.concatenate([*registered.values()])
    gallery = features[gallery_rows]
    n = len(dishes)
    scores = np.empty((n, n), np.float32)
    votes = np.zeros((n, n), np.int64)
    for index, dish in enumerate(dishes):
        queries = queried[dish]
        rows = queries or registered[dish]
        to_photos = features[rows] @ gallery.T
        by_dish = np.maximum.reduceat(to_photos, starts, axis=1)
        scores[index] = by_dish.mean(axis=0)
        if queries:
            votes[index] = _votes(by_dish, index, forbidden[index], margin, top_k)
    return scores, votes


def _votes(
    by_dish: np.ndarray, queried: int, forbidden: np.ndarray, margin: float, top_k: int
) -> np.ndarray:
    """(dishes,) votes of a dish's queries, from their scores (queries, dishes)."""
    least = by_dish[:, queried, None] - margin
    is_close = ~forbidden & (by_dish >= least)
    close = np.where(is_close, by_dish, -np.inf)
    order = np.argsort(-close, axis=1, kind="stable")
    places = np.argsort(order, axis=1)
    is_vote = is_close & (places < top_k)
    return is_vote.sum(axis=0)


def _centroid_scores(features: np.ndarray, photos: pd.DataFrame, dishes: list[str]) -> np.ndarray:
    """(dishes, dishes) cosines between the mean training features of the dishes."""
    train = (photos["split"] == "train").to_numpy()
    codes = pd.Categorical(photos["dish_id"][train], categories=dishes).codes
    _, width = features.shape
    sums = np.zeros((len(dishes), width), np.float32)
    np.add.at(sums, codes, features[train])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centroids = sums / np.maximum(lengths, 1e-12)
    return centroids @ centroids.T


def _forbidden(dishes: list[str], names: DishNames | None) -> np.ndarray:
    """(dishes, dishes) bool: the dish itself, and dishes that share its name.

    As `core.names.normalise` compares names. Those of which nothing is left to compare count as
    one: nobody can be asked about such dishes.
    """
    # Without a name a dish is only itself: no name holds a null.
    comparable = {dish: f"\0{dish}" for dish in dishes}
    for dish, name in (names or {}).items():
        comparable[dish] = normalise(name)
    labels = np.array([comparable[dish] for dish in dishes])
    has_one_name = labels[:, None] == labels
    return has_one_name | np.eye(len(dishes), dtype=bool)


def _as_table(
    dishes: list[str], ranking: np.ndarray, votes: np.ndarray, top_k: int, rule: str
) -> pd.DataFrame:
    """SIMILAR_COLUMNS of the matrices (dishes, dishes) of scores and votes."""
    rows = []
    for dish, scores, n_votes in zip(dishes, ranking, votes, strict=True):
        allowed = np.isfinite(scores)
        keys = [-scores]
        if rule == "reference":
            allowed &= n_votes > 0
            keys.append(-n_votes)
        order = np.lexsort(keys)
        is_allowed = allowed[order]
        closest = order[is_allowed][:top_k]
        their_scores = scores[closest].tolist()
        their_votes = n_votes[closest].tolist()
        facts = zip(closest, their_scores, their_votes, strict=True)
        for rank, (other, score, votes_of_other) in enumerate(facts, start=1):
            rows.append((dish, dishes[other], rank, score, votes_of_other))
    return pd.DataFrame(rows, columns=list(artefacts.SIMILAR_COLUMNS))


def recall_at_k(
    features: np.ndarray,
    photos: pd.DataFrame,
    ks: Sequence[int] = (1, 5),
    query_split: str = "train",
) -> pd.DataFrame:
    """How often a photo's k nearest training photos hold its dish.

    k, n, hits, recall, lo, hi, no_partner, chance.

    Leave-group-out: a photo never finds one of its own group. Queries whose dish has no training
    photo of another group cannot be right; they are counted in `no_partner`, not in `n`.
    `query_split` "validation" asks with photos that were not trained on. lo and hi: 95% Wilson
    interval. chance: one draw per photo from the same gallery.
    """
    _check(features, photos)
    split = photos["split"].to_numpy()
    is_query = split == query_split
    is_gallery = split == "train"
    dish, _ = pd.factorize(photos["dish_id"])
    group, _ = pd.factorize(photos["group_id"])
    query_dish = dish[is_query]
    query_group = group[is_query]
    gallery_dish = dish[is_gallery]
    gallery_group = group[is_gallery]
    neighbours, _ = nearest(
        features[is_query],
        features[is_gallery],
        max(ks),
        query_groups=query_group,
        gallery_groups=gallery_group,
    )
    queries = zip(query_dish, query_group, strict=True)
    shares = [_partner_share(gallery_dish, gallery_group, *query) for query in queries]
    share = np.array(shares)
    is_there = neighbours >= 0
    is_its_dish = gallery_dish[neighbours] == query_dish[:, None]
    is_hit = is_there & is_its_dish
    has_partner = share > 0
    no_partner = len(share) - int(has_partner.sum())
    hit = is_hit[has_partner]
    share = share[has_partner]
    rows = [_recall_row(k, hit, share, no_partner) for k in ks]
    return pd.DataFrame(rows)


def _recall_row(k: int, hit: np.ndarray, share: np.ndarray, no_partner: int) -> dict:
    n = len(hit)
    is_right = hit[:, :k].any(axis=1)
    hits = int(is_right.sum())
    low, high = intervals.wilson(hits, n)
    all_miss = (1 - share) ** k
    chance = float((1 - all_miss).mean()) if n else 0.0
    recall = hits / n if n else float("nan")
    return {
        "k": k,
        "n": n,
        "hits": hits,
        "recall": recall,
        "lo": low,
        "hi": high,
        "no_partner": no_partner,
        "chance": chance,
    }


def _partner_share(
    gallery_dish: np.ndarray, gallery_group: np.ndarray, dish: int, group: int
) -> float:
    other = gallery_group != group
    if not other.any():
        return 0.0
    is_partner = gallery_dish[other] == dish
    return float(is_partner.mean())


def _check(features: np.ndarray, photos: pd.DataFrame) -> None:
    records.require_columns(photos, COLUMNS, "photos for neighbours")
    n = len(features)
    if n != len(photos):
        raise ValueError(f"{n} features for {len(photos)} photos: they must be aligned row by row")
    is_whole = np.isfinite(features).all(axis=1)
    if not is_whole.all():
        bad = np.flatnonzero(~is_whole)
        raise ValueError(f"{len(bad)} of {n} features are not finite, first in row {bad[0]}")
