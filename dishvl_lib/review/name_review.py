"""The review of names: one suspicion at a time, with photos and cards side by side, and buttons
that decide it.

    review = NameReview(suspicions, dishes, photos, image_root, "outputs/demo/decisions/names.csv")
    review.show()

A press of a button writes its rows to the decisions file at once and goes on to the next open
question; the annotators' answers stay as they are, and the decisions count when stage 01 is run
again. Below the questions any other dish can be searched for and renamed. The same file can be
written by hand. Every part can be reached by Tab and pressed by Enter or space; Enter in a field
takes its name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import pandas as pd

from dishvl_lib.core import decisions, names, records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.rules import suggestion
from dishvl_lib.core.types import AnyPath, RecordView
from dishvl_lib.display import pages
from dishvl_lib.display.cards import dish_card
from dishvl_lib.display.words import Words, shorten
from dishvl_lib.review.dish_picker import DishPicker

LABEL_COLUMNS = 60
# Of these suspicions both dishes must be looked at: only a decision to keep them apart settles one.
ABOUT_PAIRS = ("two_names", "same_photo")
PROGRESS = "<p>{{ words('decided') }}: {{ n_decided }} {{ words('of') }} {{ n_questions }}</p>"
RIGHT = "<p class=right>{{ text }}</p>"
WRONG = "<p class=wrong>{{ text }}</p>"
QUESTION = """<p><b>{{ kind }}</b> {{ question }}
{%- if is_decided %} <span class=badge>✓ {{ words("decided") }}</span>{% endif %}<br>
<span class=faint>{{ evidence }}</span></p>"""

Dish = RecordView
Decision = tuple[str, dict[str, str]]  # an action and {folder: name}


class NameReview:
    """The questions of a review, and the widget that asks them.

    review: REVIEW_COLUMNS, as audit.settle or its CSV gives them. dishes: rows of dishes.jsonl.
    photos: image_id, path, dish_id. Questions that were decided before are marked and passed over.
    Raises `RecordError` for a missing column, ValueError for a dish of the review that is not among
    the dishes.
    """

    def __init__(
        self,
        review: pd.DataFrame,
        dishes: Sequence[Dish],
        photos: pd.DataFrame,
        image_root: AnyPath,
        decisions_file: AnyPath,
        *,
        language: str = "en",
    ):
        records.require_columns(review, decisions.REVIEW_COLUMNS, "the review")
        self.words = Words(language)
        self.book = PhotoBook(photos, image_root)
        self.dishes = {dish["dish_id"]: dish for dish in dishes}
        self.rows = list(review.fillna("").itertuples(index=False))
        self._check_dishes()
        folders = {folder for dish in dishes for folder in dish["folders"]}
        self.decisions = decisions.NameDecisions(decisions_file, folders)
        self.index = 0
        self._build()
        self.go(self._next(-1))

    def show(self) -> widgets.VBox:
        """The widget, to stand as a cell's last line."""
        return self.box

    @property
    def open(self) -> list[int]:
        """The questions that nobody has decided, by their place in the review."""
        last = {}
        noted = set()
        for decision in self.decisions.rows:
            folder = decision["folder"]
            last[folder] = decision
            noted.add((folder, decision["note"]))
        rows = enumerate(self.rows)
        return [place for place, row in rows if not self._is_decided(row, last, noted)]

    def go(self, index: int) -> None:
        """Shows a question by its place in the review."""
        self.index = index
        self._draw()

    def name(self, side: int = 0) -> None:
        """The dish of a side (0: the first, 1: the other) is called what its field says."""
        self._write([("name", self._named(side))])

    def same_dish(self) -> None:
        """Both are one dish, called what the first field says."""
        folders: list[str] = []
        for dish in self._sides(self.rows[self.index]):
            folders += dish["folders"]
        self._write([("name", dict.fromkeys(folders, self.fields[0].value))])

    def keep_apart(self) -> None:
        """The first dish is called what its field says and is never merged; a new name in the
        other's field counts too.
        """
        written = [("keep_apart", self._named(0))]
        _, *others = self._sides(self.rows[self.index])
        for other in others:
            if self.fields[1].value != self._current_name(other):
                written.append(("name", self._named(1)))
        self._write(written)

    def leave_out(self, side: int = 0) -> None:
        """What a side shows is not a dish: its photos are left out of the catalogue."""
        self._write([(decisions.LEAVE_OUT, dict.fromkeys(self._named(side), ""))])

    def skip(self) -> None:
        """On to the next open question; nothing is written."""
        self.go(self._next(self.index))

    def rename(self, dish_id: str, name: str) -> None:
        """Any dish, whether a question is about it or not, is called `name`. Raises ValueError for
        a dish that is not there.
        """
        if dish_id not in self.dishes:
            raise ValueError(f"there is no dish {dish_id!r}{suggestion(dish_id, self.dishes)}")
        folders = self.dishes[dish_id]["folders"]
        written: list[Decision] = [("name", dict.fromkeys(folders, name))]
        if self._add(written, note=""):
            self._draw_renamed()
            self._say(written)

    def question(self) -> str:
        """What the question shown is noted as in the decisions file."""
        row = self.rows[self.index]
        return decisions.question(row.suspicion, row.other_dish)

    def _check_dishes(self) -> None:
        for row in self.rows:
            for dish_id in (row.dish_id, row.other_dish):
                if dish_id and dish_id not in self.dishes:
                    raise ValueError(
                        f"the review speaks of {dish_id!r}, which is not among the "
                        "dishes; both must come from one run of stage 01"
                    )

    def _sides(self, row: Any) -> list[Dish]:
        """The dish that a question is about, or both."""
        return [self.dishes[dish_id] for dish_id in (row.dish_id, row.other_dish) if dish_id]

    def _named(self, side: int) -> dict[str, str]:
        """The folders of a side's dish, each with the name in its field."""
        dish = self._sides(self.rows[self.index])[side]
        return dict.fromkeys(dish["folders"], self.fields[side].value)

    def _write(self, written: Sequence[Decision]) -> None:
        """Writes the decisions, or says why a name cannot stand, and goes on to the next open
        question.
        """
        if self._add(written, self.question()):
            self.go(self._next(self.index))
            self._say(written)

    def _add(self, written: Sequence[Decision], note: str) -> bool:
        """Whether the decisions are in the file now; if not, what is wrong with a name is said."""
        problem = _problem_with(written)
        if problem:
            self.status.value = str(pages.snippet(WRONG, text=problem))
            return False
        for action, named in written:
            self.decisions.add(action, named, note)
        return True

    def _say(self, written: Sequence[Decision]) -> None:
        text = f"{self.words('written to')} {self.decisions.path}: {_in_words(written)}"
        self.status.value = str(pages.snippet(RIGHT, text=text))

    def _next(self, index: int) -> int:
        """The next open question after `index`, from the start again when there is none; `index`
        itself when all are decided.
        """
        still_open = self.open
        if not still_open:
            return max(index, 0)
        return next((place for place in still_open if place > index), still_open[0])

    def _is_decided(
        self, row: Any, last: Mapping[str, Mapping], noted: set[tuple[str, str]]
    ) -> bool:
        """A question is decided when a decision notes it, from either side, or when a later one
        about the dish settles it.
        """
        sides = self._sides(row)
        for dish, other in zip(sides, sides[::-1], strict=True):
            folders = dish["folders"]
            other_id = other["dish_id"] if row.other_dish else ""
            question = decisions.question(row.suspicion, other_id)
            if any((folder, question) in noted for folder in folders):
                return True
            of_dish = [last[folder] for folder in folders if folder in last]
            if any(_settles(decision, dish, row) for decision in of_dish):
                return True
        return False

    def _current_name(self, dish: Dish) -> str:
        """The name that was decided last, if there is one, or else the dish's."""
        for folder in dish["folders"]:
            decision = self.decisions.latest(folder)
            if decision and decision["name"]:
                return decision["name"]
        return dish["name"]

    def _build(self) -> None:
        self.progress = _html()
        self.head = _html()
        self.status = _html()
        self.choice = widgets.Dropdown(
            description=self.words("suspicion"),
            layout=widgets.Layout(width="100%", max_width="900px"),
        )
        self.choice.observe(self._chosen, "value")
        self.pages = [_html(), _html()]
        self.fields = [widgets.Text(description=self.words("name")) for _ in self.pages]
        self.buttons: dict[tuple[str, int | None], widgets.Button] = {}
        self.columns = [self._column(0), self._column(1)]
        both = [
            self._button("the same dish", self.same_dish),
            self._button("keep apart", self.keep_apart),
            self._button("skip", self.skip),
        ]
        apart = widgets.Layout(justify_content="space-between")
        columns = widgets.HBox(self.columns, layout=apart)
        self.question_box = widgets.VBox([self.choice, self.head, columns, widgets.HBox(both)])
        style = _html(pages.style("cards.css"))
        renaming = self._renaming()
        self.box = widgets.VBox([style, self.progress, self.question_box, self.status, renaming])

    def _renaming(self) -> widgets.Widget:
        """Any dish: searched for, shown, and given another name."""
        labels = {dish_id: dish["name"] for dish_id, dish in self.dishes.items()}
        self.picker = DishPicker(labels, (), self.words, self._draw_renamed)
        self.renamed_page = _html()
        self.renamed_field = widgets.Text(description=self.words("name"))
        button = self._button("rename", self._rename_chosen)
        _on_enter(self.renamed_field, self._rename_chosen)
        parts = [self.renamed_page, self.renamed_field, widgets.HBox([button])]
        self.renamed_box = widgets.VBox(parts, layout=widgets.Layout(width="48%", display="none"))
        row = widgets.HBox([self.picker.box, self.renamed_box])
        folded = widgets.Accordion([row], titles=[self.words("rename any dish")])
        return folded

    def _rename_chosen(self) -> None:
        if self.picker.dish_id:
            self.rename(self.picker.dish_id, self.renamed_field.value)

    def _draw_renamed(self) -> None:
        """The dish that is chosen to be renamed, with the name it has now."""
        dish = self.dishes.get(self.picker.dish_id)
        self.renamed_box.layout.display = None if dish else "none"
        if dish:
            self.renamed_page.value = str(dish_card(dish, None, self.book, self.words))
            self.renamed_field.value = self._current_name(dish)

    def _column(self, side: int) -> widgets.VBox:
        """A dish with the field for its name and the buttons that decide about it alone."""
        buttons = [
            self._button("this name", lambda: self.name(side), side),
            self._button("leave out", lambda: self.leave_out(side), side),
        ]
        _on_enter(self.fields[side], lambda: self.name(side))
        parts = [self.pages[side], self.fields[side], widgets.HBox(buttons)]
        return widgets.VBox(parts, layout=widgets.Layout(width="48%"))

    def _button(
        self, word: str, action: Callable[[], None], side: int | None = None
    ) -> widgets.Button:
        text = self.words(word)
        button = widgets.Button(description=text, tooltip=text, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: action())
        self.buttons[word, side] = button
        return button

    def _draw(self) -> None:
        still_open = set(self.open)
        n_decided = len(self.rows) - len(still_open)
        progress = pages.snippet(
            PROGRESS, words=self.words, n_decided=n_decided, n_questions=len(self.rows)
        )
        self.progress.value = str(progress)
        if not self.rows:
            self.question_box.layout.display = "none"
            nothing = pages.snippet(RIGHT, text=self.words("nothing to review"))
            self.status.value = str(nothing)
            return
        self.question_box.layout.display = None
        self.status.value = ""
        self._draw_choice(still_open)
        self._draw_question(is_decided=self.index not in still_open)
        self._draw_sides()

    def _draw_choice(self, still_open: set[int]) -> None:
        self.choice.unobserve(self._chosen, "value")
        self.choice.options = [
            (self._label(place, row, place in still_open), place)
            for place, row in enumerate(self.rows)
        ]
        self.choice.value = self.index
        self.choice.observe(self._chosen, "value")

    def _label(self, place: int, row: Any, is_open: bool) -> str:
        done = "" if is_open else "✓ "
        dishes = " | ".join(dish["name"] for dish in self._sides(row))
        kind = self.words.known(row.suspicion)
        return f"{done}{place + 1}. {kind}: {shorten(dishes, LABEL_COLUMNS)}"

    def _chosen(self, change: RecordView) -> None:
        self.go(change["new"])

    def _draw_question(self, is_decided: bool) -> None:
        row = self.rows[self.index]
        head = pages.snippet(
            QUESTION,
            words=self.words,
            kind=self.words.known(row.suspicion),
            question=self.words.question(row.suspicion),
            is_decided=is_decided,
            evidence=row.evidence,
        )
        self.head.value = str(head)

    def _draw_sides(self) -> None:
        """The dish in question, and beside it the other one if there is one."""
        row = self.rows[self.index]
        sides = self._sides(row)
        for side, (dish, other) in enumerate(zip(sides, sides[::-1], strict=True)):
            beside = other if other is not dish else None
            card = dish_card(dish, beside, self.book, self.words, row.evidence)
            self.pages[side].value = str(card)
            self.fields[side].value = self._current_name(dish)
        display = None if len(sides) == 2 else "none"
        self.columns[1].layout.display = display
        self.buttons["the same dish", None].layout.display = display
        self.buttons["keep apart", None].layout.display = display


