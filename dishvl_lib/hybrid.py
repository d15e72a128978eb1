"""The model and the gallery together, with the Recognizer's signatures.

    hybrid = Hybrid(Recognizer.load(best), Gallery.load(folder))
    hybrid.choose("photo.jpg", ["红烧鱼", "凉拌鸡胗"])

A menu: the model's log-probabilities and the gallery's similarities, combined by numbers that stage
05 fitted on validation photos. A name: the model's log-probability of each dish of the gallery's
shortlist as the answer to the naming question counts with its similarity, so that a dish that was
added can be named and one that was removed cannot. With an empty gallery the model alone answers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dishvl_lib.core.types import PhotoSource
from dishvl_lib.gallery.gallery import MENU, NAMING, Gallery, GalleryError
from dishvl_lib.gallery.photos import content_of
from dishvl_lib.vlm import choose
from dishvl_lib.vlm.answers import Choice, Recognition
from dishvl_lib.vlm.photo_answers import PhotoAnswers, as_list
from dishvl_lib.vlm.photo_questions import PhotoQuestions
from dishvl_lib.vlm.recognizer import PreparedPhoto, Recognizer, model_fingerprint


class HybridPhoto(NamedTuple):
    """As the model alone would be asked, and `crop`: uint8 (S, S, 3) as the gallery's net reads the
    photo, None while the gallery is empty.
    """

    alone: PreparedPhoto
    crop: np.ndarray | None

    @property
    def questions(self) -> PhotoQuestions:
        return self.alone.questions


class _Photo(NamedTuple):
    """A photo's questions, its feature (D,), and the gallery's shortlist where a name is asked."""

    questions: PhotoQuestions
    feature: np.ndarray
    shortlist: list[str]


class Hybrid(PhotoAnswers[HybridPhoto]):
    """A `Recognizer` and a `Gallery` that answer as one."""

    def __init__(self, recognizer: Recognizer, gallery: Gallery):
        """Raises `GalleryError` for a gallery whose numbers were fitted for another model."""
        _check_model(recognizer, gallery)
        self.recognizer = recognizer
        self.gallery = gallery

    def name(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        template: str = "naming-1",
        batch_size: int = 8,
    ) -> str | list[str]:
        """The dish's name for a photo, or a list of names for a list of photos.

        Raises `ImageError` for an unusable photo.
        """
        questions = PhotoQuestions(naming=template)
        recognitions = self.answer_photos(as_list(photos), questions, batch_size)
        named = [recognition.names[0] for recognition in recognitions]
        return named[0] if isinstance(photos, PhotoSource) else named

    def prepare(self, source: PhotoSource, questions: PhotoQuestions) -> HybridPhoto:
        content = content_of(source)
        crop = self.gallery.pixels(content) if len(self.gallery) else None
        return HybridPhoto(self.recognizer.prepare(content, questions), crop)

    def answer_prepared(self, prepared: Sequence[HybridPhoto]) -> list[Recognition]:
        crops = [photo.crop for photo in prepared if photo.crop is not None]
        if not len(self.gallery) or len(crops) < len(prepared):
            return self.recognizer.answer_prepared([photo.alone for photo in prepared])
        features = self.gallery.features_of_pixels(np.stack(crops))
        photos = []
        queries = []
        for given, feature in zip(prepared, features, strict=True):
            shortlist = self.gallery.shortlist(feature) if given.questions.namings else []
            photo = _Photo(given.questions, feature, shortlist)
            photos.append(photo)
            queries.append(self._query(given, photo))
        replies = self.recognizer.answer_queries(queries)
        recognitions = []
        for photo, reply in zip(photos, replies, strict=True):
            recognitions.append(self._recognition(photo, reply))
        return recognitions

    def _query(self, given: HybridPhoto, photo: _Photo) -> choose.PhotoQuery:
        """The menus as the model reads them, and behind them the naming question with the shortlist
        where a name is asked.
        """
        menus = list(photo.questions.menu_questions)
        for question in photo.questions.namings:
            menus.append((question, photo.shortlist))
        return choose.PhotoQuery(given.alone.query.photo, menus=menus)

    def _recognition(self, photo: _Photo, reply: Recognition) -> Recognition:
        named = []
        if photo.questions.namings:
            shares = self._shares(photo, reply.choices[-1], photo.shortlist, NAMING)
            named = [photo.shortlist[int(shares.argmax())]]
        choices = []
        for choice, entries in zip(reply.choices, photo.questions.read, strict=False):
            choices.append(self._choice(photo, choice, entries))
        return photo.questions.spelt(Recognition(tuple(named), tuple(choices)))

    def _choice(self, photo: _Photo, choice: Choice, entries: Sequence[str]) -> Choice:
        """`entries`: as the model reads them.

        Whether the dish is on the menu the model says, but of a new dish, which it was never
        trained on, it cannot: there the probability within the menu decides.
        """
        together = self._shares(photo, choice, entries, MENU)
        order = np.argsort(-together, kind="stable")
        ranked = tuple((entries[place], float(together[place])) for place in order)
        best, share = ranked[0]
        if choice.on_menu is not None and not self.gallery.is_new(best):
            is_there = choice.on_menu >= choice.threshold
            return replace(choice, answer=best if is_there else None, entries=ranked)
        # A menu's only entry has all of the probability, which says nothing.
        threshold = self.gallery.threshold if len(entries) > 1 else 0.0
        return Choice(best if share >= threshold else None, ranked, threshold)

    def _shares(
        self, photo: _Photo, choice: Choice, entries: Sequence[str], kind: str
    ) -> np.ndarray:
        """(entries,) probabilities by the two together; `choice`: the model's."""
        logs = choice.log_probabilities(entries)
        return np.exp(self.gallery.combined(photo.feature, entries, logs, kind))


def _check_model(recognizer: Recognizer, gallery: Gallery) -> None:
    fitted_for = gallery.manifest.model
    here = model_fingerprint(recognizer.qwen.folder)
    if fitted_for and here and fitted_for != here:
        raise GalleryError(
            f"{gallery.folder or 'the gallery'} was fitted for another model than "
            f"{recognizer.qwen.folder}: take the gallery that lies beside that model, or go on "
            "without it (--no-gallery)"
        )
