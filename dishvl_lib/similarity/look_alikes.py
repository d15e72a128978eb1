"""What the neighbours of photos say about dishes.

Clusters of look-alikes, doubtful labels, one dish under two names.

Only photos with split = train are asked about or found, as everywhere in this room. Nothing is
dropped here: what looks wrong is listed for people to decide.
"""

import itertools
from collections import Counter
from collections.abc import Mapping

import networkx
import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts
from dishvl_lib.core.decisions import REVIEW_COLUMNS
from dishvl_lib.core.types import DishNames, RecordView, RecordViews
from dishvl_lib.similarity import neighbours

# photos of a dish that others are compared with: all would be 20 times the work at 100,000 photos
GALLERY_PER_DISH = 16
# of both dishes' photos must have their nearest neighbour in the other dish for the two to look
# like one
TWIN_SHARE = 0.25
TWIN_LEAST = 4  # photos that both dishes must have for that to mean anything
CARD_FIELDS = ("cuisine", "cooking_method", "ingredients", "flavor", "color", "shape")


def described(similar: pd.DataFrame, dishes: RecordViews) -> pd.DataFrame:
    """`similar` (dish_id, similar_id, rank, score, n_votes) with `mutual` and `card_score` beside.

    mutual: the other dish lists this one too. card_score: weighted Jaccard of the words on the two
    dish cards (rare words weigh more), 0 to 1; NaN where a dish has no card. `dishes`: rows of
    dishes.jsonl.
    """
    pairs = list(zip(similar.dish_id, similar.similar_id, strict=True))
    known = set(pairs)
    words = {}
    for dish in dishes:
        if dish["card"]:
            words[dish["dish_id"]] = _words(dish["card"])
    counts = Counter(itertools.chain.from_iterable(words.values()))
    n_cards = len(words)
    weight = {word: float(np.log1p(n_cards / count)) for word, count in counts.items()}
    scores = []
    mutual = []
    for dish, other in pairs:
        score = _jaccard(words.get(dish), words.get(other), weight)
        scores.append(score)
        mutual.append((other, dish) in known)
    return similar.assign(mutual=mutual, card_score=np.round(scores, 4))


def problems(similar: pd.DataFrame, train: pd.DataFrame, names: DishNames) -> list[str]:
    """What must hold of look-alikes and does not, a sentence each with what to do; [] otherwise.

    similar: dish_id, similar_id; train: the training photos (dish_id); names: {dish_id: name}.
    """
    is_trained = similar.dish_id.isin(train.dish_id)
    untrained = similar[~is_trained]
    name = similar.dish_id.map(names)
    name_of_similar = similar.similar_id.map(names)
    twins = similar[name == name_of_similar]
    remedy = (
        "run this stage again with --redo 02, or leave the dish out by stage 01's exclude_dishes"
    )
    sentences = []
    if len(untrained):
        dish = untrained.dish_id.iloc[0]
        sentences.append(f"{dish} has look-alikes but no training photos; {remedy}")
    if len(twins):
        pair = " and ".join(twins[["dish_id", "similar_id"]].iloc[0])
        sentences.append(f"{pair} have one name and are each other's look-alikes; {remedy}")
    return sentences


def clusters(similar: pd.DataFrame, links: int = 3, seed: int = 0) -> pd.DataFrame:
    """dish_id, cluster, size: families of look-alikes, the largest first (cluster 1).

    A dish without look-alikes is a family of its own.

    Louvain communities (Blondel et al. 2008) of the graph in which two dishes are joined when each
    is among the other's `links` closest, weighted by their score.
    """
    close = similar[similar["rank"].astype(int) <= links]
    dishes = sorted({*similar.dish_id, *similar.similar_id})
    # Numbers stand for the dishes: sets of strings have no order of their own.
    number = {dish: place for place, dish in enumerate(dishes)}
    scores = {}
    for row in close.itertuples():
        place = number[row.dish_id]
        other = number[row.similar_id]
        scores[place, other] = float(row.score)
    edges = []
    for (dish, other), score in sorted(scores.items()):
        if dish < other and (other, dish) in scores:
            weight = max(score, 1e-6)
            edges.append((dish, other, weight))
    graph = networkx.Graph()
    graph.add_nodes_from(number.values())
    graph.add_weighted_edges_from(edges)
    communities = networkx.community.louvain_communities(graph, seed=seed)
    families = sorted(map(sorted, communities), key=_largest_first)
    rows = []
    for cluster, family in enumerate(families, start=1):
        size = len(family)
        rows += [(dishes[place], cluster, size) for place in family]
    return pd.DataFrame(rows, columns=list(artefacts.CLUSTER_COLUMNS))


def _largest_first(family: list[int]) -> tuple[int, list[int]]:
    return -len(family), family


