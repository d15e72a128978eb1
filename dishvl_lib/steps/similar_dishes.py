"""Stage 02: a net's features of every photo, and which dishes look alike by them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import catalog
from dishvl_lib.core import artefacts, missing_photos, params, paths
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.review.name_review import NameReview
from dishvl_lib.review.suspect_review import SuspectReview
from dishvl_lib.similarity import (
    class_scores,
    classifier,
    features,
    look_alikes,
    neighbours,
    quality,
)
from dishvl_lib.similarity.preprocess import Preprocess

TRAINING = ("scale", "image_size", "epochs", "batch_size", "learning_rate", "seed")
MINING = ("register_per_dish", "query_per_dish", "top_k", "margin")


class Dishes(NamedTuple):
    """What stage 01 settled."""

    photos: pd.DataFrame
    dishes: Records
    names: dict[str, str]


class Features(NamedTuple):
    """photos (N rows), matrix (N, D) float32 of unit length in the same order, photos left out."""

    photos: pd.DataFrame
    matrix: np.ndarray
    skipped: pd.DataFrame


class LookAlikes(NamedTuple):
    """Ordered pairs by our rule and by the reference's, and dishes that could not be compared."""

    similar: pd.DataFrame
    reference: pd.DataFrame
    lonely: list[str]


def read_dishes(stage: Stage) -> Dishes:
    photos = catalog.read(stage.input("01_annotation", "catalog.parquet"))
    dishes = stage.rows("01_annotation", "dishes.jsonl")
    return Dishes(photos, dishes, artefacts.names_by_dish(dishes))


def train_network(stage: Stage, photos: pd.DataFrame) -> Path | None:
    """The weights' file: the one in `weights`, or trained here on the run's training photos.

    None for a net that comes pretrained.
    """
    if stage.params["net"] == params.EFFICIENTNET_LITE0:
        print("EfficientNet-Lite0 with its ImageNet weights: nothing is trained here")
        return None
    given = stage.named_file("weights")
    if given:
        return given
    weights = stage.path("pplcnet.pdparams")
    epochs = stage.make(
        "pplcnet_epochs.jsonl",
        classifier.train,
        photos[photos.split == "train"],
        photos[photos.split == "validation"],
        stage.image_root(),
        weights,
        init_weights=stage.named_file("init_weights") or "",
        **stage.only(*TRAINING),
    )
    for row in epochs[-3:]:
        print(
            f"epoch {row['epoch']}: loss {row['loss']:.3f}, validation accuracy "
            f"{row['validation_accuracy'] or 0:.3f} (n={row['validation_n']})"
        )
    return weights


def extract_features(stage: Stage, photos: pd.DataFrame, weights: Path | None) -> Features:
    """A vector for each photo, and class scores for those that the classifier is judged on."""
    stored, skipped = _vectors(stage, photos, weights)
    print(
        f"{len(stored['image_id'])} of {len(photos)} photos have a vector of "
        f"{stored['feature'].shape[1]}; {len(skipped)} skipped"
    )
    with_vector = photos.set_index("image_id").loc[stored["image_id"]].reset_index()
    extracted = Features(with_vector, stored["feature"], skipped)
    stage.make("class_scores.npz", _class_scores, stage, photos, extracted, weights)
    return extracted


