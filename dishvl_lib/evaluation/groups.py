"""Where a predictor is good and where not: accuracy per site, per number of training photos, per
cluster of look-alikes.
"""

from collections.abc import Sequence

import pandas as pd

from dishvl_lib.core import artefacts, records
from dishvl_lib.evaluation import metrics

SIZES = ((0, "none"), (1, "1-9"), (10, "10-29"), (30, "30-99"), (100, "100 and more"))
UNKNOWN = "unknown"
KINDS = {
    "site": "site of the photo",
    "training_photos": "training photos of the dish",
    "cluster": "look-alikes",
}
COLUMNS = ("protocol", "kind", "group", "n", "correct", "accuracy", "ci_low", "ci_high")


def described(
    predictions: pd.DataFrame, photos: pd.DataFrame, clusters: pd.DataFrame
) -> pd.DataFrame:
    """The predictions with site (of the photo), training_photos (a class of SIZES) and cluster (`3
    (6 dishes)`, `no look-alikes`).

    photos: the catalogue with image_id, dish_id, split, site; clusters: dish_id, cluster, size, as
    in clusters.csv. Raises `RecordError` for a missing column.
    """
    records.require_columns(photos, ("image_id", "dish_id", "split", "site"), "the catalogue")
    records.require_columns(clusters, artefacts.CLUSTER_COLUMNS, "the clusters")
    counts = photos[photos.split == "train"].dish_id.value_counts()
    named = {
        dish: f"{cluster} ({size} dishes)"
        for dish, cluster, size in zip(
            clusters["dish_id"], clusters["cluster"], clusters["size"], strict=True
        )
    }
    sites = dict(zip(photos.image_id, photos.site, strict=True))
    dishes = predictions.dish_id
    n_photos = [int(counts.get(dish, 0)) for dish in dishes]
    return predictions.assign(
        site=[sites.get(image_id) or UNKNOWN for image_id in predictions.image_id],
        training_photos=[_size_class(n) for n in n_photos],
        cluster=[named.get(dish, "no look-alikes") for dish in dishes],
    )


def table(
    described_rows: pd.DataFrame,
    predictor: str = "tuned",
    protocols: Sequence[str] = ("naming", "menu"),
) -> pd.DataFrame:
    """COLUMNS: every group of KINDS under every protocol that was asked, the worst group of each
    kind first.
    """
    of_predictor = described_rows.predictor == predictor
    answered = set(described_rows.loc[of_predictor, "protocol"])
    parts = [
        _part(described_rows, kind, predictor, protocol)
        for protocol in protocols
        if protocol in answered
        for kind in KINDS
    ]
    return (
        pd.concat([pd.DataFrame(columns=list(COLUMNS)), *parts], ignore_index=True)
        if parts
        else pd.DataFrame(columns=list(COLUMNS))
    )


def _part(rows: pd.DataFrame, kind: str, predictor: str, protocol: str) -> pd.DataFrame:
    accuracies = metrics.by_group(rows, kind, predictor, protocol).rename(columns={kind: "group"})
    return accuracies.assign(protocol=protocol, kind=KINDS[kind])[list(COLUMNS)]


def _size_class(count: int) -> str:
    return next(label for least, label in reversed(SIZES) if count >= least)
