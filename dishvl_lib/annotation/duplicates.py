"""Which photos belong together: crops of one frame, identical bytes, near-duplicates by perceptual
hash or by features.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from dishvl_lib.core import artefacts
from dishvl_lib.core.photo_hashes import LOOSE, MAX_HAMMING, MIN_COSINE, hamming, numbers
from dishvl_lib.core.progress import Progress

# A fixed camera makes all photos of a dish alike, and so does a net that was trained to tell dishes
# apart. There, two photos are near-duplicates only when both find the other at most this share of
# the way that the dish's photos usually are apart. Hashes within CERTAIN bits are near-duplicates
# whatever the camera; dishes of under FEW photos have no usual.
ALIKE_SHARE = 0.5
CERTAIN = 2
FEW = 8
# pairs beyond the limit that are listed: so many, closest first, and at most so many limits apart
OUTSIDE_PER_DISH = 20
OUTSIDE = 2.0
BLOCK = 128  # rows of the comparison across dishes that are in memory at once
LIMIT_WORDS = {
    "en": {"joined": "joined", "apart": "apart", "bits": "{:g} bits", "cosine": "1-cos {:.2g}"},
    "zh": {"joined": "合并", "apart": "分开", "bits": "差 {:g} 位", "cosine": "1-余弦 {:.2g}"},
}
PAIR_COLUMNS = (
    "image_id_a",
    "image_id_b",
    "path_a",
    "path_b",
    "dish_a",
    "dish_b",
    "by",
    "distance",
    "joined",
)
Features = Mapping[str, np.ndarray]


def assign_groups(
    photos: pd.DataFrame,
    max_hamming: int = MAX_HAMMING,
    features: Features | None = None,
    min_cosine: float = MIN_COSINE,
    loose: float = LOOSE,
) -> pd.Series:
    """A group_id per photo, aligned with `photos` (image_id, dish_id, frame, sha256, phash,
    phash_mirrored, split).

    Photos of one dish are joined when they share the frame or the bytes. Near-duplicates are joined
    by complete linkage: every pair of such a cluster is within the limit, so that a row of photos,
    each a little different from the last, does not become one group. The limit: `max_hamming` of 64
    bits, mirrored or not, or `loose` times as many and a cosine of `min_cosine` of `features`
    ({image_id: unit vector}), and less where a dish's photos are all alike. The id is the group's
    smallest image_id.
    """
    groups = pd.Series("", index=photos.index, dtype=object)
    progress = Progress("groups of near-duplicates", len(photos))
    for part in _dishes(photos):
        units = _in_limits(_Distances(part, features, loose), max_hamming, min_cosine)
        clusters = _clusters(units)
        labels = _components(part, clusters)
        groups.loc[part.index] = part.image_id.groupby(labels).transform("min")
        progress.advance(len(part))
    progress.close()
    return groups


def near_pairs(
    photos: pd.DataFrame,
    max_hamming: int = MAX_HAMMING,
    features: Features | None = None,
    min_cosine: float = MIN_COSINE,
    loose: float = LOOSE,
) -> pd.DataFrame:
    """PAIR_COLUMNS of the near-duplicates within dishes, and of each dish's closest pairs that were
    not joined.

    `photos` has group_id. `by`: bytes, hash, mirrored hash, features, frame, or a third photo that
    is near to both; `distance`: bits, of features 1 - cosine.
    """
    parts = []
    progress = Progress("near-duplicates", len(photos))
    for part in _dishes(photos):
        if len(part) > 1:
            distances = _Distances(part, features, loose)
            parts.append(_pairs_of(part, distances, max_hamming, min_cosine))
        progress.advance(len(part))
    progress.close()
    pairs = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PAIR_COLUMNS)
    return pairs.sort_values(
        ["joined", "by", "distance", "path_a", "path_b"],
        ascending=[False, True, True, True, True],
        ignore_index=True,
    )


def torn_pairs(
    photos: pd.DataFrame,
    max_hamming: int = MAX_HAMMING,
    features: Features | None = None,
    min_cosine: float = MIN_COSINE,
    loose: float = LOOSE,
) -> pd.DataFrame:
    """PAIR_COLUMNS, split_a, split_b of near-duplicates in two of train, validation and test.

    The limits are those of `assign_groups`, and they come from all photos of a dish at home,
    whatever their split: a pair is near or not for good. Limits taken from the photos that are
    still in a split would widen as photos are left out, and each leaving out would make new pairs.
    """
    at_home = photos[~artefacts.at_site(photos.split)]
    parts = []
    for part in _dishes(at_home):
        judged = part.split[part.split.isin(artefacts.SPLITS)]
        if judged.nunique() > 1:
            parts.append(_torn(part, _Distances(part, features, loose), max_hamming, min_cosine))
    parts = [pairs for pairs in parts if len(pairs)]
    if not parts:
        return pd.DataFrame(columns=[*PAIR_COLUMNS, "split_a", "split_b"])
    return pd.concat(parts, ignore_index=True)


def across_dishes(photos: pd.DataFrame, max_hamming: int) -> pd.DataFrame:
    """PAIR_COLUMNS of photos under different dishes (or in a site and at home) that are
    `max_hamming` bits apart or less.

    All N x N hashes are compared, BLOCK rows at a time.
    """
    ordered = photos.reset_index(drop=True)
    plain = numbers(ordered.phash)
    mirrored = numbers(ordered.phash_mirrored)
    dish = ordered.dish_id.factorize()[0]
    parts = [np.zeros((0, 4), int)]
    progress = Progress("photos compared across dishes", len(ordered))
    for start in range(0, len(ordered), BLOCK):
        rows = slice(start, start + BLOCK)
        # From `start` on: what lies before was compared with these rows already.
        others = plain[start:]
        bits = np.bitwise_count(np.bitwise_xor.outer(plain[rows], others))
        turned = np.bitwise_count(np.bitwise_xor.outer(mirrored[rows], others))
        other_dish = np.not_equal.outer(dish[rows], dish[start:])
        near = other_dish & (np.minimum(bits, turned) <= max_hamming)
        a, b = np.nonzero(np.triu(near, 1))
        columns = [start + a, start + b, bits[a, b], turned[a, b]]
        parts.append(np.stack(columns, axis=1).astype(int))
        progress.advance(len(plain[rows]))
    progress.close()
    pairs = _rows(ordered, *np.concatenate(parts).T)
    return pairs.sort_values(["distance", "path_a", "path_b"], ignore_index=True)


def at_the_limit(
    pairs: pd.DataFrame, n: int = 4, language: str = "en"
) -> tuple[pd.DataFrame, list[str]]:
    """(photos two by two: path, dish_id; a title for each): the `n` widest pairs that were joined
    and the `n` closest that were not. Both photos of a pair have the same title: the pair's number,
    what became of it, and how far apart they are.

    `pairs`: as `near_pairs` makes them or as they are read back from a CSV file.
    """
    words = LIMIT_WORDS[language]
    pairs = typed(pairs)
    by_distance = pairs.by.isin(("hash", "mirrored hash", "features"))
    joined = pairs[pairs.joined & by_distance]
    inside = joined.sort_values("distance", ascending=False, kind="stable").head(n)
    outside = pairs[~pairs.joined].sort_values("distance", kind="stable").head(n)
    shown = []
    titles = []
    for number, row in enumerate(pd.concat([inside, outside]).itertuples(), start=1):
        outcome = words["joined" if row.joined else "apart"]
        is_cosine = row.by == "features"
        far = words["cosine" if is_cosine else "bits"].format(row.distance)
        shown += [(row.path_a, row.dish_a), (row.path_b, row.dish_b)]
        titles += [f"{number} {outcome}, {far}"] * 2
    return pd.DataFrame(shown, columns=["path", "dish_id"]), titles


def between_dishes(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs whose photos are of two dishes: one of the labels must be wrong."""
    return pairs[pairs.dish_a != pairs.dish_b]


