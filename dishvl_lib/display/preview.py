"""A look at single questions before training, 03's preview.html: the photo, what the model reads,
and in colour what it learns to say.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from dishvl_lib.core import artefacts
from dishvl_lib.core.types import AnyPath, RecordView, RecordViews
from dishvl_lib.display import pages
from dishvl_lib.display.cards import LARGE
from dishvl_lib.display.words import Words

Pieces = Sequence[tuple[str, bool]]
SPECIAL = re.compile(r"<\|\w+\|>( x \d+)?")
# In the spans themselves: JupyterLab takes style sheets out of notebooks that somebody else ran.
# Two greens tell tokens apart.
SPECIAL_STYLE = "color:#999999"
SUPERVISED_STYLES = ("background-color:#bfe5c8", "background-color:#e0f3e4")
STYLES = ("cards.css", "preview.css")
SPAN = '<span style="{{ style }}">{{ text }}</span>'
TITLE = {"en": "What the model reads and what it learns", "zh": "模型读到什么、学习什么"}
LEGEND = {
    "en": {
        "special": "special tokens",
        "supervised": "supervised tokens",
        "line_break": "a line break",
    },
    "zh": {
        "special": "特殊 token",
        "supervised": "参与训练的 token",
        "line_break": "换行",
    },
}


@dataclass(frozen=True)
class PreviewCard:
    """A question as the template shows it."""

    photo: pages.EmbeddedPhoto | None
    heading: str  # of the cards from this one on; '' where the ones before go on
    where: str
    answer: str
    tokens: Markup


class Preview:
    """`html`: a page that works offline, for preview.html. Jupyter shows the same cards by
    itself.
    """

    def __init__(self, cards: Markup, words: Words):
        self.html = pages.page(
            "preview.html.j2",
            title=TITLE[words.language],
            words=words,
            styles=("page.css", *STYLES),
            cards=cards,
        )
        self._cards = pages.snippet(
            "<div class=dishvl>{{ style }}{{ cards }}</div>",
            style=pages.style(*STYLES),
            cards=cards,
        )

    def _repr_html_(self) -> str:
        return str(self._cards)


def preview_html(
    rows: RecordViews,
    pieces: Sequence[Pieces],
    photos: pd.DataFrame,
    image_root: AnyPath,
    *,
    language: str = "en",
    by_kind: bool = False,
) -> Preview:
    """The rows as cards, one under the other: photo, id, kind, split, answer and all tokens,
    special ones grey, supervised ones green. by_kind: rows of a kind stand together, and each kind
    gets a heading.

    pieces: of each row [(text, supervised)], as `vlm.token_preview.of_rows` gives them. photos:
    image_id, split of the catalogue, which says in what split a row's photo is. Raises ValueError
    when there are not as many pieces as rows.
    """
    if len(rows) != len(pieces):
        raise ValueError(
            f"{len(rows)} rows need as many lists of pieces, got {len(pieces)}; make both "
            "from the same rows"
        )
    words = Words(language)
    splits = dict(zip(photos["image_id"], photos["split"], strict=True))
    cards = []
    headed = set() if by_kind else {row["kind"] for row in rows}
    for row, row_pieces in zip(rows, pieces, strict=True):
        heading = "" if row["kind"] in headed else words.known(row["kind"])
        headed.add(row["kind"])
        split = splits.get(row["image_id"], "")
        cards.append(_card(row, row_pieces, split, Path(image_root), heading))
    shown = pages.render(
        "preview_cards.html.j2",
        words=words,
        legend=LEGEND[language],
        special_style=SPECIAL_STYLE,
        supervised_style=SUPERVISED_STYLES[0],
        cards=cards,
    )
    return Preview(shown, words)


def _card(
    row: RecordView, pieces: Pieces, split: str, image_root: Path, heading: str
) -> PreviewCard:
    """A question about no photo has none."""
    photo = pages.embedded(image_root / row["image"], LARGE) if row.get("image") else None
    parts = [row["id"], row["kind"], split]
    return PreviewCard(
        photo=photo,
        heading=heading,
        where=" · ".join(part for part in parts if part),
        answer=artefacts.answer_of(row),
        tokens=tokens_html(pieces),
    )


def tokens_html(pieces: Pieces) -> Markup:
    """The pieces in a row; line breaks are shown as ↵ and made."""
    tokens = []
    n_supervised = 0
    for text, is_supervised in pieces:
        styles = [SPECIAL_STYLE] if SPECIAL.fullmatch(text) else []
        if is_supervised:
            styles.append(SUPERVISED_STYLES[n_supervised % len(SUPERVISED_STYLES)])
            n_supervised += 1
        tokens.append(_token(text.replace("\n", "↵\n"), ";".join(styles)))
    return Markup("").join(tokens)


def _token(text: str, style: str) -> Markup:
    if not style:
        return pages.snippet("{{ text }}", text=text)
    return pages.snippet(SPAN, style=style, text=text)
