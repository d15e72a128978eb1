"""A photo's card with the buttons that decide about it."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
from markupsafe import Markup

from dishvl_lib.core.decisions import OTHER_DISH, PHOTO_DECISIONS
from dishvl_lib.core.records import RecordError
from dishvl_lib.display import pages
from dishvl_lib.display.words import Words, shorten
from dishvl_lib.review.dish_picker import DishPicker
from dishvl_lib.review.photo_marks import PhotoMarks

BADGE = "<span class=badge>✓ {{ text }}</span> <span class=faint>{{ time }}</span>"
PROBLEM = "<span class=wrong>{{ text }}</span>"
BUTTON_COLUMNS = 24
# decision, note, right dish, whether the near-duplicates are meant too
Pressed = Callable[[str, str, str, bool], object]


class MarkCard:
    """`box` is a photo's card with a button for each of PHOTO_DECISIONS, the list from which the
    right dish is chosen, a button that takes a decision back, a note, and the badge that says what
    was decided.

    card: its HTML. suggested: dish_ids that the photo may show, the likeliest first. `pressed` is
    called with what was decided; `taken_back` with nothing.
    """

    def __init__(
        self,
        image_id: str,
        card: Markup,
        marks: PhotoMarks,
        words: Words,
        suggested: Sequence[str],
        pressed: Pressed,
        taken_back: Callable[[], object],
    ):
        self.image_id = image_id
        self.marks = marks
        self.words = words
        self.pressed = pressed
        self.taken_back = taken_back
        self.note = widgets.Text(placeholder=words("note"), layout=widgets.Layout(width="auto"))
        self.badge = html()
        self.buttons = [
            self._mark_button(number, decision)
            for number, decision in enumerate(PHOTO_DECISIONS, start=1)
        ]
        self.undo = button(words("take back"))
        self.undo.on_click(lambda _: self._try(self.taken_back))
        self.twins = self._twins()
        dishes = marks.dishes_for(image_id)
        self.picker = DishPicker(dishes, suggested, words, self._name_other_dish)
        self._name_other_dish()
        self.box = self._laid_out(card)
        self.refresh()

    def refresh(self) -> None:
        """The badge anew: another card of the same photo may have been marked."""
        row = self.marks.latest(self.image_id)
        self.badge.value = "" if row is None else str(self._badge(row))
        self.undo.disabled = row is None

    def _laid_out(self, card: Markup) -> widgets.VBox:
        wrapping = widgets.Layout(flex_flow="row wrap")
        *plain, other_dish = self.buttons
        # A photo of the card is HTML, which cannot call Python: keys.js writes here what was
        # pressed.
        chosen = widgets.Text(layout=widgets.Layout(display="none")).add_class("dishvl-chosen")
        chosen.observe(self._photo_pressed, "value")
        self.chosen = chosen
        parts = [
            html(card),
            widgets.HBox(plain, layout=wrapping),
            widgets.HBox([other_dish, self.undo], layout=wrapping),
            self.picker.box,
            self.twins,
            self.note,
            self.badge,
            chosen,
        ]
        return widgets.VBox(parts).add_class("dishvl-marks")

    def _twins(self) -> widgets.Checkbox:
        """Whether a right dish is the near-duplicates' too: as a rule they show the same."""
        twins = self.marks.twins(self.image_id)
        box = widgets.Checkbox(
            value=bool(twins),
            description=f"{self.words('and its near-duplicates')}: {len(twins)}",
            indent=False,
            layout=widgets.Layout(width="auto", display=None if twins else "none"),
        )
        box.tooltip = ", ".join(self.marks.photo_by_id[twin]["path"] for twin in twins)
        return box

    def _photo_pressed(self, change: Mapping[str, str]) -> None:
        """A press on a near photo chooses its dish. The field is emptied, so that the same photo
        can be pressed again.
        """
        if change["new"]:
            self.chosen.value = ""
            self.picker.choose(change["new"])

    def _name_other_dish(self) -> None:
        """The button says which dish it gives, and gives none while none is chosen."""
        label = self.picker.label
        text = f"{len(PHOTO_DECISIONS)} {self.words(OTHER_DISH)}"
        other_dish = self.buttons[-1]
        other_dish.disabled = not label
        other_dish.description = f"{text}: {shorten(label, BUTTON_COLUMNS)}" if label else text
        other_dish.tooltip = label or text

    def _badge(self, row: Mapping[str, str]) -> Markup:
        decision = row["decision"]
        if decision in PHOTO_DECISIONS:
            decision = self.words(decision)
        right = row["right_dish"]
        is_moved = row["decision"] == OTHER_DISH
        dish = f" → {self.marks.called(right)}" if is_moved else ""
        note = f": {row['note']}" if row["note"] else ""
        text = f"{self.words('marked')}: {decision}{dish}{note}"
        return pages.snippet(BADGE, text=text, time=row["time"])

    def _mark_button(self, number: int, decision: str) -> widgets.Button:
        mark = button(f"{number} {self.words(decision)}")
        mark.on_click(lambda _: self._try(lambda: self._press(decision)))
        return mark

    def _press(self, decision: str) -> None:
        right = self.picker.dish_id if decision == OTHER_DISH else ""
        self.pressed(decision, self.note.value, right, self.twins.value)

    def _try(self, action: Callable[[], object]) -> None:
        """What keeps a decision from the disk is said where the badge would be."""
        try:
            action()
        except (RecordError, OSError, ValueError) as error:
            self.badge.value = str(pages.snippet(PROBLEM, text=str(error)))


def html(value: Markup | str = "") -> widgets.HTML:
    """HTML of a template, under the cards' style sheet."""
    return widgets.HTML(str(value)).add_class("dishvl")


def button(text: str, tooltip: str = "") -> widgets.Button:
    width = widgets.Layout(width="auto")
    return widgets.Button(description=text, tooltip=tooltip or text, layout=width)