def _html(value: str = "") -> widgets.HTML:
    return widgets.HTML(str(value)).add_class("dishvl")


def _on_enter(field: widgets.Text, action: Callable[[], None]) -> None:
    """Calls `action` when Enter is pressed in a field; to leave the field does nothing."""

    def received(_: widgets.Widget, content: RecordView, buffers: object) -> None:
        if content.get("event") == "submit":
            action()

    field.on_msg(received)


def _problem_with(written: Sequence[Decision]) -> str:
    """Why one of the names cannot stand on a menu; '' when all can."""
    for action, named in written:
        for name in named.values():
            problem = names.problem_with(name) if action != decisions.LEAVE_OUT else ""
            if problem:
                return problem
    return ""


def _in_words(written: Sequence[Decision]) -> str:
    """`folder → name` of every folder, or the action where it has no name."""
    parts = []
    for action, named in written:
        parts += [f"{folder} → {name or action}" for folder, name in named.items()]
    return "; ".join(parts)


def _settles(decision: Mapping[str, str], dish: Dish, row: Any) -> bool:
    """Does a dish's last decision, which the review had not seen yet, leave nothing to ask?"""
    action = decision["action"]
    if action == decisions.LEAVE_OUT:
        return True
    if row.suspicion in ABOUT_PAIRS:
        return action == "keep_apart" and not decision["note"]
    if row.suspicion == "problem":
        return False
    is_about_dish = dish["dish_id"] == row.dish_id or row.suspicion == "same_name"
    return is_about_dish and _is_new(decision, dish)


def _is_new(decision: Mapping[str, str], dish: Dish) -> bool:
    """Whether the review that called the dish so did not know the decision."""
    if dish["name_source"] != "decision":
        return True
    return names.clean(decision["name"]) not in ("", dish["name"])
