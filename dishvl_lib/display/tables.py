"""Tables under their headings. A notebook's have no index and numbers as long as their n supports,
an empty one is a sentence; the report's are what its template shows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd

from dishvl_lib.core import kernel
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.display import pages
from dishvl_lib.display.words import HOW_TO_READ, Words, missing, percent

# From this n on the third digit of a share says something: its standard error is under 0.05.
N_FOR_TENTHS = 100
LARGE = 1000
# Numbers that were read back from a CSV file as text.
DECIMAL = re.compile(r"-?\d+\.\d+(e-?\d+)?")
LONG_DECIMAL = re.compile(r"-?\d+\.\d{4,}(e-?\d+)?")
NUMBER = re.compile(r"[-+\d.,%e\[\] ]*")
LOW_HIGH = (("ci_low", "ci_high"), ("lo", "hi"))  # the ends of the names of an interval's columns
TABLE = """<div class=dishvl><b>{{ heading }}</b><table class=dataframe>
<thead><tr>{% for head in heads %}
<th style="{{ styles[loop.index0] }}">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>{% for cells in rows %}<tr>{% for cell in cells %}
<td style="{{ styles[loop.index0] }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>"""
# Columns of any table whose numbers are shares.
SHARES = frozenset(
    "accuracy accuracy_reference accuracy_answered accuracy_without accuracy_at_worst ci_low "
    "ci_high difference answered refused off_menu coverage share lo hi chance majority overlap "
    "accuracy_normalised macro_accuracy largest_share menu_chance".split()
)
SHARE_ENDS = ("_ci95", "_ci_low", "_ci_high", "_accuracy")

# of the report's tables
MOST_UNKNOWN = 5000
MOST_ROWS = 30
PROTOCOLS_IN_SIGHT = 2
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

Rows: TypeAlias = pd.DataFrame | RecordViews | RecordView


class Table:
    """Rows under a heading; Jupyter shows it as HTML, a log as text.

    An interval is one column; columns in which nothing stands are left out.
    """

    def __init__(self, heading: str, rows: Rows, words: Words, most: int):
        frame = _frame(rows)
        shown = frame.head(most)
        self.words = words
        self.heading = words.known(heading) + _of_how_many(shown, frame, words)
        columns = _columns([_texts(row) for row in shown.to_dict("records")])
        self.heads = [words.known(name.replace("_", " ")) for name in columns]
        self.rows = [list(row) for row in zip(*columns.values(), strict=True)]
        self.styles = [_style(texts) for texts in columns.values()]

    def __repr__(self) -> str:
        if not self.rows:
            return self._nothing()
        text = pd.DataFrame(self.rows, columns=self.heads).to_string(index=False)
        return f"{self.heading}\n{text}"

    def _repr_html_(self) -> str:
        if not self.rows:
            return str(pages.snippet("<p>{{ sentence }}</p>", sentence=self._nothing()))
        values = {"heads": self.heads, "styles": self.styles, "rows": self.rows}
        return str(pages.snippet(TABLE, heading=self.heading, **values))

    def _nothing(self) -> str:
        return f"{self.heading}: {self.words('none')}"


def show(tables: Mapping[str, Rows], language: str = "en", most: int = 12) -> None:
    """Show each {heading: rows} as an output of the cell, at most `most` rows of it.

    Rows are a DataFrame, whose index is shown where it has a name; a list of mappings; or one
    mapping, shown as names and values.
    """
    words = Words(language)
    for heading, rows in tables.items():
        kernel.show(Table(heading, rows, words, most))


def _frame(rows: Rows) -> pd.DataFrame:
    if isinstance(rows, Mapping) and rows and all(isinstance(v, Mapping) for v in rows.values()):
        return pd.DataFrame([{"part": name, **values} for name, values in rows.items()])
    if isinstance(rows, Mapping):
        n = _n_of(rows)
        texts = [cell(str(name), value, n) for name, value in rows.items()]
        return pd.DataFrame({"measure": list(rows), "value": texts})
    if not isinstance(rows, pd.DataFrame):
        return pd.DataFrame(rows)
    is_named = any(name is not None for name in rows.index.names)
    return rows.reset_index() if is_named else rows


def _texts(row: RecordView) -> dict[str, str]:
    """{column: text} of a row, an interval's two columns as one."""
    n = _n_of(row)
    texts = {str(name): cell(str(name), value, n) for name, value in row.items()}
    joined = {}
    for name, text in texts.items():
        low = _lower_limit(name)
        if low in texts:
            continue
        high = _upper_limit(name)
        if high in texts:
            interval = f"[{text}, {texts[high]}]" if text else ""
            joined[_of_interval(name)] = interval
        else:
            joined[name] = text
    return joined


def _lower_limit(name: str) -> str:
    """The column with the lower limit to this one's upper; '' for another column."""
    for low, high in LOW_HIGH:
        if name == high or name.endswith(f"_{high}"):
            return name.removesuffix(high) + low
    return ""


