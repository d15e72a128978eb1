"""The evaluation report: one HTML page that works offline, with every photo inside it and every
name escaped.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dishvl_lib.core import records
from dishvl_lib.display import cards, pairs
from dishvl_lib.display.cards import answer_card, escape
from dishvl_lib.display.families import Families
from dishvl_lib.display.report_pairs import PairsPage
from dishvl_lib.display.scripts import FILTERS
from dishvl_lib.display.sheet import PhotoBook
from dishvl_lib.display.style import CARD_CSS, PAGE_CSS
from dishvl_lib.display.tables import accuracy_html, comparison_html, frame_html
from dishvl_lib.display.words import Words, missing

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
MOST_STRANGERS = 5000


def report(
    path: str | Path,
    *,
    title: str,
    facts: Mapping[str, object] | None = None,
    table: pd.DataFrame | None = None,
    comparison: pd.DataFrame | None = None,
    figures: Mapping[str, Figure | str | Path] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    not_dishes: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    photos: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
    image_root: str | Path | None = None,
    clusters: pd.DataFrame | None = None,
    similar: pd.DataFrame | None = None,
    predictor: str = "tuned",
    protocol: str = "naming",
    notes: Sequence[str] = (),
    costs: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    command: str = "",
    top: int = 12,
    language: str = "en",
) -> Path:
    """Writes the page to `path`, whole or not at all, and returns the path. A part without data is
    left out.

    facts: {heading: text}, what was trained on what. table, comparison: from
    `metrics.accuracy_table` and `metrics.compare`. figures: {heading: Figure or picture file};
    tables: {heading: rows}, shown after them. not_dishes: from `confusion`. predictions: the
    questions of every predictor, with `prompt` and `site` where they are known; their confused
    pairs are listed under filters, which open on the `top` ones of `predictor` and `protocol`; the
    best and worst answers shown are `predictor`'s. clusters (dish_id, cluster, size) and similar
    (dish_id, similar_id, rank): from stage 02. photos, names ({dish_id: name}) and image_root: the
    catalog, for thumbnails. Raises ValueError for another language than 'zh' or 'en', or when
    photos come without image_root.
    """
    words = Words(language)
    if photos is not None and image_root is None:
        raise ValueError(
            "a report with photos needs image_root, the folder their paths are relative to"
        )
    book = PhotoBook(photos, image_root) if photos is not None else None
    parts = [
        _facts(facts or {}, words),
        _list(notes),
        accuracy_html(table, words),
        comparison_html(comparison, predictor, words),
        *_figures(figures or {}, words),
    ]
    parts += [frame_html(heading, rows, words) for heading, rows in (tables or {}).items()]
    parts += [
        _confusions(
            predictions, (predictor, protocol), clusters, similar, names or {}, book, top, words
        )
    ]
    parts.append(_not_dishes(not_dishes, f"{predictor} · {protocol}", words))
    parts += _answers(predictions, predictor, book, words)
    parts += [
        _mapping(words("costs"), costs),
        _mapping(words("parameters"), parameters),
        _command(command, words),
    ]
    records.write_text(path, page(title, "".join(parts), words, FILTERS))
    return Path(path)


def _facts(facts: Mapping[str, object], words: Words) -> str:
    rows = "".join(
        f"<tr><td>{escape(words.known(name))}</td><td>{escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    return f"<table class=facts>{rows}</table>" if rows else ""


def _figures(figures: Mapping[str, Figure | str | Path], words: Words) -> list[str]:
    return [
        cards.section(
            words.known(heading), f'<img class=figure alt="" src="{cards.picture_source(figure)}">'
        )
        for heading, figure in figures.items()
    ]


def _confusions(
    predictions: pd.DataFrame | None,
    main: tuple[str, str],
    clusters: pd.DataFrame | None,
    similar: pd.DataFrame | None,
    names: Mapping[str, str],
    book: PhotoBook | None,
    top: int,
    words: Words,
) -> str:
    if predictions is None or predictions.empty:
        return ""
    return PairsPage(
        pairs.countable(predictions, names),
        main,
        names,
        Families(clusters, names),
        similar,
        book,
        words,
        top,
    ).html()


def _not_dishes(table: pd.DataFrame | None, whose: str, words: Words) -> str:
    if table is None:
        return ""
    heads = [words(head) for head in ("truth", "answer", "count", "the truth but for punctuation")]
    rows = [
        [escape(row.truth), escape(row.answer), str(row.n), "✓" if row.equal_normalised else ""]
        for row in table.head(MOST_STRANGERS).itertuples()
    ]
    body = cards.table(heads, rows) if rows else f"<p>{escape(words('no such answers'))}</p>"
    shown = f": {len(rows)} {words('of')} {len(table)}" if len(rows) < len(table) else ""
    return cards.section(
        words("answers that are no dish's name") + shown,
        f"<details open><summary>{escape(whose)}: {len(table)}</summary><div "
        f"class=long>{body}</div></details>"
        if rows
        else body,
    )


def _answers(
    predictions: pd.DataFrame | None, predictor: str, book: PhotoBook | None, words: Words
) -> list[str]:
    if predictions is None or not (predictions["predictor"] == predictor).any():
        return []
    rows = predictions[predictions["predictor"] == predictor]
    ranked = rows.assign(
        _sure=[
            _sureness(scores)
            for scores in (rows["scores"] if "scores" in rows else [None] * len(rows))
        ]
    )
    ranked = ranked.sort_values("_sure", ascending=False, kind="stable")
    correct = ranked["correct"].eq(True)
    return [
        _cards(words("best answers"), ranked[correct], book, words),
        _cards(words("worst answers"), ranked[~correct], book, words),
    ]


def _sureness(scores: object) -> float:
    return -1.0 if missing(scores) or len(scores) == 0 else float(scores[0][1])


def _cards(heading: str, rows: pd.DataFrame, book: PhotoBook | None, words: Words) -> str:
    varied = pd.concat([rows.drop_duplicates("truth"), rows[rows.duplicated("truth")]]).head(3)
    body = "".join(answer_card(row, book, words) for row in varied.to_dict("records"))
    return cards.section(
        heading,
        f"<div class=cards>{body}</div>" if body else f"<p>{escape(words('no such answers'))}</p>",
    )


def _list(notes: Sequence[str]) -> str:
    return (
        f"<ul class=notes>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"
        if len(notes)
        else ""
    )


def _mapping(heading: str, values: Mapping[str, object] | None) -> str:
    if not values:
        return ""
    rows = [
        [escape(key), f"<code>{escape(json.dumps(value, ensure_ascii=False, default=str))}</code>"]
        for key, value in values.items()
    ]
    return cards.section(
        heading, f"<details><summary>{len(rows)}</summary>{cards.table(['', ''], rows)}</details>"
    )


def _command(command: str, words: Words) -> str:
    return cards.section(words("reproduce"), f"<pre>{escape(command)}</pre>") if command else ""


def page(title: str, body: str, words: Words, script: str = "") -> str:
    """A whole HTML page that may load nothing and run nothing but `script`. `body` is HTML, `title`
    text.
    """
    language = "zh-CN" if words.language == "zh" else "en"
    policy, last = (
        (f"{POLICY}; script-src '{_digest(script)}'", f"<script>{script}</script>")
        if script
        else (POLICY, "")
    )
    head = (
        '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width">'
    )
    style = f"{PAGE_CSS}\n{CARD_CSS}"
    head += f"<title>{escape(title)}</title><style>{style}</style>"
    return (
        f'<!doctype html><html lang="{language}"><head>{head}</head><body '
        f"class=dishvl><h1>{escape(title)}</h1>{body}{last}</body></html>\n"
    )


def _digest(script: str) -> str:
    """The script's hash for the page's policy: a script that anything else brings in is not run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
