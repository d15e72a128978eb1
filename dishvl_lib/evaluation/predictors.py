"""Who answers: a Qwen2.5-VL folder, the nearest photo by a small net's features, or that net's
classifier. `online` has the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.types import DishNames, Record, RecordView
from dishvl_lib.vlm.answers import LONGEST_MENU, Choice
from dishvl_lib.vlm.recognizer import Recognizer
from dishvl_lib.vlm.written_menus import check_menu


@dataclass(frozen=True)
class Answer:
    """What a predictor says to one question. `text` None: no entry of the menu fits, or with
    `error` that it failed.

    scores: (entry, score) best first. log_probabilities: of every entry of the menu, in its order,
    where they are known. seconds: of this question alone, None where a batch is timed; cost in
    `currency`, and tokens, of an online model; removed: what stood around its answer.
    """

    text: str | None
    scores: Sequence[tuple[str, float]] = ()
    error: str = ""
    log_probabilities: Sequence[float] = field(default=())
    seconds: float | None = None
    cost: float = 0.0
    currency: str = ""
    tokens: int = 0
    removed: str = ""


class Predictor(Protocol):
    """Answers rows in their order: of one kind, or with `by_photo` all questions of a few photos.
    Raises ValueError for a photo that cannot be used (`ImageError` where it cannot be read).
    """

    def answer(self, rows: Sequence[Record]) -> list[Answer]: ...


class RecognizerPredictor:
    """A Qwen2.5-VL folder: naming by greedy generation, menus by scoring every entry; all questions
    about a photo in one pass.

    Where the dish is on the menu for certain the best entry is the answer however improbable it is;
    on the others (`menu_absent`) the threshold that stage 04 fitted decides whether there is one.
    """

    by_photo = True

    def __init__(self, recognizer: Recognizer, image_root: Path):
        self.recognizer = recognizer
        self.image_root = Path(image_root)

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        photos: dict[str, tuple[list[int], list[int]]] = {}
        for number, row in enumerate(rows):
            named, chosen = photos.setdefault(row["image"], ([], []))
            of_kind = named if row["kind"] == "naming" else chosen
            of_kind.append(number)
        batch = []
        for photo, (named, chosen) in photos.items():
            naming = [question(rows[number]) for number in named]
            menus = [_menu(rows[number]) for number in chosen]
            batch.append((self.image_root / photo, naming, menus))
        replies = self.recognizer.answer_questions(batch, top_k=LONGEST_MENU)
        answers: dict[int, Answer] = {}
        for (named, chosen), reply in zip(photos.values(), replies, strict=True):
            for number, name in zip(named, reply.names, strict=True):
                answers[number] = Answer(name)
            for number, choice in zip(chosen, reply.choices, strict=True):
                answers[number] = _chosen(rows[number], choice)
        return [answers[number] for number in range(len(rows))]


def _menu(row: RecordView) -> tuple[str, list[str]]:
    """(the question with the cleaned entries, the menu as it was written)."""
    entries = check_menu(row["menu"])
    return questions.ask(row["template"], entries), row["menu"]


def _chosen(row: RecordView, choice: Choice) -> Answer:
    best, _ = choice.entries[0]
    # A menu that holds the dish has an answer, however unsure it is.
    text = choice.answer if row["kind"] == "menu_absent" else best
    log_probabilities = choice.log_probabilities(row["menu"]).tolist()
    return Answer(text, choice.entries, log_probabilities=log_probabilities)


class NearestPredictor:
    """The name of the registered photo with the highest cosine; for a menu, of those whose name is
    on it.
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray],
        gallery: pd.DataFrame,
        dish_names: DishNames,
    ):
        """`features`: image_id -> (D,) unit length; `gallery`: rows with image_id and dish_id."""
        has_features = gallery.image_id.isin(features.keys())
        has_name = gallery.dish_id.isin(dish_names.keys())
        known = gallery[has_features & has_name]
        if known.empty:
            raise ValueError("the gallery holds no photo with features and a usable name")
        named = known.dish_id.map(dish_names).to_numpy(dtype=object)
        order = np.argsort(named, kind="stable")
        self.features = features
        ordered = [features[image_id] for image_id in known.image_id.iloc[order]]
        self.matrix = np.stack(ordered)
        self.names, self.starts = np.unique(named[order], return_index=True)

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        return [self._answer_to(row) for row in rows]

    def _answer_to(self, row: Record) -> Answer:
        """By itself: in a product of whole batches the last digits would depend on what else is in
        the batch, and so on where a run was killed.
        """
        image_id = row["image_id"]
        if image_id not in self.features:
            return Answer(None, error="the photo has no features (02_similar_dishes/skipped.csv)")
        cosines = self.matrix @ self.features[image_id]
        of_names = np.maximum.reduceat(cosines, self.starts)
        return _best(self.names, of_names, row["menu"])


class ClassifierPredictor:
    """The class head of stage 02's net; for a menu, the most probable of the classes on it."""

    def __init__(self, stored: Mapping[str, np.ndarray], dish_names: DishNames):
        """`stored`: image_id (N,), dish_id (C,), log_probability (N, C), as 02's class_scores.npz
        has them.
        """
        dishes = [str(dish) for dish in stored["dish_id"]]
        known = np.array([place for place, dish in enumerate(dishes) if dish in dish_names], int)
        named = np.array([dish_names[dishes[place]] for place in known], dtype=object)
        order = np.argsort(named, kind="stable")
        scores = np.asarray(stored["log_probability"], np.float32)
        self.scores = scores[:, known[order]]
        self.place = {str(image_id): place for place, image_id in enumerate(stored["image_id"])}
        self.names, self.starts = np.unique(named[order], return_index=True)

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        return [self._answer_to(row) for row in rows]

    def _answer_to(self, row: Record) -> Answer:
        place = self.place.get(row["image_id"])
        if place is None:
            return Answer(
                None,
                error="the classifier has no scores for this photo "
                "(02_similar_dishes/class_scores.npz)",
            )
        probabilities = np.exp(self.scores[place])
        of_names = np.maximum.reduceat(probabilities, self.starts)
        return _best(self.names, of_names, row["menu"])


def register(photos: pd.DataFrame, per_dish: int, seed: int) -> pd.DataFrame:
    """`per_dish` training photos of every dish, of different groups where there are enough: the
    reference's gallery.
    """
    is_train = photos.split == "train"
    train = photos[is_train].sample(frac=1, random_state=seed)
    first = train.drop_duplicates(["dish_id", "group_id"])
    rest = train.drop(first.index)
    ordered = pd.concat([first, rest])
    return ordered.groupby("dish_id").head(per_dish)


def question(row: RecordView) -> str:
    """The text of a row's question, as the model reads it."""
    return artefacts.text_of(row)


def _best(names: np.ndarray, scores: np.ndarray, menu: Sequence[str]) -> Answer:
    """The name with the highest score, of those on the menu where there is one; equal scores go by
    name.
    """
    entries = set(menu) or set(names)
    places = np.array([place for place, name in enumerate(names) if name in entries], int)
    best_first = np.argsort(-scores[places], kind="stable")
    ranked = []
    for place in places[best_first]:
        name = str(names[place])
        score = float(scores[place])
        ranked.append((name, score))
    if not ranked:
        return Answer(None, ranked)
    best, _ = ranked[0]
    return Answer(best, ranked)