def _upper_limit(name: str) -> str:
    for low, high in LOW_HIGH:
        if name == low or name.endswith(f"_{low}"):
            return name.removesuffix(low) + high
    return ""


def _of_interval(name: str) -> str:
    """`menu_ci_low` -> `menu_interval`."""
    for low, _ in LOW_HIGH:
        name = name.removesuffix(low) + "interval" if name.endswith(low) else name
    return name


def _columns(rows: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """{column: its texts} of those in which something stands."""
    if not rows:
        return {}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: texts for name, texts in columns.items() if any(texts)}


def _style(texts: Sequence[str]) -> str:
    """Numbers stand to the right and on one line, texts to the left."""
    if all(NUMBER.fullmatch(text) for text in texts):
        return "text-align:right;white-space:nowrap"
    return "text-align:left"


def _n_of(row: RecordView) -> int:
    """How many cases the row's shares are of; 0 where it does not say."""
    n = row.get("n")
    try:
        return int(n) if n and not missing(n) else 0
    except (TypeError, ValueError):
        return 0


@dataclass(frozen=True)
class ReportTable:
    """A table of the report under its heading; a note stands with it. id: where a link finds it;
    folded: rows that a press unfolds, under `summary`.
    """

    heading: str
    heads: list[str]
    rows: list[list[str]]
    note: str = ""
    id: str = ""
    folded: list[list[str]] = field(default_factory=list)
    summary: str = ""


def accuracy_table(table: pd.DataFrame | None, words: Words) -> ReportTable | None:
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
    return ReportTable(
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
        _count(row.get("no_answer")),
        _count(row.get("failed")),
        _count(row.get("lost")),
        _count(row.get("near_training")),
        _per_dish(row),
        percent(row.get("accuracy_normalised")),
    ]


def _count(value: object) -> str:
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


def comparison_table(
    comparison: pd.DataFrame | None, predictor: str, words: Words
) -> ReportTable | None:
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
    return ReportTable(heading, [*heads, "McNemar p"], rows, id="compared")


def any_table(heading: str, frame: pd.DataFrame, words: Words) -> ReportTable | None:
    """The first MOST_ROWS rows of any table; shares as percentages, other numbers short; None
    without rows.
    """
    if frame.empty:
        return None
    shown = frame.head(MOST_ROWS)
    heads = [words.known(str(name).replace("_", " ")) for name in frame.columns]
    rows = [_report_cells(row, words) for row in shown.to_dict("records")]

    def with_count(language: Words) -> str:
        return language.known(heading) + _of_how_many(shown, frame, language)

    return ReportTable(words.text(with_count), heads, rows)


def _report_cells(row: Mapping[Any, object], words: Words) -> list[str]:
    cells = []
    for name, value in row.items():
        is_word = name in COLUMNS_OF_WORDS and isinstance(value, str)
        cells.append(words.known(value) if is_word else _report_cell(str(name), value))
    return cells


def unknown_answers(table: pd.DataFrame | None, whose: str, words: Words) -> ReportTable | None:
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

    return ReportTable(
        heading=words.text(with_count),
        heads=[words(head) for head in UNKNOWN_HEADS],
        rows=rows,
        note=f"{whose}: {len(table)}",
    )


def _of_how_many(shown: pd.DataFrame, table: pd.DataFrame, words: Words) -> str:
    """`: 30 of 31` for a heading; '' when all is shown."""
    if len(shown) == len(table):
        return ""
    return f": {len(shown)} {words('of')} {len(table)}"


def cell(name: str, value: object, n: int = 0) -> str:
    """A value as a notebook's tables show it. A share (its column's name says so) of under
    N_FOR_TENTHS cases is given in whole per cent, other numbers to three digits.
    """
    if missing(value):
        return ""
    if isinstance(value, str):
        decimal = DECIMAL if is_share(name) else LONG_DECIMAL
        return cell(name, float(value), n) if decimal.fullmatch(value) else value
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {cell(str(key), entry, n)}" for key, entry in value.items())
    if isinstance(value, Sequence):
        return f"[{', '.join(cell(name, entry, n) for entry in value)}]"
    if isinstance(value, float):
        return _number(name, value, n)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _number(name: str, value: float, n: int) -> str:
    if is_share(name):
        digits = 0 if 0 < n < N_FOR_TENTHS else 1
        return percent(value, digits)
    if value == int(value) or abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.2g}" if name == "p" else f"{value:.3g}"


def _report_cell(name: str, value: object) -> str:
    """A value as the report's tables show it: a share (its column's name says so) to a tenth of a
    per cent whatever its n, other numbers to four digits, large ones to the unit.
    """
    if missing(value):
        return ""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_report_cell(name, entry) for entry in value)}]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if is_share(name):
        return percent(value)
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.4g}"


def is_share(column: str) -> bool:
    """Whether the numbers of a table's column are shares, by its name."""
    return column in SHARES or column.endswith(SHARE_ENDS)
