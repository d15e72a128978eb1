"""The evaluation report, 05's report.html: one page that works offline, with every photo inside
it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.types import AnyPath, DishNames
from dishvl_lib.display import cards, pages
from dishvl_lib.display.cluster_matrix import Clusters
from dishvl_lib.display.photo_book import PhotoBook
from dishvl_lib.display.report_pairs import PairsPage
from dishvl_lib.display.words import HOW_TO_READ, Words, is_share, missing, percent

STYLES = ("page.css", "cards.css", "cluster_matrix.css")
MOST_UNKNOWN = 5000
MOST_ROWS = 30
N_ANSWERS = 3
ACCURACY_HEADS = (
    "protocol",
    "predictor",
    "correct",
    "accuracy",
    "interval",
    "chance",
    "majority",
    "menu size",
    "off menu",
    "no answer",
    "failed",
    "lost",
    "near training",
    "per dish",
    "normalised",
)
COMPARISON_HEADS = (
    "protocol",
    "predictor",
    "same questions",
    "difference",
    "only reference right",
    "only predictor right",
)
UNKNOWN_HEADS = ("truth", "answer", "count", "the truth but for punctuation")


@dataclass(frozen=True)
class Table:
    """A table of the page under its heading; a note stands with it."""

    heading: str
    heads: list[str]
    rows: list[list[str]]
    note: str = ""


def report(
    path: AnyPath,
    *,
    title: str,
    facts: Mapping[str, object] | None = None,
    table: pd.DataFrame | None = None,
    comparison: pd.DataFrame | None = None,
    figures: Mapping[str, Figure | AnyPath] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    not_dishes: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    photos: pd.DataFrame | None = None,
    names: DishNames | None = None,
    image_root: AnyPath | None = None,
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
    book = _photo_book(photos, image_root)
    main = (predictor, protocol)
    accuracies = [accuracy_table(table, words), comparison_table(comparison, predictor, words)]
    tables = tables or {}
    facts = facts or {}
    names = names or {}
    others = [any_table(heading, rows, words) for heading, rows in tables.items()]
    confusions = Markup("")
    if predictions is not None and not predictions.empty:
        questions = confused_pairs.countable(predictions, names)
        groups = Clusters(clusters, names)
        pairs = PairsPage(questions, main, names, groups, similar, book, words, top)
        confusions = pairs.html()
    text = pages.page(
        "report.html.j2",
        title=title,
        words=words,
        styles=STYLES,
        script="filters.js",
        facts=[(words.known(name), text, False) for name, text in facts.items()],
        notes=notes,
        accuracies=[part for part in accuracies if part],
        figures=_figures(figures or {}, words),
        tables=[part for part in others if part],
        confusions=confusions,
        unknown=unknown_answers(not_dishes, " · ".join(main), words),
        answers=_best_and_worst(predictions, predictor, book, words),
        settings=_settings({"costs": costs, "parameters": parameters}, words),
        command=command,
    )
    records.write_text(path, text)
    return Path(path)


def _photo_book(photos: pd.DataFrame | None, image_root: AnyPath | None) -> PhotoBook | None:
    if photos is None:
        return None
    if image_root is None:
        raise ValueError(
            "a report with photos needs image_root, the folder their paths are relative to"
        )
    return PhotoBook(photos, image_root)


def _figures(figures: Mapping[str, Figure | AnyPath], words: Words) -> list[tuple[str, str]]:
    sources = []
    for heading, figure in figures.items():
        known = words.known(heading)
        source = pages.figure_source(figure)
        sources.append((known, source))
    return sources


def accuracy_table(table: pd.DataFrame | None, words: Words) -> Table | None:
    """n, correct, accuracy with its interval, chance and majority beside, a protocol's rows
    together; None without a table.
    """
    if table is None:
        return None
    ordered = table.sort_values("protocol", kind="stable", key=_first_seen)
    return Table(
        heading=words("accuracy"),
        heads=[words(head) for head in ACCURACY_HEADS],
        rows=[_accuracy_row(row) for row in ordered.to_dict("records")],
        note=HOW_TO_READ[words.language],
    )


def _first_seen(values: pd.Series) -> pd.Series:
    numbers, _ = pd.factorize(values)
    return pd.Series(numbers, index=values.index)


def _accuracy_row(row: Mapping[Any, Any]) -> list[str]:
    """The cells under ACCURACY_HEADS."""
    return [
        row["protocol"],
        row["predictor"],
        f"{row['correct']} / {row['n']}",
        percent(row["accuracy"]),
        _interval(row["ci_low"], row["ci_high"]),
        percent(row["chance"]),
        percent(row.get("majority")),
        _menu_size(row.get("menu_size")),
        percent(row.get("off_menu")),
        _text(row.get("no_answer")),
        _text(row.get("failed")),
        _text(row.get("lost")),
        _text(row.get("near_training")),
        _per_dish(row),
        percent(row.get("accuracy_normalised")),
    ]


def _text(value: object) -> str:
    return "" if missing(value) else str(value)


def _interval(low: object, high: object) -> str:
    return f"[{percent(low)}, {percent(high)}]"


def _menu_size(size: object) -> str:
    return "" if missing(size) else f"{size:.1f}".removesuffix(".0")


def _per_dish(row: Mapping[Any, Any]) -> str:
    if missing(row.get("macro_accuracy")):
        return ""
    interval = _interval(row["macro_ci_low"], row["macro_ci_high"])
    return f"{percent(row['macro_accuracy'])} {interval}"


def comparison_table(comparison: pd.DataFrame | None, predictor: str, words: Words) -> Table | None:
    """Every other predictor on the questions that it shares with `predictor`; None without rows."""
    if comparison is None or comparison.empty:
        return None
    rows = [
        [
            row.protocol,
            row.predictor,
            str(row.n),
            f"{100 * row.difference:+.1f}%",
            str(row.only_reference),
            str(row.only_predictor),
            f"{row.p:.2g}",
        ]
        for row in comparison.itertuples()
    ]
    heads = [words(head) for head in COMPARISON_HEADS]
    return Table(f"{words('compared with')}: {predictor}", [*heads, "McNemar p"], rows)


def any_table(heading: str, frame: pd.DataFrame, words: Words) -> Table | None:
    """The first MOST_ROWS rows of any table; shares as percentages, other numbers short; None
    without rows.
    """
    if frame.empty:
        return None
    shown = frame.head(MOST_ROWS)
    heads = [words.known(str(name).replace("_", " ")) for name in frame.columns]
    rows = [_cells(row) for row in shown.to_dict("records")]
    how_many = _of_how_many(shown, frame, words)
    return Table(words.known(heading) + how_many, heads, rows)


def _cells(row: Mapping[Any, object]) -> list[str]:
    return [as_cell(str(name), value) for name, value in row.items()]


def as_cell(name: str, value: object) -> str:
    """A value as the tables show it; the name of its column says whether it is a share."""
    if missing(value):
        return ""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(as_cell(name, entry) for entry in value)}]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return percent(value) if is_share(name) else f"{value:.4g}"


def _of_how_many(shown: pd.DataFrame, table: pd.DataFrame, words: Words) -> str:
    """`: 30 of 31` for a heading; '' when all is shown."""
    if len(shown) == len(table):
        return ""
    return f": {len(shown)} {words('of')} {len(table)}"


def unknown_answers(table: pd.DataFrame | None, whose: str, words: Words) -> Table | None:
    """The answers that are no dish's name, as they were given; None when nobody looked for them."""
    if table is None:
        return None
    shown = table.head(MOST_UNKNOWN)
    rows = [
        [row.truth, row.answer, str(row.n), "✓" if row.equal_normalised else ""]
        for row in shown.itertuples()
    ]
    return Table(
        heading=words("answers that are no dish's name") + _of_how_many(shown, table, words),
        heads=[words(head) for head in UNKNOWN_HEADS],
        rows=rows,
        note=f"{whose}: {len(table)}",
    )


