"""The matrix by cluster as buttons: a press narrows the browser to the pairs of dishes behind a
count.
"""

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from dishvl_lib.display.cards import escape
from dishvl_lib.display.families import ELSEWHERE, Families, Matrix
from dishvl_lib.display.words import Words

MOST = 15  # clusters: a button is three objects in the page, and more do not fit beside each other
LIGHT = (226, 236, 245)
DARK = (60, 120, 170)


def cluster_buttons(
    found: Matrix, families: Families, words: Words, pressed: Callable[[int, int], None]
) -> widgets.GridBox:
    """Row labels, numbered columns and a button for every count; `pressed` gets (cluster of the
    truth, of the answer).
    """
    labels = [families.label(column, words) for column in found.columns]
    heads = [
        str(column) if column > 0 else label
        for column, label in zip(found.columns, labels, strict=True)
    ]
    cells = [
        _label(f"<center><b>{escape(head)}</b></center>", 1, place + 2, label)
        for place, (head, label) in enumerate(zip(heads, labels, strict=True))
    ]
    cells += [
        _label(escape(labels[place]), place + 2, 1, labels[place])
        for place in range(len(found.rows))
    ]
    top = max(found.counts.max(initial=0), 1)
    for row, column in zip(*np.nonzero(found.counts), strict=True):
        said = (
            f"{labels[row]} → {labels[column]}: {found.counts[row, column]} "
            f"{words('wrong answers')}, {found.pairs[row, column]} {words('pairs')}"
        )
        button = widgets.Button(
            description=f"{found.counts[row, column]:,}",
            tooltip=said,
            layout=_place(row + 2, column + 2),
        )
        share = (found.counts[row, column] / top) ** 0.5
        button.style.button_color = "#" + "".join(
            f"{round(light + share * (dark - light)):02x}"
            for light, dark in zip(LIGHT, DARK, strict=True)
        )
        button.style.text_color = "white" if share > 0.6 else "#222222"
        button.layout.border = "2px solid #2c5f8a" if row == column else "0"
        if found.columns[column] == ELSEWHERE:
            button.disabled = True
        else:
            button.on_click(
                lambda _, row=row, column=column: pressed(found.rows[row], found.columns[column])
            )
        cells.append(button)
    columns = " ".join(
        [
            "minmax(150px, 260px)",
            *("46px" if column > 0 else "minmax(46px, max-content)" for column in found.columns),
        ]
    )
    return widgets.GridBox(
        cells,
        layout=widgets.Layout(
            grid_template_columns=columns, grid_gap="2px", width="100%", overflow="auto"
        ),
    )


def _label(html: str, row: int, column: int, tooltip: str) -> widgets.HTML:
    made = widgets.HTML(
        f"<span title='{escape(tooltip)}'>{html}</span>", layout=_place(row, column)
    )
    return made.add_class("dishvl").add_class("dishvl-label")


def _place(row: int, column: int) -> widgets.Layout:
    return widgets.Layout(grid_area=f"{row} / {column}", width="auto", margin="0", padding="0")
