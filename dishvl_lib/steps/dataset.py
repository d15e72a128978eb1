"""Stage 03: which photos may be asked about, the questions, and what is checked of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import catalog, duplicates
from dishvl_lib.core import (
    artefacts,
    base_run,
    decided_photos,
    markers,
    paths,
    photo_hashes,
    records,
)
from dishvl_lib.core.questions import KINDS
from dishvl_lib.core.rules import listed
from dishvl_lib.core.stages import Stage, StageError
from dishvl_lib.core.types import Record, Records
from dishvl_lib.dataset import (
    audit,
    build,
    confused,
    conversations,
    leaks,
    menus,
    shortcuts,
)
from dishvl_lib.demo import builtin
from dishvl_lib.display import preview
from dishvl_lib.vlm import lengths, qwen, token_preview

Rows = Records
EVERYWHERE = (
    "look_alikes_per_seed",
    "same_site_share",
    "naming_per_photo",
    "menus_per_photo",
    "absent_share",
    "knowledge_ratio",
    "knowledge_with_photo",
    "seed",
)
# Photos of a site's dish that name it in stage 05, unless that asks for more.
REGISTERED_AT_SITES = 2
EXAMPLES_PER_KIND = 20  # in preview.html


class Sources(NamedTuple):
    """What stages 01 and 02 know: photos, dishes and their look-alikes; and the pairs that another
    run confuses, None where none is named.
    """

    photos: pd.DataFrame
    dishes: Rows
    similar: pd.DataFrame
    all_names: dict[str, str]
    names: dict[str, str]  # of dishes that can be asked about
    unusable: list[dict[str, str]]
    confused: pd.DataFrame | None = None

    @property
    def of_menus(self) -> tuple[dict[str, str], pd.DataFrame, Rows]:
        """In the order in which `build.rows` takes them."""
        return self.names, self.similar, self.dishes


class Checked(NamedTuple):
    """Photos of which none crosses the split, those moved out for it, and pairs that still
    cross.
    """

    photos: pd.DataFrame
    moved: pd.DataFrame
    lost: pd.DataFrame
    crossing: pd.DataFrame


def read_sources(stage: Stage) -> Sources:
    """Photos, dishes and look-alikes. Raises `StageError` when fewer than two dishes can be asked
    about.
    """
    dishes = stage.rows("01_annotation", "dishes.jsonl")
    photos = _decided(stage, catalog.read(stage.input("01_annotation", "catalog.parquet")), dishes)
    _refuse_learned(stage, photos)
    similar = stage.table("02_similar_dishes", "similar_dishes.csv", artefacts.SIMILAR_COLUMNS[:3])
    all_names = artefacts.names_by_dish(dishes)
    names, unusable = menus.askable(all_names, artefacts.unnamed_dishes(dishes))
    print(f"{len(names)} of {len(all_names)} dishes can be asked about")
    if len(names) < 2:
        first = unusable[0]
        raise StageError(
            f"{len(names)} of {len(all_names)} dishes can be asked about, and a menu needs two: "
            f"{first['dish_id']} is left out, {first['reason']}"
        )
    if unusable:
        left_out = [row["dish_id"] for row in unusable]
        stage.note(
            f"{len(left_out)} of {len(all_names)} dishes are not asked about (left_out.csv): "
            f"{listed(left_out, 10)}"
        )
    pairs = _confused_pairs(stage, photos, names)
    return Sources(photos, dishes, similar, all_names, names, unusable, pairs)


def _refuse_learned(stage: Stage, photos: pd.DataFrame) -> None:
    """Raise `StageError` where the catalogue tests, validates or holds out what the run in `base_model:
    run:NAME` trained on: it was made for another base model then.
    """
    run_name = base_run.name_of(stage.params["base_model"])
    if not run_name or stage.done:
        return
    known = base_run.known_photos(run_name)
    is_learned = photos.sha256.isin(known.sha256[known.split == "train"])
    learned = photos[is_learned & ~photos.split.isin(("train", leaks.MOVED))]
    if len(learned):
        raise StageError(
            f"{len(learned)} photos of the catalogue are there to validate, test or be new, and run "
            f"{run_name} was trained on them ({listed(learned.path.tolist())}): that catalogue was "
            f"made for another base model. Make stage 01 with base_model: run:{run_name} first "
            "(dishvl run PROFILE --from 01, without an upstream_run that lends it)"
        )


def _confused_pairs(
    stage: Stage, photos: pd.DataFrame, names: dict[str, str]
) -> pd.DataFrame | None:
    """The pairs that the run in `confusions_from` confuses on validation menus, kept in
    confused_pairs.csv; None where none is named.
    """
    if not stage.params["confusions_from"]:
        return None
    pairs = stage.make("confused_pairs.csv", _read_confused, stage, photos, names)
    if pairs.empty:
        run_name = stage.params["confusions_from"]
        stage.note(f"{run_name} confuses no dishes of this run: menus are drawn as without it")
    return pairs


def _read_confused(stage: Stage, photos: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    run_name = stage.params["confusions_from"]
    folder = paths.stage_folder(run_name, "04_training")
    if not markers.finished(folder):
        raise StageError(
            f"confusions_from: run {run_name} has no finished training in {folder}; finish it, or "
            'set confusions_from to ""'
        )
    file = folder / artefacts.VALIDATION_ANSWERS
    if not file.exists():
        raise StageError(
            f"confusions_from: {file} is missing, an earlier version made that training; make it "
            f"again with dishvl run PROFILE --set run_name={run_name} --from 04 --to 04 --redo 04"
        )
    markers.check_outputs(folder, patterns=(artefacts.VALIDATION_ANSWERS,))
    answers = records.read_table(file, artefacts.VALIDATION_ANSWER_COLUMNS)
    pairs = confused.pairs(answers, photos, names)
    used = confused.usable(answers, photos, names)
    print(
        f"{run_name} confuses {len(pairs)} pairs of dishes, {pairs.n.sum()} times in {len(used)} "
        f"validation menus; {len(answers) - len(used)} of {len(answers)} are not used, since this "
        "run tests their photos or does not know their dishes"
    )
    return pairs


def _decided(stage: Stage, photos: pd.DataFrame, dishes: Rows) -> pd.DataFrame:
    """The photos after this run's decisions about them, which stage 01 has applied already, unless
    it is another run's. Those that are left out are given the split `moved_out`.
    """
    if stage.done and not stage.path(decided_photos.OUTCOME_FILE).exists():
        return photos  # made by an earlier version
    read = stage.make(decided_photos.READ_FILE, decided_photos.read, stage.decisions("photos"))
    file = stage.input("01_annotation", decided_photos.OUTCOME_FILE)
    earlier = records.read_table(file) if file.exists() else decided_photos.none()
    new = decided_photos.unapplied(read, earlier)
    photos, later = decided_photos.settle(photos, dishes, new)
    decided = stage.make(decided_photos.OUTCOME_FILE, decided_photos.effective, earlier, later)
    is_moved = decided.effect == decided_photos.MOVED
    print(
        f"people's decisions: {is_moved.sum()} photos are of another dish than their folder, "
        f"{(~is_moved).sum()} are left out ({decided_photos.OUTCOME_FILE})"
    )
    return leaks.without(photos, decided_photos.gone(decided))


def leave_out_twins(stage: Stage, sources: Sources) -> Checked:
    """Photos that stage 02 could not read go, and of near-duplicates in two splits one goes.

    What is a near-duplicate is decided from all photos of a dish, also those that are left out
    here, so that leaving some out makes no new ones.
    """
    unreadable = stage.table("02_similar_dishes", "skipped.csv", artefacts.LEFT_OUT_COLUMNS)
    photos = leaks.without_unreadable(sources.photos, unreadable)
    stored = stage.arrays("02_similar_dishes", "features.npz")
    vectors = dict(zip(stored["image_id"], stored["feature"], strict=True))
    limits = stage.only("max_hamming", "min_cosine") | {
        "features": vectors,
        "loose": photo_hashes.loose_for(artefacts.net_of(stored)),
    }
    torn = duplicates.torn_pairs(photos, **limits)
    checked, moved = leaks.without_twins(photos, torn)
    stage.make("moved.csv", moved.copy)
    lost = stage.make("lost_splits.csv", leaks.lost_splits, photos, checked)
    crossing = duplicates.torn_pairs(checked, **limits)
    print(f"{len(unreadable)} photos that stage 02 could not read are left out (its skipped.csv)")
    print(
        f"{len(torn)} pairs of near-duplicates lay in two splits; {len(moved)} of {len(photos)} "
        f"photos are left out for it; {len(crossing)} pairs, {len(leaks.find(checked))} groups or "
        "equal files still cross"
    )
    print(f"{len(lost)} times a dish lost all its photos of a split")
    return Checked(checked, moved, lost, crossing)


def write_questions(stage: Stage, sources: Sources, checked: Checked) -> dict[str, Rows]:
    """{file: questions} of train, validation, test and test_unseen, and a file for each site."""
    test = {"menu_size": stage.params["test_menu_size"]}
    training = stage.only("menu_size", "menu_size_to") | {
        "photos_per_dish": stage.params["train_photos_per_dish"],
        "balance": stage.params["balance_dishes"],
        "confused": sources.confused,
    }
    files = {
        "train": ("train", training),
        "validation": ("validation", test),
        "test": ("test", test),
        "test_unseen": ("test", {**test, "trained": False}),
    }
    questions = {}
    for name, (split, options) in files.items():
        options = options | stage.only(*EVERYWHERE)
        questions[name] = stage.make(
            f"{name}.jsonl", build.rows, checked.photos, split, *sources.of_menus, **options
        )
    counts = {name: len(rows) for name, rows in questions.items()}
    print(counts, _write_sites(stage, checked))
    return questions


def _write_sites(stage: Stage, checked: Checked) -> dict[str, int]:
    """Write the naming questions of each outside site; {site: how many}."""
    splits = checked.photos.split
    counts = {}
    for split in sorted(set(splits[artefacts.at_site(splits)])):
        site = artefacts.site_of(split)
        rows = stage.make(
            f"site_{site}.jsonl",
            conversations.site_rows,
            checked.photos,
            site,
            {},
            REGISTERED_AT_SITES,
            stage.params["seed"],
        )
        counts[f"site {site}"] = len(rows)
    return counts


def load_inputs(stage: Stage, sources: Sources) -> qwen.QwenInputs:
    """The base model's tokenizer and image processor; builds the demo's model when asked for."""
    params = stage.params
    names = list(sources.all_names.values())
    folder = builtin.base_model(params["base_model"], names, params["max_pixels"])
    return qwen.load_inputs(folder, params["min_pixels"], params["max_pixels"])


def audit_questions(
    stage: Stage,
    sources: Sources,
    checked: Checked,
    questions: dict[str, Rows],
    loaded: qwen.QwenInputs,
) -> Record:
    """audit.json: counts, leaks, lengths, and whether a guesser without a photo beats chance."""
    ranks = shortcuts.ranks_by_name(sources.similar, sources.names)
    limit = stage.params["max_question_tokens"]
    token_lengths = {
        name: lengths.of_rows(loaded, rows, sources.photos, limit)
        for name, rows in questions.items()
    }
    tried = _Shortcuts(stage, sources, checked, questions["train"], ranks)
    seeded = None if sources.confused is None else tried.on_menus(sources.confused)
    report = stage.make(
        "audit.json",
        audit.audit,
        checked.photos,
        questions,
        sources.unusable,
        token_lengths,
        ranks,
        tried.on_menus(None),
        seeded,
    )
    print(audit.summary(report))
    return report


class _Shortcuts(NamedTuple):
    """What a guesser that never sees a photo needs for its tries: it is fitted on the training
    menus.
    """

    stage: Stage
    sources: Sources
    checked: Checked
    train: Rows
    ranks: dict

    def on_menus(self, seeds: pd.DataFrame | None) -> Record:
        """How often it is right on menus that nobody trains on: as the test's, or led by confused
        pairs and as long as the training's (`seeds`).
        """
        params = self.stage.params
        only_menus = {"naming_per_photo": 0, "absent_share": 0.0, "knowledge_ratio": 0.0}
        options = self.stage.only(*EVERYWHERE) | only_menus
        sizes = {"menu_size": params["test_menu_size"]}
        if seeds is not None:
            sizes = self.stage.only("menu_size", "menu_size_to")
        options |= {**sizes, "seed": params["seed"] + 1}

        def menus_of_test_photos(per_photo: int) -> Rows:
            fresh = options | {"menus_per_photo": per_photo, "confused": seeds}
            return build.rows(self.checked.photos, "test", *self.sources.of_menus, **fresh)

        known = self.sources.confused
        times = {} if known is None else confused.by_name(known, self.sources.names)
        n = params["shortcut_menus"]
        return shortcuts.try_out(self.train, self.ranks, menus_of_test_photos, n, times)


def show_examples(
    stage: Stage, sources: Sources, questions: dict[str, Rows], loaded: qwen.QwenInputs
) -> tuple[preview.Preview, pd.DataFrame, list[str]]:
    """(three questions with all their tokens, their photos, the photos' answers); preview.html gets
    EXAMPLES_PER_KIND of each kind.
    """
    train = questions["train"]
    test = questions["test"]
    examples = [train[0], train[-1], test[-1]]

    def shown(rows: Rows, by_kind: bool) -> preview.Preview:
        tokens = token_preview.of_rows(loaded, rows, sources.photos)
        root = stage.image_root()
        options = {"by_kind": by_kind, **stage.only("language")}
        return preview.preview_html(rows, tokens, sources.photos, root, **options)

    def write(path: Path) -> None:
        of_every_kind = examples_of_kinds([*train, *test])
        records.write_text(path, shown(of_every_kind, by_kind=True).html)

    stage.make_file("preview.html", write)
    page = shown(examples, by_kind=False)
    pictured = [row for row in examples if row["image_id"]]
    by_id = sources.photos.set_index("image_id")
    photos = by_id.loc[[row["image_id"] for row in pictured]].reset_index()
    return page, photos, [artefacts.answer_of(row) for row in pictured]


def examples_of_kinds(rows: Rows, most: int = EXAMPLES_PER_KIND) -> Rows:
    """Up to `most` questions of each kind, kind by kind, spread evenly over `rows`: so they are of
    different dishes.
    """
    chosen: Rows = []
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        places = np.linspace(0, len(of_kind) - 1, min(most, len(of_kind)))
        chosen += [of_kind[round(place)] for place in places]
    return chosen


def counts(sources: Sources, checked: Checked, questions: dict[str, Rows]) -> Record:
    """For the success marker: dishes = ok + skipped + failed."""
    return {
        "dishes": len(sources.all_names),
        "ok": len(sources.names),
        "skipped": len(sources.unusable),
        "failed": 0,
        "photos_moved_out": len(checked.moved),
        "questions": {name: len(rows) for name, rows in questions.items()},
    }
