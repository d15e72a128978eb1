"""The report's confused pairs under filters, and the matrix by cluster whose counts choose among
them.

Every pair is a row of the page with its numbers in attributes; the page's script shows, sorts and
recounts rows and makes none. Without the script the page shows the most confused pairs of its own
predictor.
"""

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from dishvl_lib.display import cards, pairs
from dishvl_lib.display.cards import escape, photo_html, strip_html
from dishvl_lib.display.cluster_matrix import cluster_dots
from dishvl_lib.display.families import ELSEWHERE, LAST, Families, matrix
from dishvl_lib.display.listing import listed
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.words import NOT_ANSWERS, Words, percent, shorten

# small photos beside the rows after the first ones, and their longer side in pixels
MOST_PHOTOS = 300
SMALL = 96
MOST_CLUSTERS = 30
HEADS = ("truth", "answer", "count", "share", "look-alike rank")


class PairsPage:
    """The sections about confusions of one report.

    questions: of `pairs.countable`. main: (predictor, protocol) that the page opens on. The first
    `top` pairs have strips of photos from `book`, the next ones small photos while MOST_PHOTOS
    last.
    """

    def __init__(
        self,
        questions: pd.DataFrame,
        main: tuple[str, str],
        names: Mapping[str, str],
        families: Families,
        similar: pd.DataFrame | None,
        book: PhotoBook | None,
        words: Words,
        top: int = 12,
    ):
        self.families = families
        self.book = book
        self.words = words
        self.top = top
        self.left = MOST_PHOTOS
        self.ids = pairs.ids_by_name(names)
        self.ranks = pairs.ranks(similar, names)
        self.questions = questions
        self.main = main
        (self.table, self.found) = listed(questions, main)
        own = (questions["predictor"] == main[0]) & (questions["protocol"] == main[1])
        self.own = pairs.count(questions[own])
        self.asked = int(own.sum())
        self.matrix = matrix(self.own, families, MOST_CLUSTERS)
        self.numbers = {key: _numbered(questions[key]) for key in ("predictor", "protocol", "site")}

    def html(self) -> str:
        """Pairs under filters and the matrix; without any confusion a sentence that says so."""
        if self.table.empty:
            return cards.section(
                self.words("confusions"),
                f"<p>{escape(self.words('no confusions among'))} {self.asked} "
                f"{self.words('questions')}</p>",
            )
        rows = "".join(self._row(row) for row in self.table.to_dict("records"))
        head = "".join(f"<th>{escape(self.words(word))}</th>" for word in HEADS)
        table = (
            "<div class=scroll><table "
            f"class=pairs><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
        heading = (
            f"{self.words('confused pairs')}: {len(self.table):,} {self.words('of')} "
            f"{self.found:,} {self.words('listed')}"
        )
        more = f"<p><button id=more hidden>{escape(self.words('more'))}</button></p>"
        return (
            cards.section(heading, f"<div id=pairs>{self._filters()}{table}{more}</div>")
            + self._matrix()
        )

    def _row(self, row: Mapping) -> str:
        shown = row["main"] and row["place"] < self.top
        data = {
            "predictor": self.numbers["predictor"][row["predictor"]],
            "protocol": self.numbers["protocol"][row["protocol"]],
            "n": row["n"],
            "of": row["n_truth"],
            "cluster": self.families.of(row["truth"]),
            "answered": self.families.of(row["shown"]),
            "sites": json.dumps(
                [[self.numbers["site"][site], n, of] for site, n, of in row["sites"]],
                separators=(",", ":"),
            ),
        }
        attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
        photos = self._strips(row) if shown else self._small(row)
        sides = [
            f"<td><b>{escape(name)}</b>{photo}</td>"
            for name, photo in zip(
                (row["truth"], self.words.answer(row["shown"])), photos, strict=True
            )
        ]
        facts = (
            f"{row['n']} / {row['n_truth']}",
            percent(row["n"] / row["n_truth"]),
            self._rank(row["truth"], row["shown"]),
        )
        return f"<tr{attributes}{'' if shown else ' hidden'}>{''.join(sides)}{''.join(f'<td>{escape(fact)}</td>' for fact in facts)}</tr>"

    def _strips(self, row: Mapping) -> tuple[str, str]:
        if self.book is None:
            return "", ""
        sides = (row["truth"], row["image_ids"]), (row["shown"], [])
        truth, answer = (
            strip_html(self.book, self.ids.get(name, ""), asked) for name, asked in sides
        )
        return f"<div class=strip>{truth}</div>", f"<div class=strip>{answer}</div>"

    def _small(self, row: Mapping) -> tuple[str, str]:
        """One photo of each side while there are any left; the other predictors get theirs for
        their first pairs.
        """
        if (
            self.book is None
            or self.left < 2
            or row["place"] >= (5 * self.top if row["main"] else self.top // 2)
        ):
            return "", ""
        self.left -= 2
        answer = self.book.examples(self.ids.get(row["shown"], ""), 1)
        paths = self.book.path(row["image_ids"][0]), answer[0] if answer else None
        return tuple(
            f"<div class=small>{photo_html(path, SMALL)}</div>" if path else "" for path in paths
        )

    def _rank(self, truth: str, answer: str) -> str:
        rank = self.ranks.get((truth, answer))
        return (
            str(rank) if rank else "" if answer in NOT_ANSWERS else self.words("not a look-alike")
        )

    def _filters(self) -> str:
        clusters, answered = (
            sorted(
                {*self.table[side].map(self.families.of), *own},
                key=lambda number: (number in LAST, abs(number)),
            )
            for side, own in (("truth", self.matrix.rows), ("shown", self.matrix.columns))
        )
        made = [
            self._select(
                key,
                key,
                [(number, name) for name, number in self.numbers[key].items()],
                key == "site",
            )
            for key in self.numbers
        ]
        made += [
            self._select(
                key,
                word,
                [
                    (number, self.families.label(number, self.words))
                    for number in numbers
                    if number != ELSEWHERE
                ],
                True,
            )
            for key, word, numbers in (
                ("cluster", "cluster", clusters),
                ("answered", "answered cluster", answered),
            )
        ]
        dish = (
            f"<label>{escape(self.words('dish'))} <input id=dish type=search "
            f'placeholder="{escape(self.words("part of a name"))}"></label>'
        )
        return (
            f"<div class=filters hidden>{''.join(made)}{dish}<button "
            f"id=clear>{escape(self.words('show all'))}</button> <span id=state></span></div>"
        )

    def _select(
        self, key: str, word: str, options: Iterable[tuple[int, str]], with_all: bool
    ) -> str:
        first = f"<option value=''>{escape(self.words('all'))}</option>" if with_all else ""
        chosen = (
            self.numbers[key].get(self.main[key == "protocol"])
            if key in ("predictor", "protocol")
            else None
        )
        made = "".join(
            "<option "
            f"value={number}{' selected' if number == chosen else ''}>{escape(shorten(text, 44))}</option>"
            for number, text in options
        )
        return f"<label>{escape(self.words(word))} <select id={key}>{first}{made}</select></label>"

    def _matrix(self) -> str:
        found = self.matrix
        if found.wrong == 0:
            return ""
        labels = [self.families.label(column, self.words) for column in found.columns]
        heads = [
            str(column) if column > 0 else label
            for column, label in zip(found.columns, labels, strict=True)
        ]
        head = "".join(
            f'<th title="{escape(label)}">{escape(text)}</th>'
            for text, label in zip(heads, labels, strict=True)
        )
        body = "".join(
            f"<tr><th>{escape(labels[place])}</th>{self._counts(place)}</tr>"
            for place in range(len(found.rows))
        )
        said = (
            f"<p class=faint>{escape(' · '.join(self.main))} · "
            f"{escape(self.words('click a count to see its pairs of dishes'))}</p>"
        )
        table = (
            f"{said}<div class=scroll><table "
            f"class=matrix><tr><th></th>{head}</tr>{body}</table></div>"
        )
        return cards.section(
            found.title(self.words),
            table + (self._all_clusters() if found.clusters > MOST_CLUSTERS else ""),
        )

    def _all_clusters(self) -> str:
        dots = cluster_dots(self.own, self.families, self.matrix, language=self.words.language)
        return f'<img class=figure alt="" src="{cards.picture_source(dots)}">'

    def _counts(self, place: int) -> str:
        cells = []
        top = self.matrix.counts.max()
        for column, cluster in enumerate(self.matrix.columns):
            count = self.matrix.counts[place, column]
            pairs_behind = self.matrix.pairs[place, column]
            if count == 0:
                cells.append("<td class=own></td>" if column == place else "<td></td>")
                continue
            chosen = (
                "disabled"
                if cluster == ELSEWHERE
                else f"data-cluster={self.matrix.rows[place]} data-answered={cluster}"
            )
            title = f"{pairs_behind} {self.words('pairs')}"
            shade = f"background:rgba(44,95,138,{0.12 + 0.6 * (count / top) ** 0.5:.2f})"
            cells.append(
                f"<td{' class=own' if column == place else ''}><button {chosen} "
                f'title="{escape(title)}" style="{shade}">{count:,}</button></td>'
            )
        return "".join(cells)


def _numbered(values: pd.Series) -> dict[str, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
