"""The report's tables: accuracies, comparisons between predictors, and whatever else comes as rows."""

import pandas as pd

from dishvl_lib.display import cards
from dishvl_lib.display.cards import escape
from dishvl_lib.display.words import HOW_TO_READ, Words, missing, percent

SHARES = frozenset(
    "accuracy accuracy_reference accuracy_answered ci_low ci_high difference answered "
    "refused off_menu coverage share".split()
)


def accuracy_html(table: pd.DataFrame | None, words: Words) -> str:
    """The accuracy table: n, correct, accuracy with its interval, chance and majority beside; ''
    for None.
    """
    if table is None:
        return ""
    heads = (
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
    rows = [
        _accuracy_row(row)
        for row in table.sort_values("protocol", kind="stable", key=_first_seen).to_dict("records")
    ]
    note = f"<p class=faint>{escape(HOW_TO_READ[words.language])}</p>"
    return cards.section(
        words("accuracy"), cards.table([words(head) for head in heads], rows) + note
    )


def _first_seen(values: pd.Series) -> pd.Series:
    return pd.Series(pd.factorize(values)[0], index=values.index)


def _accuracy_row(row: dict) -> list[str]:
    off = percent(row.get("off_menu"))
    size = "" if missing(row.get("menu_size")) else f"{row['menu_size']:.1f}".removesuffix(".0")
    blank = "" if missing(row.get("no_answer")) else str(row["no_answer"])
    macro = (
        ""
        if missing(row.get("macro_accuracy"))
        else f"{percent(row['macro_accuracy'])} [{percent(row['macro_ci_low'])}, "
        f"{percent(row['macro_ci_high'])}]"
    )
    cells = [
        row["protocol"],
        row["predictor"],
        f"{row['correct']} / {row['n']}",
        percent(row["accuracy"]),
    ]
    cells += [
        f"[{percent(row['ci_low'])}, {percent(row['ci_high'])}]",
        percent(row["chance"]),
        percent(row.get("majority")),
        size,
        off,
        blank,
    ]
    cells += [
        "" if missing(row.get(name)) else str(row[name])
        for name in ("failed", "lost", "near_training")
    ] + [macro]
    return [escape(cell) for cell in [*cells, percent(row.get("accuracy_normalised"))]]


def comparison_html(comparison: pd.DataFrame | None, predictor: str, words: Words) -> str:
    if comparison is None or comparison.empty:
        return ""
    heads = [
        words(head)
        for head in (
            "protocol",
            "predictor",
            "same questions",
            "difference",
            "only reference right",
            "only predictor right",
        )
    ]
    rows = [
        [
            escape(row.protocol),
            escape(row.predictor),
            str(row.n),
            f"{100 * row.difference:+.1f}%",
            str(row.only_reference),
            str(row.only_predictor),
            f"{row.p:.2g}",
        ]
        for row in comparison.itertuples()
    ]
    return cards.section(
        f"{words('compared with')}: {predictor}", cards.table([*heads, "McNemar p"], rows)
    )


def frame_html(heading: str, frame: pd.DataFrame, words: Words, most: int = 30) -> str:
    """The first `most` rows of any table under a heading; shares as percentages, other numbers
    short; '' without rows.
    """
    if frame.empty:
        return ""
    heads = [words.known(str(name).replace("_", " ")) for name in frame.columns]
    rows = [
        [escape(_cell(str(name), value)) for name, value in row.items()]
        for row in frame.head(most).to_dict("records")
    ]
    shown = f": {most} {words('of')} {len(frame)}" if len(frame) > most else ""
    return cards.section(words.known(heading) + shown, cards.table(heads, rows))


def _cell(name: str, value: object) -> str:
    if missing(value):
        return ""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_cell(name, one) for one in value) + "]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return percent(value) if name in SHARES or name.endswith("_ci95") else f"{value:.4g}"
