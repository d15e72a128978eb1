"""Where our code runs: in the kernel of an open notebook, in that of a batch run, or in neither."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

SESSION = "JPY_SESSION_NAME"  # set by Jupyter's server for the kernel of an open notebook


def in_jupyter() -> bool:
    """Whether somebody has the notebook open in which this runs; not so in batch."""
    return SESSION in os.environ


def in_notebook() -> bool:
    """Whether what is displayed becomes an output of a cell, in batch too. A process that a
    notebook has started is in none, though it inherits the environment.
    """
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return get_ipython() is not None


def show(value: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Make the value an output of the cell, by its own forms; nothing outside a notebook."""
    from IPython.display import display

    if in_notebook():
        display(value, metadata=dict(metadata or {}))


def show_forms(forms: Mapping[str, str]) -> "DisplayHandle | None":
    """Make an output of ready forms ({media type: content}); its handle changes it later."""
    from IPython.display import display

    return display(dict(forms), raw=True, display_id=True)
