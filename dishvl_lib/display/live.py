"""Curves of a training that runs: one picture in a notebook, drawn anew in its place."""

import os
from collections.abc import Mapping, Sequence

from IPython.display import DisplayHandle, display

from dishvl_lib.display import charts

# set by Jupyter for a notebook that somebody has open; papermill's kernels do not have it
SESSION = "JPY_SESSION_NAME"


class Curves:
    """Called with the rows of metrics.jsonl; shows loss, accuracies and learning rates, always in
    one and the same place.
    """

    def __init__(self, language: str = "en"):
        self.language = language
        self.handle: DisplayHandle | None = None

    def __call__(self, rows: Sequence[Mapping]) -> None:
        figure = charts.loss_curves(rows, language=self.language)
        newest = rows[-1]
        left = f", about {newest['eta_s']:.0f} s left" if newest.get("eta_s") else ""
        figure.suptitle(
            f"{newest['step']} / {newest['max_steps']}{left}", fontsize=10, x=0.01, ha="left"
        )
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def curves(language: str = "en") -> Curves | None:
    """`Curves` where a notebook is open in Jupyter; None in batch, where a line of text is better."""
    return Curves(language) if SESSION in os.environ else None
