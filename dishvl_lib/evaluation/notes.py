"""The sentences and facts that must stand beside an accuracy table."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dishvl_lib.core import artefacts, params
from dishvl_lib.evaluation import sites

REMOVED_SHOWN = 120  # characters of what stood around an answer


def notes(
    annotation: Mapping[str, Any],
    predictions: pd.DataFrame,
    not_dishes: int,
    *,
    net: str = params.PPLCNET,
    classifier: bool = True,
) -> list[str]:
    """What a reader has to know: where the names come from, answers that are no dish, questions
    that failed, sites seen in training.

    `annotation`: stage 01's success marker; `predictions`: the rows of predictions.jsonl;
    `net`: stage 02's; `classifier`: whether a classifier by it is among the predictors.
    """
    found = []
    if annotation.get("no_annotator"):
        found.append("names from folders, no annotator")
    left_out = annotation["counts"]["skipped"]
    if left_out:
        found.append(
            f"{left_out} of {annotation['counts']['files']} files were left out of the "
            "catalogue (01_annotation/rejected.csv)"
        )
    if not_dishes:
        found.append(
            f"{not_dishes} kinds of naming answers of the tuned model are no dish's name; "
            "they count as wrong and are listed"
        )
    if not classifier:
        found.append(
            f"{net}_classifier is absent: the weights given to stage 02 have no class head "
            "for these dishes"
        )
    return [*found, *_failures(predictions), *_cleaned(predictions), *_site_notes(predictions)]


def facts(
    dataset: Mapping[str, Any],
    training: Mapping[str, Any],
    contract: Mapping[str, Any],
    *,
    net: str = params.PPLCNET,
) -> dict[str, str]:
    """What was trained on what, as {heading: sentence}. The success markers of stages 03 and 04,
    trainable.json, and stage 02's net.
    """
    given = training["parameters"]
    asked = dataset["counts"]["questions"]
    best = training["best"]
    how = (
        f"LoRA of rank {given['lora_rank']}"
        if given["lora_rank"]
        else " and ".join(
            part
            for part in ("visual", "merger", "language_model", "lm_head")
            if given[f"train_{part}"]
        )
    )
    return {
        "base model": str(best["base_model"]),
        "trained": f"{how}: {contract['trained_parameters']:,} of {contract['parameters']:,} "
        "parameters",
        "on": f"{asked['train']:,} questions about {dataset['counts']['ok']} dishes; validated on "
        f"{asked['validation']:,}, tested on {asked['test']:,}",
        "photo size": f"{best['min_pixels']:,} to {best['max_pixels']:,} pixels",
        "how": f"{given['num_train_epochs']:g} epochs, {training['counts']['steps']:,} steps, "
        f"learning rate {given['learning_rate']:g}",
        "small net": net,
        "best": f"{best['checkpoint']}; the lowest validation loss was "
        f"{training['validation_loss']:.4f}",
        "menu choice": f"temperature {best.get('temperature', 1.0):g}, off-menu threshold "
        f"{best.get('off_menu_threshold', 0.0):g}",
    }


def site_names(predictions: pd.DataFrame) -> pd.DataFrame:
    """What every predictor called the dishes of every site that it named itself: protocol,
    predictor, dish_id, name, shared (with another dish), true_name, questions.

    `true_name`: as the site's own menu says it, '' where it does not.
    """
    framed = predictions["framed"].eq(True)
    known = (
        predictions[~framed & artefacts.at_site(predictions["protocol"])]
        .drop_duplicates("dish_id")
        .set_index("dish_id")["truth"]
    )
    named = predictions[framed].groupby(["protocol", "predictor", "dish_id"], sort=False)
    made = named.agg(
        name=("truth", "first"), lost=("lost", "first"), questions=("id", "size")
    ).reset_index()
    made = made.assign(
        shared=made["lost"].ne("") & made["name"].ne(""),
        true_name=made["dish_id"].map(known).fillna(""),
    )
    return made[["protocol", "predictor", "dish_id", "name", "shared", "true_name", "questions"]]


def _failures(predictions: pd.DataFrame) -> list[str]:
    failed = predictions[predictions["error"] != ""]
    return [
        f"{predictor}: {len(own)} of {(predictions['predictor'] == predictor).sum()} "
        f"questions failed and count as wrong, the first: {own['error'].iloc[0]}"
        for predictor, own in failed.groupby("predictor", sort=False)
    ]


def _cleaned(predictions: pd.DataFrame) -> list[str]:
    """Whose answers were taken out of something before they were marked, with the first of it."""
    if "removed" not in predictions:
        return []
    cleaned = predictions[predictions["removed"].fillna("") != ""]
    return [
        f"{predictor}: {len(own)} of {(predictions['predictor'] == predictor).sum()} answers were "
        f"cleaned before they were marked; from the first was removed: "
        f"{' '.join(own['removed'].iloc[0].split())[:REMOVED_SHOWN]}"
        for predictor, own in cleaned.groupby("predictor", sort=False)
    ]


def _site_notes(predictions: pd.DataFrame, predictor: str = "tuned") -> list[str]:
    own = predictions[
        (predictions["predictor"] == predictor) & artefacts.at_site(predictions["protocol"])
    ]
    return [
        note
        for protocol, rows in own.groupby("protocol", sort=False)
        for note in _of_site(protocol, rows)
    ]


def _of_site(protocol: str, rows: pd.DataFrame) -> Sequence[str]:
    near = rows["near_training"].ne("")
    kinds = ", ".join(
        f"{count} {kind}" for kind, count in rows.loc[near, "near_training"].value_counts().items()
    )
    made = [
        f"{protocol}: {near.sum()} of {len(rows)} photos resemble a training "
        f"photo{f' ({kinds})' if kinds else ''}"
    ]
    if rows["framed"].any():
        lost = rows["lost"].ne("")
        unnamed = rows["lost"].eq(sites.NO_NAME)
        made.append(
            f"{protocol}: judged by whether a dish's other photos get the name that its "
            "first photos got, not by its true name; "
            f"{lost.sum()} of {len(rows)} questions are wrong in any case "
            f"({lost.sum() - unnamed.sum()} share a name, {unnamed.sum()} have none)"
        )
    return made
