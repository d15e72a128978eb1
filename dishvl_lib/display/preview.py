"""A look at single questions before training: the photo, what the model reads, and in colour what
it learns to say.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.display import cards, html
from dishvl_lib.display.cards import escape
from dishvl_lib.display.style import CARD_CSS
from dishvl_lib.display.words import Words

Pieces = Sequence[tuple[str, bool]]
SPECIAL = re.compile(r"<\|\w+\|>( x \d+)?")
# In the spans themselves: JupyterLab takes style sheets out of notebooks that somebody else ran.
# Two greens tell tokens apart.
SPECIAL_STYLE = "color:#999999"
SUPERVISED_STYLES = ("background-color:#bfe5c8", "background-color:#e0f3e4")
PREVIEW_CSS = """
.dishvl .preview{display:grid;gap:12px}.dishvl .preview .card{display:flex;gap:14px;align-items:flex-start}
.dishvl .preview .card>img,.dishvl .preview .card>.nophoto{width:200px;flex:none}.dishvl .preview .card>div{min-width:0}
.dishvl .preview p{overflow-wrap:anywhere}.dishvl .preview .prompt{white-space:pre-wrap;font-family:monospace;width:fit-content;max-width:100%;box-sizing:border-box;margin:6px 0}
""".strip()
TITLE = {"en": "What the model reads and what it learns", "zh": "模型读到什么、学习什么"}
LEGEND = {
    "en": ("special tokens", "supervised tokens", "a line break"),
    "zh": ("特殊 token", "参与训练的 token", "换行"),
}


class Preview:
    """`html`: a page that works offline, for preview.html. Jupyter shows the same cards by itself."""

    def __init__(self, body: str, words: Words):
        self.html = html.page(TITLE[words.language], f"<style>{PREVIEW_CSS}</style>{body}", words)
        self._body = f"<div class=dishvl><style>{CARD_CSS}{PREVIEW_CSS}</style>{body}</div>"

    def _repr_html_(self) -> str:
        return self._body


def preview_html(
    rows: Sequence[Mapping[str, Any]],
    pieces: Sequence[Pieces],
    photos: pd.DataFrame,
    image_root: str | Path,
    *,
    language: str = "en",
) -> Preview:
    """The rows as cards, one under the other: photo, id, kind, split, answer and all tokens,
    special ones grey, supervised ones green.

    pieces: of each row [(text, supervised)], as `vlm.token_preview.of_rows` gives them. photos: image_id,
    split of the catalogue, which says in what split a row's photo is. Raises ValueError when there
    are not as many pieces as rows.
    """
    if len(rows) != len(pieces):
        raise ValueError(
            f"{len(rows)} rows need as many lists of pieces, got {len(pieces)}; make both "
            "from the same rows"
        )
    words = Words(language)
    splits = dict(zip(photos["image_id"], photos["split"], strict=True))
    made = [
        _card(row, part, splits.get(row["image_id"], ""), Path(image_root), words)
        for row, part in zip(rows, pieces, strict=True)
    ]
    return Preview(f"{_legend(language)}<div class=preview>{''.join(made)}</div>", words)


def _card(
    row: Mapping[str, Any], pieces: Pieces, split: str, image_root: Path, words: Words
) -> str:
    photo = cards.photo_html(image_root / row["image"], cards.LARGE) if row.get("image") else ""
    where = " · ".join(escape(part) for part in (row["id"], row["kind"], split) if part)
    answer = f"<p>{escape(words('answer'))}: <b>{escape(row['conversations'][1]['value'])}</b></p>"
    return (
        f"<div class=card>{photo}<div><p class=faint>{where}</p>{answer}<pre "
        f"class=prompt>{tokens_html(pieces)}</pre></div></div>"
    )


def tokens_html(pieces: Pieces) -> str:
    """The pieces in a row; line breaks are shown as ↵ and made."""
    shown = []
    supervised_before = 0
    for text, supervised in pieces:
        styles = [SPECIAL_STYLE] if SPECIAL.fullmatch(text) else []
        if supervised:
            styles.append(SUPERVISED_STYLES[supervised_before % 2])
            supervised_before += 1
        inside = escape(text).replace("\n", "↵\n")
        shown.append(f'<span style="{";".join(styles)}">{inside}</span>' if styles else inside)
    return "".join(shown)


def _legend(language: str) -> str:
    special, supervised, line_break = LEGEND[language]
    green = f'<span style="{SUPERVISED_STYLES[0]}">{escape(supervised)}</span>'
    return (
        f'<p class=faint><span style="{SPECIAL_STYLE}">&lt;|…|&gt;</span> {escape(special)} · '
        f"{green} · ↵ {escape(line_break)}</p>"
    )
