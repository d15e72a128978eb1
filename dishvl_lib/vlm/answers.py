"""What is said of photos and menus."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
