"""Stage 05's rivals from stage 02 go by the name of its net."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import params
from dishvl_lib.steps import evaluation as steps

OURS = ["tuned", "hybrid", "gallery", "base"]


class Stage:
    """What `local_predictors` asks of a stage: parameters, markers and class scores."""

    def __init__(self, made_with, scored, base_model="builtin"):
        self.base_model = base_model
        self.params = params.defaults("05") | {"register_per_dish": 3}
        self.made_with = made_with
        self.scored = scored

    def marker(self, name):
        made = {
            "02_similar_dishes": self.made_with,
            "04_training": {"base_model": self.base_model},
        }
        return {"parameters": made[name]}

    def arrays(self, *_):
        return {"image_id": np.array(["i"] * self.scored)}


@pytest.fixture
def sources():
    photos = pd.DataFrame(
        {"image_id": ["i"], "dish_id": ["a"], "group_id": ["g"], "split": ["train"]}
    )
    vectors = {"image_id": np.array(["i"]), "feature": np.ones((1, 2), np.float32)}
    return steps.Sources(photos, [], {"a": "红烧鱼"}, photos, photos, vectors)


def test_they_go_by_the_net_of_stage_02(sources):
    made = steps.local_predictors(Stage({"net": "efficientnet_lite0"}, 1), sources)
    assert list(made) == [
        *OURS,
        "efficientnet_lite0",
        "efficientnet_lite0_register3",
        "efficientnet_lite0_classifier",
    ]


def test_a_run_from_before_there_was_a_choice_had_pplcnet(sources):
    made = steps.local_predictors(Stage({}, 0), sources)
    assert list(made) == [*OURS, "pplcnet", "pplcnet_register3"]


def test_the_base_models_row_names_the_run_that_it_comes_from(sources):
    made = steps.local_predictors(Stage({}, 0, "run:first"), sources)
    assert "base (first)" in made
    assert "base" not in made
