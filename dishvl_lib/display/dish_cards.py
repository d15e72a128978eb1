"""A dish of dishes.jsonl as HTML: its photos, what everybody calls it, and its card beside another
dish's. Everything is escaped.
"""

from collections.abc import Mapping
from typing import Any

from dishvl_lib.display.cards import escape, strip_html
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.words import Words

PHOTOS = 4
SEPARATOR = "、"


def dish_html(
    dish: Mapping[str, Any],
    other: Mapping[str, Any] | None,
    book: PhotoBook,
    words: Words,
    evidence: str = "",
) -> str:
    """`dish` in full; fields of its card that differ from `other`'s are marked. Photos that the
    evidence names come first, framed.
    """
    asked = [
        image_id
        for image_id in book.ids_by_dish.get(dish["dish_id"], ())
        if str(book.path_by_id[image_id]) in evidence
    ]
    head = (
        f"<h3>{escape(dish['name'])} <span class=faint>{escape(dish['dish_id'])} · "
        f"{dish['n_images']} {escape(words('photos'))}</span></h3>"
    )
    return (
        f"{head}<div "
        f"class=strip>{strip_html(book, dish['dish_id'], asked[:PHOTOS], PHOTOS)}</div>{_names(dish, words)}{_card(dish, other, words)}"
    )


def _names(dish: Mapping[str, Any], words: Words) -> str:
    rows = [
        (words("folders"), ", ".join(dish["folders"])),
        (words("called by"), words.known(dish["name_source"])),
    ]
    rows += [(row["annotator"], _said(row)) for row in dish["source"]] + [
        (words("also called"), SEPARATOR.join(dish["aliases"]))
    ]
    return _table([(key, value, False) for key, value in rows if value])


def _said(row: Mapping[str, Any]) -> str:
    votes = (
        ", ".join(f"{name} {count}" for name, count in row["votes"].items())
        if len(row["votes"]) > 1
        else ""
    )
    return "; ".join(text for text in (row["name"], votes, *row["problems"]) if text)


def _card(dish: Mapping[str, Any], other: Mapping[str, Any] | None, words: Words) -> str:
    if not dish["card"]:
        return f"<p class=faint>{escape(words('no card'))}</p>"
    beside = (other or {}).get("card")
    rows = [
        (words.known(key), shown(value), bool(beside) and shown(value) != shown(beside.get(key)))
        for key, value in dish["card"].items()
    ]
    return _table([row for row in rows if row[1] or row[2]])


def shown(value: Any) -> str:
    """A card's value as text; lists joined by 、."""
    return (
        SEPARATOR.join(map(str, value))
        if isinstance(value, (list, tuple))
        else ""
        if value is None
        else str(value)
    )


def _table(rows: list[tuple[str, str, bool]]) -> str:
    lines = [
        f"<tr{' class=differs' if marked else ''}><td>{escape(key)}</td><td>{escape(value)}</td></tr>"
        for key, value, marked in rows
    ]
    return f"<table class=facts>{''.join(lines)}</table>"
