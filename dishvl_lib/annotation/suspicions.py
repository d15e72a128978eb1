"""What a person should look at before the names are trusted: one row per suspicion, the most urgent
first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from dishvl_lib.annotation import same_dish
from dishvl_lib.annotation.given_names import Given
from dishvl_lib.core import artefacts, file_names, name_trimmings, names, records
from dishvl_lib.core.decisions import REVIEW_COLUMNS, question
from dishvl_lib.core.types import Records, RecordView, RecordViews

BY_PEOPLE = ("decision", "names_csv")
NEEDS_NAME = "a menu can hold neither until decisions/names.csv gives one another name"


@dataclass(frozen=True)
class _Answer:
    """What an annotator said of a dish."""

    annotator: str
    name: str
    votes: dict[str, int]
    problems: list[str]


@dataclass(frozen=True)
class _Dish:
    """What of a settled dish the suspicions rest on, in the words of `artefacts.Dish`."""

    dish_id: str
    name: str
    name_source: str
    folders: list[str]
    n_images: int
    unnamed: str
    answers: list[_Answer]

    @classmethod
    def of(cls, dish: RecordView) -> Self:
        answers = [
            _Answer(row["annotator"], row["name"], row["votes"], row["problems"])
            for row in dish["source"]
        ]
        return cls(
            dish["dish_id"],
            dish["name"],
            dish["name_source"],
            dish["folders"],
            dish["n_images"],
            artefacts.unnamed(dish),
            answers,
        )


@dataclass(frozen=True)
class Suspicion:
    """One row of the review; strength 0..1 orders it among the others."""

    dish: _Dish
    kind: str
    strength: float
    evidence: str
    other: str = ""


Suspicions = Iterator[Suspicion]


def review(
    dishes: RecordViews,
    photos: pd.DataFrame,
    given: Given,
    *,
    same_name: str,
    features: Mapping[str, np.ndarray] | None = None,
    pairs: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """REVIEW_COLUMNS: dishes without a name first, then same_name, then by strength and photos.

    `dishes`: settled dishes; `photos`: their photos (image_id, path, dish_id, group_id, split);
    features, pairs: as in `audit.settle`.
    """
    settled = [_Dish.of(dish) for dish in dishes]
    suspects = [*_same_names(settled, given, same_name)]
    for dish in settled:
        suspects += _of_one(dish, given)
    likenesses = _likenesses(dishes, photos, features)
    suspects += _two_names(settled, likenesses, given)
    suspects += _same_photos(settled, photos, given, pairs)
    ordered = sorted(suspects, key=_most_urgent_first)
    return pd.DataFrame([_row(suspicion) for suspicion in ordered], columns=list(REVIEW_COLUMNS))


def _row(suspicion: Suspicion) -> tuple[Any, ...]:
    """The cells of REVIEW_COLUMNS."""
    dish = suspicion.dish
    return (
        dish.dish_id,
        dish.name,
        suspicion.kind,
        suspicion.other,
        file_names.printable(suspicion.evidence),
        dish.n_images,
    )


def _most_urgent_first(suspicion: Suspicion) -> tuple[Any, ...]:
    dish = suspicion.dish
    return (
        suspicion.kind != "not_a_name" or not dish.unnamed,
        suspicion.kind != "same_name",
        -suspicion.strength,
        -dish.n_images,
        dish.dish_id,
        suspicion.other,
    )


def marked(dishes: RecordViews, rows: pd.DataFrame) -> Records:
    """The dishes with `review` filled in: `same_name: <all dishes of that name>`, or the first
    suspicion in which the dish stands.
    """
    questions: dict[str, str] = {}
    for row in rows.itertuples():
        questions.setdefault(row.dish_id, question(row.suspicion, row.other_dish or row.evidence))
        if row.other_dish:
            questions.setdefault(row.other_dish, question(row.suspicion, row.dish_id))
    for alike_named in _by_name(map(_Dish.of, dishes)):
        dish_ids = [dish.dish_id for dish in alike_named]
        for dish_id in dish_ids:
            others = [other for other in dish_ids if other != dish_id]
            questions[dish_id] = question("same_name", ", ".join(others))
    return [{**dish, "review": questions.get(dish["dish_id"], "")} for dish in dishes]


def not_a_name(name: str) -> str:
    """Why a name that nobody vouches for cannot be a dish's, in one clause; '' when it can."""
    return names.problem_with(name) or names.not_a_dish(name)


def is_misread_folder(name: str, folders: Sequence[str]) -> bool:
    """Whether a name is a folder's that was read in the wrong encoding, handed back as it is."""
    misread = {names.normalise(folder) for folder in folders if file_names.reading_of(folder)}
    return names.normalise(name) in misread


