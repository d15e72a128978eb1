"""The browser's filters: predictor, protocol, dish, site, cluster of the truth and of the
answer.
"""

from collections.abc import Callable, Iterable

import ipywidgets as widgets
import pandas as pd

from dishvl_lib.core import confused_pairs
from dishvl_lib.display.cluster_matrix import Clusters, last_after_clusters
from dishvl_lib.display.words import Words, shorten

ALL = ""
NARROW = "260px"
WIDE = "400px"
LABEL = {"description_width": "initial"}
OPTION_COLUMNS = 44
Options = list[tuple[str, int | str]]


class Filters:
    """Widgets that narrow the questions, and the pairs that are left.

    questions: of `confused_pairs.countable`. `changed` is called without arguments after each
    change. The predictor keeps its protocol when another predictor has it too.
    """

    def __init__(
        self, questions: pd.DataFrame, clusters: Clusters, words: Words, changed: Callable[[], None]
    ):
        self.questions = questions
        self.clusters = clusters
        self.words = words
        self.changed = changed
        self.cluster_of = questions["truth"].map(clusters.of)
        predictors = [(str(name), name) for name in questions["predictor"].unique()]
        sites = sorted(set(questions["site"]) - {""})
        answered = questions["shown"].map(clusters.of)
        self.predictor = self._dropdown("predictor", predictors)
        self.protocol = self._dropdown("protocol", self._protocols())
        self.site = self._dropdown("site", self._with_all((site, site) for site in sites))
        self.dish = self._text_field("dish")
        self.cluster = self._dropdown("cluster", self._clusters(self.cluster_of), WIDE)
        self.answered = self._dropdown("answered cluster", self._clusters(answered), WIDE)
        self.predictor.observe(self._other_predictor, "value")
        for field in (self.protocol, self.dish, self.site, self.cluster, self.answered):
            field.observe(self._changed, "value")
        fields = (self.predictor, self.protocol, self.site, self.dish, self.cluster, self.answered)
        self.box = widgets.HBox(fields, layout=widgets.Layout(flex_flow="row wrap"))

    def rows(self) -> pd.DataFrame:
        """The questions that the filters leave; the cluster of the answer does not narrow them, it
        narrows the pairs.
        """
        table = self.questions
        kept = table["predictor"] == self.predictor.value
        kept &= table["protocol"] == self.protocol.value
        if self.site.value != ALL:
            kept &= table["site"] == self.site.value
        if self.cluster.value != ALL:
            kept &= self.cluster_of == self.cluster.value
        if self.dish.value.strip():
            kept &= self._is_called(self.dish.value.strip())
        return table[kept]

    def pairs(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The wrong pairs of the rows, those with an answer of the chosen cluster."""
        table = confused_pairs.count(rows)
        if self.answered.value == ALL:
            return table
        return table[table["answer"].map(self.clusters.of) == self.answered.value]

    def set_clusters(self, truth: int | str, answer: int | str) -> None:
        """Both clusters at once, ALL for any; `changed` is called once."""
        self._set_quietly(self.cluster, truth)
        self._set_quietly(self.answered, answer)
        self.changed()

    def clear(self) -> None:
        """Every dish, site and cluster again; predictor and protocol stay."""
        self._set_quietly(self.dish, ALL)
        self._set_quietly(self.site, ALL)
        self.set_clusters(ALL, ALL)

    def _is_called(self, text: str) -> pd.Series:
        """The dish with this name, or else the dishes whose names hold the text."""
        truths = self.questions["truth"]
        is_name = truths == text
        return is_name if is_name.any() else truths.str.contains(text, regex=False)

    def _protocols(self) -> Options:
        rows = self.questions[self.questions["predictor"] == self.predictor.value]
        return [(str(name), name) for name in rows["protocol"].unique()]

    def _clusters(self, numbers: pd.Series) -> Options:
        ordered = sorted(set(numbers), key=last_after_clusters)
        return self._with_all(
            (self.clusters.label(number, self.words), number) for number in ordered
        )

    def _with_all(self, options: Iterable[tuple[str, int | str]]) -> Options:
        short = [(shorten(label, OPTION_COLUMNS), value) for label, value in options]
        return [(self.words("all"), ALL), *short]

    def _dropdown(self, word: str, options: Options, width: str = NARROW) -> widgets.Dropdown:
        return widgets.Dropdown(
            options=options,
            description=self.words(word),
            style=LABEL,
            layout=widgets.Layout(width="auto", max_width=width),
        )

    def _text_field(self, word: str) -> widgets.Text:
        return widgets.Text(
            description=self.words(word),
            placeholder=self.words("part of a name"),
            continuous_update=False,
            style=LABEL,
            layout=widgets.Layout(width=NARROW),
        )

    def _other_predictor(self, _change: object) -> None:
        """Setting options alone would fall back to the first protocol."""
        options = self._protocols()
        protocols = [protocol for _, protocol in options]
        kept = self.protocol.value
        self.protocol.unobserve(self._changed, "value")
        self.protocol.options = options
        self.protocol.value = kept if kept in protocols else protocols[0]
        self.protocol.observe(self._changed, "value")
        self.changed()

    def _set_quietly(self, field: widgets.Dropdown | widgets.Text, value: int | str) -> None:
        field.unobserve(self._changed, "value")
        field.value = value
        field.observe(self._changed, "value")

    def _changed(self, _change: object) -> None:
        self.changed()
