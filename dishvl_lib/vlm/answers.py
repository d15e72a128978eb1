"""What is said of photos and menus, and the ways to ask that every recogniser has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dishvl_lib.core.types import PhotoSource

LONGEST_MENU = 100_000  # as top_k: every entry with its probability
SMALLEST = 1e-45  # what a probability that vanished in float32 counts as


@dataclass(frozen=True)
class Choice:
    """The menu's entries with probabilities among the menu, best first.

    `on_menu`: the probability that the dish is on the menu at all (None from a model folder in
    which nothing was fitted for it). `answer` is the best entry, or None when `on_menu` is below
    `threshold`; without `on_menu`, when the best entry's probability is (0: never). `remark`: what
    should be known of `on_menu` for this menu, mostly ''.
    """

    answer: str | None
    entries: tuple[tuple[str, float], ...]
    threshold: float = 0.0
    on_menu: float | None = None
    remark: str = ""

    def log_probabilities(self, entries: Sequence[str]) -> np.ndarray:
        """(entries,) float64 in the order of `entries`, of which the choice must hold each."""
        shares = dict(self.entries)
        return np.log([max(shares[entry], SMALLEST) for entry in entries])

    def __str__(self) -> str:
        shown = "  ".join(f"{entry} {probability:.1%}" for entry, probability in self.entries)
        if self.remark:
            shown = f"{shown}  ({self.remark})"
        if self.on_menu is None:
            return shown if self.answer else f"{self._refusal('best entry')}: {shown}"
        if self.answer:
            return f"{shown}  (on the menu: {self.on_menu:.1%})"
        return f"{self._refusal(f'{self.on_menu:.1%},')}: {shown}"

    def _refusal(self, measure: str) -> str:
        return f"not on the menu ({measure} below {self.threshold:.1%})"


@dataclass(frozen=True)
class Recognition:
    """What one pass says about a photo: an answer per naming question, a choice per menu."""

    names: tuple[str, ...]
    choices: tuple[Choice, ...] = ()

    @property
    def name(self) -> str | None:
        """The dish's name; None when it was not asked for."""
        return self.names[0] if self.names else None

    def __str__(self) -> str:
        return " | ".join([*self.names, *map(str, self.choices)])


class PhotoAnswers(ABC):
    """What answers questions about photos: `answer_photos` says how, the rest is the same for all."""

    @abstractmethod
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
        """Name and choices of each photo. Parameters and errors as in `recognise`."""

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
        recognitions = self.answer_photos(
            as_list(photo),
            [menu],
            naming="",
            template=template,
            top_k=top_k,
            batch_size=batch_size,
        )
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
        (recognition,) = self.answer_photos(
            [photo], menus, naming="", template=template, top_k=top_k, batch_size=1
        )
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
        recognitions = self.answer_photos(
            as_list(photos),
            menus,
            naming=naming,
            template=template,
            top_k=top_k,
            batch_size=batch_size,
        )
        return recognitions[0] if isinstance(photos, PhotoSource) else recognitions


def as_list(photos: PhotoSource | Sequence[PhotoSource]) -> list[PhotoSource]:
    """One photo or several as a list."""
    return [photos] if isinstance(photos, PhotoSource) else list(photos)
