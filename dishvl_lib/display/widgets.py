"""The confusion browser: choose a pair of dishes, see its questions in full, and write down what is
wrong with them.

    browser = ConfusionBrowser(predictions, photos, names, image_root, similar,
    "outputs/demo/decisions/photos.csv")
    browser.show()

Every part can be reached by Tab and pressed by Enter or space; arrows go from button to button, and
1, 2, 3 mark the card that has the focus.
"""

from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import Javascript

from dishvl_lib.core import records
from dishvl_lib.display import cards, pairs, scripts
from dishvl_lib.display.cards import escape, photo_html, strip_html
from dishvl_lib.display.cluster_buttons import MOST, cluster_buttons
from dishvl_lib.display.decisions import DecisionFile
from dishvl_lib.display.families import Families, matrix
from dishvl_lib.display.filters import Filters
from dishvl_lib.display.gallery import Gallery, nearest_html
from dishvl_lib.display.mark_cards import MarkCard, html
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.style import CARD_CSS
from dishvl_lib.display.words import NOT_ANSWERS, Words, missing, percent, shorten

COLUMNS = ("id", "predictor", "protocol", "image_id", "dish_id", "truth", "answer", "correct")
PAGE = 6
KEYS_HINT = "1, 2, 3 mark the card that has the focus; arrows move, Tab and Enter work too"
STRANGERS = "answers that are no dish's name"
MOST_STRANGERS = 2000


