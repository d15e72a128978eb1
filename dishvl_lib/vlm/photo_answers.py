"""The ways to ask that every recogniser has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from dishvl_lib.core.types import PhotoSource
from dishvl_lib.vlm.answers import Choice, Recognition
from dishvl_lib.vlm.photo_questions import PhotoQuestions

Prepared = TypeVar("Prepared")  # a photo with its questions, ready for the model


class PhotoAnswers(ABC, Generic[Prepared]):
    """What answers questions about photos: in two steps, `prepare` and `answer_prepared`, which say
    how; the rest is the same for all.
    """

    @abstractmethod
    def prepare(self, source: PhotoSource, questions: PhotoQuestions) -> Prepared:
        """A photo decoded and cut into patches, with its questions: all that needs no model, so
        that several threads may prepare at once. Raises `ImageError`.
        """

    @abstractmethod
    def answer_prepared(self, prepared: Sequence[Prepared]) -> list[Recognition]:
        """What is said of prepared photos, in one pass. Each has questions of its own."""

    def answer_photos(
        self, sources: Sequence[PhotoSource], questions: PhotoQuestions, batch_size: int
    ) -> list[Recognition]:
        """Name and choices of each photo, `batch_size` in a pass. Errors as in `prepare`."""
        recognitions = []
        for start in range(0, len(sources), batch_size):
            batch = sources[start : start + batch_size]
            prepared = [self.prepare(source, questions) for source in batch]
            recognitions += self.answer_prepared(prepared)
        return recognitions

    def choose(
        self,
        photo: PhotoSource | Sequence[PhotoSource],
        menu: Sequence[str],
        *,
        top_k: int = 3,
        template: str = "menu-1",
        batch_size: int = 8,
    ) -> Choice | list[Choice]:
        """The most probable entry of `menu`, and the `top_k` best with their probabilities.

        The probabilities are among the menu; a list for a list of photos. Never answers what is not
        on the menu, and None when the dish is not on it (see `Choice`). The model
        reads cleaned entries without numbering and prices, the answer is spelt as given. Raises
        ValueError for an empty menu, equal entries, or an entry that cannot stand on one;
        `ImageError` for a photo that cannot be read.
        """
        questions = PhotoQuestions([menu], template=template, top_k=top_k)
        recognitions = self.answer_photos(as_list(photo), questions, batch_size)
        choices = [recognition.choices[0] for recognition in recognitions]
        return choices[0] if isinstance(photo, PhotoSource) else choices

    def choose_many(
        self,
        photo: PhotoSource,
        menus: Sequence[Sequence[str]],
        *,
        top_k: int = 3,
        template: str = "menu-1",
    ) -> list[Choice]:
        """One choice per menu for the same photo, which is computed once for all of them."""
        questions = PhotoQuestions(menus, template=template, top_k=top_k)
        (recognition,) = self.answer_photos([photo], questions, batch_size=1)
        return list(recognition.choices)

    def recognise(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        menus: Sequence[Sequence[str]] = (),
        *,
        naming: str = "naming-1",
        template: str = "menu-1",
        top_k: int = 3,
        batch_size: int = 8,
    ) -> Recognition | list[Recognition]:
        """Name and choices from the same menus of each photo, every photo computed once.

        A list for a list of photos. `naming`: the template of the naming question, '' to ask none.
        Errors as in `choose`.
        """
        questions = PhotoQuestions(menus, naming=naming, template=template, top_k=top_k)
        recognitions = self.answer_photos(as_list(photos), questions, batch_size)
        return recognitions[0] if isinstance(photos, PhotoSource) else recognitions


def as_list(photos: PhotoSource | Sequence[PhotoSource]) -> list[PhotoSource]:
    """One photo or several as a list."""
    return [photos] if isinstance(photos, PhotoSource) else list(photos)
