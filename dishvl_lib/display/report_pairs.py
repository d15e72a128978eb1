"""The report's confused pairs under filters, and the matrix by cluster whose counts choose among
them.

Every pair is a row of the page with its numbers in attributes; the page's script shows, sorts and
recounts rows and makes none. Without the script the page shows the most confused pairs of its own
predictor.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
from markupsafe import Markup

from dishvl_lib.core import confused_pairs
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import DishNames, RecordView
from dishvl_lib.display import cards, cluster_matrix, pages
from dishvl_lib.display.cluster_matrix import ELSEWHERE, Clusters, last_after_clusters
from dishvl_lib.display.words import NOT_ANSWERS, Words, percent, shorten

# pairs of the main predictor and protocol, of each other one, in all
MOST_MAIN = 1000
MOST_OTHERS = 150
MOST_ROWS = 3000
EXAMPLES = 3
# small photos beside the rows after the first ones, and their longer side in pixels
MOST_PHOTOS = 300
SMALL = 96
# pairs of the main predictor with photos, as a multiple of the page's `top`
MAIN_WITH_PHOTOS = 5
OPTION_COLUMNS = 44
HEADS = ("truth", "answer", "count", "share", "look-alike rank")
NUMBERED = ("predictor", "protocol", "site")
GROUP = ["predictor", "protocol"]
TRUTH = [*GROUP, "truth"]
PAIR = [*TRUTH, "shown"]


def listed(questions: pd.DataFrame, main: tuple[str, str]) -> tuple[pd.DataFrame, int]:
    """(pairs to list, how many there are): those of `main` (predictor, protocol) first, then the
    others' by their places.

    The most frequent pairs of each group come first, and what there is no room for is the end of
    every group but `main`.

    questions: of `confused_pairs.countable`. Columns: predictor, protocol, truth, shown, n,
    n_truth, image_ids (up to EXAMPLES of the pair), sites ([[site, n, n_truth]] where the pair
    occurs), main (bool), place (in its group, from 0).
    """
    wrong = questions[questions["truth"] != questions["shown"]]
    counts = wrong.groupby(PAIR, sort=True).size().rename("n").reset_index()
    table = _with_places(counts, main)
    room = table["main"].map({True: MOST_MAIN, False: MOST_OTHERS})
    kept = table[table["place"] < room]
    kept = kept.sort_values(["main", "place"], ascending=[False, True], kind="stable")
    kept = kept.head(MOST_ROWS)
    behind = wrong.merge(kept[PAIR], on=PAIR)
    kept = kept.merge(_examples(behind), on=PAIR)
    kept = kept.merge(_totals(questions, TRUTH), on=TRUTH)
    return kept.merge(_by_site(behind, questions), on=PAIR), len(table)


def _with_places(table: pd.DataFrame, main: tuple[str, str]) -> pd.DataFrame:
    table = table.assign(main=_is_of(table, main))
    table = table.sort_values(["main", "n"], ascending=False, kind="stable")
    return table.assign(place=table.groupby(GROUP).cumcount())


def _is_of(rows: pd.DataFrame, main: tuple[str, str]) -> pd.Series:
    """Which rows are of a (predictor, protocol)."""
    predictor, protocol = main
    return (rows["predictor"] == predictor) & (rows["protocol"] == protocol)


def _examples(behind: pd.DataFrame) -> pd.DataFrame:
    different = behind.drop_duplicates([*PAIR, "image_id"])
    first = different.groupby(PAIR).head(EXAMPLES)
    lists = first.groupby(PAIR)["image_id"].agg(list)
    return lists.rename("image_ids").reset_index()


def _totals(questions: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """How many questions each truth has."""
    return questions.groupby(columns).size().rename("n_truth").reset_index()


def _by_site(behind: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    at_site = [*TRUTH, "site"]
    counts = behind.groupby([*PAIR, "site"]).size().rename("n").reset_index()
    counts = counts.merge(_totals(questions, at_site), on=at_site)
    counts["sites"] = counts[["site", "n", "n_truth"]].to_numpy().tolist()
    return counts.groupby(PAIR)["sites"].agg(list).reset_index()


@dataclass(frozen=True)
class Side:
    """A dish of a pair: its name, and its photos as a strip, or one small photo, or none."""

    name: str
    strip: list[pages.EmbeddedPhoto] = field(default_factory=list)
    n_asked: int = 0
    small: pages.EmbeddedPhoto | None = None


@dataclass(frozen=True)
class PairRow:
    """A row of the page: the numbers that its script reads, and what is shown."""

    data: dict[str, object]
    is_shown: bool
    sides: list[Side]
    count: str
    share: str
    rank: str


@dataclass(frozen=True)
class Filter:
    """A choice among (number, text); `chosen` is what the page opens on, None for all."""

    key: str
    label: str
    options: list[tuple[int, str]]
    has_all: bool
    chosen: int | None = None


class PairsPage:
    """The sections about confusions of one report.

    questions: of `confused_pairs.countable`. main: (predictor, protocol) that the page opens on.
    The first `top` pairs have strips of photos from `book`, the next ones small photos while
    MOST_PHOTOS last.
    """

    def __init__(
        self,
        questions: pd.DataFrame,
        main: tuple[str, str],
        names: DishNames,
        clusters: Clusters,
        similar: pd.DataFrame | None,
        book: PhotoBook | None,
        words: Words,
        top: int = 12,
    ):
        self.main = main
        self.clusters = clusters
        self.book = book
        self.words = words
        self.top = top
        self.photos_left = MOST_PHOTOS
        self.ids = confused_pairs.ids_by_name(names)
        self.ranks = confused_pairs.look_alike_ranks(similar, names)
        self.table, self.n_pairs = listed(questions, main)
        is_main = _is_of(questions, main)
        self.n_asked = int(is_main.sum())
        self.counts = confused_pairs.count(questions[is_main])
        self.matrix = cluster_matrix.matrix(self.counts, clusters, cluster_matrix.MOST_CLUSTERS)
        self.numbers = {key: _numbered(questions[key]) for key in NUMBERED}

    def html(self) -> Markup:
        """Pairs under filters and the matrix; without any confusion a sentence that says so."""
        words = self.words
        if self.table.empty:
            return pages.snippet(
                "<section id=confusions><h2>{{ heading }}</h2><p>{{ sentence }}</p></section>",
                heading=words("confusions"),
                sentence=words.text(self._no_confusion),
            )
        return pages.render(
            "pairs.html.j2",
            words=words,
            heading=words.text(self._heading),
            filters=self._filters(),
            heads=HEADS,
            rows=[self._row(row) for row in self.table.to_dict("records")],
            **self._matrix(),
        )

    def _no_confusion(self, words: Words) -> str:
        return f"{words('no confusions among')} {self.n_asked} {words('questions')}"

    def _heading(self, words: Words) -> str:
        n_listed = f"{len(self.table):,} {words('of')} {self.n_pairs:,} {words('listed')}"
        return f"{words('confused pairs')}: {n_listed}"

    def _matrix(self) -> dict[str, object]:
        """What the template needs of the matrix; over MOST_CLUSTERS all of them are in a picture
        below.
        """
        if self.matrix.wrong == 0:
            return {"matrix": ""}
        all_clusters = ""
        if self.matrix.clusters > cluster_matrix.MOST_CLUSTERS:
            dots = cluster_matrix.cluster_dots(
                self.counts, self.clusters, self.matrix, language=self.words.language
            )
            all_clusters = pages.figure_source(dots)
        return {
            "matrix": cluster_matrix.matrix_html(self.matrix, self.clusters, self.words),
            "matrix_title": self.words.text(self.matrix.title),
            "whose": " · ".join(self.main),
            "all_clusters": all_clusters,
        }

    def _row(self, row: RecordView) -> PairRow:
        is_shown = row["main"] and row["place"] < self.top
        sides = self._sides_with_strips(row) if is_shown else self._sides(row)
        n = row["n"]
        of = row["n_truth"]
        return PairRow(
            data=self._data(row),
            is_shown=is_shown,
            sides=sides,
            count=f"{n} / {of}",
            share=percent(n / of),
            rank=self._rank(row["truth"], row["shown"]),
        )

    def _data(self, row: RecordView) -> dict[str, object]:
        """The numbers by which the script filters and counts."""
        sites = [[self.numbers["site"][site], n, n_truth] for site, n, n_truth in row["sites"]]
        return {
            "predictor": self.numbers["predictor"][row["predictor"]],
            "protocol": self.numbers["protocol"][row["protocol"]],
            "n": row["n"],
            "of": row["n_truth"],
            "cluster": self.clusters.of(row["truth"]),
            "answered": self.clusters.of(row["shown"]),
            "sites": json.dumps(sites, separators=(",", ":")),
        }

    def _sides_with_strips(self, row: RecordView) -> list[Side]:
        answer = self.words.answer(row["shown"])
        if self.book is None:
            return [Side(row["truth"]), Side(answer)]
        confused_photos = row["image_ids"]
        truth_id = self.ids.get(row["truth"], "")
        answer_id = self.ids.get(row["shown"], "")
        truths = cards.dish_photos(self.book, truth_id, EXAMPLES, confused_photos)
        answers = cards.dish_photos(self.book, answer_id, EXAMPLES)
        truth_side = Side(row["truth"], strip=truths, n_asked=len(confused_photos))
        return [truth_side, Side(answer, strip=answers)]

    def _sides(self, row: RecordView) -> list[Side]:
        """One small photo of each side while there are any left; the other predictors get theirs
        for their first pairs.
        """
        answer = self.words.answer(row["shown"])
        with_photos = MAIN_WITH_PHOTOS * self.top if row["main"] else self.top // 2
        is_early = row["place"] < with_photos
        if self.book is None or self.photos_left < 2 or not is_early:
            return [Side(row["truth"]), Side(answer)]
        self.photos_left -= 2
        first = row["image_ids"][0]
        truth_photo = self.book.path(first)
        answer_id = self.ids.get(row["shown"], "")
        answer_photo = self.book.example(answer_id)
        return [
            Side(row["truth"], small=pages.embedded(truth_photo, SMALL) if truth_photo else None),
            Side(answer, small=pages.embedded(answer_photo, SMALL) if answer_photo else None),
        ]

    def _rank(self, truth: str, answer: str) -> str:
        rank = self.ranks.get((truth, answer))
        if rank:
            return str(rank)
        return "" if answer in NOT_ANSWERS else self.words("not a look-alike")

    def _filters(self) -> list[Filter]:
        predictor, protocol = self.main
        return [
            self._numbered_filter("predictor", opens_on=predictor),
            self._numbered_filter("protocol", opens_on=protocol),
            self._numbered_filter("site"),
            self._cluster_filter("cluster", "cluster", self.table["truth"], self.matrix.rows),
            self._cluster_filter(
                "answered", "answered cluster", self.table["shown"], self.matrix.columns
            ),
        ]

    def _numbered_filter(self, key: str, opens_on: str | None = None) -> Filter:
        numbers = self.numbers[key]
        options = [(number, shorten(name, OPTION_COLUMNS)) for name, number in numbers.items()]
        chosen = None if opens_on is None else numbers.get(opens_on)
        return Filter(key, self.words(key), options, opens_on is None, chosen)

    def _cluster_filter(
        self, key: str, word: str, answers: pd.Series, of_matrix: Iterable[int]
    ) -> Filter:
        """The clusters of the rows listed and of the matrix, whose counts choose among them."""
        numbers = {*answers.map(self.clusters.of), *of_matrix} - {ELSEWHERE}
        options = []
        for number in sorted(numbers, key=last_after_clusters):
            label = partial(self.clusters.label, number)
            options.append((number, self.words.text(label)))
        return Filter(key, self.words(word), options, has_all=True)


def _numbered(values: pd.Series) -> dict[str, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
