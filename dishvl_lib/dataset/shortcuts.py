"""Can the answer be guessed from the menu alone? A guesser that never sees a photo, fitted on some
menus, tried on others.

It knows of every entry: how many of its look-alikes stand on the menu, how many entries it is a
look-alike of, their ranks, how often a finished run confuses it with other entries (where menus are
drawn from that), its place, its name's length and what characters it shares with other
entries, and how often its dish was the answer, or an entry, before. A conditional logit (McFadden
1974) weighs them. At chance it finds nothing.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from dishvl_lib.core import artefacts, intervals
from dishvl_lib.core.types import DishNames, Record, Records, RecordViews

FEATURES = (
    "alike_on_menu",
    "alike_of_menu",
    "closest_rank",
    "confused_on_menu",
    "place",
    "place_from_end",
    "first_or_last",
    "name_length",
    "characters_shared",
    "most_shared",
    "was_answer",
    "was_entry",
)
RIDGE = 1e-3
POINT = 0.01  # what a guesser may be over chance
FITTED = 20_000  # menus that are fitted at most
SCATTER = 0.0025  # standard error of chance: a POINT is then four of them

Ranks = Mapping[tuple[str, str], int]  # {(name, its look-alike's name): rank}


@dataclass
class Guesser:
    """`weights` (FEATURES,), and what it knows of dishes: look-alike ranks, earlier answers and
    entries by name.
    """

    ranks: Ranks
    answers: Counter
    entries: Counter
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    confused: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def guess(self, menu: Sequence[str]) -> int:
        from_mean = self._features(menu) - self.mean
        scaled = from_mean / self.spread
        scores = scaled @ self.weights
        return int(scores.argmax())

    def _features(self, menu: Sequence[str]) -> np.ndarray:
        return describe(menu, self.ranks, self.answers, self.entries, self.confused)


def fit(rows: RecordViews, ranks: Ranks, confused: Ranks | None = None) -> Guesser:
    """A guesser fitted on menu questions (rows with menu and conversations). ranks: {(name, its
    look-alike's name): rank}; confused: {(name, other name): how often a finished run took one for
    the other}.

    Its knowledge of earlier answers leaves out the question at hand, or it would know the answer by
    heart.
    """
    menus = [row["menu"] for row in rows]
    truths = [artefacts.answer_of(row) for row in rows]
    answers = Counter(truths)
    entries = Counter(itertools.chain.from_iterable(menus))
    described = []
    confused = confused or {}
    for menu, truth in zip(menus, truths, strict=True):
        answers[truth] -= 1
        features = describe(menu, ranks, answers, entries, confused)
        described.append(features)
        answers[truth] += 1
    everything = np.concatenate(described)
    mean = everything.mean(axis=0)
    spread = np.maximum(everything.std(axis=0), 1e-9)
    scaled = [(part - mean) / spread for part in described]
    places = [menu.index(truth) for menu, truth in zip(menus, truths, strict=True)]
    data = (_padded(scaled), np.array(places))
    start = np.zeros(len(FEATURES))
    fitted = minimize(_loss, start, args=data, jac=True, method="L-BFGS-B")
    return Guesser(ranks, answers, entries, mean, spread, fitted.x, confused)


def measure(guesser: Guesser, rows: RecordViews) -> Record:
    """{n, correct, accuracy, ci95, chance, excess, weights}: how often it guesses right on other
    menu questions, beside chance (mean of 1 / menu size).
    """
    n = len(rows)
    right = 0
    for row in rows:
        menu = row["menu"]
        guess = menu[guesser.guess(menu)]
        right += guess == artefacts.answer_of(row)
    accuracy = 0.0
    interval: tuple[float, float] = (0, 0)
    chance = 0.0
    if n:
        accuracy = right / n
        interval = intervals.wilson(right, n)
        chance = _chance(rows)
    weights = guesser.weights.round(4).tolist()
    return {
        "n": n,
        "correct": right,
        "accuracy": round(accuracy, 4),
        "ci95": [round(end, 4) for end in interval],
        "chance": round(chance, 4),
        "excess": round(accuracy - chance, 4),
        "weights": dict(zip(FEATURES, weights, strict=True)),
    }


def try_out(
    train: RecordViews,
    ranks: Ranks,
    more: Callable[[int], Records],
    n: int,
    confused: Ranks | None = None,
) -> Record:
    """`measure` on at least `n` fresh menus of a guesser fitted on (at most FITTED of) the training
    rows' menus.

    more: menu questions of another split, so many for each of its photos. confused: as in `fit`.
    Small menus are tried more often, until chance alone scatters by no more than SCATTER and a
    point above it means something. Without training menus nothing is fitted.
    """
    menus = [row for row in train if row["kind"] == "menu"][:FITTED]
    sample = more(1)
    chance = _chance(sample)
    variance = chance * (1 - chance)
    n = max(n, math.ceil(variance / SCATTER**2))
    times = math.ceil(n / len(sample))
    rows = sample if times <= 1 else more(times)
    guesser = fit(menus, ranks, confused) if menus else _without_knowledge(ranks)
    return measure(guesser, rows[:n])


def _without_knowledge(ranks: Ranks) -> Guesser:
    zeros = np.zeros(len(FEATURES))
    return Guesser(ranks, Counter(), Counter(), mean=zeros, spread=zeros + 1, weights=zeros)


def _chance(rows: RecordViews) -> float:
    """The accuracy of drawing an entry blindly, a mean over the menus."""
    sizes = np.array([len(row["menu"]) for row in rows])
    return float(np.mean(1 / sizes))


def describe(
    menu: Sequence[str],
    ranks: Ranks,
    answers: Mapping[str, int],
    entries: Mapping[str, int],
    confused: Mapping[tuple[str, str], int] | None = None,
) -> np.ndarray:
    """(entries, FEATURES) of one menu."""
    size = len(menu)
    rank = np.zeros((size, size), int)
    for row, name in enumerate(menu):
        for column, other in enumerate(menu):
            rank[row, column] = ranks.get((name, other), 0)
    times_confused = _times(menu, confused or {})
    is_alike = rank > 0
    closeness = np.where(is_alike, 1 / np.maximum(rank, 1), 0)
    shared = _shared_characters(menu)
    place = np.arange(size)
    from_end = size - 1 - place
    times_answer = np.array([answers.get(name, 0) for name in menu])
    times_entry = np.array([entries.get(name, 0) for name in menu])
    columns = [
        is_alike.sum(axis=1),
        is_alike.sum(axis=0),
        closeness.max(axis=1),
        np.log1p(times_confused.sum(axis=1)),
        place / size,
        from_end / size,
        (place == 0) | (from_end == 0),
        [len(name) for name in menu],
        shared.mean(axis=1),
        shared.max(axis=1),
        np.log1p(np.maximum(0, times_answer)),
        np.log1p(times_entry),
    ]
    return np.stack(columns, axis=1).astype(float)


def _times(menu: Sequence[str], confused: Mapping[tuple[str, str], int]) -> np.ndarray:
    """(entries, entries) how often one was taken for the other."""
    size = len(menu)
    times = np.zeros((size, size))
    if not confused:
        return times
    for row, name in enumerate(menu):
        for column, other in enumerate(menu):
            times[row, column] = confused.get((name, other), 0)
    return times


def _shared_characters(menu: Sequence[str]) -> np.ndarray:
    """(entries, entries) Dice of the characters of two names, 0 of one name with itself."""
    letters = [set(name) for name in menu]
    size = len(menu)
    shared = np.zeros((size, size))
    for (row, first), (column, second) in itertools.combinations(enumerate(letters), 2):
        characters = len(first) + len(second)
        dice = 2 * len(first & second) / characters
        shared[row, column] = dice
        shared[column, row] = dice
    return shared


def ranks_by_name(similar: pd.DataFrame, dish_names: DishNames) -> dict[tuple[str, str], int]:
    """{(name, look-alike's name): rank} of similar_dishes.csv, for the dishes that have a usable
    name.
    """
    named = dish_names.keys()
    both_named = similar.dish_id.isin(named) & similar.similar_id.isin(named)
    known = similar[both_named]
    ranks = {}
    for row in known.itertuples():
        pair = (dish_names[row.dish_id], dish_names[row.similar_id])
        ranks[pair] = int(row.rank)
    return ranks


def _padded(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """((menus, longest, features), bool (menus, longest): which places are entries)."""
    longest = max(map(len, parts))
    n_menus = len(parts)
    _, width = parts[0].shape
    values = np.zeros((n_menus, longest, width))
    there = np.zeros((n_menus, longest), bool)
    for row, part in enumerate(parts):
        size = len(part)
        values[row, :size] = part
        there[row, :size] = True
    return values, there


def _loss(
    weights: np.ndarray, data: tuple[np.ndarray, np.ndarray], places: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean negative log-likelihood of the answers, with a little ridge, and its gradient."""
    values, there = data
    scores = np.where(there, values @ weights, -np.inf)
    scores -= scores.max(axis=1, keepdims=True)
    share = np.exp(scores)
    share /= share.sum(axis=1, keepdims=True)
    rows = np.arange(len(places))
    of_answers = share[rows, places]
    ridge = RIDGE * weights @ weights
    mean_log = np.log(of_answers).mean()
    loss = ridge - mean_log
    # The gradient by the scores: what is guessed less what was right.
    share[rows, places] -= 1
    gradient = np.einsum("ij,ijk->k", share, values) / len(places)
    return float(loss), gradient + 2 * RIDGE * weights
