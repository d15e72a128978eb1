"""Tables as a notebook shows them: each under its heading, without an index, numbers as long as
their n supports; an empty one is a sentence.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from dishvl_lib.core import kernel
from dishvl_lib.core.types import RecordView, RecordViews
from dishvl_lib.display import pages
from dishvl_lib.display.words import Words, is_share, missing

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
Rows: TypeAlias = pd.DataFrame | RecordViews | RecordView


class Table:
    """Rows under a heading; Jupyter shows it as HTML, a log as text.

    An interval is one column; columns in which nothing stands are left out.
    """

    def __init__(self, heading: str, rows: Rows, words: Words, most: int):
        frame = _frame(rows)
        shown = frame.head(most)
        self.words = words
        self.heading = words.known(heading)
        if len(shown) < len(frame):
            self.heading += f": {len(shown)} {words('of')} {len(frame)}"
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


def cell(name: str, value: object, n: int = 0) -> str:
    """A value as text. A share (its column's name says so) of under N_FOR_TENTHS cases is given in
    whole per cent, other numbers to three digits.
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
        return f"{100 * value:.{digits}f}%"
    if value == int(value) or abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.2g}" if name == "p" else f"{value:.3g}"
