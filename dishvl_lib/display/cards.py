"""Pieces of HTML that the report and the browser share. Whatever comes from data goes through
`escape`.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dishvl_lib.core import images
from dishvl_lib.display.sheet import PhotoBook, thumbnail
from dishvl_lib.display.words import Words, missing

THUMBNAIL = 150
LARGE = 300


def escape(value: object) -> str:
    """Text for HTML, quotes included; '' for None and NaN."""
    return "" if missing(value) else html.escape(str(value), quote=True)


def photo_html(path: Path | None, side: int = THUMBNAIL) -> str:
    """An <img> with the photo's data in it, or a grey box with the reason why there is none."""
    try:
        data = base64.b64encode(images.jpeg_bytes(thumbnail(path, side), side, 82)).decode("ascii")
        return f'<img alt="" src="data:image/jpeg;base64,{data}">'
    except images.ImageError as error:
        return f'<span class="nophoto">{escape(error.reason)}</span>'


def picture_source(figure: Figure | str | Path) -> str:
    """A drawn figure or a PNG or JPEG file as the `src` of an <img>."""
    buffer = io.BytesIO()
    if isinstance(figure, Figure):
        figure.savefig(buffer, format="png", dpi=100)
    else:
        buffer.write(Path(figure).read_bytes())
    kind = "jpeg" if buffer.getvalue()[:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def strip_html(book: PhotoBook, dish_id: str, asked: Sequence[str] = (), count: int = 3) -> str:
    """`count` photos of a dish side by side: those that were asked about first, framed, then others
    of the catalog.
    """
    photos = [photo_html(path, THUMBNAIL) for path in book.examples(dish_id, count, asked)]
    return "".join(
        f"<span class=asked>{photo}</span>" if index < len(asked) else photo
        for index, photo in enumerate(photos)
    )


def scores_html(scores: object, truth: object = None) -> str:
    """Answers with their probabilities as bars, the truth marked; '' without scores. `scores`:
    [[entry, probability]].
    """
    if missing(scores) or len(scores) == 0:
        return ""
    lines = []
    for entry, share in scores:
        mark = " class=truth" if entry == truth else ""
        lines.append(
            f"<tr{mark}><td>{escape(entry)}</td><td><i "
            f"style='width:{max(0.0, min(1.0, float(share))) * 100:.0f}px'></i> "
            f"{float(share):.3f}</td></tr>"
        )
    return f"<table class=scores>{''.join(lines)}</table>"


def answer_card(
    row: Mapping, book: PhotoBook | None, words: Words, side: int = LARGE, near: str = ""
) -> str:
    """One question in full: photo, prompt, truth, answer, scores, then `near`, which is HTML. `row`
    is a row of the predictions.
    """
    photo = photo_html(book.path(row.get("image_id")), side) if book else ""
    right = "right" if row.get("correct") is True or row.get("correct") == 1 else "wrong"
    prompt = (
        ""
        if missing(row.get("prompt"))
        else f"<p class=prompt>{escape(str(row['prompt']).removeprefix('<image>').strip())}</p>"
    )
    answer = (
        f"{escape(words('answer'))}: <b class={right}>{escape(words.answer(row.get('answer')))}</b>"
    )
    facts = f"<p>{escape(words('truth'))}: <b>{escape(row['truth'])}</b><br>{answer}</p>"
    where = (
        f"<p class=faint>{escape(row.get('predictor'))} · {escape(row.get('protocol'))} · "
        f"{escape(row.get('id'))}</p>"
    )
    return (
        "<div "
        f"class=card>{photo}<div>{where}{prompt}{facts}{scores_html(row.get('scores'), row['truth'])}{near}</div></div>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "data") -> str:
    """Cells are HTML already; heads are text."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        "<div class=scroll><table "
        f"class={kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"
