"""Pairs of dishes that a finished run confuses on its validation photos, and how often."""

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, records
from dishvl_lib.core.types import DishNames

# What may be learned from: a photo that this run tests says nothing here, whatever it was there.
KNOWN_SPLITS = ("train", "validation")


def pairs(answers: pd.DataFrame, photos: pd.DataFrame, dish_names: DishNames) -> pd.DataFrame:
    """CONFUSED_COLUMNS, the most confused first; the order of a pair does not matter.

    answers: VALIDATION_ANSWER_COLUMNS of stage 04. photos: this run's catalogue (image_id, split):
    answers about photos that it does not train or validate on are left out. dish_names: the dishes
    that may be asked about; answers about others are left out too.
    """
    records.require_columns(answers, artefacts.VALIDATION_ANSWER_COLUMNS, "the validation answers")
    used = usable(answers, photos, dish_names)
    wrong = used[used.dish_id != used.answer_id]
    counts: dict[tuple[str, str], int] = {}
    for dish_id, answer_id in zip(wrong.dish_id, wrong.answer_id, strict=True):
        first, second = sorted((dish_id, answer_id))
        counts[first, second] = counts.get((first, second), 0) + 1
    rows = [(first, second, n) for (first, second), n in counts.items()]
    table = pd.DataFrame(rows, columns=list(artefacts.CONFUSED_COLUMNS))
    return table.sort_values(
        ["n", "dish_id", "other_id"], ascending=[False, True, True], ignore_index=True
    )


def usable(answers: pd.DataFrame, photos: pd.DataFrame, dish_names: DishNames) -> pd.DataFrame:
    """The answers that count here: about this run's training or validation photos and its
    dishes.
    """
    known = set(photos.image_id[photos.split.isin(KNOWN_SPLITS)])
    asked = answers.dish_id.isin(dish_names.keys()) & answers.answer_id.isin(dish_names.keys())
    return answers[answers.image_id.isin(known) & asked].reset_index(drop=True)


def by_name(table: pd.DataFrame, dish_names: DishNames) -> dict[tuple[str, str], int]:
    """{(name, other name): how often}, both ways round. table: CONFUSED_COLUMNS."""
    times = {}
    for row in table.itertuples():
        first = dish_names[row.dish_id]
        second = dish_names[row.other_id]
        times[first, second] = int(row.n)
        times[second, first] = int(row.n)
    return times


class ConfusedPairs:
    """Pairs of numbers of dishes, of which those that are confused more often are drawn more often.

    pairs: (number, number) of dishes; counts: how often each is confused, positive.
    """

    def __init__(self, pairs: list[tuple[int, int]], counts: list[int]):
        self.pairs = pairs
        weights = np.array(counts, float)
        self.shares = weights / weights.sum() if len(weights) else weights

    def drawn(self, n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Up to `n` different pairs, one after another by their shares. Nothing is drawn from the
        generator where there are none, so that menus without them stay as they were.
        """
        if not self.pairs or n <= 0:
            return []
        size = min(n, len(self.pairs))
        places = rng.choice(len(self.pairs), size=size, replace=False, p=self.shares)
        return [self.pairs[place] for place in places]
