"""The evaluation report, 05's report.html: one page that works offline, with every photo inside it
and every text in both languages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames
from dishvl_lib.display import cards, headline, pages
from dishvl_lib.display.cluster_matrix import Clusters
from dishvl_lib.display.report_pairs import PairsPage
from dishvl_lib.display.words import (
    HOW_TO_READ,
    BothWords,
    Text,
    Words,
    is_share,
    missing,
    percent,
    without_folders,
)

STYLES = ("page.css", "cards.css", "cluster_matrix.css")
MOST_UNKNOWN = 5000
MOST_ROWS = 30
N_ANSWERS = 3
PROTOCOLS_IN_SIGHT = 2
LANGUAGES = ("en", "zh")
IN_PAGES_FOLDER = "in this page's folder"
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
# Columns whose texts are ours, not data's.
COLUMNS_OF_WORDS = ("kind", "measure", "signal")
# Columns that are left out where they hold nothing but zeros.
OFTEN_ZERO = ("off menu", "no answer", "failed", "lost", "near training")
ZEROS = frozenset(("0", "0.0%"))
COMPARISON_HEADS = (
    "protocol",
    "predictor",
    "same questions",
    "difference",
    "only reference right",
    "only predictor right",
)
UNKNOWN_HEADS = ("truth", "answer", "count", "the truth but for punctuation")

# A figure or its file, or these by language; sentences and facts by language.
Drawing = Figure | AnyPath | Mapping[str, Figure | AnyPath]
NotesByLanguage = Mapping[str, Sequence[str]]
FactsByLanguage = Mapping[str, object] | Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Table:
    """A table of the page under its heading; a note stands with it. id: where a link finds it;
    folded: rows that a press unfolds, under `summary`.
    """

    heading: str
    heads: list[str]
    rows: list[list[str]]
    note: str = ""
    id: str = ""
    folded: list[list[str]] = field(default_factory=list)
    summary: str = ""


@dataclass(frozen=True)
class FigureView:
    """A figure as the page shows it: an image for each language that it is drawn in, or a sentence
    where there was nothing to draw.
    """

    id: str
    heading: str
    images: list[tuple[str, str]]  # (language of the page, source)
    sentence: str = ""


def report(
    path: AnyPath,
    *,
    title: str,
    facts: FactsByLanguage | None = None,
    table: pd.DataFrame | None = None,
    comparison: pd.DataFrame | None = None,
    figures: Mapping[str, Drawing] | None = None,
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
    notes: Sequence[str] | NotesByLanguage = (),
    costs: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    command: str = "",
    top: int = 12,
    language: str = "en",
) -> Path:
    """Writes the page to `path`, whole or not at all, and returns the path. A part without data is
    left out.

    facts: {heading: text}, what was trained on what; notes: sentences; both also {language: them},
    as texts that are data's own have one language. table, comparison: from
    `metrics.accuracy_table` and `metrics.compare`. figures: {heading: Figure or picture file, or
    these by language}; tables: {heading: rows}, shown after them. not_dishes: from `confusion`. predictions: the
    questions of every predictor, with `prompt` and `site` where they are known; their confused
    pairs are listed under filters, which open on the `top` ones of `predictor` and `protocol`; the
    best and worst answers shown are `predictor`'s. clusters (dish_id, cluster, size) and similar
    (dish_id, similar_id, rank): from stage 02. photos, names ({dish_id: name}) and image_root: the
    catalog, for thumbnails. language: which is shown first. Of absolute paths only the last part
    stays. Raises ValueError for another language than 'zh' or 'en', or when photos come without
    image_root.
    """
    words = BothWords(language)
    book = _photo_book(photos, image_root)
    main = (predictor, protocol)
    accuracies = [accuracy_table(table, words), comparison_table(comparison, predictor, words)]
    tables = tables or {}
    names = names or {}
    others = [any_table(heading, rows, words) for heading, rows in tables.items()]
    confusions = Markup("")
    if predictions is not None and not predictions.empty:
        questions = confused_pairs.countable(predictions, names)
        groups = Clusters(clusters, names)
        pairs = PairsPage(questions, main, names, groups, similar, book, words, top)
        confusions = pairs.html()
    parts = {
        "headline": headline.sentence(table, comparison, main, words),
        "accuracies": [part for part in accuracies if part],
        "notes": _notes(notes, words),
        "confusions": confusions,
        "figures": _figures(figures or {}, words),
        "tables": [part for part in others if part],
        "unknown": unknown_answers(not_dishes, " · ".join(main), words),
        "answers": _best_and_worst(predictions, predictor, book, words),
        "facts": _facts(facts or {}, words),
        "settings": _settings({"costs": costs, "parameters": parameters}, words),
        "command": words.text(partial(_command, command)),
    }
    text = pages.page(
        "report.html.j2",
        title=title,
        words=words,
        styles=STYLES,
        script="filters.js",
        **parts,
    )
    records.write_text(path, text)
    return Path(path)


def _by_language(given: Any, empty: Any) -> tuple[Any, Any]:
    """(English, Chinese) of what is given for each language, or for both at once."""
    if isinstance(given, Mapping) and set(given) == set(LANGUAGES):
        return given["en"], given["zh"]
    return given or empty, given or empty


def _notes(given: Sequence[str] | NotesByLanguage, words: Words) -> list[str]:
    english, chinese = _by_language(given, ())
    notes: list[str] = []
    for sentence, translated in zip(english, chinese, strict=True):
        notes.append(_portable(sentence, translated, words))
    return notes


def _portable(english: str, chinese: str, words: Words) -> str:
    return Text(without_folders(english), without_folders(chinese), words.language)


def _facts(given: FactsByLanguage, words: Words) -> list[tuple[str, str, bool]]:
    english, chinese = _by_language(given, {})
    rows = []
    for name, text in english.items():
        fact = _portable(str(text), str(chinese[name]), words)
        rows.append((words.known(name), fact, False))
    return rows


def _command(command: str, words: Words) -> str:
    """The command; where it names the folder beside the page, with where to type it."""
    if command.startswith("dishvl run './"):
        return f"{command}  # {words(IN_PAGES_FOLDER)}"
    return command


def _photo_book(photos: pd.DataFrame | None, image_root: AnyPath | None) -> PhotoBook | None:
    if photos is None:
        return None
    if image_root is None:
        raise ValueError(
            "a report with photos needs image_root, the folder their paths are relative to"
        )
    return PhotoBook(photos, image_root)


def _figures(figures: Mapping[str, Drawing], words: Words) -> list[FigureView]:
    views = []
    for number, (heading, drawing) in enumerate(figures.items(), start=1):
        by_language = drawing if isinstance(drawing, Mapping) else {"": drawing}
        sentences = [getattr(figure, "sentence", "") for figure in by_language.values()]
        images = []
        sentence = ""
        if all(sentences):
            sentence = Text(sentences[0], sentences[-1], words.language)
        else:
            for language, figure in by_language.items():
                page_language = pages.PAGE_LANGUAGES.get(language, "")
                images.append((page_language, pages.figure_source(figure)))
        views.append(FigureView(f"figure-{number}", words.known(heading), images, sentence))
    return views


def accuracy_table(table: pd.DataFrame | None, words: Words) -> Table | None:
    """n, correct, accuracy with its interval, chance and majority beside, a protocol's rows
    together, those of the first PROTOCOLS_IN_SIGHT not folded; None without a table.
    """
    if table is None:
        return None
    ordered = table.sort_values("protocol", kind="stable", key=_first_seen)
    rows = [_accuracy_row(row) for row in ordered.to_dict("records")]
    kept = [place for place in range(len(ACCURACY_HEADS)) if _says_something(place, rows)]
    shown = [[row[place] for place in kept] for row in rows]
    protocols = list(ordered["protocol"].unique())
    n_in_sight = int(ordered["protocol"].isin(protocols[:PROTOCOLS_IN_SIGHT]).sum())
    return Table(
        heading=words("accuracy"),
        heads=[words(ACCURACY_HEADS[place]) for place in kept],
        rows=shown[:n_in_sight],
        folded=shown[n_in_sight:],
        summary=", ".join(protocols[PROTOCOLS_IN_SIGHT:]),
        note=words.text(lambda language: HOW_TO_READ[language.language]),
        id="accuracy",
    )


def _says_something(place: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column is more than blanks, than zeros that are expected, or than the accuracies
    once more.
    """
    head = ACCURACY_HEADS[place]
    values = {row[place] for row in rows} - {""}
    if head in OFTEN_ZERO and values <= ZEROS:
        return False
    if head == "normalised":
        accuracy = ACCURACY_HEADS.index("accuracy")
        return any(row[place] not in ("", row[accuracy]) for row in rows)
    return bool(values)


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
    heading = words.text(lambda language: f"{language('compared with')}: {predictor}")
    return Table(heading, [*heads, "McNemar p"], rows, id="compared")


def any_table(heading: str, frame: pd.DataFrame, words: Words) -> Table | None:
    """The first MOST_ROWS rows of any table; shares as percentages, other numbers short; None
    without rows.
    """
    if frame.empty:
        return None
    shown = frame.head(MOST_ROWS)
    heads = [words.known(str(name).replace("_", " ")) for name in frame.columns]
    rows = [_cells(row, words) for row in shown.to_dict("records")]

    def with_count(language: Words) -> str:
        return language.known(heading) + _of_how_many(shown, frame, language)

    return Table(words.text(with_count), heads, rows)


def _cells(row: Mapping[Any, object], words: Words) -> list[str]:
    cells = []
    for name, value in row.items():
        is_word = name in COLUMNS_OF_WORDS and isinstance(value, str)
        cells.append(words.known(value) if is_word else as_cell(str(name), value))
    return cells


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

    def with_count(language: Words) -> str:
        return language("answers that are no dish's name") + _of_how_many(shown, table, language)

    return Table(
        heading=words.text(with_count),
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
            text = json.dumps(value, ensure_ascii=False, default=str)
            rows.append((key, without_folders(text)))
        if rows:
            settings.append((words(heading), rows))
    return settings
