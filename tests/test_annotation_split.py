"""The split: whole groups, per dish, by the seed alone."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.annotation import split


def photos(dishes):
    """{dish: sizes of its groups} -> rows without a split."""
    rows = [(f"{dish}-{g}-{i}", dish, f"{dish}-{g}") for dish, sizes in dishes.items() for g, size in enumerate(sizes) for i in range(size)]
    return pd.DataFrame(rows, columns=["image_id", "dish_id", "group_id"]).assign(split="")


def dealt(sizes, test=0.2, validation=0.1, seed=0):
    table = photos({"d": sizes})
    table["split"] = split.assign(table, test_share=test, validation_share=validation, seed=seed)
    return table


def counts(sizes, **options):
    found = dealt(sizes, **options).split.value_counts()
    return tuple(int(found.get(name, 0)) for name in ("train", "validation", "test"))


@pytest.mark.parametrize("sizes, expected", [
    ([1], (1, 0, 0)), ([9], (9, 0, 0)), ([1, 1], (1, 0, 1)), ([1, 1, 1], (1, 1, 1)), ([1] * 10, (7, 1, 2)), ([1] * 100, (70, 10, 20)), ([1] * 4, (2, 1, 1)),
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_and_the_rule_for_small_dishes(sizes, expected, seed):
    assert counts(sizes, seed=seed) == expected


def test_a_split_with_share_0_gets_nothing():
    assert counts([1] * 10, test=0.0) == (9, 1, 0) and counts([1] * 10, validation=0.0) == (8, 0, 2) and counts([1] * 5, test=0.0, validation=0.0) == (5, 0, 0)


@pytest.mark.parametrize("test, validation", [(0.6, 0.2), (0.5, 0.1), (0.3, 0.5)])
def test_three_groups_serve_all_three_splits_whatever_the_shares(test, validation):
    assert counts([1, 1, 1], test=test, validation=validation) == (1, 1, 1)


@pytest.mark.parametrize("seed", range(8))
def test_one_frame_with_many_crops_never_takes_the_training_away(seed):
    assert counts([50, 1, 1, 1], seed=seed)[0] >= 50 and counts([30, 5], seed=seed) == (30, 0, 5)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_shares_hold_about(seed):
    sizes = np.random.default_rng(seed).integers(1, 5, 60).tolist()
    table = dealt(sizes, seed=seed)
    assert table.groupby("group_id").split.nunique().max() == 1
    share = table.split.value_counts(normalize=True)
    assert share["test"] == pytest.approx(0.2, abs=0.03) and share["validation"] == pytest.approx(0.1, abs=0.03)


def test_groups_are_dealt_by_the_seed_not_by_their_size():
    sizes = [1] * 20 + [2] * 10
    tested = [dealt(sizes, seed=seed).query("split == 'test'").groupby("group_id").size().value_counts() for seed in range(20)]
    of_two = sum(int(found.get(2, 0)) for found in tested) / sum(int(found.sum()) for found in tested)
    assert 0.2 < of_two < 0.5


def test_the_seed_decides_and_the_order_of_rows_does_not():
    table = photos({"a": [1, 2, 1, 3, 1, 1, 1], "b": [2] * 9})

    def by_id(rows, seed):
        return dict(zip(rows.image_id, split.assign(rows, test_share=0.2, validation_share=0.1, seed=seed), strict=True))

    assert by_id(table, 1) == by_id(table.sample(frac=1, random_state=5), 1) == by_id(table, 1)
    assert by_id(table, 1) != by_id(table, 2)


def test_another_dish_changes_nothing_for_this_one():
    alone, beside = photos({"a": [1] * 9}), photos({"0": [1] * 5, "a": [1] * 9})
    made = split.assign(beside, test_share=0.2, validation_share=0.1, seed=0)
    assert made[beside.dish_id == "a"].tolist() == split.assign(alone, test_share=0.2, validation_share=0.1, seed=0).tolist()


def test_outside_sites_keep_their_split():
    table = photos({"a": [1] * 5, "x/a": [1] * 5})
    table.loc[table.dish_id == "x/a", "split"] = "site:x"
    made = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    assert set(made[table.dish_id == "x/a"]) == {"site:x"} and (table.split != made).sum() == 5, "the table itself stays as it was"


@pytest.mark.parametrize("test, validation", [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.4), (1.0, 0.0)])
def test_shares_that_leave_nothing_are_refused(test, validation):
    with pytest.raises(ValueError, match="test_share .* validation_share"):
        split.assign(photos({"a": [1]}), test_share=test, validation_share=validation, seed=0)


def test_dishes_that_lack_a_split_are_listed():
    table = photos({"a": [1], "b": [1, 1], "c": [1, 1, 1]})
    table["split"] = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    found = split.small_dishes(table)
    assert found.to_dict("index") == {"a": {"train": 1, "validation": 0, "test": 0}, "b": {"train": 1, "validation": 0, "test": 1}}