class ConfusionBrowser:
    """Filters, the matrix by cluster, a grid of the most confused pairs, and the chosen pair's
    questions with buttons to mark them.

    predictions: COLUMNS, and site, prompt, scores, menu where known. photos: image_id, path,
    dish_id. names: {dish_id: name}. similar: dish_id, similar_id, rank, or None. clusters: dish_id,
    cluster, size, or None. features: image_id (N,) and feature (N, D) of unit length, or None; with
    them the cards show the nearest training photos (photos: split too). Each mark is one row added
    to `decisions_file` at once; marks made earlier are shown again. `top`: pairs in the grid.
    Raises ValueError without predictions, `RecordError` for a missing column.
    """

    def __init__(
        self,
        predictions: pd.DataFrame,
        photos: pd.DataFrame,
        names: Mapping[str, str],
        image_root: str | Path,
        similar: pd.DataFrame | None,
        decisions_file: str | Path,
        *,
        clusters: pd.DataFrame | None = None,
        features: Mapping[str, np.ndarray] | None = None,
        language: str = "en",
        top: int = 12,
    ):
        records.require_columns(predictions, COLUMNS, "the predictions")
        if predictions.empty:
            raise ValueError("there are no predictions to browse")
        self.words = Words(language)
        self.book = PhotoBook(photos, image_root)
        self.top = top
        self.ranks = pairs.ranks(similar, names)
        self.ids = pairs.ids_by_name(names)
        self.families = Families(clusters, names)
        self.gallery = Gallery(features, photos, names)
        self.decisions = DecisionFile(decisions_file)
        self.chosen: tuple[str, str] | None = None
        self.cards: dict[str, MarkCard] = {}
        self.pair_buttons: dict[tuple[str, str], widgets.Button] = {}
        self.filters = Filters(
            pairs.countable(predictions, names), self.families, self.words, self.refresh
        )
        self._build()
        self.refresh()

    def show(self) -> widgets.VBox:
        """The widget, to stand as a cell's last line."""
        return self.box

    def refresh(self) -> None:
        """Counts the pairs that the filters leave and draws the grid; the chosen pair is closed."""
        self.chosen = None
        self.pair_buttons = {}
        self.cards = {}
        rows = self.filters.rows()
        table = self.filters.pairs(rows)
        shown = table.head(self.top)
        wrong = int(table["n"].sum())
        self.summary.value = self._summary(wrong, len(rows), len(shown), len(table))
        self.grid.children = [self._cell(row) for row in shown.to_dict("records")]
        self.strangers.value = self._strangers(pairs.strangers(rows))
        self.detail.children = (
            [html(f"<p class=faint>{escape(self.words('choose a pair'))}</p>")] if wrong else []
        )
        self._draw_matrix()

    def select(self, truth: str, answer: str, count: int = PAGE) -> None:
        """Shows a pair: both dishes' photos, then `count` of its questions in full. KeyError when
        there is no such pair.
        """
        rows = self.filters.rows()
        rows = rows[(rows["truth"] == truth) & (rows["shown"] == answer)]
        if rows.empty:
            raise KeyError(f"{truth} is never answered by {answer} under these filters")
        self.chosen = truth, answer
        for pair, button in self.pair_buttons.items():
            button.button_style = "info" if pair == self.chosen else ""
        first = rows.head(count)
        near = self.gallery.nearest(first["image_id"])
        self.cards = {
            row["id"]: self._card(row, near.get(row["image_id"], []))
            for row in first.to_dict("records")
        }
        grid = widgets.GridBox(
            [card.box for card in self.cards.values()],
            layout=_grid("repeat(auto-fill, minmax(330px, 1fr))"),
        )
        self.detail.children = [
            html(self._head(truth, answer, rows)),
            grid,
            *self._more(len(rows), count),
        ]

    def mark(self, question_id: str, decision: str, note: str = "") -> dict:
        """Writes a decision about a shown question's photo at once and returns the row. KeyError
        for a question not shown.
        """
        if question_id not in self.cards:
            raise KeyError(f"question {question_id} is not among the cards shown")
        row = self.filters.rows().set_index("id").loc[question_id]
        written = self.decisions.add(
            decision,
            image_id=row["image_id"],
            path=self.book.path_by_id.get(row["image_id"], ""),
            dish_id=row["dish_id"],
            answer="" if missing(row["answer"]) else row["answer"],
            predictor=row["predictor"],
            note=note,
        )
        for card in self.cards.values():
            card.refresh()
        return written

    def _build(self) -> None:
        self.summary = html()
        self.strangers = html()
        self.detail = widgets.VBox([])
        self.grid = widgets.GridBox(
            [], layout=_grid("repeat(auto-fill, minmax(230px, 1fr))", "12px 0 0")
        ).add_class("dishvl-pairs")
        self.matrix = widgets.Accordion(
            [widgets.VBox([])], titles=(self.words("confusions by cluster"),), selected_index=None
        )
        self.matrix.observe(lambda _: self._draw_matrix(), "selected_index")
        every = widgets.Button(
            description=self.words("show all"), layout=widgets.Layout(width="auto")
        )
        every.on_click(lambda _: self.filters.clear())
        keys = widgets.Output()
        keys.append_display_data(Javascript(scripts.KEYS))
        hint = html(f"<p class=faint>{escape(self.words(KEYS_HINT))}</p>")
        head = [
            html(f"<style>{CARD_CSS}</style>"),
            keys,
            self.filters.box,
            widgets.HBox([every, self.summary], layout=widgets.Layout(align_items="center")),
            self.matrix,
        ]
        self.box = widgets.VBox([*head, self.grid, hint, self.detail, self.strangers]).add_class(
            "dishvl-browser"
        )

    def _draw_matrix(self, skip: int = 0) -> None:
        """MOST clusters after the first `skip`, and only while it is open: it holds hundreds of
        widgets. It shows all clusters of the answer, whatever is chosen.
        """
        self.skip = skip
        if self.matrix.selected_index is None:
            return
        found = matrix(pairs.count(self.filters.rows()), self.families, MOST, self.skip)
        said = html(
            f"<p>{escape(found.title(self.words))} · "
            f"{escape(self.words('click a count to see its pairs of dishes'))}</p>"
        )
        following = widgets.Button(
            description=self.words("next clusters"), layout=widgets.Layout(width="auto")
        )
        following.on_click(
            lambda _: self._draw_matrix(
                self.skip + MOST if self.skip + MOST < found.clusters else 0
            )
        )
        buttons = cluster_buttons(found, self.families, self.words, self.filters.set_clusters)
        self.matrix.children[0].children = [said, buttons, *[following] * (found.clusters > MOST)]

    def _summary(self, wrong: int, total: int, shown: int, found: int) -> str:
        words = self.words
        if wrong:
            return (
                f"<p>{escape(words('wrong'))}: {wrong} / {total} · {escape(words('pairs'))}: "
                f"{shown} / {found}</p>"
            )
        return (
            f"<p class=right>{escape(words('no confusions among'))} {total} "
            f"{escape(words('questions'))}</p>"
        )

    def _cell(self, row: Mapping) -> widgets.VBox:
        pair = row["truth"], row["answer"]
        photos = [
            photo_html(
                next(iter(self._photos(name, row["image_ids"] if index == 0 else ())), None), 168
            )
            for index, name in enumerate(pair)
        ]
        said = f"{percent(row['n'] / row['n_truth'], 0)} · {self._rank(*pair)}".removesuffix(" · ")
        text = (
            f"{shorten(str(row['truth']), 14)} → "
            f"{shorten(self.words.answer(row['answer']), 14)}  {row['n']}/{row['n_truth']}"
        )
        button = widgets.Button(
            description=text,
            tooltip=f"{row['truth']} → {self.words.answer(row['answer'])}",
            layout=widgets.Layout(width="auto"),
        )
        button.on_click(lambda _: self.select(*pair))
        self.pair_buttons[pair] = button
        return widgets.VBox(
            [
                html(f"<div class=cell>{photos[0]}<span>→</span>{photos[1]}</div>"),
                button,
                html(f"<p class='faint cell'>{escape(said)}</p>"),
            ]
        )

    def _photos(self, name: str, first=()) -> list[Path | None]:
        return self.book.examples(self.ids.get(name, ""), 3, first)

    def _rank(self, truth: str, answer: str) -> str:
        rank = self.ranks.get((truth, answer))
        return (
            f"{self.words('look-alike rank')} {rank}"
            if rank
            else ""
            if answer in NOT_ANSWERS
            else self.words("not a look-alike")
        )

    def _strangers(self, table: pd.DataFrame) -> str:
        """Every answer that is no dish's name, in full."""
        if table.empty:
            return ""
        rows = [
            [escape(row.truth), escape(row.answer), str(row.n)]
            for row in table.head(MOST_STRANGERS).itertuples()
        ]
        heading = f"{self.words(STRANGERS)}: {len(rows)} / {len(table)}"
        return (
            f"<h3>{escape(heading)}</h3><div "
            f"class=long>{cards.table([self.words(head) for head in ('truth', 'answer', 'count')], rows)}</div>"
        )

    def _head(self, truth: str, answer: str, rows: pd.DataFrame) -> str:
        strips = [
            f"<div><p class=faint>{escape(self.words('registered photos of'))} "
            f"<b>{escape(self.words.answer(name))}</b></p>"
            f"<div class=strip>{strip_html(self.book, self.ids[name])}</div></div>"
            for name in (truth, answer)
            if name in self.ids
        ]
        title = (
            f"<h3>{escape(truth)} → {escape(self.words.answer(answer))} · {len(rows)} · "
            f"{escape(self._rank(truth, answer))}</h3>"
        )
        return (
            f"{title}<div "
            f"class=sides>{''.join(strips)}</div><p>{escape(self.words('photos of this pair'))}</p>"
        )

    def _card(self, row: Mapping, near: list) -> MarkCard:
        return MarkCard(
            row,
            nearest_html(near, row["truth"], self.book, self.words),
            self.book,
            self.decisions,
            self.words,
            self.mark,
        )

    def _more(self, total: int, count: int) -> list[widgets.Button]:
        if total <= count:
            return []
        button = widgets.Button(
            description=f"{self.words('more photos')} ({count} / {total})",
            layout=widgets.Layout(width="auto"),
        )
        button.on_click(lambda _: self.select(*self.chosen, count=count + PAGE))
        return [button]


def _grid(columns: str, margin: str = "0") -> widgets.Layout:
    return widgets.Layout(
        grid_template_columns=columns, grid_gap="10px", width="100%", margin=margin
    )