def _best_and_worst(
    predictions: pd.DataFrame | None, predictor: str, book: PhotoBook | None, words: Words
) -> list[tuple[str, list[Markup]]]:
    """The surest right answers of a predictor, and the surest wrong ones."""
    if predictions is None:
        return []
    rows = predictions[predictions["predictor"] == predictor]
    if rows.empty:
        return []
    scores = rows["scores"] if "scores" in rows else pd.Series(None, index=rows.index)
    ranked = rows.assign(_sureness=[_sureness(entries) for entries in scores])
    ranked = ranked.sort_values("_sureness", ascending=False, kind="stable")
    is_correct = ranked["correct"].eq(True)
    return [
        (words("best answers"), _answer_cards(ranked[is_correct], book, words)),
        (words("worst answers"), _answer_cards(ranked[~is_correct], book, words)),
    ]


def _sureness(scores: Any) -> float:
    """The probability of the best entry; -1 without scores."""
    if missing(scores) or len(scores) == 0:
        return -1.0
    _, probability = scores[0]
    return float(probability)


def _answer_cards(rows: pd.DataFrame, book: PhotoBook | None, words: Words) -> list[Markup]:
    """The first cards, of different dishes while there are any."""
    repeated = rows.duplicated("truth")
    varied = pd.concat([rows[~repeated], rows[repeated]]).head(N_ANSWERS)
    return [cards.answer_card(row, book, words) for row in varied.to_dict("records")]


def _settings(
    groups: Mapping[str, Mapping[str, object] | None], words: Words
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Costs and parameters as JSON, under their headings."""
    settings = []
    for heading, values in groups.items():
        rows = []
        for key, value in (values or {}).items():
            rows.append((key, json.dumps(value, ensure_ascii=False, default=str)))
        if rows:
            settings.append((words(heading), rows))
    return settings
