"""The evaluation report, 05's report.html: one page that works offline, with every photo inside it
and every text in both languages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from dishvl_lib.core import confused_pairs, records
from dishvl_lib.core.photo_book import PhotoBook
from dishvl_lib.core.types import AnyPath, DishNames
from dishvl_lib.display import cards, pages
from dishvl_lib.display.cluster_matrix import Clusters
from dishvl_lib.display.report_pairs import PairsPage
from dishvl_lib.display.tables import accuracy_table, any_table, comparison_table, unknown_answers
from dishvl_lib.display.words import BothWords, Text, Words, missing, percent, without_folders

STYLES = ("page.css", "cards.css", "cluster_matrix.css")
N_ANSWERS = 3
LANGUAGES = ("en", "zh")
IN_PAGES_FOLDER = "in this page's folder"
# of the headline: rows that the model itself is in are no rivals of it
WITH_THE_MODEL = ("hybrid",)
ALONE = {
    "en": "{predictor} is right on {correct} of {n} questions of {protocol}: {accuracy} "
    "(95% interval {interval}).",
    "zh": "{predictor} 在 {protocol} 的 {n} 题中答对 {correct} 题：{accuracy}（95% 区间 {interval}）。",
}
AGAINST = {
    "en": "{predictor} is right on {correct} of {n} questions of {protocol}: {accuracy} (95% "
    "interval {interval}), against {other_accuracy} ({other_interval}) of {other}, the best "
    "baseline{test}.",
    "zh": "{predictor} 在 {protocol} 的 {n} 题中答对 {correct} 题：{accuracy}（95% 区间 {interval}）；"
    "最好的基线 {other} 为 {other_accuracy}（{other_interval}）{test}。",
}
TEST = {"en": ", McNemar p {p:.2g}", "zh": "，McNemar p {p:.2g}"}

# A figure or its file, or these by language; sentences and facts by language.
Drawing = Figure | AnyPath | Mapping[str, Figure | AnyPath]
NotesByLanguage = Mapping[str, Sequence[str]]
FactsByLanguage = Mapping[str, object] | Mapping[str, Mapping[str, object]]


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
    these by language}; tables: {heading: rows}, shown after them. not_dishes: from `confusion`.
    predictions: the questions of every predictor, with `prompt` and `site` where they are known;
    their confused pairs are listed under filters, which open on the `top` ones of `predictor` and
    `protocol`; the best and worst answers shown are `predictor`'s. clusters (dish_id, cluster, size) and similar
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
        "headline": _headline(table, comparison, main, words),
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


def _headline(
    table: pd.DataFrame | None,
    comparison: pd.DataFrame | None,
    main: tuple[str, str],
    words: Words,
) -> str:
    """The first sentence, how often the model is right and whom it has to beat: the accuracy of
    `main` (predictor, protocol) with n and interval beside the best other row of the protocol that
    answered as many questions; '' where the table lacks it.
    """
    if table is None:
        return ""
    predictor, protocol = main
    of_protocol = table[table["protocol"] == protocol]
    own = of_protocol[of_protocol["predictor"] == predictor]
    if own.empty:
        return ""
    row = own.iloc[0]
    values = {
        "predictor": predictor,
        "protocol": protocol,
        "correct": row["correct"],
        "n": row["n"],
        "accuracy": percent(row["accuracy"]),
        "interval": _between(row),
    }
    rival = _best_baseline(of_protocol, row)
    if rival is None:
        return words.text(lambda language: ALONE[language.language].format(**values))
    values |= {
        "other": rival["predictor"],
        "other_accuracy": percent(rival["accuracy"]),
        "other_interval": _between(rival),
    }
    p = _mcnemar_p(comparison, rival)

    def compose(language: Words) -> str:
        test = "" if missing(p) else TEST[language.language].format(p=p)
        return AGAINST[language.language].format(**values, test=test)

    return words.text(compose)


def _best_baseline(of_protocol: pd.DataFrame, row: pd.Series) -> pd.Series | None:
    is_other = ~of_protocol["predictor"].isin((row["predictor"], *WITH_THE_MODEL))
    others = of_protocol[is_other & (of_protocol["n"] == row["n"])]
    if others.empty:
        return None
    return others.sort_values("accuracy", ascending=False, kind="stable").iloc[0]


def _between(row: pd.Series) -> str:
    return f"{percent(row['ci_low'])} - {percent(row['ci_high'])}"


def _mcnemar_p(comparison: pd.DataFrame | None, rival: pd.Series) -> Any:
    """McNemar's p of the rival's comparison; None where there is none."""
    if comparison is None:
        return None
    is_rival = comparison["predictor"] == rival["predictor"]
    rows = comparison[is_rival & (comparison["protocol"] == rival["protocol"])]
    return None if rows.empty else rows["p"].iloc[0]


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
