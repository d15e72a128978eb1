"""The sentences and facts that must stand beside an accuracy table."""

from collections.abc import Mapping

import pandas as pd

from dishvl_lib.core import artefacts, base_run, params
from dishvl_lib.core.types import RecordView
from dishvl_lib.evaluation import sites

REMOVED_SHOWN = 120  # characters of what stood around an answer
PARTS = ("visual", "merger", "language_model", "lm_head")
SENTENCES = {
    "en": {
        "no_annotator": "names from folders, no annotator",
        "left_out": "{left_out} of {files} files were left out of the catalogue "
        "(01_annotation/rejected.csv)",
        "not_dishes": "{count} kinds of naming answers of the tuned model are no dish's name; they "
        "count as wrong and are listed",
        "no_classifier": "{net}_classifier is absent: the weights given to stage 02 have no class "
        "head for these dishes",
        "failed": "{predictor}: {count} of {n} questions failed and count as wrong, the first: "
        "{first}",
        "cleaned": "{predictor}: {count} of {n} answers were cleaned before they were marked; from "
        "the first was removed: {removed}",
        "same frame": "same frame",
        "near-duplicate": "near-duplicate",
        "near": "{protocol}: {near} of {n} photos resemble a training photo{kinds}",
        "framed": "{protocol}: judged by whether a dish's other photos get the name that its first "
        "photos got, not by its true name; {lost} of {n} questions are wrong in any case ({shared} "
        "share a name, {unnamed} have none)",
    },
    "zh": {
        "no_annotator": "菜名来自文件夹，没有标注模型",
        "left_out": "{files} 个文件中有 {left_out} 个没有进入目录（01_annotation/rejected.csv）",
        "not_dishes": "调优模型有 {count} 种命名回答不是菜名；它们算答错，并单独列出",
        "no_classifier": "没有 {net}_classifier：给第 02 步的权重没有这些菜的分类头",
        "failed": "{predictor}：{n} 题中有 {count} 题失败，算答错；第一个原因：{first}",
        "cleaned": "{predictor}：{n} 个回答中有 {count} 个在评分前作了清理；第一个去掉的是：{removed}",
        "same frame": "同一帧",
        "near-duplicate": "近似重复",
        "near": "{protocol}：{n} 张照片中有 {near} 张与某张训练照片相近{kinds}",
        "framed": "{protocol}：评判的是一道菜的其余照片是否得到与最初几张相同的名字，而不是真实名称；"
        "{n} 题中有 {lost} 题无论如何都算错（{shared} 题重名，{unnamed} 题没有名字）",
    },
}
FACTS = {
    "en": {
        "base run": "that of run {run_name}, trained on from",
        "trained": "{how}: {trained:,} of {parameters:,} parameters",
        "lora": "LoRA of rank {lora_rank}",
        "and": " and ",
        "on": "{train:,} questions about {dishes} dishes; validated on {validation:,}, tested on "
        "{test:,}",
        "photo size": "{min_pixels:,} to {max_pixels:,} pixels",
        "how": "{num_train_epochs:g} epochs, {steps:,} steps, learning rate {learning_rate:g}",
        "best": "{checkpoint}; the lowest validation loss was {loss:.4f}",
        "temperature": "temperature {:g}",
        "threshold": ", off-menu threshold {:g}",
        "on_menu": "; on the menu from a probability of {threshold:g} (fitted on menus of {least} "
        "to {most} entries, n={n})",
    },
    "zh": {
        "base run": "运行 {run_name} 的模型，在它上面接着训练",
        "trained": "{how}：{parameters:,} 个参数中的 {trained:,} 个",
        "lora": "秩为 {lora_rank} 的 LoRA",
        "and": " 和 ",
        "on": "{dishes} 道菜的 {train:,} 道题；用 {validation:,} 道验证，{test:,} 道测试",
        "photo size": "{min_pixels:,} 到 {max_pixels:,} 像素",
        "how": "{num_train_epochs:g} 轮，{steps:,} 步，学习率 {learning_rate:g}",
        "best": "{checkpoint}；最低验证损失为 {loss:.4f}",
        "temperature": "温度 {:g}",
        "threshold": "，菜单外阈值 {:g}",
        "on_menu": "；概率达到 {threshold:g} 即视为在菜单上（在 {least} 到 {most} 个条目的菜单上拟合，"
        "n={n}）",
    },
}


def notes(
    annotation: RecordView,
    predictions: pd.DataFrame,
    not_dishes: int,
    *,
    net: str = params.PPLCNET,
    classifier: bool = True,
    language: str = "en",
) -> list[str]:
    """What a reader has to know: where the names come from, answers that are no dish, questions
    that failed, sites seen in training.

    `annotation`: stage 01's success marker; `predictions`: the rows of predictions.jsonl;
    `net`: stage 02's; `classifier`: whether a classifier by it is among the predictors.
    """
    say = _Sentences(SENTENCES[language])
    if annotation.get("no_annotator"):
        say("no_annotator")
    left_out = annotation["counts"]["skipped"]
    if left_out:
        say("left_out", left_out=left_out, files=annotation["counts"]["files"])
    if not_dishes:
        say("not_dishes", count=not_dishes)
    if not classifier:
        say("no_classifier", net=net)
    _failures(predictions, say)
    _cleaned(predictions, say)
    _site_notes(predictions, say)
    return say.sentences


