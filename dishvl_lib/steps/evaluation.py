"""Stage 05: what is asked, who answers, and what the answers say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import catalog, duplicates
from dishvl_lib.core import (
    artefacts,
    base_run,
    decided_photos,
    missing_photos,
    params,
    paths,
    photo_hashes,
    records,
    redo,
)
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.dataset import new_dishes
from dishvl_lib.demo import builtin
from dishvl_lib.display import figures, report
from dishvl_lib.endpoints.errors import BudgetError
from dishvl_lib.evaluation import (
    asking,
    confusion,
    decided,
    groups,
    metrics,
    notes,
    off_menu,
    online,
    predictors,
    protocols,
    reproduce,
    sites,
    trays,
    trust,
)
from dishvl_lib.evaluation import gallery as judged
from dishvl_lib.review import confusion_browser as browser
from dishvl_lib.steps import gallery, tray_evaluation

Predictors = dict[str, Callable[[], predictors.Predictor]]
TUNED = "tuned"
BASE = "base"
HYBRID = "hybrid"
GALLERY = "gallery"
# Of the accuracy table, in the notebook.
IN_SHORT = (
    "protocol",
    "predictor",
    "n",
    "correct",
    "accuracy",
    "ci_low",
    "ci_high",
    "chance",
    "majority",
    "menu_size",
)


class Sources(NamedTuple):
    """What the earlier stages know of photos and dishes, and the photos that people moved or left
    out.
    """

    photos: pd.DataFrame
    dishes: Records
    names: dict[str, str]
    similar: pd.DataFrame
    clusters: pd.DataFrame
    features: dict[str, np.ndarray]
    decided: pd.DataFrame = decided_photos.none()

    @property
    def known(self) -> gallery.Known:
        """What a gallery is made of."""
        return gallery.known(self.photos, self.dishes, self.features)


class Answers(NamedTuple):
    """Every answer, which plan each predictor was asked, and what the online models took."""

    predictions: pd.DataFrame
    plans: dict[str, protocols.Plan]
    spent: pd.DataFrame

    @property
    def failed(self) -> int:
        return int((self.predictions.error != "").sum())


class Accuracy(NamedTuple):
    """The accuracy table, each predictor against the tuned model, the best small net, what people's
    decisions about test photos do to it, and whole trays.
    """

    table: pd.DataFrame
    compared: pd.DataFrame
    to_beat: pd.DataFrame
    decided: pd.DataFrame
    trays: tray_evaluation.Judged

    @property
    def in_short(self) -> pd.DataFrame:
        """The columns that belong to every accuracy; the report has all of them."""
        return self.table[list(IN_SHORT)]


class Breakdown(NamedTuple):
    """Predictions with their groups, accuracy by group, and what the sites' dishes were called."""

    described: pd.DataFrame
    by_group: pd.DataFrame
    site_names: pd.DataFrame


class Trust(NamedTuple):
    """How far the tuned model's confidence can be trusted: its measures, two curves, and whether it
    notices that a dish is not on the menu, by menu size.
    """

    measures: Record
    reliability: pd.DataFrame
    coverage: pd.DataFrame
    off_menu: Record


class Confusions(NamedTuple):
    """Which dish is taken for which: the cells of the grid, confusions.csv, and odd answers."""

    cells: pd.DataFrame
    table: pd.DataFrame
    not_dishes: pd.DataFrame


def read_sources(stage: Stage) -> Sources:
    dishes = stage.rows("01_annotation", "dishes.jsonl")
    photos = catalog.read(stage.input("01_annotation", "catalog.parquet"))
    file = stage.input("03_dataset", decided_photos.OUTCOME_FILE)
    outcomes = records.read_table(file) if file.exists() else decided_photos.none()
    return Sources(
        decided_photos.applied(photos, outcomes),
        dishes,
        artefacts.names_by_dish(dishes),
        stage.table("02_similar_dishes", "similar_dishes.csv"),
        stage.table("02_similar_dishes", "clusters.csv"),
        stage.arrays("02_similar_dishes", "features.npz"),
        outcomes,
    )


