"""Questions, predictors and predictions without a model, for the tests of evaluation."""

import pandas as pd

from dishvl_lib.core import questions
from dishvl_lib.evaluation.predictors import Answer


def row(number, truth="红烧鱼", menu=(), kind=None, dish_id=None, **more):
    """A question as stage 03 stores it: naming without a menu, menu with one."""
    kind = kind or ("menu" if menu else "naming")
    template = {"naming": "naming-1", "menu": "menu-1", "menu_absent": "absent-1"}[kind]
    turns = [
        {
            "from": "human",
            "value": questions.human_turn(template, menu) if menu or kind == "naming" else "",
        },
        {"from": "gpt", "value": truth},
    ]
    return {
        "id": f"q{number}",
        "image": f"{number}.jpg",
        "image_id": f"i{number}",
        "dish_id": dish_id or f"d-{truth}",
        "kind": kind,
        "menu": list(menu),
        "template": template,
        "conversations": turns,
        **more,
    }


def site_rows(dishes, per_dish=4):
    """site_NAME.jsonl of {folder: number}: naming questions without an answer, a dish's photos
    together.
    """
    return [
        row(
            f"s-{folder}-{place}",
            "",
            dish_id=f"b/{folder}",
            role="register" if place < 2 else "query",
        )
        for folder in dishes
        for place in range(per_dish)
    ]


class Saying:
    """Says what `say(row)` returns: a text, None, or an Answer; `asked` holds the rows it got,
    batch by batch.
    """

    def __init__(self, say):
        self.say = say
        self.batches = []

    def answer(self, rows):
        self.batches.append(list(rows))
        replies = [self.say(row) for row in rows]
        return [reply if isinstance(reply, Answer) else Answer(reply) for reply in replies]

    @property
    def ids(self):
        return [row["id"] for batch in self.batches for row in batch]


def prediction(
    number, answer, truth="红烧鱼", predictor="tuned", protocol="naming", menu=(), **more
):
    """A row of predictions.jsonl."""
    columns = {
        "id": f"q{number}",
        "predictor": predictor,
        "protocol": protocol,
        "image_id": f"i{number}",
        "dish_id": f"d-{truth}",
        "truth": truth,
        "menu": list(menu),
        "prompt": "?",
        "answer": answer,
        "correct": answer == truth,
        "correct_normalised": answer == truth,
        "scores": [],
        "log_probabilities": [],
        "seconds": 0.5,
        "error": "",
        "lost": "",
        "framed": False,
        "near_training": "",
        "cost": 0.0,
        "currency": "",
        "tokens": 0,
    }
    return {**columns, **more}


def table(*rows):
    return pd.DataFrame(rows)
