"""A question's card with buttons that mark its photo, and the badge that says what was marked."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from dishvl_lib.display.cards import answer_card, escape
from dishvl_lib.display.decisions import DECISIONS, DecisionFile
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.words import Words


class MarkCard:
    """`box` is the card: the question in full, a button for each of DECISIONS, a note and a badge.

    row: of the predictions. near: HTML under the scores. `pressed` gets (question's id, decision,
    note).
    """

    def __init__(
        self,
        row: Mapping,
        near: str,
        book: PhotoBook,
        decisions: DecisionFile,
        words: Words,
        pressed: Callable[[str, str, str], object],
    ):
        self.image_id = row["image_id"]
        self.decisions = decisions
        self.words = words
        self.note = widgets.Text(placeholder=words("note"), layout=widgets.Layout(width="auto"))
        self.badge = html(badge(self.image_id, decisions, words))
        self.buttons = [
            self._button(number, decision, row["id"], pressed)
            for number, decision in enumerate(DECISIONS, start=1)
        ]
        children = [
            html(answer_card(row, book, words, near=near)),
            widgets.HBox(self.buttons, layout=widgets.Layout(flex_flow="row wrap")),
            self.note,
            self.badge,
        ]
        self.box = widgets.VBox(children).add_class("dishvl-marks")

    def refresh(self) -> None:
        """The badge anew: another card of the same photo may have been marked."""
        self.badge.value = badge(self.image_id, self.decisions, self.words)

    def _button(
        self,
        number: int,
        decision: str,
        question_id: str,
        pressed: Callable[[str, str, str], object],
    ) -> widgets.Button:
        said = f"{number} {self.words(decision)}"
        button = widgets.Button(description=said, tooltip=said, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: pressed(question_id, decision, self.note.value))
        return button


def badge(image_id: str, decisions: DecisionFile, words: Words) -> str:
    """The photo's latest decision with its note and time as HTML; '' when there is none."""
    row = decisions.latest(image_id)
    if row is None:
        return ""
    decision = words(row["decision"]) if row["decision"] in DECISIONS else row["decision"]
    note = f": {row['note']}" if row["note"] else ""
    return (
        f"<span class=badge>✓ {escape(words('marked'))}: {escape(decision + note)}</span> "
        f"<span class=faint>{escape(row['time'])}</span>"
    )


def html(value: str = "") -> widgets.HTML:
    """HTML whose data is escaped already, under the cards' style sheet."""
    return widgets.HTML(value).add_class("dishvl")