def plan_questions(stage: Stage, sources: Sources) -> protocols.Plan:
    """What is asked under every protocol, without the photos that have gone since stage 01."""
    photos = sources.photos
    menu_size = stage.marker("03_dataset")["parameters"]["test_menu_size"]
    options = {"menu_size": menu_size} | stage.only("seed")
    added = gallery.new_photos(stage, sources.known)
    new = stage.make(
        "new_dishes.jsonl",
        new_dishes.rows,
        new_dishes.left_to_ask(photos, added),
        sources.known.names,
        sources.similar,
        aliases={dish["dish_id"]: dish["aliases"] for dish in sources.dishes},
        **options,
    )
    test = stage.rows("03_dataset", "test.jsonl")
    with_new = _with_new_dishes(stage, test, set(added.dish_id.map(sources.known.names)))
    unseen = stage.rows("03_dataset", "test_unseen.jsonl")
    given_sites = builtin.outside_sites(stage.params["sites"])
    site_files = stage.inputs("03_dataset", "site_*.jsonl")
    if not stage.done:  # a finished stage has noted them; the menu may be gone by now
        for sentence in sites.unmatched_menu_rows(given_sites, site_files):
            stage.note(sentence)
    outside = sites.of_run(
        given_sites,
        site_files,
        register_per_dish=stage.params["register_per_dish"],
        **options,
    )
    near = _near_training(photos)
    everything = protocols.Plan(protocols.stored(test, unseen, new, with_new), outside).marked(near)
    rows = everything.rows_with_photos()
    missing = missing_photos.decided(stage, rows, stage.params["max_missing_share"])
    plan = everything.without_photos(set(missing.path))
    print(plan.counts())
    print(f"{len(near)} photos of sites and new dishes resemble a training photo")
    return plan


def _with_new_dishes(stage: Stage, test: Records, new_names: set[str]) -> Records:
    """The test questions after the new dishes were added; [] where an earlier version has
    finished.
    """
    file = "with_new_dishes.jsonl"
    if stage.done and not stage.path(file).exists():
        return []
    return stage.make(file, new_dishes.among_known, test, new_names, **stage.only("seed"))


def _near_training(photos: pd.DataFrame) -> dict[str, str]:
    """{image_id: the training photo that it resembles} of photos from elsewhere."""
    splits = photos.split
    judged = photos[splits.isin(("train", artefacts.HELD_OUT)) | artefacts.at_site(splits)]
    pairs = duplicates.across_dishes(judged, photo_hashes.MAX_HAMMING)
    return protocols.near_training(photos, pairs)


def local_predictors(stage: Stage, sources: Sources) -> Predictors:
    """{name: what opens it}: the tuned model, alone and with a gallery, the gallery alone, the base
    model, and stage 02's net in its three ways.
    """
    photos = sources.photos
    names = sources.names
    train = photos[photos.split == "train"]
    net = _net(stage)
    registered = stage.params["register_per_dish"]
    few = predictors.register(photos, registered, stage.params["seed"])
    arrays = sources.features
    vectors = dict(zip(arrays["image_id"], arrays["feature"], strict=True))
    scores = stage.arrays("02_similar_dishes", "class_scores.npz")
    local: Predictors = {
        TUNED: lambda: _model(stage, str(stage.input("04_training", "best"))),
        HYBRID: lambda: _hybrid(stage, sources, net),
        GALLERY: lambda: _gallery(stage, sources, net),
        _base_name(stage): lambda: _base_model(stage),
        net: lambda: predictors.NearestPredictor(vectors, train, names),
        f"{net}_register{registered}": (lambda: predictors.NearestPredictor(vectors, few, names)),
    }
    if len(scores["image_id"]):
        local[_classifier(net)] = lambda: predictors.ClassifierPredictor(scores, names)
    print(f"asked here: {', '.join(local)}")
    return local


def _net(stage: Stage) -> str:
    """The net that stage 02 used; runs of earlier versions had one only."""
    return stage.marker("02_similar_dishes")["parameters"].get("net", params.PPLCNET)


def _classifier(net: str) -> str:
    return f"{net}_classifier"


def _hybrid(stage: Stage, sources: Sources, net: str) -> predictors.Predictor:
    """The tuned model with the gallery; what it has answered alone is not asked again."""
    model = _model(stage, str(stage.input("04_training", "best")))
    fitted = gallery.fit(stage, sources.known, net, model)
    return judged.HybridPredictor(
        lambda: model.recognizer,
        stage.image_root(),
        sources.known.vectors,
        gallery.galleries(stage, sources.known, net, fitted),
        lambda: asking.kept(stage.folder, TUNED),
        model_decides=model.recognizer.presence is not None,
    )


