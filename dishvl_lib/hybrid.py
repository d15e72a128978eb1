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

from dishvl_lib.core import questions
from dishvl_lib.core.types import PhotoSource
from dishvl_lib.gallery.gallery import MENU, NAMING, Gallery, GalleryError
from dishvl_lib.gallery.photos import content_of
from dishvl_lib.vlm.answers import LONGEST_MENU, Choice, PhotoAnswers, Recognition, as_list
from dishvl_lib.vlm.recognizer import Recognizer, as_read, model_fingerprint

MenuQuestion = tuple[str, list[str]]


class _Photo(NamedTuple):
    """Its bytes, its feature (D,), and what is asked of the model about it."""

    content: bytes
    feature: np.ndarray
    menus: list[MenuQuestion]


class Hybrid(PhotoAnswers):
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
        recognitions = self.answer_photos(
            as_list(photos), [], naming=template, template="", top_k=1, batch_size=batch_size
        )
        named = [recognition.names[0] for recognition in recognitions]
        return named[0] if isinstance(photos, PhotoSource) else named

    def answer_photos(
        self,
        sources: Sequence[PhotoSource],
        menus: Sequence[Sequence[str]],
        *,
        naming: str,
        template: str,
        top_k: int,
        batch_size: int,
    ) -> list[Recognition]:
        if not len(self.gallery):
            return self.recognizer.answer_photos(
                sources,
                menus,
                naming=naming,
                template=template,
                top_k=top_k,
                batch_size=batch_size,
            )
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give at least 1")
        read = [as_read(menu) for menu in menus]
        recognitions = []
        for start in range(0, len(sources), batch_size):
            batch = sources[start : start + batch_size]
            contents = [content_of(source) for source in batch]
            features = self.gallery.features(contents)
            photos = []
            for content, feature in zip(contents, features, strict=True):
                asked = self._questions(feature, read, naming, template)
                photos.append(_Photo(content, feature, asked))
            queries = [(photo.content, (), photo.menus) for photo in photos]
            replies = self.recognizer.answer_questions(queries, LONGEST_MENU)
            for photo, reply in zip(photos, replies, strict=True):
                recognitions.append(self._recognition(photo, reply, menus, naming, top_k))
        return recognitions

    def _questions(
        self, feature: np.ndarray, read: Sequence[list[str]], naming: str, template: str
    ) -> list[MenuQuestion]:
        """The menus as the model reads them, and behind them the naming question with the shortlist
        where a name is asked.
        """
        menus = [(questions.ask(template, entries), entries) for entries in read]
        if naming:
            shortlist = self.gallery.shortlist(feature)
            menus.append((questions.ask(naming), shortlist))
        return menus

    def _recognition(
        self,
        photo: _Photo,
        reply: Recognition,
        menus: Sequence[Sequence[str]],
        naming: str,
        top_k: int,
    ) -> Recognition:
        named = []
        if naming:
            _, shortlist = photo.menus[-1]
            shares = self._shares(photo, reply.choices[-1], shortlist, NAMING)
            named = [shortlist[int(shares.argmax())]]
        choices = []
        for (_, entries), choice, menu in zip(photo.menus, reply.choices, menus, strict=False):
            choices.append(self._choice(photo, choice, entries, menu, top_k))
        return Recognition(tuple(named), tuple(choices))

    def _choice(
        self,
        photo: _Photo,
        choice: Choice,
        entries: Sequence[str],
        spelt: Sequence[str],
        top_k: int,
    ) -> Choice:
        """`entries`: as the model reads them; `spelt`: as the menu has them.

        Whether the dish is on the menu the model says, but of a new dish, which it was never
        trained on, it cannot: there the probability within the menu decides.
        """
        together = self._shares(photo, choice, entries, MENU)
        order = np.argsort(-together, kind="stable")[:top_k]
        ranked = tuple((spelt[place], float(together[place])) for place in order)
        best, share = ranked[0]
        if choice.on_menu is not None and not self.gallery.is_new(entries[order[0]]):
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
