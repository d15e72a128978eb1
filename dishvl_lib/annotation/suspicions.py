"""What a person should look at before the names are trusted: one row per suspicion, the most urgent
first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dishvl_lib.annotation import same_dish
from dishvl_lib.annotation.given_names import Given
from dishvl_lib.core import artefacts, file_names, name_trimmings, names, records
from dishvl_lib.core.decisions import REVIEW_COLUMNS, question

BY_PEOPLE = ("decision", "names_csv")
NEEDS_NAME = "a menu can hold neither until decisions/names.csv gives one another name"


@dataclass(frozen=True)
class Suspicion:
    """One row of the review; strength 0..1 orders it among the others."""

    dish: Mapping[str, Any]
    kind: str
    strength: float
    evidence: str
    other: str = ""


def review(
    dishes: Sequence[Mapping[str, Any]],
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
    suspects = [
        *_same_names(dishes, given, same_name),
        *(suspicion for dish in dishes for suspicion in _of_one(dish, given)),
    ]
    suspects += [
        *_two_names(dishes, photos, given, features),
        *_same_photos(dishes, photos, given, pairs),
    ]
    ordered = sorted(
        suspects,
        key=lambda suspicion: (
            suspicion.kind != "not_a_name" or not artefacts.unnamed(suspicion.dish),
            suspicion.kind != "same_name",
            -suspicion.strength,
            -suspicion.dish["n_images"],
            suspicion.dish["dish_id"],
            suspicion.other,
        ),
    )
    rows = [
        (
            suspicion.dish["dish_id"],
            suspicion.dish["name"],
            suspicion.kind,
            suspicion.other,
            file_names.printable(suspicion.evidence),
            suspicion.dish["n_images"],
        )
        for suspicion in ordered
    ]
    return pd.DataFrame(rows, columns=list(REVIEW_COLUMNS))


def marked(dishes: Sequence[Mapping[str, Any]], rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The dishes with `review` filled in: `same_name: <all dishes of that name>`, or the first
    suspicion in which the dish stands.
    """
    questions: dict[str, str] = {}
    for row in rows.itertuples():
        questions.setdefault(row.dish_id, question(row.suspicion, row.other_dish or row.evidence))
        if row.other_dish:
            questions.setdefault(row.other_dish, question(row.suspicion, row.dish_id))
    for alike_named in _by_name(dishes):
        for dish in alike_named:
            questions[dish["dish_id"]] = question(
                "same_name",
                ", ".join(other["dish_id"] for other in alike_named if other is not dish),
            )
    return [{**dish, "review": questions.get(dish["dish_id"], "")} for dish in dishes]


def not_a_name(name: str) -> str:
    """Why a name that nobody vouches for cannot be a dish's, in one clause; '' when it can."""
    return names.problem_with(name) or names.not_a_dish(name)


def is_misread_folder(name: str, folders: Sequence[str]) -> bool:
    """Whether a name is a folder's that was read in the wrong encoding, handed back as it is."""
    misread = {names.normalise(folder) for folder in folders if file_names.reading_of(folder)}
    return names.normalise(name) in misread