def _gallery(stage: Stage, sources: Sources, net: str) -> predictors.Predictor:
    fitted = gallery.fitted(stage)
    shown = gallery.galleries(stage, sources.known, net, fitted)
    return judged.GalleryPredictor(sources.known.vectors, shown)


def _base_model(stage: Stage) -> predictors.Predictor:
    """The model that the training started from, with the training's pixel limits."""
    trained = stage.marker("04_training")["best"]
    limits = {key: trained[key] for key in ("min_pixels", "max_pixels")}
    given = _base_given(stage)
    # A run is found by its name, wherever the folder of all runs has gone.
    folder = given if base_run.name_of(given) else trained["base_model"]
    return _model(stage, folder, **limits)


def _base_given(stage: Stage) -> str:
    """`base_model` of the training."""
    return stage.marker("04_training")["parameters"]["base_model"]


def _base_name(stage: Stage) -> str:
    """What the row of the base model is called: with its run, where it is one that was trained
    here.
    """
    run_name = base_run.name_of(_base_given(stage))
    return f"{BASE} ({run_name})" if run_name else BASE


def _model(stage: Stage, folder: str, **limits: int) -> predictors.RecognizerPredictor:
    from dishvl_lib import Recognizer

    chosen = {key: value or None for key, value in stage.only("device", "dtype").items()}
    recognizer = Recognizer.load(folder, **limits, **chosen)
    return predictors.RecognizerPredictor(recognizer, stage.image_root())


def online_models(stage: Stage, plan: protocols.Plan) -> tuple[list[online.Rival], protocols.Plan]:
    """(online models, the sample of the questions that they are asked).

    A finished stage asks nobody, so it needs no key. What new dishes cost our own model is nothing
    that others are paid for.
    """
    rivals = online.connect([] if stage.done else stage.params["endpoints"])
    about_itself = (protocols.NAMING_WITH_NEW, protocols.MENU_WITH_NEW)
    return rivals, plan.without_protocols(*about_itself).sampled(
        stage.params["endpoint_questions"], stage.params["seed"]
    )


def estimate_cost(
    stage: Stage, rivals: list[online.Rival], sampled: protocols.Plan
) -> pd.DataFrame:
    """What asking is likely to cost. Raises `BudgetError` when that is over the budget."""
    estimated = stage.make("estimate.parquet", online.estimate, rivals, sampled)
    online.check_budget(estimated, stage.params["budget"])
    return estimated


def ask_all(
    stage: Stage,
    sources: Sources,
    local: Predictors,
    plan: protocols.Plan,
    rivals: list[online.Rival],
    sampled: protocols.Plan,
) -> Answers:
    """Put the questions to every predictor; what was answered before a kill is not asked again.

    Raises `RedoNeeded` when a stage that is made again unasked would pay for an answer.
    """
    everyone = dict(local)
    plans = {name: _plan_of(name, plan) for name in local}
    for rival in rivals:
        everyone[rival.name] = _opener(stage, sources, rival)
        plans[rival.name] = sampled
    batch_size = stage.params["batch_size"]
    try:
        rows = stage.make(
            "predictions.jsonl", asking.predict_all, everyone, plans, stage.folder, batch_size
        )
    except BudgetError as error:
        if stage.changed:
            raise redo.payment_refused(stage.folder, stage.changed, error) from None
        raise
    called = [given["name"] for given in stage.params["endpoints"]]
    spent = stage.make("costs.parquet", online.costs, stage.folder, called)
    if stage.done:  # an earlier version had fewer predictors
        answered = {row["predictor"] for row in rows}
        plans = {name: plan for name, plan in plans.items() if name in answered}
    answers = Answers(pd.DataFrame(rows), plans, spent)
    print(
        f"{len(rows)} answers from {answers.predictions.predictor.nunique()} predictors; "
        f"{answers.failed} failed and count as wrong"
    )
    return answers


def _plan_of(name: str, plan: protocols.Plan) -> protocols.Plan:
    """Only a gallery names otherwise once dishes were added to it."""
    if name in (HYBRID, GALLERY):
        return plan
    return plan.without_protocols(protocols.NAMING_WITH_NEW)


