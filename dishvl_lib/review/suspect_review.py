"""The review of suspect labels: photos that lie among another dish, and buttons that decide about
each.

    review = SuspectReview(suspects, photos, names, image_root, "outputs/demo/decisions/photos.csv")
    review.show()

A press on a photo or its button shows it in full, beside photos of both dishes; 1, 2, 3 and 4
decide, and the next undecided photo follows. Decisions count when stage 01 is run again.
"""

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import Javascript
from markupsafe import Markup

from dishvl_lib.core import records
from dishvl_lib.core.decisions import PHOTO_DECISIONS
from dishvl_lib.core.photo_book import NearestPhotos, PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames, RecordView
from dishvl_lib.display import cards, pages
from dishvl_lib.display.words import Words, shorten
from dishvl_lib.review.mark_card import MarkCard, button, html
from dishvl_lib.review.photo_marks import PhotoMarks

COLUMNS = ("image_id", "path", "dish_id", "looks_like", "votes", "of")
SUSPECTS_AT_ONCE = 18
SUSPECT_PHOTO = 168  # pixels
NAME_COLUMNS = 14
SUMMARY = "<p>{{ text }}</p>"
RIGHT = "<p class=right>{{ text }}</p>"


class SuspectReview:
    """A grid of the suspects, and the chosen one's card.

    suspects: COLUMNS, as stage 02's suspect_labels.csv. photos: image_id, path, dish_id, split,
    group_id. names: {dish_id: name}. features: image_id (N,) and feature (N, D) of unit length, or
    None; with them the card shows the nearest training photos, and a press on one chooses its dish.
    Raises `RecordError` for a missing column.
    """

    def __init__(
        self,
        suspects: pd.DataFrame,
        photos: pd.DataFrame,
        names: DishNames,
        image_root: AnyPath,
        decisions_file: AnyPath,
        *,
        features: Mapping[str, np.ndarray] | None = None,
        language: str = "en",
    ):
        records.require_columns(suspects, COLUMNS, "the suspect labels")
        self.words = Words(language)
        self.book = PhotoBook(photos, image_root)
        self.marks = PhotoMarks(photos, names, decisions_file)
        self.training_photos = NearestPhotos(features, photos, names)
        self.rows = suspects.drop_duplicates("image_id").to_dict("records")
        self.shown = min(SUSPECTS_AT_ONCE, len(self.rows))
        self.chosen = ""
        self.card: MarkCard | None = None
        self.buttons: dict[str, widgets.Button] = {}
        self._build()
        self._draw_grid()

    def show(self) -> widgets.VBox:
        """The widget, to stand as a cell's last line."""
        return self.box

    @property
    def open(self) -> list[str]:
        """The image_ids of the suspects that nobody has decided about, in their order."""
        decided = {row["image_id"] for row in self.rows if self.marks.latest(row["image_id"])}
        return [row["image_id"] for row in self.rows if row["image_id"] not in decided]

    def select(self, image_id: str) -> None:
        """Shows a suspect in full. KeyError for a photo that is none."""
        row = next((row for row in self.rows if row["image_id"] == image_id), None)
        if row is None:
            raise KeyError(f"photo {image_id} is not among the suspects")
        self.chosen = image_id
        self.card = self._card(row)
        self.detail.children = [self.card.box]
        self._refresh()

    def mark(
        self, decision: str, note: str = "", right_dish: str = "", with_twins: bool = False
    ) -> dict[str, str]:
        """Writes a decision about the photo shown, goes on to the next undecided one and returns
        the row. ValueError for an unknown decision, or while no photo is shown.
        """
        if not self.chosen:
            raise ValueError("choose a photo first")
        written = self.marks.add(self.chosen, decision, right_dish, with_twins, note=note)
        self._said(written)
        self._go_on()
        return written

    def take_back(self) -> dict[str, str]:
        """Writes that the photo shown counts as undecided, and returns the row."""
        if not self.chosen:
            raise ValueError("choose a photo first")
        written = self.marks.take_back(self.chosen)
        self._said(written)
        self._refresh()
        return written

    def _go_on(self) -> None:
        """Shows the next suspect that nobody has decided about; the last one stays."""
        order = [row["image_id"] for row in self.rows]
        place = order.index(self.chosen)
        still_open = set(self.open)
        following = [*order[place + 1 :], *order[:place]]
        left = [image_id for image_id in following if image_id in still_open]
        if not left:
            self._refresh()
            return
        if order.index(left[0]) >= self.shown:
            self._show_more()
        self.select(left[0])

    def _said(self, row: Mapping[str, str]) -> None:
        decision = row["decision"]
        said = self.words(decision) if decision in PHOTO_DECISIONS else self.words("taken back")
        right = row["right_dish"]
        dish = f" → {self.marks.called(right)}" if right else ""
        when = self.words("it counts when stage 01 is run again")
        where = f"{self.words('written to')} {self.marks.decisions.path}"
        text = f"{where}: {row['path']}: {said}{dish}. {when}"
        self.status.value = str(pages.snippet(RIGHT, text=text))

    def _build(self) -> None:
        self.summary = html()
        self.status = html()
        self.detail = widgets.VBox([])
        columns = widgets.Layout(
            grid_template_columns="repeat(auto-fill, minmax(230px, 1fr))",
            grid_gap="10px",
            width="100%",
        )
        self.grid = widgets.GridBox([], layout=columns).add_class("dishvl-pairs")
        self.more = button(self.words("more photos"))
        self.more.on_click(lambda _: self._show_more())
        keys = widgets.Output()
        keys.append_display_data(Javascript(str(pages.static("keys.js"))))
        style = html(pages.style("cards.css"))
        parts = [style, keys, self.summary, self.grid, self.more, self.status, self.detail]
        self.box = widgets.VBox(parts).add_class("dishvl-browser")

    def _show_more(self) -> None:
        self.shown = min(self.shown + SUSPECTS_AT_ONCE, len(self.rows))
        self._draw_grid()

    def _draw_grid(self) -> None:
        self.buttons = {}
        self.grid.children = [self._cell(row) for row in self.rows[: self.shown]]
        self._refresh()

    def _refresh(self) -> None:
        """What has been decided, said everywhere."""
        still_open = set(self.open)
        decided = len(self.rows) - len(still_open)
        title = self.words("photos that lie among another dish")
        text = f"{title}: {len(self.rows)} · {self.words('decided')}: {decided}"
        self.summary.value = str(pages.snippet(SUMMARY, text=text))
        for row in self.rows[: self.shown]:
            image_id = row["image_id"]
            done = "" if image_id in still_open else "✓ "
            self.buttons[image_id].description = f"{done}{self._label(row)}"
            is_chosen = image_id == self.chosen
            self.buttons[image_id].button_style = "info" if is_chosen else ""
        self.more.description = f"{self.words('more photos')} ({self.shown} / {len(self.rows)})"
        self.more.layout.display = None if self.shown < len(self.rows) else "none"
        if self.card:
            self.card.refresh()

    def _label(self, row: RecordView) -> str:
        label = shorten(self.marks.called(row["dish_id"]), NAME_COLUMNS)
        looks_like = shorten(self.marks.called(row["looks_like"]), NAME_COLUMNS)
        return f"{label}? {looks_like}  {row['votes']}/{row['of']}"

    def _cell(self, row: RecordView) -> widgets.VBox:
        """A suspect in the grid: its photo, one of the dish it lies among, and its button."""
        image_id = row["image_id"]
        suspect = pages.embedded(self.book.path(image_id), SUSPECT_PHOTO)
        example = pages.embedded(self.book.example(row["looks_like"]), SUSPECT_PHOTO)
        photos = pages.render("browser_pair.html.j2", truth=suspect, answer=example)
        choose = button(self._label(row), tooltip=row["path"])
        choose.on_click(lambda _: self.select(image_id))
        self.buttons[image_id] = choose
        return widgets.VBox([html(photos), choose]).add_class("dishvl-pair")

    def _card(self, row: RecordView) -> MarkCard:
        image_id = row["image_id"]
        near = self.training_photos.nearest([image_id]).get(image_id, [])
        near_dishes = [self.book.dish_by_id.get(neighbour.image_id, "") for neighbour in near]
        suggested = [row["looks_like"], *near_dishes]
        card = self._card_html(row, cards.neighbour_photos(near, self.book))
        return MarkCard(
            image_id, card, self.marks, self.words, suggested, self.mark, self.take_back
        )

    def _card_html(self, row: RecordView, neighbours: list[cards.NeighbourPhoto]) -> Markup:
        sides = [
            (self.marks.called(dish_id), cards.photo_strip(self.book, dish_id))
            for dish_id in (row["dish_id"], row["looks_like"])
        ]
        return pages.render(
            "suspect_card.html.j2",
            words=self.words,
            photo=pages.embedded(self.book.path(row["image_id"]), cards.LARGE),
            path=row["path"],
            label=self.marks.called(row["dish_id"]),
            looks_like=self.marks.called(row["looks_like"]),
            votes=f"{row['votes']} / {row['of']}",
            neighbours=neighbours,
            sides=sides,
        )
