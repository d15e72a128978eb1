"""Whether the dish is on the menu at all.

    mass = log of the sum of the entries' probabilities, from their exact log-probabilities
    on_menu = 1 / (1 + exp(-(weight * mass + bias)))

A model that sees a dish which is not on the menu gives its probability to texts beside the menu, so
the mass is small, however many entries there are. The probabilities within the menu cannot tell:
they add up to 1 with and without the dish, and their best falls as the menu grows
(benchmarks/bench_off_menu.py compares the signals).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.types import Record, RecordView, RecordViews

MENU_SIZES = (1, 2, 3, 5, 10, 20, 40, 60)
FEWEST_MENUS = 20  # of each kind; with fewer, nothing is fitted
FIELD = "on_menu"  # in dishvl.json


@dataclass(frozen=True)
class MenuPresence:
    """How a menu's mass becomes the probability that the dish is on it.

    threshold: of that probability, below it no entry is the answer. menu_sizes: of the menus that
    it was fitted on; n: how many, half of them without the dish.
    """

    weight: float
    bias: float
    threshold: float
    menu_sizes: tuple[int, ...]
    n: int

    @classmethod
    def from_record(cls, record: RecordView) -> "MenuPresence":
        """Of dishvl.json. Raises ValueError for what `as_record` cannot have written."""
        try:
            presence = cls(
                weight=float(record["weight"]),
                bias=float(record["bias"]),
                threshold=float(record["threshold"]),
                menu_sizes=tuple(int(size) for size in record["menu_sizes"]),
                n=int(record["n"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{FIELD} is not what stage 04 writes ({error!r})") from None
        numbers = (presence.weight, presence.bias, presence.threshold)
        if not np.isfinite(numbers).all() or presence.weight <= 0 or not presence.menu_sizes:
            raise ValueError(f"{FIELD} holds numbers that cannot be")
        return presence

    def as_record(self) -> Record:
        """As it stands in dishvl.json."""
        return {**asdict(self), "menu_sizes": list(self.menu_sizes)}

    def probability(self, mass: float) -> float:
        """That the dish is on a menu of this mass (`mass_of`)."""
        return float(expit(self.weight * mass + self.bias))

    def remark(self, n_entries: int) -> str:
        """A sentence where a menu is larger than any that was fitted on, '' otherwise."""
        largest = max(self.menu_sizes)
        if n_entries <= largest:
            return ""
        return (
            f"the menu has {n_entries} entries; whether a dish is on it was fitted on menus of "
            f"up to {largest}"
        )


class SizedScores(NamedTuple):
    """A menu of `size` entries, with the dish (`present`) or without it, and its log-probabilities
    (entries,); `truth`: the dish's place, -1 where it is not there.
    """

    size: int
    present: bool
    scores: np.ndarray
    truth: int


@dataclass(frozen=True)
class SizedMenus:
    """Two menus of `size` entries about the photo of `row`: one with its dish, one without."""

    row: RecordView
    size: int
    with_dish: list[str]
    without_dish: list[str]

    @property
    def truth(self) -> str:
        """The dish's name."""
        return artefacts.answer_of(self.row)

    def questions(self) -> list[tuple[str, list[str]]]:
        """(question, entries) of both, in the wording of the row."""
        template = self.row["template"]
        menus = (self.with_dish, self.without_dish)
        return [(questions.ask(template, menu), menu) for menu in menus]

    def with_scores(self, of_present: np.ndarray, of_absent: np.ndarray) -> list[SizedScores]:
        """The answers to `questions`, log-probabilities (entries,) each."""
        place = self.with_dish.index(self.truth)
        return [
            SizedScores(self.size, True, of_present, place),
            SizedScores(self.size, False, of_absent, -1),
        ]


def mass_of(log_probabilities: np.ndarray) -> float:
    """Logarithm of the entries' summed probabilities, (entries,) -> at most about 0."""
    return float(np.logaddexp.reduce(np.asarray(log_probabilities, float)))


def sizes_for(n_names: int) -> list[int]:
    """MENU_SIZES that so many names can fill, the largest of them all names but the dish's."""
    most = n_names - 1
    return sorted({min(size, most) for size in MENU_SIZES if most > 0})


def sized_menus(rows: RecordViews, sizes: Sequence[int], seed: int = 0) -> list[SizedMenus]:
    """Menus with and without the dish for each row of kind menu, whose sizes take turns.

    What stood on a row's own menu comes first, for it holds the look-alikes; other dishes of the
    rows fill up. [] where there are fewer than two names.
    """
    rng = np.random.default_rng(seed)
    names = sorted({artefacts.answer_of(row) for row in rows})
    drawn = []
    for number, row in enumerate(rows):
        size = min(sizes[number % len(sizes)], len(names) - 1) if sizes else 0
        if size < 1:
            continue
        truth = artefacts.answer_of(row)
        near = [entry for entry in row["menu"] if entry != truth]
        far = [name for name in names if name != truth and name not in near]
        others = [*rng.permutation(near).tolist(), *rng.permutation(far).tolist()]
        with_dish = rng.permutation([truth, *others[: size - 1]]).tolist()
        without_dish = rng.permutation(others[:size]).tolist()
        drawn.append(SizedMenus(row, size, with_dish, without_dish))
    return drawn


def fit(masses: np.ndarray, present: np.ndarray, sizes: Sequence[int]) -> MenuPresence | None:
    """masses (N,), present (N,) bool, their menus' sizes (N,) -> how they are told apart.

    Platt scaling (1999), with his targets, which leave the numbers finite where mass tells all. The
    threshold refuses as large a share of the menus with the dish as it answers of those without.
    None with fewer than 20 of either, or where a larger mass does not speak for the dish.
    """
    n_present = int(present.sum())
    n_absent = len(present) - n_present
    if min(n_present, n_absent) < FEWEST_MENUS:
        return None
    high = (n_present + 1) / (n_present + 2)
    low = 1 / (n_absent + 2)
    targets = np.where(present, high, low)

    def loss(numbers: np.ndarray) -> float:
        weight, bias = numbers
        logits = weight * masses + bias
        return float((np.logaddexp(0, logits) - targets * logits).mean())

    weight, bias = minimize(loss, np.array([1.0, 1.0]), method="L-BFGS-B").x
    if not weight > 0:
        return None
    probabilities = expit(weight * masses + bias)
    threshold = balanced_threshold(probabilities[present], probabilities[~present])
    used = tuple(sorted(set(sizes)))
    return MenuPresence(
        round(float(weight), 6), round(float(bias), 6), round(threshold, 6), used, len(present)
    )


def balanced_threshold(present: np.ndarray, absent: np.ndarray) -> float:
    """Where the larger of two shares is least: `present` below it, and `absent` at or above it.

    In the middle of the thresholds that do equally well.
    """
    values = np.unique(np.concatenate([present, absent]))
    between = (values[:-1] + values[1:]) / 2
    candidates = np.concatenate([between, values[-1:]])
    refused = np.searchsorted(np.sort(present), candidates, "left") / len(present)
    answered = 1 - np.searchsorted(np.sort(absent), candidates, "left") / len(absent)
    error = np.maximum(refused, answered)
    best = candidates[error <= error.min() + 1e-12]
    return float((best[0] + best[-1]) / 2)
