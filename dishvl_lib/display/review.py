"""The review of names: one suspicion at a time, with photos and cards side by side, and buttons
that decide it.

    review = NameReview(suspicions, dishes, photos, image_root, "outputs/demo/decisions/names.csv")
    review.show()

A press of a button writes its rows to the decisions file at once and goes on to the next open
question; the annotators' answers stay as they are, and the decisions count when stage 01 is run
again. The same file can be written by hand. Every part can be reached by Tab and pressed by Enter
or space.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from dishvl_lib.core import names, records
from dishvl_lib.display.cards import escape
from dishvl_lib.display.decisions import NameFile
from dishvl_lib.display.dish_cards import dish_html
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.style import CARD_CSS
from dishvl_lib.display.words import Words, shorten

COLUMNS = ("dish_id", "name", "suspicion", "other_dish", "evidence", "n_images")


class NameReview:
    """The questions of a review, and the widget that asks them.

    review: COLUMNS, as audit.settle or its CSV gives them. dishes: rows of dishes.jsonl. photos:
    image_id, path, dish_id. Questions that were decided before are marked and passed over. Raises
    `RecordError` for a missing column, ValueError for a dish of the review that is not among the
    dishes.
    """

    def __init__(
        self,
        review: pd.DataFrame,
        dishes: Sequence[Mapping[str, Any]],
        photos: pd.DataFrame,
        image_root: str | Path,
        decisions_file: str | Path,
        *,
        language: str = "en",
    ):
        records.require_columns(review, COLUMNS, "the review")
        self.words = Words(language)
        self.book = PhotoBook(photos, image_root)
        self.dishes = {dish["dish_id"]: dish for dish in dishes}
        self.rows = review.fillna("").to_dict("records")
        if (
            strangers := {
                row[key] for row in self.rows for key in ("dish_id", "other_dish") if row[key]
            }
            - self.dishes.keys()
        ):
            raise ValueError(
                f"the review speaks of {sorted(strangers)[0]!r}, which is not among the "
                "dishes; both must come from one run of stage 01"
            )
        self.decisions = NameFile(decisions_file)
        self.index = 0
        self._build()
        self.go(self._next(-1))

    def show(self) -> widgets.VBox:
        """The widget, to stand as a cell's last line."""
        return self.box

    @property
    def open(self) -> list[int]:
        """The questions that nobody has decided, by their place in the review."""
        last = {row["folder"]: row for row in self.decisions.rows}
        noted = {(row["folder"], row["note"]) for row in self.decisions.rows}
        return [place for place, row in enumerate(self.rows) if not self._decided(row, last, noted)]

    def go(self, index: int) -> None:
        """Shows a question by its place in the review."""
        self.index = index
        self._draw()

    def name(self, side: int = 0) -> None:
        """The dish of a side (0: the first, 1: the other) is called what its field says."""
        dish = self._sides()[side]
        self._write(("name", dict.fromkeys(dish["folders"], self.fields[side].value)))

    def same_dish(self) -> None:
        """Both are one dish, called what the first field says."""
        folders = [folder for dish in self._sides() for folder in dish["folders"]]
        self._write(("name", dict.fromkeys(folders, self.fields[0].value)))

    def keep_apart(self) -> None:
        """The first dish is called what its field says and is never merged; a new name in the
        other's field counts too.
        """
        first, *others = self._sides()
        renamed = [
            ("name", dict.fromkeys(dish["folders"], self.fields[1].value))
            for dish in others
            if self.fields[1].value != self._current_name(dish)
        ]
        self._write(("keep_apart", dict.fromkeys(first["folders"], self.fields[0].value)), *renamed)

    def leave_out(self, side: int = 0) -> None:
        """What a side shows is not a dish: its photos are left out of the catalogue."""
        self._write(("leave_out", dict.fromkeys(self._sides()[side]["folders"], "")))

    def skip(self) -> None:
        """On to the next open question; nothing is written."""
        self.go(self._next(self.index))

    def question(self) -> str:
        """What the question shown is noted as in the decisions file."""
        row = self.rows[self.index]
        return f"{row['suspicion']}: {row['other_dish']}" if row["other_dish"] else row["suspicion"]

    def _sides(self) -> list[Mapping[str, Any]]:
        row = self.rows[self.index]
        return [self.dishes[row[key]] for key in ("dish_id", "other_dish") if row[key]]

    def _write(self, *decisions: tuple[str, Mapping[str, str]]) -> None:
        """Writes (action, {folder: name}), or says why a name cannot stand, and goes on to the next
        open question.
        """
        given = [
            name for action, named in decisions if action != "leave_out" for name in named.values()
        ]
        if problem := next(filter(None, map(names.problem_with, given)), ""):
            self.status.value = f"<p class=wrong>{escape(problem)}</p>"
            return
        question = self.question()
        for action, named in decisions:
            self.decisions.add(action, named, question)
        self.go(self._next(self.index))
        said = "; ".join(
            f"{folder} → {name or action}"
            for action, named in decisions
            for folder, name in named.items()
        )
        self.status.value = (
            f"<p class=right>{escape(self.words('written to'))} "
            f"{escape(self.decisions.path)}: {escape(said)}</p>"
        )

    def _next(self, index: int) -> int:
        """The next open question after `index`, from the start again when there is none; `index`
        itself when all are decided.
        """
        open_ = self.open
        return next(
            (place for place in open_ if place > index), open_[0] if open_ else max(index, 0)
        )

    def _decided(
        self, row: Mapping[str, Any], last: Mapping[str, Mapping], noted: set[tuple[str, str]]
    ) -> bool:
        """A question is decided when a decision notes it, from either side, or when a later one
        about the dish settles it.
        """
        sides = [self.dishes[row[key]] for key in ("dish_id", "other_dish") if row[key]]
        for dish, other in zip(sides, sides[::-1], strict=True):
            asked = (
                f"{row['suspicion']}: {other['dish_id']}" if row["other_dish"] else row["suspicion"]
            )
            rows = [last[folder] for folder in dish["folders"] if folder in last]
            if any((folder, asked) in noted for folder in dish["folders"]) or any(
                _settles(one, dish, row) for one in rows
            ):
                return True
        return False

    def _build(self) -> None:
        self.progress = self._html()
        self.head = self._html()
        self.status = self._html()
        self.choice = widgets.Dropdown(
            description=self.words("suspicion"),
            layout=widgets.Layout(width="100%", max_width="900px"),
        )
        self.choice.observe(self._chosen, "value")
        self.pages = [self._html() for _ in range(2)]
        self.fields = [widgets.Text(description=self.words("name")) for _ in range(2)]
        self.buttons = {
            (word, side): self._button(word, action, side)
            for side in range(2)
            for word, action in (("this name", self.name), ("leave out", self.leave_out))
        }
        self.buttons |= {
            (word, None): self._button(word, action)
            for word, action in (
                ("the same dish", self.same_dish),
                ("keep apart", self.keep_apart),
                ("skip", self.skip),
            )
        }
        self.columns = [
            widgets.VBox(
                [
                    page,
                    field,
                    widgets.HBox(
                        [self.buttons["this name", side], self.buttons["leave out", side]]
                    ),
                ],
                layout=widgets.Layout(width="48%"),
            )
            for side, (page, field) in enumerate(zip(self.pages, self.fields, strict=True))
        ]
        both = widgets.HBox(
            [self.buttons[word, None] for word in ("the same dish", "keep apart", "skip")]
        )
        self.question_box = widgets.VBox(
            [
                self.choice,
                self.head,
                widgets.HBox(self.columns, layout=widgets.Layout(justify_content="space-between")),
                both,
            ]
        )
        self.box = widgets.VBox(
            [
                self._html(f"<style>{CARD_CSS}</style>"),
                self.progress,
                self.question_box,
                self.status,
            ]
        )

    def _html(self, value: str = "") -> widgets.HTML:
        return widgets.HTML(value).add_class("dishvl")

    def _button(self, word: str, action: Any, *arguments: int) -> widgets.Button:
        button = widgets.Button(
            description=self.words(word),
            tooltip=self.words(word),
            layout=widgets.Layout(width="auto"),
        )
        button.on_click(lambda _: action(*arguments))
        return button

    def _draw(self) -> None:
        open_ = set(self.open)
        self.progress.value = (
            f"<p>{escape(self.words('decided'))}: {len(self.rows) - len(open_)} "
            f"{escape(self.words('of'))} {len(self.rows)}</p>"
        )
        self.question_box.layout.display = None if self.rows else "none"
        self.status.value = (
            "" if self.rows else f"<p class=right>{escape(self.words('nothing to review'))}</p>"
        )
        if self.rows:
            self._list(open_)
            self._show(self.rows[self.index], self._sides())

    def _list(self, open_: set[int]) -> None:
        self.choice.unobserve(self._chosen, "value")
        self.choice.options = [
            (self._label(place, row, place in open_), place) for place, row in enumerate(self.rows)
        ]
        self.choice.value = self.index
        self.choice.observe(self._chosen, "value")

    def _label(self, place: int, row: Mapping[str, Any], is_open: bool) -> str:
        dishes = " | ".join(
            self.dishes[row[key]]["name"] for key in ("dish_id", "other_dish") if row[key]
        )
        return (
            f"{'' if is_open else '✓ '}{place + 1}. {self.words.known(row['suspicion'])}: "
            f"{shorten(dishes, 60)}"
        )

    def _chosen(self, change: Mapping[str, Any]) -> None:
        self.go(change["new"])

    def _show(self, row: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> None:
        asked = (
            f"<b>{escape(self.words.known(row['suspicion']))}</b> "
            f"{escape(self.words.question(row['suspicion']))}"
        )
        badge = (
            ""
            if self.index in self.open
            else f" <span class=badge>✓ {escape(self.words('decided'))}</span>"
        )
        self.head.value = (
            f"<p>{asked}{badge}<br><span class=faint>{escape(row['evidence'])}</span></p>"
        )
        for side, (dish, other) in enumerate(zip(sides, sides[::-1], strict=True)):
            self.pages[side].value = dish_html(
                dish, other if other is not dish else None, self.book, self.words, row["evidence"]
            )
            self.fields[side].value = self._current_name(dish)
        two = None if len(sides) == 2 else "none"
        for part in (
            self.columns[1],
            self.buttons["the same dish", None],
            self.buttons["keep apart", None],
        ):
            part.layout.display = two

    def _current_name(self, dish: Mapping[str, Any]) -> str:
        """The name that was decided last, if there is one, or else the dish's."""
        decided = [
            row["name"]
            for folder in dish["folders"]
            if (row := self.decisions.latest(folder)) and row["name"]
        ]
        return decided[0] if decided else dish["name"]


def _settles(decision: Mapping[str, str], dish: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Does a dish's last decision, which the review had not seen yet, leave nothing to ask?"""
    new = dish["name_source"] != "decision" or names.clean(decision["name"]) not in (
        "",
        dish["name"],
    )
    if decision["action"] == "leave_out":
        return True
    if row["suspicion"] in ("two_names", "same_photo"):
        return decision["action"] == "keep_apart" and not decision["note"]
    return (
        new
        and (dish["dish_id"] == row["dish_id"] or row["suspicion"] == "same_name")
        and row["suspicion"] != "problem"
    )
