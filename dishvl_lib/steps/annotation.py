"""Stage 01: photos into the catalogue, dishes named by the annotators and settled."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dishvl_lib.annotation import (
    annotate,
    audit,
    augmented,
    catalog,
    duplicates,
    earlier_split,
    given_names,
    rejections,
)
from dishvl_lib.annotation.layout import CatalogError
from dishvl_lib.core import (
    artefacts,
    base_run,
    decided_photos,
    decision_notes,
    given_tables,
    markers,
    paths,
    records,
    redo,
)
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import AnyPath, Record, Records
from dishvl_lib.demo import builtin
from dishvl_lib.endpoints import client
from dishvl_lib.endpoints.errors import BudgetError, EndpointError, UselessError
from dishvl_lib.review.name_review import NameReview

SCANNING = (
    "photos_csv",
    "folder_pattern",
    "file_patterns",
    "exclude_dishes",
    "max_dishes",
    "max_photos_per_dish",
    "follow_links",
    "dish_level",
    "max_image_pixels",
)
SPLITTING = (
    "test_share",
    "validation_share",
    "seed",
    "max_hamming",
    "min_cosine",
    "min_photos_per_dish",
)
READ_FILE = decided_photos.READ_FILE
REJECTED = "rejected.csv"


class Catalogue(NamedTuple):
    """The usable photos below `root`, the files left out, and pairs of near-duplicates."""

    root: Path
    photos: pd.DataFrame
    rejected: pd.DataFrame
    pairs: pd.DataFrame


class Settled(NamedTuple):
    """The dishes with one name each, their photos, what a person should look at, what became of
    decisions about photos, and all files that were left out.
    """

    dishes: Records
    catalogue: pd.DataFrame
    to_review: pd.DataFrame
    decided: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def for_review(self) -> tuple[pd.DataFrame, Records, pd.DataFrame]:
        """In the order in which sheets and widgets of the review take them."""
        return self.to_review, self.dishes, self.catalogue

    @property
    def misplaced(self) -> int:
        """Photos left out here, since their label is wrong and the right one cannot be used."""
        return len(rejections.wrongly_placed(self.decided))


def build_catalogue(stage: Stage) -> Catalogue:
    """Scan the photos, find near-duplicates and split; draws the demo's photos when asked for."""
    root, sites, listed = _photos(stage)
    scanning = stage.only(*SCANNING) | {"photos_csv": listed}
    if not stage.done:
        stage.make(READ_FILE, decided_photos.read, stage.decisions("photos"))
    known = _earlier_photos(stage)
    files = ("photos.parquet", REJECTED, "near_duplicates.csv")
    photos, rejected, pairs = stage.make(
        files,
        catalog.build,
        root,
        sites,
        near_features=stage.named_file("near_features") or "",
        hold_out={key: stage.params[f"hold_out_{key}"] for key in ("sites", "dates", "dishes")},
        photo_decisions=stage.path(READ_FILE),
        name_decisions=stage.decisions("names"),
        known=known,
        cache=paths.cache("scan"),
        **stage.only(*SPLITTING),
        **scanning,
    )
    catalogue = Catalogue(root, photos, rejected, pairs)
    if stage.params["photos_csv"]:
        _note_missing(stage, rejected)
    print(
        f"{len(photos)} of {len(photos) + len(rejected)} files are usable photos of "
        f"{photos.dish_id.nunique()} dishes; {len(rejected)} left out"
    )
    _note_folders(stage, catalogue, scanning)
    if known is not None:
        print(earlier_split.summary(photos, known))
    return catalogue


def _photos(stage: Stage) -> tuple[Path, Records, AnyPath]:
    """(folder of the photos, sites with real folders, the list of the photos or ''): stage 00's
    crops where the run has trays.
    """
    if not stage.params["trays_root"]:
        root, sites = builtin.photos(stage.params["image_root"], stage.params["sites"])
        return root, sites, stage.named_file("photos_csv") or ""
    listed = stage.input(paths.TRAYS, artefacts.CROPS_LIST)
    if not stage.done and records.read_table(listed).empty:
        raise CatalogError(
            f"{listed} is empty: no crop of stage 00 has the name of a dish. Sort the crops into one "
            "folder per dish and name that folder in image_root, with trays_root empty; or name the "
            "dishes on the trays in tray_labels"
        )
    return listed.parent, builtin.outside_sites(stage.params["sites"]), listed


def crop_margin(stage: Stage) -> float | None:
    """By which margin stage 00 has cropped the photos; None where it has not."""
    if not stage.params["trays_root"]:
        return None
    return stage.marker(paths.TRAYS)["parameters"]["crop_margin"]


def _earlier_photos(stage: Stage) -> pd.DataFrame | None:
    """EARLIER_COLUMNS of the run in `base_model: run:NAME`, kept in earlier_photos.parquet; None
    where none is named.
    """
    run_name = base_run.name_of(stage.params["base_model"])
    if not run_name:
        return None
    return stage.make(artefacts.EARLIER_PHOTOS, base_run.known_photos, run_name)


