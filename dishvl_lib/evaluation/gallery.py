"""Predictors with a gallery: the gallery alone, and the model and the gallery together.

The gallery is handed over by the step that made it; this room knows what it asks of one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from dishvl_lib.core import questions
from dishvl_lib.core.types import Record, RecordView, RecordViews
from dishvl_lib.evaluation.predictors import Answer, question
from dishvl_lib.vlm.answers import LONGEST_MENU
from dishvl_lib.vlm.recognizer import Recognizer
from dishvl_lib.vlm.written_menus import check_menu

SHORTLIST = 20
MENU = "menu"
NAMING = "naming"
NO_FEATURES = "the photo has no features (02_similar_dishes/skipped.csv)"


class DishGallery(Protocol):
    """What is asked of a gallery, about a photo's feature (D,)."""

    def shortlist(self, feature: np.ndarray, most: int) -> list[str]: ...

    def ranked(
        self, feature: np.ndarray, entries: Sequence[str] | None = None
    ) -> list[tuple[str, float]]: ...

    def combined(
        self, feature: np.ndarray, entries: Sequence[str], logs: np.ndarray, kind: str
    ) -> np.ndarray: ...

    def is_new(self, name: str) -> bool: ...

    @property
    def threshold(self) -> float: ...


class Galleries(NamedTuple):
    """`known`: of the training photos; `with_new`: with the new dishes too, for the protocols in
    `enlarged`.
    """

    known: DishGallery
    with_new: DishGallery
    enlarged: tuple[str, ...] = ()

    def of(self, row: RecordView) -> DishGallery:
        return self.with_new if row["protocol"] in self.enlarged else self.known


class GalleryPredictor:
    """The dish whose registered photos are most similar; for a menu, of those on it."""

    by_photo = True  # the similarities of a photo count for all questions about it

    def __init__(self, features: Mapping[str, np.ndarray], galleries: Galleries):
        """`features`: image_id -> (D,) of unit length."""
        self.features = features
        self.galleries = galleries

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        return [self._answer_to(row) for row in rows]

    def _answer_to(self, row: Record) -> Answer:
        feature = self.features.get(row["image_id"])
        if feature is None:
            return Answer(None, error=NO_FEATURES)
        ranked = self.galleries.of(row).ranked(feature, row["menu"] or None)
        return Answer(ranked[0][0] if ranked else None, ranked)


class Query(NamedTuple):
    """What the model is asked for a row: a question, and the entries that it is scored on. `kind`:
    menu or naming; `logs` (entries,): what it said, None until it was asked; `refused`: it gave no
    answer, the dish is not on the menu.
    """

    text: str
    entries: list[str]
    kind: str
    logs: np.ndarray | None = None
    refused: bool = False

    @property
    def answer(self) -> np.ndarray:
        """`logs` of a query that was asked."""
        assert self.logs is not None, "the model was asked"
        return self.logs


class HybridPredictor:
    """The model's log-probabilities and the gallery's similarities together. A name is one of the
    gallery's shortlist: the model's log-probability of each as the answer to the naming question
    counts.

    What the tuned model has said of the same menus is not asked again. Whether the dish is on a menu
    is decided as `Hybrid` does.
    """

    by_photo = True

    def __init__(
        self,
        opened: Callable[[], Recognizer],
        image_root: Path,
        features: Mapping[str, np.ndarray],
        galleries: Galleries,
        answered: Callable[[], RecordViews] = list,
        model_decides: bool = False,
    ):
        """`opened`: opens the model, when it is needed; `answered`: rows of predictions.jsonl of
        the same model; `model_decides`: `on_menu` was fitted for it.
        """
        self.opened = opened
        self.image_root = image_root
        self.features = features
        self.galleries = galleries
        self.known = _answered_menus(answered())
        self.model_decides = model_decides
        self._recognizer: Recognizer | None = None

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        queries = self.scored(rows)
        return [self._answer_to(row, queries.get(row["id"])) for row in rows]

    def scored(self, rows: Sequence[Record]) -> dict[str, Query]:
        """{id: query with the model's log-probabilities} of the rows whose photo has a feature."""
        with_feature = [row for row in rows if row["image_id"] in self.features]
        queries = {row["id"]: self._query(row) for row in with_feature}
        return queries | self._asked(with_feature, queries)

    def _query(self, row: Record) -> Query:
        if row["kind"] == "naming":
            gallery = self.galleries.of(row)
            menu = gallery.shortlist(self.features[row["image_id"]], SHORTLIST)
            return Query(question(row), menu, NAMING)
        key = (row["id"], question(row), tuple(row["menu"]))
        logs, refused = self.known.get(key, (None, False))
        text = questions.ask(row["template"], check_menu(row["menu"]))
        return Query(text, row["menu"], MENU, logs, refused)

    def _asked(self, rows: Sequence[Record], queries: Mapping[str, Query]) -> dict[str, Query]:
        """The queries that had no answer, with it: all about one photo in one pass, equal ones
        once.
        """
        photos: dict[str, dict[tuple[str, tuple[str, ...]], list[str]]] = {}
        for row in rows:
            query = queries[row["id"]]
            if query.logs is None and query.entries:
                of_photo = photos.setdefault(row["image"], {})
                of_photo.setdefault((query.text, tuple(query.entries)), []).append(row["id"])
        if not photos:
            return {}
        batch = []
        for photo, menus in photos.items():
            asked = [(text, list(entries)) for text, entries in menus]
            batch.append((self.image_root / photo, (), asked))
        replies = self._opened().answer_questions(batch, top_k=LONGEST_MENU)
        answered = {}
        for menus, reply in zip(photos.values(), replies, strict=True):
            for ids, choice in zip(menus.values(), reply.choices, strict=True):
                for row_id in ids:
                    query = queries[row_id]
                    logs = choice.log_probabilities(query.entries)
                    answered[row_id] = query._replace(logs=logs, refused=choice.answer is None)
        return answered

    def _answer_to(self, row: Record, query: Query | None) -> Answer:
        if query is None:
            return Answer(None, error=NO_FEATURES)
        if query.logs is None:
            return Answer(None)
        gallery = self.galleries.of(row)
        feature = self.features[row["image_id"]]
        logs = gallery.combined(feature, query.entries, query.logs, query.kind)
        order = np.argsort(-logs, kind="stable")
        ranked = [(query.entries[place], float(np.exp(logs[place]))) for place in order]
        text, share = ranked[0]
        refused = share < gallery.threshold
        if self.model_decides and not gallery.is_new(text):
            refused = query.refused
        if row["kind"] != "menu_absent":
            refused = False  # a menu that holds the dish has an answer, however unsure it is
        return Answer(None if refused else text, ranked, log_probabilities=logs.tolist())

    def _opened(self) -> Recognizer:
        if self._recognizer is None:
            self._recognizer = self.opened()
        return self._recognizer


def _answered_menus(
    answered: RecordViews,
) -> dict[tuple[str, str, tuple[str, ...]], tuple[np.ndarray, bool]]:
    """{(id, prompt, menu): (log-probabilities, no answer was given)} of the model's answers."""
    known = {}
    for row in answered:
        if row["log_probabilities"]:
            key = (row["id"], row["prompt"], tuple(row["menu"]))
            known[key] = (np.array(row["log_probabilities"]), row["answer"] is None)
    return known
