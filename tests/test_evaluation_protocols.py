"""Which stored rows become which protocol, the sample for endpoints, and photos that resemble
training photos.
"""

import pandas as pd
import pytest
from evaluation_toys import row, site_rows

from dishvl_lib.core import questions, records
from dishvl_lib.evaluation import protocols, sites

MENU = ["红烧鱼", "米饭"]
PHOTOS = pd.DataFrame(
    {
        "image_id": ["t1", "t2", "s1", "s2", "s3", "h1", "v1"],
        "frame": ["f1", "", "f1", "", "f9", "", "f1"],
        "split": ["train", "train", "site:b", "site:b", "site:b", "held_out", "test"],
    }
)


def test_rows_get_their_protocol_and_knowledge_is_not_asked_here():
    absent = row(2, questions.NOT_ON_MENU, MENU, "menu_absent")
    knowledge = {**row(3), "kind": "knowledge"}
    rows = protocols.stored(
        [row(0), row(1, menu=MENU), absent, knowledge],
        [row(4), row(5, menu=MENU)],
        [row(6, menu=MENU)],
    )
    assert [question["protocol"] for question in rows] == [
        "naming",
        "menu",
        "menu_absent",
        "naming_unseen",
        "menu_unseen",
        "new_dishes",
    ]


def test_a_sample_is_of_each_protocol_the_same_for_a_seed_and_names_every_site_dish():
    rows = protocols.stored(
        [row(number) for number in range(30)]
        + [row(100 + number, menu=MENU) for number in range(4)]
    )
    plan = protocols.Plan(rows, sites.protocols("b", site_rows(["甲", "乙"], 9)))
    sampled = plan.sampled(5, seed=1)
    assert sampled.counts() == {"naming": 5, "menu": 4, "site:b": 5}
    assert sampled.questions == 14
    assert sampled == plan.sampled(5, seed=1)
    assert sampled.rows != plan.sampled(5, seed=2).rows
    assert sampled.sites[0].register == plan.sites[0].register
    assert plan.sampled(0, seed=1) == plan
    assert plan.counts() == {
        "naming": 30,
        "menu": 4,
        "site:b": 14,
    }


def test_photos_of_sites_and_new_dishes_that_training_saw_are_found_by_frame_and_by_looks():
    pairs = pd.DataFrame(
        {"image_id_a": ["t2", "h1", "s3", "t1"], "image_id_b": ["s2", "t1", "s1", "v1"]}
    )
    assert protocols.near_training(PHOTOS, pairs) == {
        "s1": "same frame",
        "s2": "near-duplicate",
        "h1": "near-duplicate",
    }
    assert protocols.near_training(PHOTOS.assign(frame=""), pairs.iloc[:0]) == {}
    with pytest.raises(records.RecordError, match="frame"):
        protocols.near_training(PHOTOS.drop(columns="frame"), pairs)


def test_the_mark_reaches_stored_and_site_questions():
    plan = protocols.Plan([row(0)], sites.protocols("b", site_rows(["甲", "乙"])))
    query = plan.sites[0].queries[0]["image_id"]
    marked = plan.marked({"i0": "same frame", query: "near-duplicate"})
    assert marked.rows[0]["near_training"] == "same frame"
    judged = marked.sites[0].to_judge({"b/甲": "鱼", "b/乙": "肉"})
    assert [question["near_training"] for question in judged] == ["near-duplicate", "", "", ""]