def _note_folders(stage: Stage, catalogue: Catalogue, scanning: Record) -> None:
    """Note splits that are not taken, dishes without a photo, and copies made by augmenting. A
    finished stage has noted them: its photo folder may be elsewhere now.
    """
    if stage.done:
        return
    parts = ("photos_csv", "folder_pattern", "follow_links", "dish_level")
    reading = {key: scanning[key] for key in parts}
    folders = stage.make(
        "folders.json",
        catalog.lost_dishes,
        catalogue.root,
        catalogue.photos,
        catalogue.rejected,
        **reading,
    )
    copies = stage.make("augmented.csv", augmented.families, catalogue.photos)
    of_copies = augmented.note(copies)
    sentences = [*folders["notes"], *catalog.lost_notes(folders["lost"], catalogue.rejected)]
    for sentence in [*sentences, *([of_copies] if of_copies else [])]:
        stage.note(sentence)


def _note_missing(stage: Stage, rejected: pd.DataFrame) -> None:
    """Note the lines of photos_csv that name no photo."""
    missing = rejected[rejected.reason == "missing"].path
    if len(missing):
        shown = ", ".join(missing.head(given_tables.MOST_SHOWN))
        stage.note(
            f"photos_csv {stage.params['photos_csv']}: {len(missing)} lines name no photo that is "
            f"there (rejected.csv): {shown}"
        )


def connect(stage: Stage) -> tuple[list[client.Endpoint], builtin.BuiltinAnnotator | None]:
    """The annotators, ready to be asked, and the demo's local one when it was started.

    A finished stage asks nobody, so it needs no key.
    """
    given = [] if stage.done else stage.params["annotators"]
    # The demo's annotator knows the photos that the demo draws of single dishes.
    photos_of = "" if stage.params["trays_root"] else stage.params["image_root"]
    servers, local = builtin.annotators(given, photos_of)
    return client.connect(servers), local


def estimate_cost(
    stage: Stage, photos: pd.DataFrame, endpoints: Sequence[client.Endpoint]
) -> pd.DataFrame:
    """What asking is likely to cost. Raises `BudgetError` when that is over the budget."""
    estimated = stage.make(
        "estimate.parquet",
        annotate.estimate,
        endpoints,
        number_of_dishes(photos),
        stage.params["photos_per_dish"],
    )
    annotate.check_budget(estimated, stage.params["budget"])
    return estimated


def ask_annotators(
    stage: Stage,
    catalogue: Catalogue,
    endpoints: Sequence[client.Endpoint],
    local: builtin.BuiltinAnnotator | None,
) -> tuple[Records, pd.DataFrame]:
    """(answers, requests that were put aside); what was paid for before comes from the journal."""
    try:
        answers, put_aside = stage.make(
            ("answers.jsonl", "quarantined.csv"), _answers_of, stage, catalogue, endpoints
        )
    finally:
        if local:
            local.stop()
    if annotate.no_annotator(answers):
        print(annotate.NO_ANNOTATOR_NOTE)
    else:
        dishes = number_of_dishes(catalogue.photos)
        print(f"{len(answers)} answers about {dishes} dishes, {len(put_aside)} requests put aside")
    return answers, put_aside


def _answers_of(
    stage: Stage, catalogue: Catalogue, endpoints: Sequence[client.Endpoint]
) -> tuple[Records, pd.DataFrame]:
    """Raises `EndpointError` for an annotation that has failed as a whole. Its answers are listed
    in quarantined.csv; without answers.jsonl beside it the stage asks again. Raises `RedoNeeded`
    when a stage that is made again unasked would pay.
    """
    try:
        answers = annotate.ask_dishes(
            _shown_to_annotators(stage, catalogue.photos),
            catalogue.root,
            endpoints,
            paths.cache("annotation") / "journal.sqlite",
            making=stage.making,
            budget=stage.budget,
            **stage.only("run_name", "photos_per_dish"),
        )
        problem = annotate.failure(answers)
    except UselessError as error:
        answers = error.answers
        problem = str(error)
    except BudgetError as error:
        if stage.changed:
            raise redo.payment_refused(stage.folder, stage.changed, error) from None
        raise
    put_aside = annotate.quarantined(answers)
    if problem:
        records.write_table(stage.path("quarantined.csv"), put_aside)
        remedy = f"then {markers.remedy(stage.name)}: what can be used is kept and not paid again"
        raise EndpointError(f"{problem}; {remedy}")
    return answers, put_aside


def _shown_to_annotators(stage: Stage, photos: pd.DataFrame) -> pd.DataFrame:
    """The photos that may stand for their folder's dish: not those that show another one."""
    decided = decided_photos.read(stage.path(READ_FILE))
    return photos[~decided_photos.of_another_dish(decided, photos)]


