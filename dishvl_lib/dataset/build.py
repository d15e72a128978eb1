"""One file of questions: naming, menus, absent dishes and knowledge, in the proportions that the
parameters ask for.
"""

from typing import Any

import pandas as pd

from dishvl_lib.core.types import DishNames, Records, RecordViews
from dishvl_lib.dataset import conversations, knowledge


def rows(
    photos: pd.DataFrame,
    split: str,
    dish_names: DishNames,
    similar: pd.DataFrame,
    dishes: RecordViews,
    *,
    knowledge_ratio: float = 0.0,
    knowledge_with_photo: bool = True,
    trained: bool = True,
    seed: int = 0,
    **options: Any,
) -> Records:
    """`conversations.rows` with `options`, and `knowledge_ratio` times as many knowledge questions
    behind them.

    dishes: rows of dishes.jsonl, for the cards and for the aliases that never stand beside a dish.
    Raises `DatasetError` as `conversations.rows` does, and for a negative ratio.
    """
    if knowledge_ratio < 0:
        raise conversations.DatasetError(
            f"knowledge_ratio is {knowledge_ratio}; it must be 0 (none) or more"
        )
    aliases = {dish["dish_id"]: dish["aliases"] for dish in dishes}
    question_rows = conversations.rows(
        photos, split, dish_names, similar, aliases=aliases, trained=trained, seed=seed, **options
    )
    wanted = round(knowledge_ratio * len(question_rows))
    return question_rows + knowledge.rows(
        photos,
        split,
        dish_names,
        dishes,
        wanted,
        with_photo=knowledge_with_photo,
        trained=trained,
        seed=seed,
    )
