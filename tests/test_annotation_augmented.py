"""Copies made by augmenting are listed by their names, and joined only by file_patterns."""

import re

import pandas as pd
import pytest
import yaml

from dishvl_lib.annotation import augmented
from dishvl_lib.core import names


def photos(*stems, splits=("train", "test")):
    rows = [
        {
            "path": f"甲/{stem}.jpg",
            "dish_id": "甲",
            "group_id": str(number),
            "split": splits[number % len(splits)],
        }
        for number, stem in enumerate(stems)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "stems",
    [
        ("a", "a_flip"),
        ("a", "a_rot90"),
        ("a_aug_1", "a_aug_2"),
        ("a", "a-bright (1)"),
        ("a", "a_翻转"),
        ("aug_0_123", "aug_0_456"),
        (
            "甲_original_a.jpg_0f0f0f0f-aaaa-bbbb-cccc-0123456789ab",
            "甲_original_a.jpg_1f0f0f0f-aaaa-bbbb-cccc-0123456789ab",
        ),
    ],
)
def test_a_family_is_listed_and_its_patterns_join_it(stems):
    table = augmented.families(photos(*stems))
    assert len(table) == 1
    assert table.splits[0] == "test, train"
    patterns = tuple(augmented.patterns(table))
    assert len({names.frame_of(stem, patterns)[0] for stem in stems}) == 1


@pytest.mark.parametrize(
    "stems",
    [("3", "3 (2)"), ("x_1", "x_2", "x_45"), ("a", "b_flip"), ("flip", "rot"), ("a_1", "a_2")],
)
def test_names_that_only_share_a_stem_are_no_family(stems):
    assert augmented.families(photos(*stems)).empty


def test_the_patterns_leave_other_photos_apart():
    patterns = tuple(augmented.patterns(augmented.families(photos("a", "a_flip"))))
    stems = ["a", "b", "x_1", "x_2", "3", "3 (2)"]
    assert len({names.frame_of(stem, patterns)[0] for stem in stems}) == len(stems)


def test_photos_that_are_one_group_are_no_family():
    one_group = photos("a", "a_flip").assign(group_id="0")
    assert augmented.families(one_group).empty


def test_the_note_counts_those_that_cross_and_names_the_parameter():
    note = augmented.note(augmented.families(photos("a", "a_flip", "b", "c", "b_flip")))
    assert note.startswith("2 photos seem to have copies")
    assert "1 of them lie in another split" in note
    setting = re.search(r"file_patterns: \[.*'\]", note)[0]
    joining = yaml.safe_load(setting)["file_patterns"]
    assert names.frame_of("a", tuple(joining)) == names.frame_of("a_flip", tuple(joining))
    assert augmented.note(augmented.families(photos("a", "b"))) == ""
