"""What an annotator is asked about one dish, and what its answers come to: photos, requests, the
vote on the name.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.annotation.cards import (
    PROMPT_VERSION,
    DishCard,
    DishTexts,
    card_messages,
    card_prompt,
    texts_messages,
)
from dishvl_lib.core import artefacts, images, names
from dishvl_lib.endpoints.asking import Answer
from dishvl_lib.endpoints.requests import Request

LONGEST_SIDE = 768  # pixels of a photo that is sent


@dataclass(frozen=True)
class Vote:
    """The outcome for one dish: {cleaned name: number of photos}, the name that won ('' when
    nothing is known) and its card.
    """

    votes: dict[str, int]
    name: str
    card: DishCard | None


def choose_photos(photos: pd.DataFrame, per_dish: int) -> pd.DataFrame:
    """The photos to send, sorted by dish, the most typical first, whatever their split; outside
    sites are left out.

    `photos`: the catalogue with dish_id, split, typical. The split does not matter on purpose: it
    shifts a little when people leave a photo out, and a dish would be paid for again.
    """
    at_home = photos[~artefacts.at_site(photos.split)]
    return at_home.sort_values(["dish_id", "typical", "image_id"]).groupby("dish_id").head(per_dish)


def card_request(photo: Any, image_root: Path) -> Request:
    """The request for a card. `photo`: a catalogue row; its file is opened only when the request is
    sent.
    """
    identity = {
        "prompt_version": PROMPT_VERSION,
        "prompt": card_prompt(photo.folder),
        "photo": photo.sha256,
        "longest_side": LONGEST_SIDE,
    }
    return Request(
        photo.image_id,
        identity,
        lambda: card_messages(photo.folder, _data_url(image_root / photo.path, photo.sha256)),
        DishCard,
    )


def texts_request(dish_id: str, card: DishCard) -> Request:
    """The request for introduction and recipe."""
    messages = texts_messages(card)
    return Request(
        dish_id,
        {"prompt_version": PROMPT_VERSION, "messages": messages},
        lambda: messages,
        DishTexts,
    )


def vote(answers: Sequence[Answer]) -> Vote:
    """One dish's card answers, in the order of its photos. Of names with equally many photos the
    one that came first wins.

    A card that `tells` nothing does not count.
    """
    cards = [answer.value for answer in answers if answer.value and tells(answer.value)]
    votes = Counter(names.clean(card.name) for card in cards)
    del votes[""]
    winner = votes.most_common(1)[0][0] if votes else ""
    card = next((card for card in cards if names.clean(card.name) == winner), None)
    return Vote(dict(votes), winner, card)


def tells(card: DishCard) -> bool:
    """Whether a card says anything: a name is enough, where it is a dish's."""
    return not card.only_name or not names.not_a_dish(card.name)


def _data_url(path: Path, sha256: str) -> str:
    """The photo as a data URL; what is sent is what was catalogued. Raises `ImageError` (a
    ValueError) otherwise.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise images.ImageError("missing", f"{path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise images.ImageError(
            "changed", f"{path} is not the photo that was catalogued; make the catalogue again"
        )
    small = images.jpeg_bytes(
        images.load_rgb(content, draft_size=(LONGEST_SIDE, LONGEST_SIDE)), LONGEST_SIDE
    )
    return "data:image/jpeg;base64," + base64.b64encode(small).decode()