def _by_name(dishes: Iterable[_Dish]) -> list[list[_Dish]]:
    """The dishes that share a normalised name, most photos first."""
    by_name: dict[str, list[_Dish]] = {}
    for dish in sorted(dishes, key=_most_photos_first):
        by_name.setdefault(names.normalise(dish.name), []).append(dish)
    return [group for name, group in by_name.items() if name and len(group) > 1]


def _same_names(dishes: Sequence[_Dish], given: Given, same_name: str) -> Suspicions:
    """Each dish of a shared name beside the one with the most photos: n - 1 questions instead of n
    (n - 1) / 2.
    """
    for first, *others in _by_name(dishes):
        for other in others:
            strength = 1.0
            remedy = f"{NEEDS_NAME}, or both the same: one dish"
            folders = (*first.folders, *other.folders)
            if same_name == "keep_apart" or not given.apart.keys().isdisjoint(folders):
                strength = 0.5
                remedy = f"kept apart: {NEEDS_NAME}"
            evidence = f"both are called {first.name}; {remedy}"
            yield Suspicion(first, "same_name", strength, evidence, other.dish_id)


def _of_one(dish: _Dish, given: Given) -> Suspicions:
    """Suspicions about one dish alone. What people named is not questioned, except where a menu
    cannot hold it.
    """
    by_people = dish.name_source in BY_PEOPLE
    yield from _not_names(dish, by_people)
    yield from _given_names(dish, given)
    yield from _misread_folders(dish, given)
    if not by_people:
        yield from _answers(dish)
        yield from _hints(dish)
        yield from _leftovers(dish)
    problems = []
    for answer in dish.answers:
        problems += [f"{answer.annotator}: {problem}" for problem in answer.problems]
    if problems and not given.has_answer(dish.folders, "problem"):
        yield Suspicion(dish, "problem", 0.1, "; ".join(problems))


def _not_names(dish: _Dish, by_people: bool) -> Suspicions:
    problem = names.problem_with(dish.name) if by_people else not_a_name(dish.name)
    reasons = [f"{dish.name_source}: {problem}"] if problem else []
    for answer in [] if by_people else dish.answers:
        refusal = not_a_name(answer.name) if answer.name else ""
        if refusal:
            reasons.append(f"{answer.annotator} answered {answer.name!r}: {refusal}")
    if reasons:
        yield Suspicion(dish, "not_a_name", 0.95 if problem else 0.7, "; ".join(reasons))


def _misread_folders(dish: _Dish, given: Given) -> Suspicions:
    """The folders whose names were read in the wrong encoding, each with what mends it."""
    if given.has_answer(dish.folders, "misread_folder"):
        return
    for folder in dish.folders:
        reading = file_names.reading_of(folder)
        if reading:
            evidence = f"{folder}: {reading}"
            if reading.whole:
                command = file_names.rename_command(folder, reading.text)
                evidence += f"; rename it, where it lies: {command}"
            yield Suspicion(dish, "misread_folder", 0.95, evidence)


def _leftovers(dish: _Dish) -> Suspicions:
    """A folder's name that was taken with something in it that is perhaps no part of it."""
    part = name_trimmings.leftover(dish.name)
    if part and dish.name_source == "folder" and not dish.unnamed:
        yield Suspicion(dish, "untidy_name", 0.2, f"{dish.name}: is {part} a part of the name?")


def _given_names(dish: _Dish, given: Given) -> Suspicions:
    given_names = {
        folder: given.listed[folder] for folder in dish.folders if folder in given.listed
    }
    different = {names.normalise(name) for name in given_names.values()}
    if dish.name_source == "names_csv" and len(different) > 1:
        listed = ", ".join(f"{folder} = {name}" for folder, name in given_names.items())
        evidence = f"names_csv gives folders of one dish two names: {listed}; the first was taken"
        yield Suspicion(dish, "two_names", 0.9, evidence)


def _answers(dish: _Dish) -> Suspicions:
    named = [answer for answer in dish.answers if answer.name]
    answers = {answer.annotator: names.clean(answer.name) for answer in named}
    listed = ", ".join(f"{annotator}: {name}" for annotator, name in answers.items())
    usable = [name for name in answers.values() if not not_a_name(name)]
    spellings = {names.normalise(name) for name in usable}
    meanings = {_meaning(name) for name in usable}
    if len(spellings) > 1:
        strength = 0.75 if len(meanings) > 1 else 0.3
        yield Suspicion(dish, "annotators_disagree", strength, listed)
    for answer in dish.answers:
        votes = answer.votes
        if len({_meaning(name) for name in votes}) > 1:
            ranked = sorted(votes, key=lambda name: (-votes[name], name))
            counted = ", ".join(f"{name} {votes[name]}" for name in ranked)
            yield Suspicion(dish, "votes_split", 0.5, f"{answer.annotator}: {counted}")


