"""The confusion browser: choose a pair of dishes, see its questions in full, and write down what is wrong with them.

    browser = ConfusionBrowser(predictions, photos, names, image_root, similar, "outputs/demo/decisions/photos.csv")
    browser.show()

Every part can be reached by Tab and pressed by Enter or space.
"""

from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from dishvl_lib.core import records
from dishvl_lib.display import pairs
from dishvl_lib.display.cards import answer_card, escape, photo_html, strip_html
from dishvl_lib.display.decisions import DECISIONS, DecisionFile
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.style import CARD_CSS
from dishvl_lib.display.words import Words, missing, shorten

COLUMNS = ("id", "predictor", "protocol", "image_id", "dish_id", "truth", "answer", "correct")
ALL = ""
PAGE = 6


class ConfusionBrowser:
    """Filters, a grid of the most confused pairs, and the chosen pair's questions with buttons to mark them.

    predictions: COLUMNS, and prompt, scores, menu where known. photos: image_id, path, dish_id. names: {dish_id: name}.
    similar: dish_id, similar_id, rank, or None. Each mark is one row added to `decisions_file` at once; marks made
    earlier are shown again. `top`: pairs in the grid. Raises ValueError without predictions, `RecordError` for a
    missing column.
    """

    def __init__(self, predictions: pd.DataFrame, photos: pd.DataFrame, names: Mapping[str, str], image_root: str | Path,
                 similar: pd.DataFrame | None, decisions_file: str | Path, *, language: str = "en", top: int = 12):  # fmt: skip
        records.require_columns(predictions, COLUMNS, "the predictions")
        if predictions.empty:
            raise ValueError("there are no predictions to browse")
        self.words, self.book, self.names, self.top = Words(language), PhotoBook(photos, image_root), dict(names), top
        self.questions = predictions.assign(shown=pairs.shown_answers(predictions, names))
        self.ranks, self.ids = pairs.ranks(similar, names), {name: dish_id for dish_id, name in reversed(list(names.items()))}
        self.decisions = DecisionFile(decisions_file)
        self.chosen: tuple[str, str] | None = None
        self.cards: dict[str, widgets.VBox] = {}
        self.pair_buttons: dict[tuple[str, str], widgets.Button] = {}
        self._build()
        self.refresh()

    def show(self) -> widgets.VBox:
        """The widget, to stand as a cell's last line."""
        return self.box

    def refresh(self, _change: object = None) -> None:
        """Counts the pairs that the filters leave and draws the grid; the chosen pair is closed."""
        self.chosen, self.pair_buttons = None, {}
        table = pairs.count(self.rows())
        shown = table.head(self.top)
        wrong, total = int(table["n"].sum()), len(self.rows())
        self.summary.value = (
            f"<p>{escape(self.words('wrong'))}: {wrong} / {total} · {escape(self.words('pairs'))}: {len(shown)} / {len(table)}</p>"
            if wrong else f"<p class=right>{escape(self.words('no confusions among'))} {total} {escape(self.words('questions'))}</p>"
        )  # fmt: skip
        self.grid.children = [self._cell(row) for row in shown.to_dict("records")]
        self.detail.children = [self._html(f"<p class=faint>{escape(self.words('choose a pair'))}</p>")] if wrong else []

    def rows(self) -> pd.DataFrame:
        """The questions that the filters leave: those of one predictor and protocol, and of one true dish or all."""
        rows = self.questions[(self.questions["predictor"] == self.predictor.value) & (self.questions["protocol"] == self.protocol.value)]
        return rows if self.dish.value == ALL else rows[rows["truth"] == self.dish.value]

    def select(self, truth: str, answer: str, count: int = PAGE) -> None:
        """Shows a pair: both dishes' photos, then `count` of its questions in full. KeyError when there is no such pair."""
        rows = self.rows()
        rows = rows[(rows["truth"] == truth) & (rows["shown"] == answer)]
        if rows.empty:
            raise KeyError(f"{truth} is never answered by {answer} under these filters")
        self.chosen = truth, answer
        for pair, button in self.pair_buttons.items():
            button.button_style = "info" if pair == self.chosen else ""
        self.cards = {row["id"]: self._card(row) for row in rows.head(count).to_dict("records")}
        cards = widgets.GridBox(list(self.cards.values()), layout=_grid("repeat(auto-fill, minmax(300px, 1fr))"))
        self.detail.children = [self._html(self._head(truth, answer, rows)), cards, *self._more(len(rows), count)]

    def mark(self, question_id: str, decision: str, note: str = "") -> dict:
        """Writes a decision about a shown question's photo at once and returns the row. KeyError for a question not shown."""
        if question_id not in self.cards:
            raise KeyError(f"question {question_id} is not among the cards shown")
        row = self.rows().set_index("id").loc[question_id]
        answer = "" if missing(row["answer"]) else row["answer"]
        written = self.decisions.add(
            decision, image_id=row["image_id"], path=self.book.path_by_id.get(row["image_id"], ""), dish_id=row["dish_id"],
            answer=answer, predictor=row["predictor"], note=note,
        )  # fmt: skip
        for card in self.cards.values():
            card.badge.value = self._badge(card.image_id)
        return written

    def _build(self) -> None:
        options = [(shorten(str(name), 40), name) for name in sorted(self.questions["truth"].unique())]
        self.predictor = self._dropdown("predictor", [(str(name), name) for name in self.questions["predictor"].unique()])
        self.protocol = self._dropdown("protocol", self._protocols())
        self.dish = self._dropdown("dish", [(self.words("all dishes"), ALL), *options])
        self.summary, self.detail = self._html(""), widgets.VBox([])
        self.grid = widgets.GridBox([], layout=_grid("repeat(auto-fill, minmax(210px, 1fr))"))
        self.predictor.observe(self._other_predictor, "value")
        for dropdown in (self.protocol, self.dish):
            dropdown.observe(self.refresh, "value")
        filters = widgets.HBox([self.predictor, self.protocol, self.dish], layout=widgets.Layout(flex_flow="row wrap"))
        self.box = widgets.VBox([self._html(f"<style>{CARD_CSS}</style>"), filters, self.summary, self.grid, self.detail])

    def _protocols(self) -> list[tuple[str, str]]:
        rows = self.questions[self.questions["predictor"] == self.predictor.value]
        return [(str(name), name) for name in rows["protocol"].unique()]

    def _other_predictor(self, _change: object) -> None:
        """Keeps the protocol when the new predictor has it; setting options alone would fall back to the first."""
        options, kept = self._protocols(), self.protocol.value
        self.protocol.unobserve(self.refresh, "value")
        self.protocol.options = options
        self.protocol.value = kept if kept in dict(options).values() else options[0][1]
        self.protocol.observe(self.refresh, "value")
        self.refresh()

    def _dropdown(self, word: str, options: list[tuple[str, str]]) -> widgets.Dropdown:
        return widgets.Dropdown(options=options, description=self.words(word), layout=widgets.Layout(width="auto", max_width="340px"))

    def _html(self, value: str) -> widgets.HTML:
        return widgets.HTML(value).add_class("dishvl")

    def _cell(self, row: Mapping) -> widgets.VBox:
        pair = row["truth"], row["answer"]
        photos = [photo_html(next(iter(self._photos(name, row["image_ids"] if index == 0 else ())), None), 168) for index, name in enumerate(pair)]
        text = f"{shorten(str(row['truth']), 14)} → {shorten(self.words.answer(row['answer']), 14)}  {row['n']}/{row['n_truth']}"
        button = widgets.Button(description=text, tooltip=f"{row['truth']} → {self.words.answer(row['answer'])}", layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self.select(*pair))
        self.pair_buttons[pair] = button
        return widgets.VBox([self._html(f"<div class=cell>{photos[0]}<span>→</span>{photos[1]}</div>"), button])

    def _photos(self, name: str, first=()) -> list[Path | None]:
        return self.book.examples(self.ids.get(name, ""), 3, first)

    def _head(self, truth: str, answer: str, rows: pd.DataFrame) -> str:
        rank = self.ranks.get((truth, answer))
        said = f"{self.words('look-alike rank')} {rank}" if rank else self.words("not a look-alike") if answer in self.ids else ""
        strips = [
            f"<div><p class=faint>{escape(self.words('registered photos of'))} <b>{escape(self.words.answer(name))}</b></p>"
            f"<div class=strip>{strip_html(self.book, self.ids[name])}</div></div>"
            for name in (truth, answer) if name in self.ids
        ]  # fmt: skip
        title = f"<h3>{escape(truth)} → {escape(self.words.answer(answer))} · {len(rows)} · {escape(said)}</h3>"
        return f"{title}<div style='display:flex;gap:28px;flex-wrap:wrap'>{''.join(strips)}</div><p>{escape(self.words('photos of this pair'))}</p>"

    def _card(self, row: Mapping) -> widgets.VBox:
        note, badge = widgets.Text(placeholder=self.words("note"), layout=widgets.Layout(width="auto")), self._html(self._badge(row["image_id"]))
        buttons = [self._mark_button(row["id"], decision, note) for decision in DECISIONS]
        card = widgets.VBox([self._html(answer_card(row, self.book, self.words)), widgets.HBox(buttons), note, badge])
        card.image_id, card.badge, card.buttons, card.note = row["image_id"], badge, buttons, note
        return card

    def _mark_button(self, question_id: str, decision: str, note: widgets.Text) -> widgets.Button:
        button = widgets.Button(description=self.words(decision), tooltip=self.words(decision), layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self.mark(question_id, decision, note.value))
        return button

    def _badge(self, image_id: str) -> str:
        row = self.decisions.latest(image_id)
        if row is None:
            return ""
        decision = self.words(row["decision"]) if row["decision"] in DECISIONS else row["decision"]
        note = f": {row['note']}" if row["note"] else ""
        return f"<span class=badge>✓ {escape(self.words('marked'))}: {escape(decision + note)}</span> <span class=faint>{escape(row['time'])}</span>"

    def _more(self, total: int, count: int) -> list[widgets.Button]:
        if total <= count:
            return []
        button = widgets.Button(description=f"{self.words('more photos')} ({count} / {total})", layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self.select(*self.chosen, count=count + PAGE))
        return [button]


def _grid(columns: str) -> widgets.Layout:
    return widgets.Layout(grid_template_columns=columns, grid_gap="10px", width="100%")