def _opener(
    stage: Stage, sources: Sources, rival: online.Rival
) -> Callable[[], predictors.Predictor]:
    photos = sources.photos

    def opened() -> predictors.Predictor:
        return online.EndpointPredictor(
            rival,
            stage.image_root(),
            dict(zip(photos.image_id, photos.sha256, strict=True)),
            paths.cache("evaluation") / "journal.sqlite",
            run=stage.params["run_name"],
            budget=stage.budget,
            version=records.fingerprint(stage.begun["inputs"]),
            making=stage.making,
        )

    return opened


def put_beside_best(stage: Stage, sources: Sources) -> None:
    """The gallery where `dishvl predict` and `dishvl dish` find it."""
    done = gallery.publish(stage, sources.known)
    if done:
        stage.note(done)


def measure(stage: Stage, sources: Sources, answers: Answers) -> Accuracy:
    """Accuracies with n, interval and chance, of whole trays too; writes metrics.json."""
    table = metrics.accuracy_table(answers.predictions)
    compared = metrics.compare(answers.predictions)
    counted = decided.table(answers.predictions, sources.decided)
    judged_trays = tray_evaluation.judge(
        stage,
        sources.known,
        sources.similar,
        lambda: _model(stage, str(stage.input("04_training", "best"))).recognizer,
    )
    by_predictor = trays.joined(metrics.metrics_dict(table), judged_trays.measured)
    stage.make("metrics.json", decided.into_metrics, by_predictor, counted)
    return Accuracy(table, compared, metrics.rivals(table, compared), counted, judged_trays)


def break_down(stage: Stage, sources: Sources, answers: Answers) -> Breakdown:
    """Accuracy by site, number of training photos and cluster of look-alikes."""
    described = groups.described(answers.predictions, sources.photos, sources.clusters)
    by_group = stage.make("groups.parquet", groups.table, described)
    called = stage.make("site_names.parquet", notes.site_names, answers.predictions)
    return Breakdown(described, by_group, called)


def measure_trust(stage: Stage, answers: Answers) -> Trust:
    """Calibration and selective accuracy of the tuned model, at stage 04's temperature, and what it
    says of dishes that are not on the menu; writes calibration.json and off_menu.json.
    """
    trained = stage.marker("04_training")["best"]
    temperature = trained["temperature"]
    scored = trust.scored(answers.predictions, temperature)
    measures = stage.make(
        "calibration.json",
        trust.summary,
        scored,
        temperature=temperature,
        threshold=trained["off_menu_threshold"],
    )
    reliability = trust.reliability(scored, temperature)
    by_size = stage.make("off_menu.json", _off_menu, stage)
    said = off_menu.sentence(by_size)
    if said:
        print(said)
    return Trust(measures, reliability, trust.coverage(scored, temperature), by_size)


def _off_menu(stage: Stage) -> Record:
    rows = stage.rows("03_dataset", "test.jsonl")
    menus = off_menu.drawn_menus(rows, stage.params["seed"])
    recognizer = _model(stage, str(stage.input("04_training", "best"))).recognizer
    scored = off_menu.score(recognizer, menus, stage.image_root())
    return off_menu.summary(scored, off_menu.signals(recognizer.metadata))


def confuse(stage: Stage, sources: Sources, answers: Answers) -> Confusions:
    """Confusions of the tuned model, in naming first, and on menus; writes confusions.csv."""
    predictions = answers.predictions
    names = sources.names
    protocol = confusion.first_protocol(predictions)
    cells = confusion.confusions(
        predictions, names, sources.similar, protocol=protocol, diagonal=True
    )
    table = stage.make("confusions.csv", confusion.table, predictions, names, sources.similar)
    odd = confusion.not_dishes(predictions, names, protocol=protocol)
    print(
        f"{(cells.truth != cells.answer).sum()} confused pairs in {protocol}, "
        f"{(table.protocol == 'menu').sum()} on menus"
    )
    return Confusions(cells, table, odd)


def remarks(
    stage: Stage,
    sources: Sources,
    answers: Answers,
    accuracy: Accuracy,
    confusions: Confusions,
    language: str = "en",
) -> list[str]:
    """What a reader of the figures must know, a sentence each."""
    sentences = notes.notes(
        stage.marker("01_annotation"),
        answers.predictions,
        len(confusions.not_dishes),
        net=_net(stage),
        classifier=_classifier(_net(stage)) in answers.plans,
        language=language,
    )
    about_marks = decided.sentences(sources.decided, accuracy.decided, language=language)
    return [*about_marks, *sentences]


