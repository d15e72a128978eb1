"""What the neighbours of photos say about dishes.

Clusters of look-alikes, doubtful labels, one dish under two names.

Only photos with split = train are asked about or found, as everywhere in this room. Nothing is
dropped here: what looks wrong is listed for people to decide.
"""

from collections.abc import Mapping, Sequence

import networkx
import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts
from dishvl_lib.core.decisions import REVIEW_COLUMNS
from dishvl_lib.core.types import RecordView
from dishvl_lib.similarity import neighbours

# photos of a dish that others are compared with: all would be 20 times the work at 100,000 photos
GALLERY_PER_DISH = 16
# of both dishes' photos must have their nearest neighbour in the other dish for the two to look
# like one
TWIN_SHARE = 0.25
TWIN_LEAST = 4  # photos that both dishes must have for that to mean anything
CARD_FIELDS = ("cuisine", "cooking_method", "ingredients", "flavor", "color", "shape")


def described(similar: pd.DataFrame, dishes: Sequence[RecordView]) -> pd.DataFrame:
    """`similar` (dish_id, similar_id, rank, score, n_votes) with `mutual` and `card_score` beside.

    mutual: the other dish lists this one too. card_score: weighted Jaccard of the words on the two
    dish cards (rare words weigh more), 0 to 1; NaN where a dish has no card. `dishes`: rows of
    dishes.jsonl.
    """
    pairs = set(zip(similar.dish_id, similar.similar_id, strict=True))
    words = {dish["dish_id"]: _words(dish["card"]) for dish in dishes if dish["card"]}
    counts = pd.Series(
        [word for found in words.values() for word in found], dtype=object
    ).value_counts()
    weight = {word: float(np.log1p(len(words) / count)) for word, count in counts.items()}
    scores = [
        _jaccard(words.get(row.dish_id), words.get(row.similar_id), weight)
        for row in similar.itertuples()
    ]
    return similar.assign(
        mutual=[(b, a) in pairs for a, b in zip(similar.dish_id, similar.similar_id, strict=True)],
        card_score=np.round(scores, 4),
    )


def problems(similar: pd.DataFrame, train: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """What must hold of look-alikes and does not, a sentence each with what to do; [] otherwise.

    similar: dish_id, similar_id; train: the training photos (dish_id); names: {dish_id: name}.
    """
    untrained = similar[~similar.dish_id.isin(train.dish_id)]
    twins = similar[similar.dish_id.map(names) == similar.similar_id.map(names)]
    remedy = (
        "run this stage again with --redo 02, or leave the dish out by stage 01's exclude_dishes"
    )
    found = []
    if len(untrained):
        dish = untrained.dish_id.iloc[0]
        found.append(f"{dish} has look-alikes but no training photos; {remedy}")
    if len(twins):
        pair = " and ".join(twins[["dish_id", "similar_id"]].iloc[0])
        found.append(f"{pair} have one name and are each other's look-alikes; {remedy}")
    return found


def clusters(similar: pd.DataFrame, links: int = 3, seed: int = 0) -> pd.DataFrame:
    """dish_id, cluster, size: families of look-alikes, the largest first (cluster 1).

    A dish without look-alikes is a family of its own.

    Louvain communities (Blondel et al. 2008) of the graph in which two dishes are joined when each
    is among the other's `links` closest, weighted by their score.
    """
    close = similar[similar["rank"].astype(int) <= links]
    dishes = sorted({*similar.dish_id, *similar.similar_id})
    number = {
        dish: place for place, dish in enumerate(dishes)
    }  # numbers: sets of strings have no order of their own
    score = {
        (number[row.dish_id], number[row.similar_id]): float(row.score)
        for row in close.itertuples()
    }
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(dishes)))
    graph.add_weighted_edges_from(
        sorted(
            (a, b, max(value, 1e-6)) for (a, b), value in score.items() if a < b and (b, a) in score
        )
    )
    families = sorted(
        (sorted(family) for family in networkx.community.louvain_communities(graph, seed=seed)),
        key=lambda family: (-len(family), family),
    )
    rows = [
        (dishes[place], cluster, len(family))
        for cluster, family in enumerate(families, start=1)
        for place in family
    ]
    return pd.DataFrame(rows, columns=list(artefacts.CLUSTER_COLUMNS))


