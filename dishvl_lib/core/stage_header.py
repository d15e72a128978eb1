"""What a stage says first: where it writes, what makes it again, by which parameters and versions.

A parameter that stands at its default is folded away: a reader looks for what somebody chose.
"""

import html
from collections.abc import Mapping
from typing import Any

from dishvl_lib.core import kernel, params
from dishvl_lib.core.parameter import literal
from dishvl_lib.core.types import RecordView

ROW = "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>"
HEADS = "<tr><th>parameter</th><th>value</th><th>default</th></tr>"
FOLDED = "<details><summary>{}</summary>{}</details>"
Row = tuple[str, str, str]


def show(stage: str, where: str, values: RecordView, versions: Mapping[str, str]) -> None:
    """Say `where` and the parameters that differ from their defaults, as a table in JupyterLab and
    as a line each in batch; all parameters lie folded in the notebook. Without a notebook only
    text is printed.
    """
    if kernel.in_jupyter() and kernel.in_notebook():
        page = _page(stage, where, values, versions)
        kernel.show_forms({"text/plain": where, "text/html": page})
        return
    print(_text(stage, where, values, versions))
    if kernel.in_notebook():
        rows = _rows(stage, values)
        kernel.show_forms({"text/plain": f"{len(rows)} parameters", "text/html": _folded(rows)})


def _rows(stage: str, values: RecordView) -> list[Row]:
    """(name, value, default) of every parameter."""
    defaults = params.defaults(stage)
    return [
        (name, literal(value), literal(defaults[name]) if name in defaults else "")
        for name, value in values.items()
    ]


def _chosen(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[1] != row[2]]


def _text(stage: str, where: str, values: RecordView, versions: Mapping[str, str]) -> str:
    rows = _rows(stage, values)
    chosen = _chosen(rows)
    lines = [where]
    lines += [f"  {name} = {value}" for name, value, _ in chosen]
    lines.append(f"{_at_defaults(rows, chosen)}; {_versions(versions)}")
    return "\n".join(lines)


def _at_defaults(rows: list[Row], chosen: list[Row]) -> str:
    return f"{len(rows) - len(chosen)} of {len(rows)} parameters stand at their defaults"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _page(stage: str, where: str, values: RecordView, versions: Mapping[str, str]) -> str:
    rows = _rows(stage, values)
    chosen = _chosen(rows)
    parts = ["<br>".join(html.escape(line) for line in where.splitlines())]
    if chosen:
        parts.append(_table(chosen))
    parts.append(_folded(rows, _at_defaults(rows, chosen)))
    parts.append(f"<small>{html.escape(_versions(versions))}</small>")
    return "".join(f"<div>{part}</div>" for part in parts)


def _folded(rows: list[Row], summary: str = "") -> str:
    return FOLDED.format(html.escape(summary or f"{len(rows)} parameters"), _table(rows))


def _table(rows: list[Row]) -> str:
    cells = [ROW.format(*map(_escaped, row)) for row in rows]
    return f"<table>{HEADS}{''.join(cells)}</table>"


def _escaped(value: Any) -> str:
    return html.escape(str(value))
