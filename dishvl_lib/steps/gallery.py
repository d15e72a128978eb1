"""Stage 05's gallery: made of the training photos, fitted with the model on validation photos,
judged with new dishes in it, and put beside best/.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, images, params, paths, records
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records, RecordView, RecordViews
from dishvl_lib.dataset import menus, new_dishes
from dishvl_lib.evaluation import asking, predictors, protocols
from dishvl_lib.evaluation import gallery as judged
from dishvl_lib.gallery import fusion, net, run_gallery
from dishvl_lib.gallery.fusion import Fusion
from dishvl_lib.gallery.gallery import FOLDER, MENU, NAMING, Gallery, GalleryError
from dishvl_lib.gallery.similarities import DishSimilarities
from dishvl_lib.gallery.store import Net
from dishvl_lib.similarity.preprocess import Preprocess
from dishvl_lib.similarity.weights import WeightsError
from dishvl_lib.vlm import calibration, recognizer

MOST_MENUS = 500  # validation menus that are fitted on
RESULT = "fusion.json"
Fusions = dict[str, Fusion]  # by kind of question: MENU, NAMING


class Known(NamedTuple):
    """What a gallery is made of: photos, names that may stand on a menu, {image_id: feature}."""

    photos: pd.DataFrame
    names: dict[str, str]
    vectors: dict[str, np.ndarray]


def known(photos: pd.DataFrame, dishes: RecordViews, features: Mapping[str, np.ndarray]) -> Known:
    """photos: the catalogue; dishes: rows of dishes.jsonl; features: of features.npz."""
    named = {dish["dish_id"]: dish["name"] for dish in dishes}
    askable, _ = menus.askable(named, artefacts.unnamed_dishes(dishes))
    vectors = dict(zip(features["image_id"], features["feature"], strict=True))
    return Known(photos, askable, vectors)


def new_photos(stage: Stage, of: Known) -> pd.DataFrame:
    """The photos by which the held-out dishes are added."""
    with_vector = of.photos[of.photos.image_id.isin(of.vectors.keys())]
    per_dish = stage.params["new_dish_photos"]
    return new_dishes.registered(with_vector, of.names, per_dish, stage.params["seed"])


def of_training(of: Known, net_name: str) -> Gallery:
    """The gallery of the training photos: none of validation, test, sites or new dishes."""
    train = of.photos[of.photos.split == "train"]
    return run_gallery.in_memory(run_gallery.registered(train, of.names, of.vectors), net_name)


def galleries(stage: Stage, of: Known, net_name: str, fitted: Fusions) -> judged.Galleries:
    """The gallery of the training photos, and the same with the new dishes."""
    trained = of_training(of, net_name).with_fusion(fitted)
    added = run_gallery.registered(new_photos(stage, of), of.names, of.vectors)
    return judged.Galleries(trained, trained.with_photos(added), protocols.ENLARGED)


def fit(stage: Stage, of: Known, net_name: str, model: predictors.RecognizerPredictor) -> Fusions:
    """fusion.json: how the model and the gallery answer together on menus and in naming, fitted on
    validation questions.
    """
    stage.make(RESULT, _fitted, stage, of, net_name, model)
    return fitted(stage)


def fitted(stage: Stage) -> Fusions:
    """What `fit` has found; {} where nothing was fitted."""
    file = stage.path(RESULT)
    stored = records.read_json(file) if file.exists() else {}
    return {kind: Fusion(**numbers) for kind, numbers in stored.items()}


def _fitted(
    stage: Stage, of: Known, net_name: str, model: predictors.RecognizerPredictor
) -> dict[str, Record]:
    gallery = of_training(of, net_name)
    shown = judged.Galleries(gallery, gallery)
    predictor = judged.HybridPredictor(
        lambda: model.recognizer, model.image_root, of.vectors, shown
    )
    few = _of_few(stage, of)
    kinds = (MENU, NAMING)
    rows = [row for kind in kinds for row in _validation_rows(stage, of, kind)]
    # Both kinds at once: all questions about a photo share its pass.
    scored = _scored(stage, rows, predictor)
    found = {}
    for kind in kinds:
        of_kind = [(row, query) for row, query in scored if query.kind == kind]
        menus_of_kind = [_fitted_menu(row, query, of, gallery, few) for row, query in of_kind]
        logs_of = [[row["id"], *np.round(query.answer, 4).tolist()] for row, query in of_kind]
        fitted_on = records.fingerprint([gallery.manifest.made_from, logs_of])
        numbers = fusion.fit(menus_of_kind, fitted_on)
        numbers = fusion.with_threshold(numbers, menus_of_kind, calibration.threshold_for)
        found[kind] = numbers.as_record()
    return found


def _fitted_menu(
    row: RecordView,
    query: judged.Query,
    of: Known,
    gallery: Gallery,
    few: DishSimilarities,
) -> fusion.FittedMenu:
    feature = of.vectors[row["image_id"]]
    similarities, _ = gallery.on_menu(feature, query.entries)
    of_few = _on_menu(few, feature, query.entries)
    truth = query.entries.index(artefacts.answer_of(row))
    return fusion.FittedMenu(query.answer, similarities, of_few, truth)


def _validation_rows(stage: Stage, of: Known, kind: str) -> Records:
    """At most MOST_MENUS questions about validation photos with a feature, the same for a seed."""
    rows = [
        {**row, "protocol": "validation"}
        for row in stage.rows("03_dataset", "validation.jsonl")
        if row["kind"] == kind and row["image_id"] in of.vectors
    ]
    order = np.random.default_rng(stage.params["seed"]).permutation(len(rows))
    return [rows[place] for place in sorted(order[:MOST_MENUS])]


def _scored(
    stage: Stage, rows: Sequence[Record], predictor: judged.HybridPredictor
) -> list[tuple[Record, judged.Query]]:
    """Rows with what the model says of their entries: of the photos that can be read, and of names
    that are on the shortlist.
    """
    scored = []
    for batch in asking.batches(rows, stage.params["batch_size"], by_photo=True):
        queries = _queries(predictor, batch)
        for row in batch:
            query = queries.get(row["id"])
            if query is not None and artefacts.answer_of(row) in query.entries:
                scored.append((row, query))
    return scored


def _queries(predictor: judged.HybridPredictor, batch: Sequence[Record]) -> dict[str, judged.Query]:
    try:
        return predictor.scored(batch)
    except images.ImageError:
        if len(batch) == 1:
            return {}
        queries: dict[str, judged.Query] = {}
        for row in batch:
            queries |= _queries(predictor, [row])
        return queries


def _of_few(stage: Stage, of: Known) -> DishSimilarities:
    """Every trained dish with as few photos as a new dish is added by."""
    trained = of.photos[of.photos.image_id.isin(of.vectors.keys())]
    per_dish = stage.params["new_dish_photos"]
    few = predictors.register(trained, per_dish, stage.params["seed"])
    rows = run_gallery.registered(few, of.names, of.vectors)
    return DishSimilarities(rows.name, rows.feature)


def _on_menu(few: DishSimilarities, feature: np.ndarray, menu: Sequence[str]) -> np.ndarray:
    similarity = few.of(feature)
    places = [few.place(entry) for entry in menu]
    return np.array([np.nan if place is None else similarity[place] for place in places])


def publish(stage: Stage, of: Known) -> str:
    """Put the gallery beside best/, where `dishvl predict` and `dishvl dish` find it; returns a
    sentence on what was done, '' for a stage that had finished before.
    """
    if stage.done:
        return ""
    best = stage.input("04_training", "best")
    try:
        weights = _weights(stage)
        described = _describe(stage, weights)
    except (WeightsError, OSError) as error:
        return f"no gallery was put beside {best}: the net of stage 02 cannot be opened ({error})"
    gallery = of_training(of, described.net).with_fusion(fitted(stage))
    train = of.photos[of.photos.split == "train"]
    train = train.sort_values(["sharpness", "image_id"], ascending=[False, True])
    pictured = run_gallery.with_pictures(gallery.photos, train, of.names, stage.image_root())
    gallery = Gallery(gallery.manifest, pictured)
    is_own = best.is_relative_to(paths.run_folder(stage.params["run_name"]))
    model = recognizer.model_fingerprint(best)
    folder = best.parent / FOLDER
    try:
        return run_gallery.publish(folder, gallery, described, weights, model, replace=is_own)
    except GalleryError as error:
        return f"no gallery was put beside {best}: {error}"


def _weights(stage: Stage) -> Path | None:
    """The weights' file of stage 02's net, given or made there; None where a package holds them."""
    given = stage.marker("02_similar_dishes")["parameters"]
    if given.get("net", params.PPLCNET) == params.EFFICIENTNET_LITE0:
        return None
    made_there = stage.input("02_similar_dishes", "pplcnet.pdparams")
    return paths.resolve(given["weights"]) if given["weights"] else made_there


def _describe(stage: Stage, weights: Path | None) -> Net:
    """The net of stage 02."""
    given = stage.marker("02_similar_dishes")["parameters"]
    net_name = given.get("net", params.PPLCNET)
    preprocess = Preprocess.customary(net_name, given["image_size"])
    if given.get("preprocess_yaml"):
        preprocess = Preprocess.from_paddleclas(paths.resolve(given["preprocess_yaml"]))
    return net.describe(weights, net=net_name, scale=given["scale"], preprocess=preprocess)
