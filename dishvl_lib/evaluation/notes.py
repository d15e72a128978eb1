"""The sentences and facts that must stand beside an accuracy table."""

from collections.abc import Sequence

import pandas as pd

from dishvl_lib.core import artefacts, base_run, params
from dishvl_lib.core.types import RecordView
from dishvl_lib.evaluation import sites

REMOVED_SHOWN = 120  # characters of what stood around an answer


def notes(
    annotation: RecordView,
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
    sentences = []
    if annotation.get("no_annotator"):
        sentences.append("names from folders, no annotator")
    left_out = annotation["counts"]["skipped"]
    if left_out:
        sentences.append(
            f"{left_out} of {annotation['counts']['files']} files were left out of the "
            "catalogue (01_annotation/rejected.csv)"
        )
    if not_dishes:
        sentences.append(
            f"{not_dishes} kinds of naming answers of the tuned model are no dish's name; "
            "they count as wrong and are listed"
        )
    if not classifier:
        sentences.append(
            f"{net}_classifier is absent: the weights given to stage 02 have no class head "
            "for these dishes"
        )
    return [*sentences, *_failures(predictions), *_cleaned(predictions), *_site_notes(predictions)]


def facts(
    dataset: RecordView,
    training: RecordView,
    contract: RecordView,
    *,
    net: str = params.PPLCNET,
) -> dict[str, str]:
    """What was trained on what, as {heading: sentence}. The success markers of stages 03 and 04,
    trainable.json, and stage 02's net.
    """
    given = training["parameters"]
    questions = dataset["counts"]["questions"]
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
        "base model": _base_model(training),
        "trained": f"{how}: {contract['trained_parameters']:,} of {contract['parameters']:,} "
        "parameters",
        "on": f"{questions['train']:,} questions about {dataset['counts']['ok']} dishes; "
        f"validated on {questions['validation']:,}, tested on {questions['test']:,}",
        "photo size": f"{best['min_pixels']:,} to {best['max_pixels']:,} pixels",
        "how": f"{given['num_train_epochs']:g} epochs, {training['counts']['steps']:,} steps, "
        f"learning rate {given['learning_rate']:g}",
        "small net": net,
        "best": f"{best['checkpoint']}; the lowest validation loss was "
        f"{training['validation_loss']:.4f}",
        "menu choice": _menu_choice(best),
    }


def _base_model(training: RecordView) -> str:
    """The model that was trained on from, or its folder."""
    run_name = base_run.name_of(training["parameters"].get("base_model"))
    if run_name:
        return f"that of run {run_name}, trained on from"
    return str(training["best"]["base_model"])


def _menu_choice(best: RecordView) -> str:
    """What dishvl.json says of the probabilities of a menu's entries."""
    temperature = f"temperature {best.get('temperature', 1.0):g}"
    presence = best.get("on_menu")
    if presence is None:
        return f"{temperature}, off-menu threshold {best.get('off_menu_threshold', 0.0):g}"
    sizes = presence["menu_sizes"]
    fitted_on = f"fitted on menus of {min(sizes)} to {max(sizes)} entries, n={presence['n']}"
    return (
        f"{temperature}; on the menu from a probability of {presence['threshold']:g} ({fitted_on})"
    )


def site_names(predictions: pd.DataFrame) -> pd.DataFrame:
    """What every predictor called the dishes of every site that it named itself: protocol,
    predictor, dish_id, name, shared (with another dish), true_name, questions.

    `true_name`: as the site's own menu says it, '' where it does not.
    """
    framed = predictions["framed"].eq(True)
    at_site = artefacts.at_site(predictions["protocol"])
    on_own_menus = predictions[~framed & at_site].drop_duplicates("dish_id")
    known = on_own_menus.set_index("dish_id")["truth"]
    named = predictions[framed].groupby(["protocol", "predictor", "dish_id"], sort=False)
    table = named.agg(
        name=("truth", "first"), lost=("lost", "first"), questions=("id", "size")
    ).reset_index()
    is_lost = table["lost"].ne("")
    has_name = table["name"].ne("")
    true_name = table["dish_id"].map(known).fillna("")
    table = table.assign(shared=is_lost & has_name, true_name=true_name)
    return table[["protocol", "predictor", "dish_id", "name", "shared", "true_name", "questions"]]


def _failures(predictions: pd.DataFrame) -> list[str]:
    failed = predictions[predictions["error"] != ""]
    n_questions = predictions["predictor"].value_counts()
    return [
        f"{predictor}: {len(of_predictor)} of {n_questions[predictor]} questions failed and count as "
        f"wrong, the first: {of_predictor['error'].iloc[0]}"
        for predictor, of_predictor in failed.groupby("predictor", sort=False)
    ]


def _cleaned(predictions: pd.DataFrame) -> list[str]:
    """Whose answers were taken out of something before they were marked, with the first of it."""
    if "removed" not in predictions:
        return []
    cleaned = predictions[predictions["removed"].fillna("") != ""]
    n_questions = predictions["predictor"].value_counts()
    sentences = []
    for predictor, of_predictor in cleaned.groupby("predictor", sort=False):
        removed = " ".join(of_predictor["removed"].iloc[0].split())
        sentences.append(
            f"{predictor}: {len(of_predictor)} of {n_questions[predictor]} answers were cleaned before "
            f"they were marked; from the first was removed: {removed[:REMOVED_SHOWN]}"
        )
    return sentences


def _site_notes(predictions: pd.DataFrame, predictor: str = "tuned") -> list[str]:
    at_sites = predictions[
        (predictions["predictor"] == predictor) & artefacts.at_site(predictions["protocol"])
    ]
    return [
        note
        for protocol, rows in at_sites.groupby("protocol", sort=False)
        for note in _of_site(protocol, rows)
    ]


def _of_site(protocol: str, rows: pd.DataFrame) -> Sequence[str]:
    near = rows["near_training"].ne("")
    counts = rows.loc[near, "near_training"].value_counts()
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    sentences = [
        f"{protocol}: {near.sum()} of {len(rows)} photos resemble a training "
        f"photo{f' ({kinds})' if kinds else ''}"
    ]
    if rows["framed"].any():
        lost = rows["lost"].ne("")
        unnamed = rows["lost"].eq(sites.NO_NAME)
        sentences.append(
            f"{protocol}: judged by whether a dish's other photos get the name that its "
            "first photos got, not by its true name; "
            f"{lost.sum()} of {len(rows)} questions are wrong in any case "
            f"({lost.sum() - unnamed.sum()} share a name, {unnamed.sum()} have none)"
        )
    return sentences