class _Sentences:
    """Called with the name of a template of one language and what it holds."""

    def __init__(self, templates: Mapping[str, str]):
        self.templates = templates
        self.sentences: list[str] = []

    def __call__(self, name: str, **values: object) -> None:
        self.sentences.append(self.templates[name].format(**values))


def facts(
    dataset: RecordView,
    training: RecordView,
    contract: RecordView,
    *,
    net: str = params.PPLCNET,
    language: str = "en",
) -> dict[str, str]:
    """What was trained on what, as {heading: sentence}; the headings are English ones, which the
    report translates. The success markers of stages 03 and 04, trainable.json, and stage 02's net.
    """
    texts = FACTS[language]
    given = training["parameters"]
    questions = dataset["counts"]["questions"]
    best = training["best"]
    return {
        "base model": _base_model(training, texts),
        "trained": texts["trained"].format(
            how=_how(given, texts),
            trained=contract["trained_parameters"],
            parameters=contract["parameters"],
        ),
        "on": texts["on"].format(dishes=dataset["counts"]["ok"], **questions),
        "photo size": texts["photo size"].format(**best),
        "how": texts["how"].format(steps=training["counts"]["steps"], **given),
        "small net": net,
        "best": texts["best"].format(loss=training["validation_loss"], **best),
        "menu choice": _menu_choice(best, texts),
    }


def _how(given: RecordView, texts: Mapping[str, str]) -> str:
    """Which parts of the model train, or by which adapters."""
    if given["lora_rank"]:
        return texts["lora"].format(**given)
    parts = [name for name in PARTS if given[f"train_{name}"]]
    return texts["and"].join(parts)


def _base_model(training: RecordView, texts: Mapping[str, str]) -> str:
    """The model that was trained on from, or its folder."""
    run_name = base_run.name_of(training["parameters"].get("base_model"))
    if run_name:
        return texts["base run"].format(run_name=run_name)
    return str(training["best"]["base_model"])


def _menu_choice(best: RecordView, texts: Mapping[str, str]) -> str:
    """What dishvl.json says of the probabilities of a menu's entries."""
    temperature = texts["temperature"].format(best.get("temperature", 1.0))
    presence = best.get("on_menu")
    if presence is None:
        return temperature + texts["threshold"].format(best.get("off_menu_threshold", 0.0))
    sizes = presence["menu_sizes"]
    limits = {"least": min(sizes), "most": max(sizes)}
    return temperature + texts["on_menu"].format(**limits, **presence)


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


def _failures(predictions: pd.DataFrame, say: _Sentences) -> None:
    failed = predictions[predictions["error"] != ""]
    n_questions = predictions["predictor"].value_counts()
    for predictor, of_predictor in failed.groupby("predictor", sort=False):
        first = of_predictor["error"].iloc[0]
        counts = {"count": len(of_predictor), "n": n_questions[predictor]}
        say("failed", predictor=predictor, first=first, **counts)


def _cleaned(predictions: pd.DataFrame, say: _Sentences) -> None:
    """Whose answers were taken out of something before they were marked, with the first of it."""
    if "removed" not in predictions:
        return
    cleaned = predictions[predictions["removed"].fillna("") != ""]
    n_questions = predictions["predictor"].value_counts()
    for predictor, of_predictor in cleaned.groupby("predictor", sort=False):
        removed = " ".join(of_predictor["removed"].iloc[0].split())
        counts = {"count": len(of_predictor), "n": n_questions[predictor]}
        say("cleaned", predictor=predictor, removed=removed[:REMOVED_SHOWN], **counts)


def _site_notes(predictions: pd.DataFrame, say: _Sentences, predictor: str = "tuned") -> None:
    at_sites = predictions[
        (predictions["predictor"] == predictor) & artefacts.at_site(predictions["protocol"])
    ]
    for protocol, rows in at_sites.groupby("protocol", sort=False):
        _of_site(protocol, rows, say)


def _of_site(protocol: str, rows: pd.DataFrame, say: _Sentences) -> None:
    near = rows["near_training"].ne("")
    counts = rows.loc[near, "near_training"].value_counts()
    kinds = ", ".join(f"{count} {say.templates[kind]}" for kind, count in counts.items())
    of_kinds = f" ({kinds})" if kinds else ""
    say("near", protocol=protocol, near=near.sum(), n=len(rows), kinds=of_kinds)
    if rows["framed"].any():
        lost = rows["lost"].ne("")
        unnamed = rows["lost"].eq(sites.NO_NAME).sum()
        shared = lost.sum() - unnamed
        reasons = {"lost": lost.sum(), "shared": shared, "unnamed": unnamed}
        say("framed", protocol=protocol, n=len(rows), **reasons)
