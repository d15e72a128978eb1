"""Can the answer be guessed from the menu alone? A guesser that never sees a photo, fitted on some
menus, tried on others.

It knows of every entry: how many of its look-alikes stand on the menu, how many entries it is a
look-alike of, their ranks, its place, its name's length and what characters it shares with other
entries, and how often its dish was the answer, or an entry, before. A conditional logit (McFadden
1974) weighs them. At chance it finds nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from dishvl_lib.core import artefacts, intervals

FEATURES = (
    "alike_on_menu",
    "alike_of_menu",
    "closest_rank",
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
POINT = 0.01
FITTED = 20_000
SCATTER = 0.0025


@dataclass
class Guesser:
    """`weights` (FEATURES,), and what it knows of dishes: look-alike ranks, earlier answers and
    entries by name.
    """

    ranks: Mapping[tuple[str, str], int]
    answers: Counter
    entries: Counter
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray

    def guess(self, menu: Sequence[str]) -> int:
        return int(((self._features(menu) - self.mean) / self.spread @ self.weights).argmax())

    def _features(self, menu: Sequence[str]) -> np.ndarray:
        return describe(menu, self.ranks, self.answers, self.entries)


def fit(rows: Sequence[Mapping[str, Any]], ranks: Mapping[tuple[str, str], int]) -> Guesser:
    """A guesser fitted on menu questions (rows with menu and conversations). ranks: {(name, its
    look-alike's name): rank}.

    Its knowledge of earlier answers leaves out the question at hand, or it would know the answer by
    heart.
    """
    menus = [(row["menu"], row["menu"].index(artefacts.answer_of(row))) for row in rows]
    answers = Counter(menu[place] for menu, place in menus)
    entries = Counter(name for menu, _ in menus for name in menu)
    described = []
    for menu, place in menus:
        answers[menu[place]] -= 1
        described.append(describe(menu, ranks, answers, entries))
        answers[menu[place]] += 1
    everything = np.concatenate(described)
    mean = everything.mean(axis=0)
    spread = np.maximum(everything.std(axis=0), 1e-9)
    scaled = [(part - mean) / spread for part in described]
    places = [place for _, place in menus]
    fitted = minimize(
        _loss,
        np.zeros(len(FEATURES)),
        args=(_padded(scaled), np.array(places)),
        jac=True,
        method="L-BFGS-B",
    )
    return Guesser(ranks, answers, entries, mean, spread, fitted.x)


def measure(guesser: Guesser, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{n, correct, accuracy, ci95, chance, excess, weights}: how often it guesses right on other
    menu questions, beside chance (mean of 1 / menu size).
    """
    right = sum(row["menu"][guesser.guess(row["menu"])] == artefacts.answer_of(row) for row in rows)
    n = len(rows)
    chance = float(np.mean([1 / len(row["menu"]) for row in rows])) if rows else 0.0
    accuracy = right / n if n else 0.0
    weights = {
        name: round(float(weight), 4)
        for name, weight in zip(FEATURES, guesser.weights, strict=True)
    }
    return {
        "n": n,
        "correct": right,
        "accuracy": round(accuracy, 4),
        "ci95": [round(end, 4) for end in intervals.wilson(right, n)] if n else [0, 0],
        "chance": round(chance, 4),
        "excess": round(accuracy - chance, 4),
        "weights": weights,
    }


def try_out(
    train: Sequence[Mapping[str, Any]],
    ranks: Mapping[tuple[str, str], int],
    more: Callable[[int], list[dict[str, Any]]],
    n: int,
) -> dict[str, Any]:
    """`measure` on at least `n` fresh menus of a guesser fitted on (at most FITTED of) the training
    rows' menus.

    more: menu questions of another split, so many for each of its photos. Small menus are tried
    more often, until chance alone scatters by no more than SCATTER and a point above it means
    something. Without training menus nothing is fitted.
    """
    menus = [row for row in train if row["kind"] == "menu"][:FITTED]
    sample = more(1)
    chance = float(np.mean([1 / len(row["menu"]) for row in sample]))
    n = max(n, math.ceil(chance * (1 - chance) / SCATTER**2))
    rows = sample if len(sample) >= n else more(-(-n // len(sample)))
    nothing = Guesser(
        ranks,
        Counter(),
        Counter(),
        np.zeros(len(FEATURES)),
        np.ones(len(FEATURES)),
        np.zeros(len(FEATURES)),
    )
    return measure(fit(menus, ranks) if menus else nothing, rows[:n])


def describe(
    menu: Sequence[str],
    ranks: Mapping[tuple[str, str], int],
    answers: Mapping[str, int],
    entries: Mapping[str, int],
) -> np.ndarray:
    """(entries, FEATURES) of one menu."""
    size = len(menu)
    rank = np.array([[ranks.get((a, b), 0) for b in menu] for a in menu])
    letters = [set(name) for name in menu]
    shared = np.array(
        [
            [2 * len(a & b) / (len(a) + len(b)) if a is not b else 0.0 for b in letters]
            for a in letters
        ]
    )
    place = np.arange(size)
    return np.stack(
        [
            (rank > 0).sum(axis=1),
            (rank > 0).sum(axis=0),
            np.where(rank > 0, 1 / np.maximum(rank, 1), 0).max(axis=1),
            place / size,
            (size - 1 - place) / size,
            (place == 0) | (place == size - 1),
            [len(name) for name in menu],
            shared.mean(axis=1),
            shared.max(axis=1),
            [np.log1p(max(0, answers.get(name, 0))) for name in menu],
            [np.log1p(entries.get(name, 0)) for name in menu],
        ],
        axis=1,
    ).astype(float)


def ranks_by_name(
    similar: pd.DataFrame, dish_names: Mapping[str, str]
) -> dict[tuple[str, str], int]:
    """{(name, look-alike's name): rank} of similar_dishes.csv, for the dishes that have a usable
    name.
    """
    known = similar[
        similar.dish_id.isin(dish_names.keys()) & similar.similar_id.isin(dish_names.keys())
    ]
    return {
        (dish_names[row.dish_id], dish_names[row.similar_id]): int(row.rank)
        for row in known.itertuples()
    }


def _padded(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """((menus, longest, features), bool (menus, longest): which places are entries)."""
    longest = max(map(len, parts))
    values = np.zeros((len(parts), longest, parts[0].shape[1]))
    there = np.zeros((len(parts), longest), bool)
    for row, part in enumerate(parts):
        values[row, : len(part)] = part
        there[row, : len(part)] = True
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
    loss = -np.log(share[rows, places]).mean() + RIDGE * weights @ weights
    share[rows, places] -= 1
    return float(loss), np.einsum("ij,ijk->k", share, values) / len(places) + 2 * RIDGE * weights