def _by_name(dishes: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The dishes that share a normalised name, most photos first."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for dish in sorted(dishes, key=lambda row: (-row["n_images"], row["dish_id"])):
        by_name.setdefault(names.normalise(dish["name"]), []).append(dish)
    return [group for name, group in by_name.items() if name and len(group) > 1]


def _same_names(
    dishes: Sequence[Mapping[str, Any]], given: Given, same_name: str
) -> Iterator[Suspicion]:
    """Each dish of a shared name beside the one with the most photos: n - 1 questions instead of n
    (n - 1) / 2.
    """
    for first, *others in _by_name(dishes):
        for other in others:
            apart = same_name == "keep_apart" or not given.apart.keys().isdisjoint(
                (*first["folders"], *other["folders"])
            )
            remedy = (
                f"kept apart: {NEEDS_NAME}"
                if apart
                else f"{NEEDS_NAME}, or both the same: one dish"
            )
            yield Suspicion(
                first,
                "same_name",
                0.5 if apart else 1.0,
                f"both are called {first['name']}; {remedy}",
                other["dish_id"],
            )


def _of_one(dish: Mapping[str, Any], given: Given) -> Iterator[Suspicion]:
    """Suspicions about one dish alone. What people named is not questioned, except where a menu
    cannot hold it.
    """
    by_people = dish["name_source"] in BY_PEOPLE
    yield from _not_names(dish, by_people)
    yield from _given_names(dish, given)
    yield from _misread_folders(dish, given)
    if not by_people:
        yield from _answers(dish)
        yield from _hints(dish)
        yield from _leftovers(dish)
    problems = [
        f"{row['annotator']}: {problem}" for row in dish["source"] for problem in row["problems"]
    ]
    if problems and not given.has_answer(dish["folders"], "problem"):
        yield Suspicion(dish, "problem", 0.1, "; ".join(problems))


def _not_names(dish: Mapping[str, Any], by_people: bool) -> Iterator[Suspicion]:
    problem = names.problem_with(dish["name"]) if by_people else not_a_name(dish["name"])
    refused = (
        []
        if by_people
        else [row for row in dish["source"] if row["name"] and not_a_name(row["name"])]
    )
    reasons = [f"{dish['name_source']}: {problem}"] if problem else []
    reasons += [
        f"{row['annotator']} answered {row['name']!r}: {not_a_name(row['name'])}" for row in refused
    ]
    if reasons:
        yield Suspicion(dish, "not_a_name", 0.95 if problem else 0.7, "; ".join(reasons))


def _misread_folders(dish: Mapping[str, Any], given: Given) -> Iterator[Suspicion]:
    """The folders whose names were read in the wrong encoding, each with what mends it."""
    if given.has_answer(dish["folders"], "misread_folder"):
        return
    for folder in dish["folders"]:
        reading = file_names.reading_of(folder)
        if reading:
            evidence = f"{folder}: {reading}"
            if reading.whole:
                command = file_names.rename_command(folder, reading.text)
                evidence += f"; rename it, where it lies: {command}"
            yield Suspicion(dish, "misread_folder", 0.95, evidence)


def _leftovers(dish: Mapping[str, Any]) -> Iterator[Suspicion]:
    """A folder's name that was taken with something in it that is perhaps no part of it."""
    part = name_trimmings.leftover(dish["name"])
    if part and dish["name_source"] == "folder" and not artefacts.unnamed(dish):
        yield Suspicion(dish, "untidy_name", 0.2, f"{dish['name']}: is {part} a part of the name?")


def _given_names(dish: Mapping[str, Any], given: Given) -> Iterator[Suspicion]:
    given_names = {
        folder: given.listed[folder] for folder in dish["folders"] if folder in given.listed
    }
    if (
        dish["name_source"] == "names_csv"
        and len({names.normalise(name) for name in given_names.values()}) > 1
    ):
        listed = ", ".join(f"{folder} = {name}" for folder, name in given_names.items())
        yield Suspicion(
            dish,
            "two_names",
            0.9,
            f"names_csv gives folders of one dish two names: {listed}; the first was taken",
        )


def _answers(dish: Mapping[str, Any]) -> Iterator[Suspicion]:
    answers = {row["annotator"]: names.clean(row["name"]) for row in dish["source"] if row["name"]}
    listed = ", ".join(f"{annotator}: {name}" for annotator, name in answers.items())
    usable = [name for name in answers.values() if not not_a_name(name)]
    if len({names.normalise(name) for name in usable}) > 1:
        yield Suspicion(
            dish,
            "annotators_disagree",
            0.75 if len({_meaning(name) for name in usable}) > 1 else 0.3,
            listed,
        )
    for row in dish["source"]:
        if len({_meaning(name) for name in row["votes"]}) > 1:
            counted = ", ".join(
                f"{name} {count}"
                for name, count in sorted(
                    row["votes"].items(), key=lambda item: (-item[1], item[0])
                )
            )
            yield Suspicion(dish, "votes_split", 0.5, f"{row['annotator']}: {counted}")


def _hints(dish: Mapping[str, Any]) -> Iterator[Suspicion]:
    """A folder's name that is a dish's name and means another dish than the name that was settled
    on.
    """
    hints = {folder: names.clean_folder_name(folder) for folder in dish["folders"]}
    others = {
        hint: folder
        for folder, hint in hints.items()
        if not not_a_name(hint) and _meaning(hint) != _meaning(dish["name"])
    }
    if others:
        akin = all(
            names.canonical(hint) in names.canonical(dish["name"])
            or names.canonical(dish["name"]) in names.canonical(hint)
            for hint in others
        )
        listed = ", ".join(f"folder {folder}: {hint}" for hint, folder in others.items())
        yield Suspicion(
            dish,
            "hint_disagrees",
            0.4 if akin else 0.6,
            f"{listed}; {dish['name_source']}: {dish['name']}",
        )


def _meaning(name: str) -> str:
    return "".join(sorted(names.canonical(name)))


def _two_names(
    dishes: Sequence[Mapping[str, Any]],
    photos_of_dishes: pd.DataFrame,
    given: Given,
    features: Mapping[str, np.ndarray] | None,
) -> Iterator[Suspicion]:
    photos = (
        same_dish.photo_means([dish["dish_id"] for dish in dishes], photos_of_dishes, features)
        if features is not None
        else None
    )
    for likeness in same_dish.pairs(dishes, photos):
        first, second = sorted(
            (dishes[likeness.i], dishes[likeness.j]),
            key=lambda dish: (-dish["n_images"], dish["dish_id"]),
        )
        if not _answered(given, "two_names", first, second):
            yield Suspicion(
                first,
                "two_names",
                likeness.strength,
                f"{first['name']} / {second['name']}: {likeness.evidence}",
                second["dish_id"],
            )


def _answered(given: Given, kind: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """True when a decision notes this question, or keeps one of the two apart without noting why:
    then from every dish.
    """
    if any(given.apart.get(folder) == "" for folder in (*first["folders"], *second["folders"])):
        return True
    return any(
        given.has_answer(asked_dish["folders"], question(kind, other_dish["dish_id"]))
        for asked_dish, other_dish in ((first, second), (second, first))
    )


def _same_photos(
    dishes: Sequence[Mapping[str, Any]],
    catalogue: pd.DataFrame,
    given: Given,
    pairs: pd.DataFrame | None,
) -> Iterator[Suspicion]:
    """Near-duplicate photos across dishes, a pair of dishes a row; within a merged dish only where
    they lie in two splits.
    """
    if pairs is None or pairs.empty:
        return
    records.require_columns(
        pairs, artefacts.PHOTO_PAIR_COLUMNS, "the pairs of near-duplicate photos"
    )
    photos = catalogue.set_index("image_id")
    by_id = {dish["dish_id"]: dish for dish in dishes}
    known = pairs[pairs.image_id_a.isin(photos.index) & pairs.image_id_b.isin(photos.index)]
    a = photos.loc[known.image_id_a]
    b = photos.loc[known.image_id_b]
    sides = pd.DataFrame(
        {
            "a": a.path.tolist(),
            "b": b.path.tolist(),
            "by": known.by.tolist(),
            "distance": known.distance.tolist(),
        }
    )
    sides["dishes"] = [tuple(sorted(both)) for both in zip(a.dish_id, b.dish_id, strict=True)]
    suspected = (a.dish_id.to_numpy() != b.dish_id.to_numpy()) | (
        a.split.to_numpy() != b.split.to_numpy()
    )
    for key, part in sides[suspected].groupby("dishes", sort=False):
        first, second = sorted(
            (by_id[dish_id] for dish_id in key),
            key=lambda dish: (-dish["n_images"], dish["dish_id"]),
        )
        if first is second or not _answered(given, "same_photo", first, second):
            yield Suspicion(
                first,
                "same_photo",
                0.9,
                _photo_evidence(part),
                "" if first is second else second["dish_id"],
            )


def _photo_evidence(part: pd.DataFrame) -> str:
    closest = part.sort_values(["distance", "a", "b"]).iloc[0]
    return (
        f"{len(part)} pair{'s' if len(part) > 1 else ''} of near-duplicate photos: {closest.a} "
        f"= {closest.b} ({closest.by}, distance {closest.distance})"
    )