def _vectors(
    stage: Stage, photos: pd.DataFrame, weights: Path | None
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """(features.npz, photos left out)."""
    if stage.done:  # the weights, or the package that holds them, may be gone by now
        return stage.make("features.npz", dict), stage.make("skipped.csv", pd.DataFrame)
    root = stage.image_root()
    image_ids, vectors, skipped = features.extract(
        photos,
        root,
        weights,
        paths.cache("features"),
        preprocess=_preprocess(stage),
        **stage.only("net", "scale", "image_size"),
    )
    missing_photos.check_share(skipped, len(photos), stage.params["max_missing_share"], root)
    net = np.array(stage.params["net"])
    stored = stage.make("features.npz", dict, image_id=image_ids, feature=vectors, net=net)
    stage.make("skipped.csv", skipped.copy)
    return stored, skipped


def _class_scores(
    stage: Stage, photos: pd.DataFrame, extracted: Features, weights: Path | None
) -> dict[str, np.ndarray]:
    """By the class head in `weights`, or by one that is fitted to the vectors."""
    if weights is None:
        train = extracted.photos[extracted.photos.split == "train"]
        return class_scores.fitted(train, _judged(extracted.photos), extracted.matrix)
    sizes = stage.only("scale", "image_size")
    return class_scores.class_scores(_judged(photos), stage.image_root(), weights, **sizes)


def _judged(photos: pd.DataFrame) -> pd.DataFrame:
    split = photos.split
    return photos[split.isin(("test", artefacts.HELD_OUT)) | artefacts.at_site(split)]


def _preprocess(stage: Stage) -> Preprocess | None:
    given = stage.named_file("preprocess_yaml")
    return Preprocess.from_paddleclas(given) if given else None


def recall(extracted: Features) -> dict[str, pd.DataFrame]:
    """{split: recall@k with its interval and chance level}, printed too."""
    tables = {}
    for split in ("train", "validation"):
        table = neighbours.recall_at_k(extracted.matrix, extracted.photos, query_split=split)
        print(split)
        for row in table.itertuples():
            print(
                f"  recall@{row.k} {row.recall:.3f} [{row.lo:.3f}, {row.hi:.3f}], n={row.n}, "
                f"by chance {row.chance:.3f}"
            )
        tables[split] = table
    return tables


def mine(stage: Stage, extracted: Features, known: Dishes) -> LookAlikes:
    """The look-alikes of every dish: the closest of those that its photos vote for."""
    mining = _mining(stage, known) | stage.only("seed")
    photos = extracted.photos
    similar = stage.make("similar_dishes.csv", _described, extracted, known, mining)
    reference = stage.make(
        "reference_look_alikes.csv",
        neighbours.mine,
        extracted.matrix,
        photos,
        rule="reference",
        **mining,
    )
    _, queries = neighbours.draw(photos, *stage.only(*MINING[:2], "seed").values())
    lonely = sorted(dish for dish, rows in queries.items() if not rows)
    print(
        f"{similar.dish_id.nunique()} dishes have look-alikes; {len(lonely)} with one training "
        f"photo are registered, not compared: {lonely[:8]}"
    )
    return LookAlikes(similar, reference, lonely)


def _mining(stage: Stage, known: Dishes) -> Record:
    return stage.only(*MINING) | {"names": known.names}


def _described(extracted: Features, known: Dishes, mining: Record) -> pd.DataFrame:
    mined = neighbours.mine(extracted.matrix, extracted.photos, **mining)
    return look_alikes.described(mined, known.dishes)


def coverage(found: LookAlikes, extracted: Features) -> pd.DataFrame:
    """How many of the photos that the net mistakes have their rival on the list, by both rules."""
    lists = {"ranked": found.similar, "reference": found.reference}
    return quality.coverage(lists, extracted.matrix, extracted.photos)


def stability(stage: Stage, extracted: Features, known: Dishes) -> pd.DataFrame:
    """How much of the list stays when other photos are registered and compared."""
    return quality.stability(extracted.matrix, extracted.photos, **_mining(stage, known))


def clusters(stage: Stage, found: LookAlikes) -> pd.DataFrame:
    """Families of dishes that look alike; every dish is in one."""
    families = stage.make("clusters.csv", look_alikes.clusters, found.similar, **stage.only("seed"))
    print(
        f"{families.cluster.nunique()} clusters of {len(families)} dishes, the largest of "
        f"{families['size'].astype(int).max()}"
    )
    return families


def label_suspects(
    stage: Stage, extracted: Features, names: dict[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(training photos that lie among another dish, pairs of dishes that look like one)."""
    near = look_alikes.neighbourhood(extracted.matrix, extracted.photos, **stage.only("seed"))
    suspects = stage.make("suspect_labels.csv", look_alikes.suspect_labels, near)
    twins = stage.make("name_review.csv", look_alikes.twins, near, names)
    print(
        f"{len(suspects)} of {near.image_id.nunique()} training photos lie among other dishes; "
        f"{len(twins)} pairs of dishes look like one"
    )
    return suspects, twins


def suspect_titles(suspects: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """What stands over the picture of a suspect: its dish, the one it lies among, the votes."""
    return [
        f"{names[row.dish_id]}? {names[row.looks_like]} {row.votes}/{row.of}"
        for row in suspects.itertuples()
    ]


def twin_review(
    stage: Stage, twins: pd.DataFrame, known: Dishes, extracted: Features
) -> NameReview:
    """The widget in which people decide whether two dishes are one."""
    return NameReview(
        twins,
        known.dishes,
        extracted.photos,
        stage.image_root(),
        stage.decisions("names"),
        language=stage.params["language"],
    )


def suspect_review(
    stage: Stage, suspects: pd.DataFrame, known: Dishes, extracted: Features
) -> SuspectReview:
    """The widget in which people decide about photos that lie among another dish."""
    image_ids = extracted.photos.image_id.to_numpy(str)
    return SuspectReview(
        suspects,
        extracted.photos,
        known.names,
        stage.image_root(),
        stage.decisions("photos"),
        features={"image_id": image_ids, "feature": extracted.matrix},
        language=stage.params["language"],
    )


def counts(
    known: Dishes, extracted: Features, found: LookAlikes, suspects: pd.DataFrame
) -> dict[str, int]:
    """For the success marker."""
    return {
        "photos": len(known.photos),
        "ok": len(extracted.photos),
        "skipped": len(extracted.skipped),
        "failed": 0,
        "dishes": int(found.similar.dish_id.nunique()),
        "suspects": len(suspects),
    }


def as_records(table: pd.DataFrame) -> Records:
    """A table for the success marker; what is missing in it is null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
