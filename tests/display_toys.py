"""A catalog of tiny photos and a table of predictions for the display tests. One dish has a hostile
name.
"""

import csv

import ipywidgets
import pandas as pd
from PIL import Image

EVIL = "<img src=x onerror=alert(1)>"
NAMES = {"d1": "红烧鱼", "d2": "红烧鱼块", "d3": EVIL, "d4": "a$\\frac$ {c}"}
SIMILAR = pd.DataFrame(
    [
        ("d1", "d2", 1, 0.95, 3),
        ("d2", "d1", 1, 0.95, 3),
        ("d3", "d4", 1, 0.5, 1),
        ("d1", "d3", 2, 0.3, 0),
    ],
    columns=["dish_id", "similar_id", "rank", "score", "n_votes"],
)


def catalog(root):
    """photos of four dishes, three each, 24x16 pixels, written below `root`."""
    rows = []
    for number, dish_id in enumerate(NAMES):
        for index in range(3):
            path = f"{dish_id}/{index}.png"
            (root / dish_id).mkdir(exist_ok=True)
            Image.new("RGB", (24, 16), (60 * number, 80 * index, 90)).save(root / path)
            split = "train" if index else "test"
            rows.append(
                {
                    "image_id": f"{dish_id}-{index}",
                    "path": path,
                    "dish_id": dish_id,
                    "group_id": path,
                    "split": split,
                }
            )
    return pd.DataFrame(rows)


def predictions():
    """Naming and menu questions by two predictors: 红烧鱼 is taken for 红烧鱼块 twice, the hostile name
    answered once.
    """
    answers = [
        ("d1", "红烧鱼块"),
        ("d1", "红烧鱼块"),
        ("d1", "红烧鱼"),
        ("d2", EVIL),
        ("d3", EVIL),
        ("d3", "<script>alert(2)</script>"),
        ("d4", None),
    ]
    rows = []
    for predictor in ("tuned", "base"):
        for protocol in ("naming", "menu"):
            for index, (dish_id, answer) in enumerate(answers):
                truth = NAMES[dish_id]
                rows.append(
                    {
                        "id": f"{protocol}-{index}",
                        "predictor": predictor,
                        "protocol": protocol,
                        "image_id": f"{dish_id}-{index % 3}",
                        "dish_id": dish_id,
                        "truth": truth,
                        "menu": list(NAMES.values()) if protocol == "menu" else None,
                        "answer": answer,
                        "correct": answer == truth,
                        "correct_normalised": answer == truth,
                        "scores": [[answer or "?", 0.9 - index / 10], [truth, 0.1]]
                        if protocol == "menu"
                        else None,
                        "seconds": 0.1,
                        "prompt": f"<image>\nquestion {index} {EVIL}",
                    }
                )
    return pd.DataFrame(rows)


def decided_rows(path):
    """The rows of a file of decisions."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def html_of(widget):
    """All HTML that a widget and its children would put into the page."""
    markup = widget.value if isinstance(widget, ipywidgets.HTML) else ""
    return markup + "".join(html_of(child) for child in getattr(widget, "children", ()))
