"""Knowledge questions: what the dish cards, introductions and recipes say, asked of a photo or of a
name.
"""

from typing import Any

import pandas as pd

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.types import DishNames, Record, Records, RecordView, RecordViews
from dishvl_lib.dataset import conversations


def rows(
    photos: pd.DataFrame,
    split: str,
    dish_names: DishNames,
    dishes: RecordViews,
    n: int,
    *,
    with_photo: bool = True,
    trained: bool = True,
    seed: int = 0,
) -> Records:
    """`n` questions about dishes that have photos in this split, none asked twice while others are
    left.

    A question is a dish and a wording whose field the dish's card (or introduction or recipe)
    fills. with_photo: False names the dish in the question and leaves the photo out (`image` is not
    in the row, image_id is ''). dishes: rows of dishes.jsonl. Fewer than `n` when no dish has a
    card.
    """
    is_asked_about = (photos.split == split) & photos.dish_id.isin(dish_names.keys())
    part = photos[is_asked_about].sort_values("image_id")
    rng = conversations.seeded(seed, split, "knowledge", "" if trained else "unseen")
    deck = conversations.PhotoDeck(part, rng)
    dishes_of_split = set(part.dish_id)
    facts = {}
    for record in dishes:
        dish = record["dish_id"]
        if dish in dishes_of_split:
            facts[dish] = _facts(record)
    wordings = questions.templates("knowledge", trained)
    known = []
    for dish, of_dish in sorted(facts.items()):
        for wording in wordings:
            fact = of_dish.get(wording.field)
            if fact:
                known.append((dish, wording.id, fact))
    order: list[int] = []
    while known and len(order) < n:
        order += rng.permutation(len(known)).tolist()
    question_rows = []
    for place in order[:n]:
        dish, template, answer = known[place]
        photo = deck.next(dish) if with_photo else None
        question_rows.append(_row(photo, dish, dish_names[dish], template, answer))
    return conversations.numbered(question_rows, split if trained else f"{split}_unseen")


def _facts(dish: RecordView) -> dict[str, str]:
    fields = {
        **(dish["card"] or {}),
        "introduction": dish["introduction"],
        "recipe": dish["recipe"],
    }
    return {field: questions.fact(field, value) for field, value in fields.items()}


def _row(photo: Any, dish: str, name: str, template: str, answer: str) -> Record:
    human = questions.human_turn(template, dish="" if photo else name)
    image = {"image": photo.path} if photo else {}
    return {
        "id": "",
        **image,
        "conversations": artefacts.conversation(human, answer),
        "image_id": photo.image_id if photo else "",
        "dish_id": dish,
        "kind": "knowledge",
        "menu": [],
        "template": template,
    }
