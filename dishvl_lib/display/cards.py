"""Cards as HTML under static/cards.css: a question with its answer, a dish of dishes.jsonl, and the
page of what should be looked at before a dish is added to a gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from dishvl_lib.core import questions
from dishvl_lib.core.photo_book import Neighbour, PhotoBook
from dishvl_lib.core.types import RecordView
from dishvl_lib.display import pages
from dishvl_lib.display.words import Words, missing, shorten

# pixels: photos of a dish, the photo of a question, the photos near it
THUMBNAIL = 150
LARGE = 300
NEAR = 96
BAR_WIDTH = 100  # CSS pixels of a probability of 1
PHOTOS_OF_DISH = 4
SEPARATOR = "、"
Fact = tuple[str, str, bool]  # its name, its value, whether it is marked
STRIP = "{% import 'parts.html.j2' as parts %}{{ parts.strip(photos, n_asked) }}"
DOUBTS_TITLE = "Before {name} is added / 添加 {name} 之前请看"


@dataclass(frozen=True)
class Score:
    """An entry with its probability, and how wide its bar is."""

    entry: str
    probability: float
    width: int
    is_truth: bool


@dataclass(frozen=True)
class NeighbourPhoto:
    """A training photo near a question's photo, as the card shows it. Where a press on it chooses
    its dish, `dish_id` says which.
    """

    photo: pages.EmbeddedPhoto
    name: str
    short_name: str
    cosine: float
    dish_id: str


class DoubtRow(NamedTuple):
    """A sentence, small JPEGs of the given photos, and the dish in the gallery with its JPEG or
    None.
    """

    sentence: str
    pictures: Sequence[bytes]
    dish: str
    dish_picture: bytes | None


def answer_card(
    row: RecordView,
    book: PhotoBook | None,
    words: Words,
    neighbours: Sequence[Neighbour] = (),
) -> Markup:
    """One question in full: photo, prompt, truth, answer, scores, and the training photos that lie
    nearest to its photo, the truth's in green.

    row: of the predictions. book: None when there are no photos to show.
    """
    photo = None
    beside: list[Any] = []
    if book:
        photo = pages.embedded(book.path(row["image_id"]), LARGE)
        beside = neighbour_photos(neighbours, book)
    removed = row.get("removed")
    return pages.render(
        "answer_card.html.j2",
        row=row,
        words=words,
        photo=photo,
        prompt=_prompt(row.get("prompt")),
        answer=words.answer(row.get("answer")),
        removed="" if missing(removed) else removed,
        is_right=row.get("correct") == 1,
        scores=_scores(row.get("scores"), row["truth"]),
        neighbours=beside,
    )


def _prompt(prompt: object) -> str:
    """What was asked; the place of the photo in it says nothing to a person."""
    if missing(prompt):
        return ""
    return str(prompt).removeprefix(questions.IMAGE_MARK).strip()


def _scores(scores: Any, truth: str) -> list[Score]:
    """The bars of [[entry, probability]]; a question without scores has none."""
    if missing(scores):
        return []
    bars = []
    for entry, probability in scores:
        share = max(0.0, min(1.0, float(probability)))
        width = round(BAR_WIDTH * share)
        bars.append(Score(entry, float(probability), width, entry == truth))
    return bars


def neighbour_photos(neighbours: Sequence[Neighbour], book: PhotoBook) -> list[NeighbourPhoto]:
    """The photos near another one, for a card."""
    shown = []
    for neighbour in neighbours:
        photo = pages.embedded(book.path(neighbour.image_id), NEAR)
        name = neighbour.name
        dish_id = book.dish_by_id.get(neighbour.image_id, "")
        short_name = shorten(name, 20)
        shown.append(NeighbourPhoto(photo, name, short_name, neighbour.cosine, dish_id))
    return shown


def photo_strip(book: PhotoBook, dish_id: str, count: int = 3) -> Markup:
    """`count` photos of a dish side by side."""
    return pages.snippet(STRIP, photos=dish_photos(book, dish_id, count), n_asked=0)


def dish_photos(
    book: PhotoBook, dish_id: str, count: int, first: Sequence[str] = ()
) -> list[pages.EmbeddedPhoto]:
    """Up to `count` photos of a dish for a page, those that were asked about first."""
    return [pages.embedded(path, THUMBNAIL) for path in book.examples(dish_id, count, first)]


def dish_card(
    dish: RecordView,
    other: RecordView | None,
    book: PhotoBook,
    words: Words,
    evidence: str = "",
) -> Markup:
    """A dish of dishes.jsonl: its photos, what everybody calls it, and its card; fields of the card
    that differ from `other`'s are marked. Photos that the evidence names come first, framed.
    """
    evidence_photos = book.named_in(evidence, dish["dish_id"])[:PHOTOS_OF_DISH]
    return pages.render(
        "dish_card.html.j2",
        dish=dish,
        words=words,
        photos=dish_photos(book, dish["dish_id"], PHOTOS_OF_DISH, evidence_photos),
        n_asked=len(evidence_photos),
        names=_names(dish, words),
        fields=_fields(dish["card"] or {}, (other or {}).get("card"), words),
    )


def _names(dish: RecordView, words: Words) -> list[Fact]:
    """Who calls the dish what, as far as anybody said something."""
    answers = [(row["annotator"], _answer(row)) for row in dish["source"]]
    rows = [
        (words("folders"), ", ".join(dish["folders"])),
        (words("called by"), words.known(dish["name_source"])),
        *answers,
        (words("also called"), SEPARATOR.join(dish["aliases"])),
    ]
    return [(name, value, False) for name, value in rows if value]


def _answer(row: RecordView) -> str:
    """An annotator's name for a dish, the votes of its photos where they differ, and problems."""
    votes = [f"{name} {count}" for name, count in row["votes"].items()]
    differing = ", ".join(votes) if len(votes) > 1 else ""
    parts = [row["name"], differing, *row["problems"]]
    return "; ".join(part for part in parts if part)


def _fields(card: RecordView, other: RecordView | None, words: Words) -> list[Fact]:
    """The fields of a card; one that the other card fills and this one leaves blank is there
    too.
    """
    facts = []
    for key, value in card.items():
        text = as_text(value)
        other_text = as_text(other.get(key)) if other else text
        differs = text != other_text
        if text or differs:
            facts.append((words.known(key), text, differs))
    return facts


def as_text(value: object) -> str:
    """A card's value as text; lists joined by 、."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return SEPARATOR.join(map(str, value))
    return str(value)


def doubts_page(name: str, rows: Sequence[DoubtRow]) -> str:
    """What should be looked at before a dish is added, its photos beside the dish in question, as a
    page that works offline.
    """
    shown = []
    for row in rows:
        there = pages.data_source(row.dish_picture) if row.dish_picture else ""
        pictures = [pages.data_source(picture) for picture in row.pictures]
        shown.append({**row._asdict(), "pictures": pictures, "dish_picture": there})
    return pages.page(
        "dish_doubts.html.j2",
        title=DOUBTS_TITLE.format(name=name),
        words=Words("en"),
        styles=("page.css", "cards.css"),
        name=name,
        rows=shown,
    )