def _hints(dish: _Dish) -> Suspicions:
    """A folder's name that is a dish's name and means another dish than the name that was settled
    on.
    """
    name = dish.name
    others = {}
    for folder in dish.folders:
        hint = names.clean_folder_name(folder)
        if not not_a_name(hint) and _meaning(hint) != _meaning(name):
            others[hint] = folder
    if others:
        strength = 0.4 if all(_is_akin(hint, name) for hint in others) else 0.6
        listed = ", ".join(f"folder {folder}: {hint}" for hint, folder in others.items())
        evidence = f"{listed}; {dish.name_source}: {name}"
        yield Suspicion(dish, "hint_disagrees", strength, evidence)


def _is_akin(name: str, other: str) -> bool:
    """Whether a name is a part of the other one: a dish and its plain form."""
    shorter, longer = sorted((names.canonical(name), names.canonical(other)), key=len)
    return shorter in longer


def _most_photos_first(dish: _Dish) -> tuple[int, str]:
    return -dish.n_images, dish.dish_id


def _meaning(name: str) -> str:
    return "".join(sorted(names.canonical(name)))


def _likenesses(
    dishes: RecordViews,
    photos: pd.DataFrame,
    features: Mapping[str, np.ndarray] | None,
) -> list[same_dish.Likeness]:
    means = None
    if features is not None:
        dish_ids = [dish["dish_id"] for dish in dishes]
        means = same_dish.photo_means(dish_ids, photos, features)
    return same_dish.pairs(dishes, means)


def _two_names(
    dishes: Sequence[_Dish], likenesses: Iterable[same_dish.Likeness], given: Given
) -> Suspicions:
    for likeness in likenesses:
        both = (dishes[likeness.i], dishes[likeness.j])
        first, second = sorted(both, key=_most_photos_first)
        if not _answered(given, "two_names", first, second):
            evidence = f"{first.name} / {second.name}: {likeness.evidence}"
            yield Suspicion(first, "two_names", likeness.strength, evidence, second.dish_id)


def _answered(given: Given, kind: str, first: _Dish, second: _Dish) -> bool:
    """True when a decision notes this question, or keeps one of the two apart without noting why:
    then from every dish.
    """
    folders = (*first.folders, *second.folders)
    if any(given.apart.get(folder) == "" for folder in folders):
        return True
    in_first = given.has_answer(first.folders, question(kind, second.dish_id))
    in_second = given.has_answer(second.folders, question(kind, first.dish_id))
    return in_first or in_second


def _same_photos(
    dishes: Sequence[_Dish],
    catalogue: pd.DataFrame,
    given: Given,
    pairs: pd.DataFrame | None,
) -> Suspicions:
    """Near-duplicate photos across dishes, a pair of dishes a row; within a merged dish only where
    they lie in two splits.
    """
    if pairs is None or pairs.empty:
        return
    records.require_columns(
        pairs, artefacts.PHOTO_PAIR_COLUMNS, "the pairs of near-duplicate photos"
    )
    photos = catalogue.set_index("image_id")
    by_id = {dish.dish_id: dish for dish in dishes}
    is_known = pairs.image_id_a.isin(photos.index) & pairs.image_id_b.isin(photos.index)
    known = pairs[is_known]
    # One index for both sides: they are compared row by row.
    a = photos.loc[known.image_id_a].set_index(known.index)
    b = photos.loc[known.image_id_b].set_index(known.index)
    both_dishes = zip(a.dish_id, b.dish_id, strict=True)
    sides = known[["by", "distance"]].assign(
        a=a.path, b=b.path, dishes=[tuple(sorted(both)) for both in both_dishes]
    )
    in_question = (a.dish_id != b.dish_id) | (a.split != b.split)
    for key, part in sides[in_question].groupby("dishes", sort=False):
        first, second = sorted((by_id[dish_id] for dish_id in key), key=_most_photos_first)
        if first is second or not _answered(given, "same_photo", first, second):
            other = "" if first is second else second.dish_id
            yield Suspicion(first, "same_photo", 0.9, _photo_evidence(part), other)


def _photo_evidence(part: pd.DataFrame) -> str:
    closest = part.sort_values(["distance", "a", "b"]).iloc[0]
    pairs = "1 pair" if len(part) == 1 else f"{len(part)} pairs"
    facts = f"{closest.by}, distance {closest.distance}"
    return f"{pairs} of near-duplicate photos: {closest.a} = {closest.b} ({facts})"
