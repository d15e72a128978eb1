"""A list of dishes with a search, from which the right dish of a photo is chosen."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets

from dishvl_lib.core import names
from dishvl_lib.display.words import Words

# So many are sent to the browser for each card: with thousands of dishes one searches.
MOST_LISTED = 40
ROWS = 4


class DishPicker:
    """`box`: a field to search in, and the dishes that it finds, of which one is chosen.

    labels: {dish_id: what it is called}. suggested: dish_ids that lead the list while nothing is
    searched; the first is chosen. `changed` is called without arguments after each other choice.
    """

    def __init__(
        self,
        labels: Mapping[str, str],
        suggested: Sequence[str],
        words: Words,
        changed: Callable[[], None],
    ):
        self.labels = told_apart(labels)
        self.suggested = [dish_id for dish_id in dict.fromkeys(suggested) if dish_id in labels]
        self.words = words
        self.spellings = {dish_id: _searched(dish_id, text) for dish_id, text in labels.items()}
        width = widgets.Layout(width="auto")
        self.field = widgets.Text(placeholder=words("part of a name"), layout=width)
        self.choice = widgets.Select(rows=ROWS, layout=width)
        self.count = widgets.Label()
        self.box = widgets.VBox([self.field, self.choice, self.count])
        self._list()
        self.field.observe(lambda _: self._list(), "value")
        self.choice.observe(lambda _: changed(), "value")

    @property
    def dish_id(self) -> str:
        """The dish that is chosen; '' when none is."""
        return self.choice.value or ""

    @property
    def label(self) -> str:
        """What the chosen dish is called; '' when none is."""
        return self.labels.get(self.dish_id, "")

    def choose(self, dish_id: str) -> None:
        """Chooses a dish, listed or not; one that is not among the dishes changes nothing."""
        if dish_id not in self.labels:
            return
        self.suggested = list(dict.fromkeys([dish_id, *self.suggested]))
        self.field.value = ""
        self._list()

    def _list(self) -> None:
        """Lists what is searched for and chooses the first of it."""
        hits = self._hits()
        shown = hits[:MOST_LISTED]
        is_chosen = bool(shown) and bool(self.suggested or self.field.value.strip())
        self.choice.options = [(self.labels[dish_id], dish_id) for dish_id in shown]
        self.choice.value = shown[0] if is_chosen else None
        self.count.value = f"{len(shown)} / {len(hits)}" if hits else self.words("no such dish")

    def _hits(self) -> list[str]:
        text = names.spelling(self.field.value)
        if not text:
            return list(dict.fromkeys([*self.suggested, *self.labels]))
        hits = [dish_id for dish_id, spellings in self.spellings.items() if _holds(spellings, text)]
        return sorted(hits, key=lambda dish_id: text not in self.spellings[dish_id])


def told_apart(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, each with its dish_id where several dishes are called the same."""
    called: dict[str, int] = {}
    for label in labels.values():
        called[label] = called.get(label, 0) + 1
    different = {}
    for dish_id, label in labels.items():
        different[dish_id] = f"{label} ({dish_id})" if called[label] > 1 else label
    return different


def _searched(dish_id: str, label: str) -> tuple[str, str]:
    return names.spelling(label), names.spelling(dish_id)


def _holds(spellings: Sequence[str], text: str) -> bool:
    return any(text in spelling for spelling in spellings)