def settle_names(stage: Stage, scanned: Catalogue, answers: Records) -> Settled:
    """One name a dish, from people, `names_csv` and the annotators; dishes that are one are merged.
    Photos whose right dish somebody has given are that dish's.
    """
    files = ["dishes.jsonl", "catalog.parquet", "name_review.csv"]
    decided = decided_photos.none()
    if stage.done and not stage.path(decided_photos.OUTCOME_FILE).exists():
        # An earlier version has made it, which is not made again for a file more.
        dishes, catalogue, to_review = stage.make(tuple(files), dict)
    else:
        files.append(decided_photos.OUTCOME_FILE)
        dishes, catalogue, to_review, decided = stage.make(
            tuple(files), _settled, stage, scanned, answers
        )
    rejected = _with_misplaced(stage, scanned.rejected, decided)
    _note_names(stage, dishes, catalogue, to_review)
    _note_decided(stage, scanned, catalogue, decided)
    named = audit.name_table(dishes)
    print(
        f"{len(dishes)} dishes: {named.name_source.value_counts().to_dict()}; "
        f"{named.card.sum()} of "
        f"{len(named)} have a card; {len(to_review)} to review"
    )
    return Settled(dishes, catalogue, to_review, decided, rejected)


def _settled(
    stage: Stage, scanned: Catalogue, answers: Records
) -> tuple[Records, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(rows of dishes.jsonl, the catalogue, the review, what became of decisions about photos)."""
    same_name = stage.params["same_name"]
    named = audit.named(
        scanned.photos,
        answers,
        names_csv=stage.named_file("names_csv") or "",
        decisions=stage.decisions("names"),
        same_name=same_name,
    )
    read = decided_photos.read(stage.path(READ_FILE))
    settled, decided = audit.rehoused(named, read, scanned.rejected)
    dishes, to_review = audit.reviewed(
        settled,
        same_name=same_name,
        pairs=duplicates.typed(duplicates.between_dishes(scanned.pairs)),
        features=catalog.read_features(stage.named_file("near_features") or ""),
    )
    return dishes, settled.catalogue, to_review, decided


def _with_misplaced(stage: Stage, rejected: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """All files that were left out, in rejected.csv too: those whose right dish cannot be used are
    known only when the dishes are.
    """
    misplaced = rejections.wrongly_placed(decided)
    new = misplaced[~misplaced.path.isin(rejected.path)]
    if new.empty:
        return rejected
    together = pd.concat([rejected, new], ignore_index=True)
    if not stage.done:
        records.write_table(stage.path(REJECTED), together)
    return together


def _note_decided(
    stage: Stage, scanned: Catalogue, catalogue: pd.DataFrame, decided: pd.DataFrame
) -> None:
    """Note what became of people's decisions about photos, and dishes that they have emptied."""
    if stage.done:
        return
    for sentence in decision_notes.sentences(decided):
        stage.note(sentence)
    used = set(decided.dish_id[decided.effect != decided_photos.STAYS])
    emptied = sorted(used - set(catalogue.dish_id))
    there = set(scanned.photos.dish_id)
    lost = [dish_id for dish_id in emptied if dish_id in there]
    if lost:
        stage.note(
            f"{len(lost)} dishes have no photo left after the decisions about photos and are gone "
            f"from dishes.jsonl: {', '.join(lost[: given_tables.MOST_SHOWN])}"
        )


def _note_names(
    stage: Stage,
    dishes: Sequence[Record],
    catalogue: pd.DataFrame,
    to_review: pd.DataFrame,
) -> None:
    """Note rows that name no folder, and dishes without a name. A finished stage has noted them: a
    table that it read may be gone by now.
    """
    if stage.done:
        return
    folders = catalogue[~artefacts.at_site(catalogue.split)].folder
    table = stage.named_file("names_csv") or ""
    unmatched = given_names.unmatched(folders, table, stage.decisions("names"))
    for sentence in [*unmatched, *audit.notes(dishes, to_review)]:
        stage.note(sentence)


def named_differently(settled: Settled, differing: pd.DataFrame, most: int = 12) -> pd.DataFrame:
    """The photos by which annotators named dishes differently."""
    image_ids = differing.image_ids.explode().dropna().head(most)
    return settled.catalogue[settled.catalogue.image_id.isin(image_ids)]


def name_review(stage: Stage, catalogue: Catalogue, settled: Settled) -> NameReview:
    """The widget in which people decide about names."""
    return NameReview(
        *settled.for_review,
        catalogue.root,
        stage.decisions("names"),
        language=stage.params["language"],
    )


def number_of_dishes(photos: pd.DataFrame) -> int:
    """Dishes at home: outside sites are not asked about."""
    return photos[~artefacts.at_site(photos.split)].dish_id.nunique()


def counts(settled: Settled, put_aside: pd.DataFrame) -> dict[str, int]:
    """For the success marker: files = ok + skipped + failed."""
    left_out = len(settled.rejected)
    return {
        "files": len(settled.catalogue) + left_out,
        "ok": len(settled.catalogue),
        "skipped": left_out,
        "failed": 0,
        "dishes": len(settled.dishes),
        "to_review": len(settled.to_review),
        "quarantined": len(put_aside),
    }