def summary(pairs: pd.DataFrame, photos: pd.DataFrame, lacking: pd.DataFrame) -> str:
    """One sentence on near-duplicates and groups. lacking: dishes without a photo in some split."""
    joined = typed(pairs).joined.sum()
    across = len(between_dishes(pairs))
    groups = photos.group_id.nunique()
    return (
        f"{joined} pairs joined within dishes, {across} pairs across dishes; "
        f"{groups} groups of {len(photos)} photos; {len(lacking)} dishes lack "
        "photos in a split"
    )


def typed(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs read back from a CSV file, `distance` a number and `joined` a truth value again."""
    distance = pairs.distance.astype(float)
    joined = pairs.joined.astype(str).eq("True")
    return pairs.assign(distance=distance, joined=joined)


def group_report(photos: pd.DataFrame) -> pd.DataFrame:
    """Per dish: photos, groups, the largest group and its share of the photos; largest share
    first.
    """
    at_home = photos[~artefacts.at_site(photos.split)]
    sizes = at_home.groupby(["dish_id", "group_id"]).size()
    table = sizes.groupby("dish_id").agg(photos="sum", groups="size", largest="max")
    table["largest_share"] = table.largest / table.photos
    return table.sort_values(["largest_share", "photos"], ascending=False)


def _dishes(photos: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Each dish's photos, of a site apart from those at home, in an order that the rows' order does
    not decide.
    """
    at_site = artefacts.at_site(photos.split)
    yield from (
        part.sort_values("image_id")
        for _, part in photos.groupby([photos.dish_id, at_site], sort=False)
    )


class _Distances:
    """Of one dish's photos, each (n, n): bits between hashes `plain`, to the mirror image `turned`,
    `features` 1 - cosine or None, which count for pairs up to `loose` limits of bits apart.
    """

    def __init__(self, part: pd.DataFrame, features: Features | None, loose: float):
        self.loose = loose
        self.plain = hamming(part.phash, part.phash)
        turned = hamming(part.phash, part.phash_mirrored)
        self.turned = np.minimum(turned, turned.T)
        self.bits = np.minimum(self.plain, self.turned)
        self.features = None
        if features:
            unknown = np.full(len(next(iter(features.values()))), np.nan)
            vectors = np.stack([features.get(image_id, unknown) for image_id in part.image_id])
            self.features = np.clip(1 - vectors @ vectors.T, 0, 2)


def _in_limits(far: _Distances, max_hamming: int, min_cosine: float) -> np.ndarray:
    """(n, n) distance in units of the pair's limit: near-duplicates are at most 1 apart."""
    units = far.bits / _limits(far.bits, max_hamming, CERTAIN)
    if far.features is not None:
        by_features = far.features / _limits(far.features, 1 - min_cosine, 0.0)
        counts = far.bits <= far.loose * max_hamming
        units = np.where(counts, np.fmin(units, by_features), units)
    np.fill_diagonal(units, 0)
    return units


def _limits(distances: np.ndarray, limit: float, certain: float) -> np.ndarray:
    """(n, n): what both photos of a pair allow, never 0: distances are divided by it."""
    allowed = np.full(len(distances), float(limit))
    if len(distances) >= FEW:
        allowed = np.clip(ALIKE_SHARE * _usual(distances), min(certain, limit), limit)
    return np.maximum(np.minimum.outer(allowed, allowed), 1e-9)


def _usual(distances: np.ndarray) -> np.ndarray:
    """(n,) each photo's median distance to those of its dish; NaN where distances are not known."""
    known = ~np.isnan(distances.diagonal())
    medians = np.full(len(distances), np.nan)
    if known.any():
        medians[known] = np.median(distances[np.ix_(known, known)], axis=1)
    return medians


def _clusters(units: np.ndarray) -> np.ndarray:
    """A cluster number per photo by complete linkage at 1."""
    if len(units) < 2:
        return np.zeros(len(units), int)
    tree = linkage(squareform(units, checks=False), "complete")
    return fcluster(tree, 1.0, "distance")


def _components(part: pd.DataFrame, clusters: np.ndarray) -> np.ndarray:
    """Connected components of: same cluster, same frame, same bytes. (n,)"""
    n = len(part)
    of_bytes, _ = pd.factorize(part.sha256)
    of_frame, _ = pd.factorize(part.frame.where(part.frame != ""))
    photos = []
    marks = []
    offset = n
    for column in (clusters, of_bytes, of_frame):
        known = np.flatnonzero(column >= 0)
        photos.append(known)
        marks.append(column[known] + offset)
        offset += int(column.max(initial=0)) + 1
    edges = (np.concatenate(photos), np.concatenate(marks))
    weights = np.ones_like(edges[0])
    graph = coo_matrix((weights, edges), shape=(offset, offset))
    _, labels = connected_components(graph, directed=False)
    return labels[:n]


def _torn(part: pd.DataFrame, far: _Distances, max_hamming: int, min_cosine: float) -> pd.DataFrame:
    split = part.split.to_numpy()
    judged = np.isin(split, artefacts.SPLITS)
    both_judged = np.logical_and.outer(judged, judged)
    crosses = both_judged & np.not_equal.outer(split, split)
    near = _in_limits(far, max_hamming, min_cosine) <= 1
    a, b = np.nonzero(np.triu(near & crosses, 1))
    if not len(a):
        return pd.DataFrame()
    pairs = _named_by(part, far, a, b, np.zeros(len(a), bool), max_hamming, min_cosine)
    return pairs.assign(split_a=split[a], split_b=split[b])


def _pairs_of(
    part: pd.DataFrame, far: _Distances, max_hamming: int, min_cosine: float
) -> pd.DataFrame:
    group = part.group_id.to_numpy()
    frame = part.frame.to_numpy()
    a, b = np.triu_indices(len(part), 1)
    together = group[a] == group[b]
    units = _in_limits(far, max_hamming, min_cosine)[a, b]
    apart = np.flatnonzero(~together & (units <= OUTSIDE))
    closest = np.argsort(units[apart], kind="stable")[:OUTSIDE_PER_DISH]
    chosen = np.concatenate([np.flatnonzero(together), apart[closest]])
    a = a[chosen]
    b = b[chosen]
    together = together[chosen]
    units = units[chosen]
    pairs = _named_by(part, far, a, b, together, max_hamming, min_cosine)
    frame_of_first = frame[a]
    same_frame = (frame_of_first == frame[b]) & (frame_of_first != "")
    joined_from_afar = together & (units > 1)
    joint = np.where(same_frame, "frame", "a third photo")
    pairs.loc[joined_from_afar, "by"] = joint[joined_from_afar]
    return pairs


def _named_by(
    part: pd.DataFrame,
    far: _Distances,
    a: np.ndarray,
    b: np.ndarray,
    joined: np.ndarray,
    max_hamming: int,
    min_cosine: float,
) -> pd.DataFrame:
    pairs = _rows(part, a, b, far.plain[a, b], far.turned[a, b], joined)
    if far.features is not None:
        by_features = far.features[a, b]
        hashes_differ = (pairs.distance > max_hamming).to_numpy()
        close = hashes_differ & (by_features <= 1 - min_cosine)
        pairs.loc[close, "by"] = "features"
        pairs.loc[close, "distance"] = by_features[close].round(4)
    return pairs


def _rows(
    photos: pd.DataFrame,
    a: np.ndarray,
    b: np.ndarray,
    plain: np.ndarray,
    turned: np.ndarray,
    joined: Any = False,
) -> pd.DataFrame:
    columns = ["image_id", "path", "dish_id", "sha256"]
    named = photos[columns].rename(columns={"dish_id": "dish"})
    first = named.iloc[a].reset_index(drop=True)
    second = named.iloc[b].reset_index(drop=True)
    by_hash = np.where(plain <= turned, "hash", "mirrored hash")
    by = np.where(first.sha256 == second.sha256, "bytes", by_hash)
    table = pd.concat([first.add_suffix("_a"), second.add_suffix("_b")], axis=1)
    table["by"] = by.astype(object)
    table["distance"] = np.minimum(plain, turned).astype(float)
    table["joined"] = joined
    return table[list(PAIR_COLUMNS)]