def neighbourhood(
    features: np.ndarray, photos: pd.DataFrame, k: int = 5, seed: int = 0
) -> pd.DataFrame:
    """The `k` nearest photos of every training photo, outside its group.

    image_id, dish_id, path, n (place), other_id, other_dish, score.

    `features` row by row those of `photos`. At most GALLERY_PER_DISH photos of a dish can be found.
    """
    train = photos[photos.split == "train"]
    mixed = train.sample(frac=1, random_state=seed)
    gallery = mixed[mixed.groupby("dish_id").cumcount() < GALLERY_PER_DISH].sort_index()
    groups = pd.factorize(photos.group_id)[0]
    rows = photos.index.get_indexer(train.index)
    there = photos.index.get_indexer(gallery.index)
    found, scores = neighbours.nearest(
        features[rows], features[there], k, query_groups=groups[rows], gallery_groups=groups[there]
    )
    asked, place = np.nonzero(found >= 0)
    others = gallery.iloc[found[asked, place]]
    own = train.iloc[asked]
    return pd.DataFrame(
        {
            "image_id": own.image_id.to_numpy(),
            "dish_id": own.dish_id.to_numpy(),
            "path": own.path.to_numpy(),
            "n": place + 1,
            "other_id": others.image_id.to_numpy(),
            "other_dish": others.dish_id.to_numpy(),
            "score": scores[asked, place],
        }
    )


def suspect_labels(near: pd.DataFrame) -> pd.DataFrame:
    """Photos of whose nearest neighbours none shows their own dish; most votes first.

    image_id, path, dish_id, looks_like, votes, of, score.

    `near`: a neighbourhood. Photos whose dish has no other photo to be found are not asked about.
    """
    photos_of_dish = near.groupby("dish_id").image_id.nunique()
    judged = near[near.dish_id.map(photos_of_dish) > 1]
    meets_its_dish = (judged.dish_id == judged.other_dish).groupby(judged.image_id).any()
    doubtful = judged[judged.image_id.map(~meets_its_dish)]
    votes = (
        doubtful.groupby(["image_id", "path", "dish_id", "other_dish"])
        .agg(votes=("n", "size"), score=("score", "max"))
        .reset_index()
    )
    votes = votes.rename(columns={"other_dish": "looks_like"}).sort_values(
        ["votes", "score", "image_id"], ascending=[False, False, True]
    )
    best = votes.drop_duplicates("image_id")
    best = best.assign(of=best.image_id.map(doubtful.groupby("image_id").size()))
    return best[["image_id", "path", "dish_id", "looks_like", "votes", "of", "score"]].reset_index(
        drop=True
    )


def twins(near: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Pairs of dishes that look like one under two names, the most mixed first.

    As a review of names (REVIEW_COLUMNS).

    Of both dishes' photos at least TWIN_SHARE have their nearest neighbour outside the group in the
    other dish; photos that say nothing about the dish would have half. Dishes that share a name
    already are in stage 01's review.
    """
    first = near[near.n == 1]
    photos = first.groupby("dish_id").size()
    away = first[first.dish_id != first.other_dish].groupby(["dish_id", "other_dish"]).size()
    rows = []
    for (dish, other), count in away.items():
        back = int(away.get((other, dish), 0))
        shares = count / photos[dish], back / photos.get(other, 1)
        if (
            dish < other
            and min(shares) >= TWIN_SHARE
            and min(photos[dish], photos[other]) >= TWIN_LEAST
            and names.get(dish) != names.get(other)
        ):
            evidence = (
                f"{names.get(dish, dish)} / {names.get(other, other)}: nearest to a photo "
                f"of the other are {count} of {photos[dish]} and {back} of {photos[other]} photos"
            )
            rows.append(
                (
                    dish,
                    names.get(dish, dish),
                    "look_the_same",
                    other,
                    evidence,
                    int(photos[dish]),
                    sum(shares),
                )
            )
    table = pd.DataFrame(rows, columns=[*REVIEW_COLUMNS, "mixed"]).sort_values(
        ["mixed", "dish_id"], ascending=[False, True]
    )
    return table[list(REVIEW_COLUMNS)].reset_index(drop=True)


def _words(card: RecordView) -> set[str]:
    values = [card.get(field) or [] for field in CARD_FIELDS]
    return {word for value in values for word in ([value] if isinstance(value, str) else value)}


def _jaccard(one: set[str] | None, other: set[str] | None, weight: Mapping[str, float]) -> float:
    if not one or not other:
        return float("nan")
    return sum(weight[word] for word in one & other) / sum(weight[word] for word in one | other)
