"""Accuracy per site, per number of training photos and per cluster."""

import pandas as pd
import pytest
from evaluation_toys import prediction, table

from dishvl_lib.core import intervals, records
from dishvl_lib.evaluation import groups

PHOTOS = pd.DataFrame(
    {
        "image_id": ["i0", "i1", "i2", *(f"t{number}" for number in range(12))],
        "dish_id": ["d-红烧鱼", "d-米饭", "d-米饭", *["d-红烧鱼"] * 12],
        "split": ["test"] * 3 + ["train"] * 12,
        "site": ["HGD", "HGD", ""] + ["BJ2"] * 12,
    }
)
CLUSTERS = pd.DataFrame({"dish_id": ["d-红烧鱼"], "cluster": ["3"], "size": ["6"]})
ROWS = table(
    prediction(0, "红烧鱼"),
    prediction(1, "汤", "米饭"),
    prediction(2, "米饭", "米饭"),
    prediction(0, "汤", predictor="base"),
)


def test_every_question_is_in_one_group_of_each_kind_with_its_interval():
    table = groups.table(groups.described(ROWS, PHOTOS, CLUSTERS))
    shown = {(row.kind, row.group): (row.n, row.correct) for row in table.itertuples()}
    assert shown == {
        ("site of the photo", "HGD"): (2, 1),
        ("site of the photo", "unknown"): (1, 1),
        ("training photos of the dish", "none"): (2, 1),
        ("training photos of the dish", "10-29"): (1, 1),
        ("look-alikes", "3 (6 dishes)"): (1, 1),
        ("look-alikes", "no look-alikes"): (2, 1),
    }
    assert table.groupby("kind").n.sum().eq(3).all()
    assert (table.ci_low[0], table.ci_high[0]) == intervals.wilson(1, 2)
    assert table.group[0] == "HGD"


@pytest.mark.parametrize(
    ("count", "group"),
    [
        (0, "none"),
        (1, "1-9"),
        (9, "1-9"),
        (10, "10-29"),
        (29, "10-29"),
        (99, "30-99"),
        (100, "100 and more"),
    ],
)
def test_size_classes_meet_at_their_limits(count, group):
    train = pd.DataFrame(
        {
            "image_id": [f"t{number}" for number in range(count)],
            "dish_id": "d-红烧鱼",
            "split": "train",
            "site": "",
        }
    )
    assert groups.described(ROWS.head(1), train, CLUSTERS).training_photos.tolist() == [group]


def test_a_protocol_that_was_not_asked_is_left_out_and_columns_are_named():
    assert groups.table(groups.described(ROWS, PHOTOS, CLUSTERS), protocols=("menu",)).empty
    with pytest.raises(records.RecordError, match="cluster"):
        groups.described(ROWS, PHOTOS, CLUSTERS.drop(columns="cluster"))