def neighbourhood(
    features: np.ndarray, photos: pd.DataFrame, k: int = 5, seed: int = 0
) -> pd.DataFrame:
    """The `k` nearest photos of every training photo, outside its group.

    image_id, dish_id, path, n (place), other_id, other_dish, score.

    `features` row by row those of `photos`. At most GALLERY_PER_DISH photos of a dish can be found.
    """
    train = photos[photos.split == "train"]
    mixed = train.sample(frac=1, random_state=seed)
    place_in_dish = mixed.groupby("dish_id").cumcount()
    gallery = mixed[place_in_dish < GALLERY_PER_DISH].sort_index()
    groups, _ = pd.factorize(photos.group_id)
    rows = photos.index.get_indexer(train.index)
    gallery_rows = photos.index.get_indexer(gallery.index)
    nearest, scores = neighbours.nearest(
        features[rows],
        features[gallery_rows],
        k,
        query_groups=groups[rows],
        gallery_groups=groups[gallery_rows],
    )
    is_there = nearest >= 0
    queries, places = np.nonzero(is_there)
    photos_of_queries = train.iloc[queries]
    near = photos_of_queries[["image_id", "dish_id", "path"]].reset_index(drop=True)
    others = gallery.iloc[nearest[is_there]]
    return near.assign(
        n=places + 1,
        other_id=others.image_id.to_numpy(),
        other_dish=others.dish_id.to_numpy(),
        score=scores[is_there],
    )


def suspect_labels(near: pd.DataFrame) -> pd.DataFrame:
    """Photos of whose nearest neighbours none shows their own dish; most votes first.

    image_id, path, dish_id, looks_like, votes, of, score.

    `near`: a neighbourhood. Photos whose dish has no other photo to be found are not asked about.
    """
    photos_of_dish = near.groupby("dish_id").image_id.nunique()
    n_photos = near.dish_id.map(photos_of_dish)
    judged = near[n_photos > 1]
    is_its_dish = judged.dish_id == judged.other_dish
    meets_its_dish = is_its_dish.groupby(judged.image_id).any()
    # Of no photo at all, pandas' map gives no truth values.
    is_doubtful = judged.image_id.map(~meets_its_dish).astype(bool)
    doubtful = judged[is_doubtful]
    by_dish = doubtful.groupby(["image_id", "path", "dish_id", "other_dish"])
    votes = by_dish.agg(votes=("n", "size"), score=("score", "max")).reset_index()
    votes = votes.rename(columns={"other_dish": "looks_like"})
    order = ["votes", "score", "image_id"]
    most_first = votes.sort_values(order, ascending=[False, False, True])
    best = most_first.drop_duplicates("image_id")
    n_neighbours = doubtful.groupby("image_id").size()
    best = best.assign(of=best.image_id.map(n_neighbours))
    columns = ["image_id", "path", "dish_id", "looks_like", "votes", "of", "score"]
    return best[columns].reset_index(drop=True)


def twins(near: pd.DataFrame, names: DishNames) -> pd.DataFrame:
    """Pairs of dishes that look like one under two names, the most mixed first.

    As a review of names (REVIEW_COLUMNS).

    Of both dishes' photos at least TWIN_SHARE have their nearest neighbour outside the group in the
    other dish; photos that say nothing about the dish would have half. Dishes that share a name
    already are in stage 01's review.
    """
    first = near[near.n == 1]
    photos = first.groupby("dish_id").size()
    is_away = first.dish_id != first.other_dish
    away = first[is_away].groupby(["dish_id", "other_dish"]).size()
    rows = []
    for (dish, other), count in away.items():
        back = int(away.get((other, dish), 0))
        have_one_name = names.get(dish) == names.get(other)
        if dish > other or not back or have_one_name:
            continue
        n = photos[dish]
        n_other = photos[other]
        shares = (count / n, back / n_other)
        if min(shares) >= TWIN_SHARE and min(n, n_other) >= TWIN_LEAST:
            name = names.get(dish, dish)
            other_name = names.get(other, other)
            evidence = (
                f"{name} / {other_name}: nearest to a photo "
                f"of the other are {count} of {n} and {back} of {n_other} photos"
            )
            rows.append((dish, name, "look_the_same", other, evidence, int(n), sum(shares)))
    table = pd.DataFrame(rows, columns=[*REVIEW_COLUMNS, "mixed"])
    most_mixed_first = table.sort_values(["mixed", "dish_id"], ascending=[False, True])
    return most_mixed_first[list(REVIEW_COLUMNS)].reset_index(drop=True)


def _words(card: RecordView) -> set[str]:
    words: set[str] = set()
    for field in CARD_FIELDS:
        value = card.get(field) or []
        words.update([value] if isinstance(value, str) else value)
    return words


def _jaccard(words: set[str] | None, others: set[str] | None, weight: Mapping[str, float]) -> float:
    if not words or not others:
        return float("nan")
    shared = sum(weight[word] for word in words & others)
    total = sum(weight[word] for word in words | others)
    return shared / total
