"""The browser's filters: predictor, protocol, dish, site, cluster of the truth and of the answer."""

from collections.abc import Callable, Iterable

import ipywidgets as widgets
import pandas as pd

from dishvl_lib.display import pairs
from dishvl_lib.display.families import LAST, Families
from dishvl_lib.display.words import Words, shorten

ALL = ""
NARROW = "260px"
WIDE = "400px"
LABEL = {"description_width": "initial"}


class Filters:
    """Widgets that narrow the questions, and the pairs that are left.

    questions: of `pairs.countable`. `changed` is called without arguments after each change. The
    predictor keeps its protocol when another predictor has it too.
    """

    def __init__(
        self, questions: pd.DataFrame, families: Families, words: Words, changed: Callable[[], None]
    ):
        self.questions = questions
        self.families = families
        self.words = words
        self.changed = changed
        self.cluster_of = questions["truth"].map(families.of)
        self.predictor = self._dropdown(
            "predictor", [(str(name), name) for name in questions["predictor"].unique()]
        )
        self.protocol = self._dropdown("protocol", self._protocols())
        self.dish = widgets.Text(
            description=words("dish"),
            placeholder=words("part of a name"),
            continuous_update=False,
            style=LABEL,
            layout=widgets.Layout(width=NARROW),
        )
        self.site = self._dropdown(
            "site", self._with_all((site, site) for site in sorted(set(questions["site"]) - {""}))
        )
        self.cluster = self._dropdown("cluster", self._clusters(self.cluster_of), WIDE)
        self.answered = self._dropdown(
            "answered cluster", self._clusters(questions["shown"].map(families.of)), WIDE
        )
        self.predictor.observe(self._other_predictor, "value")
        for one in (self.protocol, self.dish, self.site, self.cluster, self.answered):
            one.observe(self._changed, "value")
        boxes = (self.predictor, self.protocol, self.site, self.dish, self.cluster, self.answered)
        self.box = widgets.HBox(boxes, layout=widgets.Layout(flex_flow="row wrap"))

    def rows(self) -> pd.DataFrame:
        """The questions that the filters leave; the cluster of the answer does not narrow them, it
        narrows the pairs.
        """
        table = self.questions
        kept = (table["predictor"] == self.predictor.value) & (
            table["protocol"] == self.protocol.value
        )
        if self.site.value != ALL:
            kept &= table["site"] == self.site.value
        if self.cluster.value != ALL:
            kept &= self.cluster_of == self.cluster.value
        if self.dish.value.strip():
            kept &= self._called(self.dish.value.strip())
        return table[kept]

    def pairs(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The wrong pairs of the rows (`pairs.count`), those with an answer of the chosen cluster."""
        table = pairs.count(rows)
        return (
            table
            if self.answered.value == ALL
            else table[table["answer"].map(self.families.of) == self.answered.value]
        )

    def set_clusters(self, truth: int | str, answer: int | str) -> None:
        """Both clusters at once, ALL for any; `changed` is called once."""
        self._quietly(self.cluster, truth)
        self._quietly(self.answered, answer)
        self.changed()

    def clear(self) -> None:
        """Every dish, site and cluster again; predictor and protocol stay."""
        for one in (self.dish, self.site):
            self._quietly(one, ALL)
        self.set_clusters(ALL, ALL)

    def _called(self, text: str) -> pd.Series:
        """The dish with this name, or else the dishes whose names hold the text."""
        truths = self.questions["truth"]
        return truths == text if (truths == text).any() else truths.str.contains(text, regex=False)

    def _protocols(self) -> list[tuple[str, str]]:
        rows = self.questions[self.questions["predictor"] == self.predictor.value]
        return [(str(name), name) for name in rows["protocol"].unique()]

    def _clusters(self, numbers: pd.Series) -> list[tuple[str, int | str]]:
        found = sorted(set(numbers), key=lambda number: (number in LAST, abs(number)))
        return self._with_all((self.families.label(number, self.words), number) for number in found)

    def _with_all(self, options: Iterable[tuple[str, int | str]]) -> list[tuple[str, int | str]]:
        return [
            (self.words("all"), ALL),
            *((shorten(label, 44), value) for label, value in options),
        ]

    def _dropdown(
        self, word: str, options: list[tuple[str, int | str]], width: str = NARROW
    ) -> widgets.Dropdown:
        return widgets.Dropdown(
            options=options,
            description=self.words(word),
            style=LABEL,
            layout=widgets.Layout(width="auto", max_width=width),
        )

    def _other_predictor(self, _change: object) -> None:
        """Setting options alone would fall back to the first protocol."""
        options = self._protocols()
        kept = self.protocol.value
        self.protocol.unobserve(self._changed, "value")
        self.protocol.options = options
        self.protocol.value = kept if kept in dict(options).values() else options[0][1]
        self.protocol.observe(self._changed, "value")
        self.changed()

    def _quietly(self, one: widgets.Dropdown | widgets.Text, value: int | str) -> None:
        one.unobserve(self._changed, "value")
        one.value = value
        one.observe(self._changed, "value")

    def _changed(self, _change: object) -> None:
        self.changed()
