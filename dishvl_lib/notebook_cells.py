"""Write the parameters cells of the notebooks from `core.params`, where parameters are
declared.

python -m dishvl_lib.notebook_cells          (make notebooks)
"""

import json
import sys
from pathlib import Path

from dishvl_lib.core import params, paths, records

TAG = "parameters"


def parameters_cell(notebook: dict) -> dict:
    """The one cell of a notebook that is tagged `parameters`. Raises ValueError without it."""
    tagged = []
    for cell in notebook["cells"]:
        if TAG in cell["metadata"].get("tags", []):
            tagged.append(cell)
    if len(tagged) != 1:
        raise ValueError(
            f"a notebook needs exactly one cell tagged {TAG!r}, this has {len(tagged)}"
        )
    return tagged[0]


def write(stage: str) -> Path:
    """Write a stage's parameters cell into its notebook; nothing else in it changes."""
    file = paths.notebook(stage)
    notebook = json.loads(file.read_text("utf-8"))
    parameters_cell(notebook)["source"] = params.cell(stage).splitlines(keepends=True)
    records.write_text(file, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    return file


if __name__ == "__main__":
    if not paths.IS_CHECKOUT:
        sys.exit("the notebooks are written in a checkout only, and this library lies in none")
    for name in paths.ALL_STAGES:
        print(write(name))