def write_report(
    stage: Stage,
    sources: Sources,
    answers: Answers,
    accuracy: Accuracy,
    broken_down: Breakdown,
    trusted: Trust,
    confusions: Confusions,
    sentences: list[str],
) -> None:
    """report.html in both languages, which needs no network, and the profile that makes this run
    again. sentences: of `remarks`, in English.
    """
    made_with = {name: stage.marker(name)["parameters"] for name in stage.upstream}
    made_with[stage.name] = stage.params
    stage.make_file("profile", reproduce.write_profile, parameters=made_with)
    costs = {name: stage.marker(name)["cost"] for name in stage.upstream}
    costs[stage.name] = online.totals(answers.spent)
    chinese = remarks(stage, sources, answers, accuracy, confusions, "zh")
    run_name = stage.params["run_name"]
    stage.make_file(
        "report.html",
        report.report,
        title=f"DishVL: {run_name}",
        facts=_facts(stage),
        table=accuracy.table,
        comparison=accuracy.compared,
        predictions=broken_down.described,
        photos=sources.photos,
        names=sources.names,
        figures=_figures(stage, accuracy, trusted),
        tables={
            "best small net against the tuned model": accuracy.to_beat,
            **accuracy.trays.shown,
            "test photos that people decided about": accuracy.decided,
            "calibration": trust.shown(trusted.measures),
            "not on the menu, by menu size": off_menu.shown(trusted.off_menu),
            "accuracy by group": broken_down.by_group,
            "names that sites were given": broken_down.site_names,
            "online models": answers.spent,
        },
        clusters=sources.clusters,
        similar=sources.similar,
        not_dishes=confusions.not_dishes,
        image_root=stage.image_root(),
        notes={"en": sentences, "zh": chinese},
        parameters=stage.params,
        costs=costs,
        command=reproduce.command(stage.path("profile"), run_name),
        language=stage.params["language"],
    )


def _facts(stage: Stage) -> dict[str, dict[str, str]]:
    trainable = records.read_json(stage.input("04_training", "trainable.json"))
    made = (stage.marker("03_dataset"), stage.marker("04_training"), trainable)
    return {
        language: notes.facts(*made, net=_net(stage), language=language)
        for language in report.LANGUAGES
    }


def _figures(stage: Stage, accuracy: Accuracy, trusted: Trust) -> dict[str, dict[str, Any]]:
    """The report's figures, each drawn in both languages."""
    rows = stage.rows("04_training", "metrics.jsonl")
    curves = (trusted.reliability, trusted.coverage, trusted.measures)
    bars = {}
    losses = {}
    trust_by_language = {}
    for language in report.LANGUAGES:
        bars[language] = figures.accuracy_bars(accuracy.table, language=language)
        losses[language] = figures.loss_curves(rows, language=language)
        trust_by_language[language] = figures.trust_curves(*curves, language=language)
    return {
        "accuracy by predictor": bars,
        "training": losses,
        "calibration curves": trust_by_language,
    }


def confusion_grid(stage: Stage, sources: Sources, confusions: Confusions) -> Any:
    """The confused pairs with their photos."""
    return figures.confusion_grid(
        confusions.cells,
        sources.photos,
        sources.names,
        stage.image_root(),
        top=12,
        **stage.only("language"),
    )


def confusion_browser(
    stage: Stage, sources: Sources, broken_down: Breakdown
) -> browser.ConfusionBrowser:
    """The widget in which confused photos are looked at and decided about."""
    return browser.ConfusionBrowser(
        broken_down.described,
        sources.photos,
        sources.names,
        stage.image_root(),
        sources.similar,
        stage.decisions("photos"),
        clusters=sources.clusters,
        features=sources.features,
        language=stage.params["language"],
    )


def counts(plan: protocols.Plan, answers: Answers) -> dict[str, int]:
    """For the success marker: answers = ok + skipped + failed."""
    answered = len(answers.predictions)
    return {
        "questions": plan.questions,
        "answers": answered,
        "ok": answered - answers.failed,
        "skipped": 0,
        "failed": answers.failed,
    }
