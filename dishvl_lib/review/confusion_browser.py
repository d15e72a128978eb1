"""The confusion browser: choose a pair of dishes, see its questions in full, and write down what is
wrong with them.

    browser = ConfusionBrowser(predictions, photos, names, image_root, similar,
    "outputs/demo/decisions/photos.csv")
    browser.show()

Every part can be reached by Tab and pressed by Enter or space; arrows go from button to button, and
1, 2, 3, 4 mark the card that has the focus. A press on a pair's photos opens the pair, one on a
near photo chooses its dish as the right one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import Javascript
from markupsafe import Markup

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.photo_book import NearestPhotos, Neighbour, PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames, RecordView
from dishvl_lib.display import cards, cluster_matrix, pages
from dishvl_lib.display.cluster_matrix import Clusters
from dishvl_lib.display.words import NOT_ANSWERS, Words, missing, percent, shorten
from dishvl_lib.review.browser_filters import Filters
from dishvl_lib.review.mark_card import MarkCard, button, html
from dishvl_lib.review.photo_marks import PhotoMarks

COLUMNS = ("id", "predictor", "protocol", "image_id", "dish_id", "truth", "answer", "correct")
STYLES = ("cards.css", "cluster_matrix.css")
CARDS_AT_ONCE = 6
PAIR_PHOTO = 168  # pixels
NAME_COLUMNS = 14
MOST_UNKNOWN = 2000
UNKNOWN_HEADS = ("truth", "answer", "count")
KEYS_HINT = "1, 2, 3, 4 mark the card that has the focus; arrows move, Tab and Enter work too"
FAINT = "<p class=faint>{{ text }}</p>"
SUMMARY = "<p{% if is_right %} class=right{% endif %}>{{ text }}</p>"
CELL_RANK = "<p class='faint cell'>{{ text }}</p>"


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
        names: DishNames,
        image_root: AnyPath,
        similar: pd.DataFrame | None,
        decisions_file: AnyPath,
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
        self.ranks = confused_pairs.look_alike_ranks(similar, names)
        self.ids = confused_pairs.ids_by_name(names)
        self.clusters = Clusters(clusters, names)
        self.training_photos = NearestPhotos(features, photos, names)
        self.marks = PhotoMarks(photos, names, decisions_file)
        self.chosen: tuple[str, str] | None = None
        self.cards: dict[str, MarkCard] = {}
        self.pair_buttons: dict[tuple[str, str], widgets.Button] = {}
        self.skipped_clusters = 0
        questions = confused_pairs.countable(predictions, names)
        self.filters = Filters(questions, self.clusters, self.words, self.refresh)
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
        self.summary.value = str(self._summary(table, len(rows), len(shown)))
        self.grid.children = [self._pair_cell(row) for row in shown.to_dict("records")]
        unknown = confused_pairs.unknown_answers(rows)
        self.unknown.value = str(self._unknown_answers(unknown))
        choose = pages.snippet(FAINT, text=self.words("choose a pair"))
        self.detail.children = [] if table.empty else [html(choose)]
        self.draw_matrix()

    def select(self, truth: str, answer: str, count: int = CARDS_AT_ONCE) -> None:
        """Shows a pair: both dishes' photos, then `count` of its questions in full. KeyError when
        there is no such pair.
        """
        rows = self.filters.rows()
        rows = rows[(rows["truth"] == truth) & (rows["shown"] == answer)]
        if rows.empty:
            raise KeyError(f"{truth} is never answered by {answer} under these filters")
        self.chosen = (truth, answer)
        for pair, pair_button in self.pair_buttons.items():
            pair_button.button_style = "info" if pair == self.chosen else ""
        first = rows.head(count)
        near = self.training_photos.nearest(first["image_id"])
        self.cards = {
            row["id"]: self._card(row, near.get(row["image_id"], []))
            for row in first.to_dict("records")
        }
        boxes = [card.box for card in self.cards.values()]
        grid = widgets.GridBox(boxes, layout=_grid("repeat(auto-fill, minmax(330px, 1fr))"))
        head = html(self._pair_head(truth, answer, len(rows)))
        self.detail.children = [head, grid, *self._more(len(rows), count)]

    def mark(
        self,
        question_id: str,
        decision: str,
        note: str = "",
        right_dish: str = "",
        with_twins: bool = False,
    ) -> dict[str, str]:
        """Writes a decision about a shown question's photo at once and returns the row. right_dish:
        a dish_id, for `other dish`; with_twins: the near-duplicates get it too. KeyError for a
        question not shown.
        """
        row = self._shown(question_id)
        written = self.marks.add(
            row["image_id"],
            decision,
            right_dish,
            with_twins,
            dish_id=row["dish_id"],
            answer="" if missing(row["answer"]) else row["answer"],
            predictor=row["predictor"],
            note=note,
        )
        self._refresh_cards()
        return written

    def take_back(self, question_id: str) -> dict[str, str]:
        """Writes that a shown question's photo counts as undecided and returns the row. KeyError
        for a question not shown.
        """
        row = self._shown(question_id)
        written = self.marks.take_back(row["image_id"], predictor=row["predictor"])
        self._refresh_cards()
        return written

    def draw_matrix(self, skip: int = 0) -> None:
        """The matrix after its first `skip` clusters, and only while it is open. It shows all
        clusters of the answer, whatever is chosen.
        """
        self.skipped_clusters = skip
        if self.matrix.selected_index is None:
            return
        counts = confused_pairs.count(self.filters.rows())
        most = cluster_matrix.MOST_CLUSTERS
        table = cluster_matrix.matrix(counts, self.clusters, most, skip)
        hint = self.words("click a count to see its pairs of dishes")
        title = pages.snippet(SUMMARY, is_right=False, text=f"{table.title(self.words)} · {hint}")
        counts_html = cluster_matrix.matrix_html(table, self.clusters, self.words)
        children = [html(title), html(counts_html)]
        if table.clusters > most:
            following = button(self.words("next clusters"))
            following_skip = skip + most if skip + most < table.clusters else 0
            following.on_click(lambda _: self.draw_matrix(following_skip))
            children.append(following)
        self.matrix.children[0].children = children

    def _shown(self, question_id: str) -> pd.Series:
        """The row of a question whose card is shown."""
        if question_id not in self.cards:
            raise KeyError(f"question {question_id} is not among the cards shown")
        return self.filters.rows().set_index("id").loc[question_id]

    def _refresh_cards(self) -> None:
        for card in self.cards.values():
            card.refresh()

    def _build(self) -> None:
        self.summary = html()
        self.unknown = html()
        self.detail = widgets.VBox([])
        columns = _grid("repeat(auto-fill, minmax(230px, 1fr))", margin="12px 0 0")
        self.grid = widgets.GridBox([], layout=columns).add_class("dishvl-pairs")
        matrix_title = self.words("confusions by cluster")
        self.matrix = widgets.Accordion(
            [widgets.VBox([])], titles=(matrix_title,), selected_index=None
        )
        self.matrix.observe(lambda _: self.draw_matrix(), "selected_index")
        # Counts of the matrix are HTML, which cannot call Python: keys.js writes here what was
        # pressed.
        self.pressed = widgets.Text(layout=widgets.Layout(display="none"))
        self.pressed.add_class("dishvl-pressed")
        self.pressed.observe(self._count_pressed, "value")
        show_all = button(self.words("show all"))
        show_all.on_click(lambda _: self.filters.clear())
        keys = widgets.Output()
        keys.append_display_data(Javascript(str(pages.static("keys.js"))))
        middle = widgets.Layout(align_items="center")
        parts = [
            html(pages.style(*STYLES)),
            keys,
            self.filters.box,
            widgets.HBox([show_all, self.summary], layout=middle),
            self.pressed,
            self.matrix,
            self.grid,
            html(pages.snippet(FAINT, text=self.words(KEYS_HINT))),
            self.detail,
            self.unknown,
        ]
        self.box = widgets.VBox(parts).add_class("dishvl-browser")

    def _count_pressed(self, change: RecordView) -> None:
        """`3 5`: the count of cluster 3 answered by cluster 5. The field is emptied, so that the
        same count can be pressed again.
        """
        if change["new"]:
            truth, answer = change["new"].split()
            self.pressed.value = ""
            self.filters.set_clusters(int(truth), int(answer))

    def _summary(self, table: pd.DataFrame, n_questions: int, n_shown: int) -> Markup:
        words = self.words
        if table.empty:
            text = f"{words('no confusions among')} {n_questions} {words('questions')}"
            return pages.snippet(SUMMARY, is_right=True, text=text)
        wrong = f"{words('wrong')}: {int(table['n'].sum())} / {n_questions}"
        pairs = f"{words('pairs')}: {n_shown} / {len(table)}"
        return pages.snippet(SUMMARY, is_right=False, text=f"{wrong} · {pairs}")

    def _pair_cell(self, row: RecordView) -> widgets.VBox:
        """A pair in the grid: a photo of each dish, the button that chooses it, share and rank."""
        truth = row["truth"]
        answer = row["answer"]
        shown_answer = self.words.answer(answer)
        truth_photo = self._photo(truth, row["image_ids"])
        answer_photo = self._photo(answer)
        photos = pages.render(
            "browser_pair.html.j2",
            truth=pages.embedded(truth_photo, PAIR_PHOTO),
            answer=pages.embedded(answer_photo, PAIR_PHOTO),
        )
        count = f"{row['n']}/{row['n_truth']}"
        names = f"{shorten(truth, NAME_COLUMNS)} → {shorten(shown_answer, NAME_COLUMNS)}"
        choose = button(f"{names}  {count}", tooltip=f"{truth} → {shown_answer}")
        choose.on_click(lambda _: self.select(truth, answer))
        self.pair_buttons[truth, answer] = choose
        share = percent(row["n"] / row["n_truth"], 0)
        facts = [share, self._rank(truth, answer)]
        text = " · ".join(fact for fact in facts if fact)
        rank = pages.snippet(CELL_RANK, text=text)
        return widgets.VBox([html(photos), choose, html(rank)]).add_class("dishvl-pair")

    def _photo(self, name: str, first: Sequence[str] = ()) -> Path | None:
        return self.book.example(self.ids.get(name, ""), first)

    def _rank(self, truth: str, answer: str) -> str:
        rank = self.ranks.get((truth, answer))
        if rank:
            return f"{self.words('look-alike rank')} {rank}"
        return "" if answer in NOT_ANSWERS else self.words("not a look-alike")

    def _unknown_answers(self, table: pd.DataFrame) -> Markup:
        """The answers that are no dish's name, as they were given."""
        if table.empty:
            return Markup("")
        shown = table.head(MOST_UNKNOWN)
        heading = self.words("answers that are no dish's name")
        return pages.render(
            "unknown_answers.html.j2",
            heading=f"{heading}: {len(shown)} / {len(table)}",
            heads=[self.words(head) for head in UNKNOWN_HEADS],
            rows=shown[["truth", "answer", "n"]].to_numpy().tolist(),
        )

    def _pair_head(self, truth: str, answer: str, n_questions: int) -> Markup:
        """What the chosen pair is, and registered photos of both dishes."""
        shown = {truth: truth, answer: self.words.answer(answer)}
        sides = [
            (shown[name], cards.photo_strip(self.book, self.ids[name]))
            for name in (truth, answer)
            if name in self.ids
        ]
        title = [f"{truth} → {shown[answer]}", str(n_questions), self._rank(truth, answer)]
        return pages.render(
            "browser_pair_head.html.j2",
            words=self.words,
            title=" · ".join(part for part in title if part),
            sides=sides,
        )

    def _card(self, row: RecordView, near: Sequence[Neighbour]) -> MarkCard:
        card = cards.answer_card(row, self.book, self.words, near)
        question_id = row["id"]

        def pressed(decision: str, note: str, right_dish: str, with_twins: bool) -> None:
            self.mark(question_id, decision, note, right_dish, with_twins)

        answered = [] if missing(row["answer"]) else [self.ids.get(row["answer"], "")]
        near_dishes = [self.book.dish_by_id.get(neighbour.image_id, "") for neighbour in near]
        return MarkCard(
            row["image_id"],
            card,
            self.marks,
            self.words,
            [*answered, *near_dishes],
            pressed,
            lambda: self.take_back(question_id),
        )

    def _more(self, n_questions: int, count: int) -> list[widgets.Button]:
        """A button for more of the pair's questions, while there are any."""
        if n_questions <= count or self.chosen is None:
            return []
        pair = self.chosen
        more = button(f"{self.words('more photos')} ({count} / {n_questions})")
        more.on_click(lambda _: self.select(*pair, count=count + CARDS_AT_ONCE))
        return [more]


def _grid(columns: str, margin: str = "0") -> widgets.Layout:
    return widgets.Layout(
        grid_template_columns=columns, grid_gap="10px", width="100%", margin=margin
    )
