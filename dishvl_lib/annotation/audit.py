"""From answers to dishes: one name for each, by order of trust, with the dishes that are one
merged, and the review of them.

Order of trust: decision > names_csv > agreed annotators > one annotator > folder. The annotators'
answers themselves are kept as they are in `source`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import given_names, merging, suspicions
from dishvl_lib.annotation.cards import CARD_KIND
from dishvl_lib.annotation.given_names import Given, read_names
from dishvl_lib.annotation.merging import Member
from dishvl_lib.core import artefacts, decided_photos, intervals, names, params, records
from dishvl_lib.core.rules import listed
from dishvl_lib.core.types import AnyPath, Record, Records, RecordView, RecordViews

__all__ = [
    "card_table",
    "disagreements",
    "name_table",
    "read_names",
    "settle",
    "share_parsed",
]

SOURCE_KEYS = (
    "annotator",
    "model",
    "prompt_version",
    "name",
    "votes",
    "cost",
    "currency",
    "tokens",
    "seconds",
    "problems",
)
PHOTO_COLUMNS = ("image_id", "path", "dish_id", "folder", "group_id", "split", "sha256")


class Named(NamedTuple):
    """Dishes with one name each, the photos under them, {dish_id before merging: after}, and what
    people said of names.
    """

    dishes: list[artefacts.Dish]
    catalogue: pd.DataFrame
    former: dict[str, str]
    given: Given


def settle(
    photos: pd.DataFrame,
    answers: RecordViews,
    *,
    names_csv: AnyPath = "",
    decisions: AnyPath | None = None,
    same_name: str = "ask",
    features: Mapping[str, np.ndarray] | None = None,
    pairs: pd.DataFrame | None = None,
) -> tuple[Records, pd.DataFrame, pd.DataFrame]:
    """(rows of dishes.jsonl, the catalogue, the review).

    photos: usable photos (PHOTO_COLUMNS). answers: rows of answers.jsonl. names_csv, decisions:
    files of given names. same_name: what becomes of dishes that end with one name, `ask` (they stay
    apart and lead the review), `merge` or `keep_apart`. Dishes that people gave one name by
    decision are merged in any case, a dish that a decision keeps apart in none, and folders of one
    dish that decisions give different names become two dishes. features: image_id (N,), feature (N,
    D) of unit length, or None. pairs: near-duplicate photos across dishes (image_id_a, image_id_b,
    by, distance), or None.

    catalogue: the photos without `typical`; merged dishes have the dish_id of the one with the most
    photos. review: dish_id, name, suspicion, other_dish, evidence, n_images; dishes without a
    name first, then same_name, then the strongest. Photos of outside sites stay as they are.
    Raises ValueError for an unknown `same_name`, `RecordError` for files that cannot be read,
    `merging.MergeError` when a group of photos or one photo's bytes would lie in two splits.
    """
    if same_name not in params.SAME_NAME:
        raise ValueError(
            f"same_name must be one of {', '.join(params.SAME_NAME)}, got {same_name!r}"
        )
    settled = named(photos, answers, names_csv=names_csv, decisions=decisions, same_name=same_name)
    dishes, review = reviewed(settled, same_name=same_name, features=features, pairs=pairs)
    return dishes, settled.catalogue, review


def named(
    photos: pd.DataFrame,
    answers: RecordViews,
    *,
    names_csv: AnyPath = "",
    decisions: AnyPath | None = None,
    same_name: str = "ask",
) -> Named:
    """The dishes with one name each and the photos under them, before anybody questions it.
    Parameters and errors as in `settle`.
    """
    records.require_columns(photos, PHOTO_COLUMNS, "the photos")
    at_home = ~artefacts.at_site(photos.split)
    given = given_names.read(names_csv, decisions, photos.folder[at_home])
    photos = photos.drop(columns="typical", errors="ignore")
    photos = merging.split(photos, at_home, given.decided)
    members = _members(photos[at_home], answers, given)
    groups = merging.groups(members, merge_all=same_name == "merge")
    dishes = [merging.joined(group) for group in groups]
    dishes.sort(key=lambda dish: dish["dish_id"])
    catalogue = merging.relabelled(photos, at_home, groups)
    former = dict(zip(photos.dish_id, catalogue.dish_id, strict=True))
    return Named(dishes, catalogue, former, given)


def rehoused(
    settled: Named, decided: pd.DataFrame, rejected: pd.DataFrame
) -> tuple[Named, pd.DataFrame]:
    """(the dishes and their photos after people's decisions about photos, what became of each).

    decided: of `decided_photos.read`. rejected: REJECTED_COLUMNS. A photo that was given another
    dish is that dish's, one whose right dish cannot be used is none's, and a dish that has no photo
    left is no dish.
    """
    photos, table = decided_photos.settle(
        settled.catalogue, settled.dishes, decided, rejected, settled.former
    )
    kept = photos[~photos.image_id.isin(decided_photos.gone(table))].reset_index(drop=True)
    counts = kept[~artefacts.at_site(kept.split)].dish_id.value_counts()
    dishes: list[artefacts.Dish] = []
    for dish in settled.dishes:
        n_images = int(counts.get(dish["dish_id"], 0))
        if n_images:
            dishes.append({**dish, "n_images": n_images})
    return settled._replace(dishes=dishes, catalogue=kept), table


def reviewed(
    settled: Named,
    *,
    same_name: str = "ask",
    features: Mapping[str, np.ndarray] | None = None,
    pairs: pd.DataFrame | None = None,
) -> tuple[Records, pd.DataFrame]:
    """(rows of dishes.jsonl with their `review`, the review). Parameters as in `settle`."""
    catalogue = settled.catalogue
    review = suspicions.review(
        settled.dishes,
        catalogue[~artefacts.at_site(catalogue.split)],
        settled.given,
        same_name=same_name,
        features=features,
        pairs=pairs,
    )
    return suspicions.marked(settled.dishes, review), review


def name_table(dishes: RecordViews) -> pd.DataFrame:
    """A dish a row: what it is called, by whom, and whether it has a card."""
    plain = ("dish_id", "name", "name_source", "n_images")
    table = pd.DataFrame(list(dishes), columns=[*plain, "folders", "card"])
    folders = table["folders"].map(", ".join)
    return table.assign(folders=folders, card=table["card"].notna())


def card_table(dishes: RecordViews, n: int = 12) -> pd.DataFrame:
    """The first `n` cards, a dish a row under the name it has now; lists joined by 、."""
    carded = [dish for dish in dishes if dish["card"]][:n]
    rows = []
    for dish in carded:
        facts = {key: _shown(value) for key, value in dish["card"].items() if key != "name"}
        rows.append({"dish": dish["name"], **facts})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["dish"])


def disagreements(answers: RecordViews) -> pd.DataFrame:
    """The dishes that annotators name differently: dish_id, a column of names per annotator,
    image_ids (all photos sent).
    """
    rows = []
    annotators = list(dict.fromkeys(answer["annotator"] for answer in answers))
    for dish_id, of_dish in _by_dish(answers).items():
        different = {names.normalise(answer["name"]) for answer in of_dish if answer["name"]}
        if len(different) < 2:
            continue
        names_by_annotator = dict.fromkeys(annotators, "")
        names_by_annotator |= {answer["annotator"]: answer["name"] for answer in of_dish}
        image_ids = [answer["image_ids"] for answer in of_dish]
        sent = dict.fromkeys(itertools.chain.from_iterable(image_ids))
        rows.append({"dish_id": dish_id, **names_by_annotator, "image_ids": list(sent)})
    return pd.DataFrame(rows, columns=["dish_id", *annotators, "image_ids"])


def share_parsed(answers: RecordViews) -> pd.DataFrame:
    """Per annotator: for how many dishes (`parsed` of `n`) every card that was asked for could be
    read, with the 95% Wilson interval.
    """
    rows = []
    for annotator in dict.fromkeys(answer["annotator"] for answer in answers):
        of_annotator = [answer for answer in answers if answer["annotator"] == annotator]
        n = len(of_annotator)
        parsed = n - sum(_has_refused_card(answer) for answer in of_annotator)
        low, high = intervals.wilson(parsed, n)
        rows.append(
            {
                "annotator": annotator,
                "parsed": parsed,
                "n": n,
                "share": parsed / n,
                "ci_low": low,
                "ci_high": high,
            }
        )
    return pd.DataFrame(rows, columns=["annotator", "parsed", "n", "share", "ci_low", "ci_high"])


def _has_refused_card(answer: RecordView) -> bool:
    """Whether a card that was asked for could not be read."""
    return any(refused["kind"] == CARD_KIND for refused in answer["quarantined"])


def notes(dishes: RecordViews, review: pd.DataFrame) -> list[str]:
    """What must be known of the names before anything is trained, in sentences.

    review: as `settle` gives it.
    """
    without = [dish["dish_id"] for dish in dishes if artefacts.unnamed(dish)]
    misread = review[review.suspicion == "misread_folder"]
    sentences = []
    if without:
        sentences.append(
            f"{len(without)} of {len(dishes)} dishes have no name and are NOT asked about: "
            f"{listed(without, 10)}; give them one in decisions/names.csv or names_csv, "
            "or ask an annotator (they stand first in name_review.csv)"
        )
    if len(misread):
        sentences.append(
            f"{len(misread)} folders' names were read in the wrong encoding: "
            f"{misread.evidence.iloc[0]} (name_review.csv has the command for each; an archive "
            "unpacked again with unzip -O GBK is right, too)"
        )
    return sentences


def _by_dish(
    answers: RecordViews, dish_of: Mapping[str, str] | None = None
) -> dict[str, list[RecordView]]:
    """The answers of each dish; an answer belongs to the dish whose photo was sent first."""
    dish_of = dish_of or {}
    by_dish: dict[str, list[RecordView]] = {}
    for answer in answers:
        photo = next(iter(answer["image_ids"]), "")
        dish_id = dish_of.get(photo, answer["dish_id"])
        by_dish.setdefault(dish_id, []).append(answer)
    return by_dish


def _members(photos: pd.DataFrame, answers: RecordViews, given: Given) -> list[Member]:
    by_dish = _by_dish(answers, dict(zip(photos.image_id, photos.dish_id, strict=True)))
    folders = photos.groupby("dish_id").folder.unique().map(sorted)
    counts = photos.dish_id.value_counts()
    members = []
    for dish_id, named in folders.items():
        of_dish = by_dish.get(dish_id, [])
        record = _record(dish_id, named, int(counts[dish_id]), of_dish, given)
        is_apart = not given.apart.keys().isdisjoint(named)
        members.append(Member(record, is_apart))
    return members


def _record(
    dish_id: str,
    folders: list[str],
    n_images: int,
    answers: RecordViews,
    given: Given,
) -> artefacts.Dish:
    name, source = _settle_name(dish_id, folders, answers, given)
    facts = _facts(answers, name)
    others = {names.clean(answer["name"]) for answer in answers}
    for folder in folders:
        others |= {names.clean_folder_name(folder), given.listed.get(folder, "")}
    return {
        "dish_id": dish_id,
        "folders": folders,
        "name": name,
        "name_source": source,
        "aliases": sorted(others - {name, ""}),
        "n_images": n_images,
        "card": facts["card"] if facts else None,
        "introduction": facts["introduction"] if facts else "",
        "recipe": facts["recipe"] if facts else "",
        "source": [_source(answer) for answer in answers],
        "review": "",
    }


def _source(answer: RecordView) -> Record:
    """Which annotator said what about a dish, and what that cost."""
    return {key: answer[key] for key in SOURCE_KEYS}


def _settle_name(
    dish_id: str, folders: Sequence[str], answers: RecordViews, given: Given
) -> tuple[str, str]:
    for source, table in (("decision", given.decided), ("names_csv", given.listed)):
        named = [table[folder] for folder in folders if folder in table]
        if named:
            return named[0], source
    named = []
    for answer in answers:
        name = answer["name"]
        is_misread = suspicions.is_misread_folder(name, folders)
        if not is_misread and not suspicions.not_a_name(name):
            named.append(names.clean(name))
    if not named:
        return names.clean(dish_id), "folder"
    different = set(map(names.normalise, named))
    agreed = len(named) > 1 and len(different) == 1
    return named[0], "annotators" if agreed else "annotator"


def _facts(answers: RecordViews, name: str) -> RecordView | None:
    """The answer whose card and texts the dish takes: the first that means the dish's name, or else
    the first with a card.
    """
    carded = [answer for answer in answers if answer["card"]]
    meaning = names.canonical(name)
    fitting = [answer for answer in carded if names.canonical(answer["name"]) == meaning]
    return next(iter(fitting or carded), None)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return names.MENU_SEPARATOR.join(map(str, value))
    return "" if value is None else str(value)
