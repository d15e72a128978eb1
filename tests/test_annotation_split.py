"""The split: whole groups, per dish, by the seed alone."""

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.annotation import split


def photos(dishes):
    """{dish: sizes of its groups} -> rows without a split."""
    rows = [
        (f"{dish}-{g}-{i}", dish, f"{dish}-{g}")
        for dish, sizes in dishes.items()
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    return pd.DataFrame(rows, columns=["image_id", "dish_id", "group_id"]).assign(split="")


def dealt(sizes, test=0.2, validation=0.1, seed=0):
    table = photos({"d": sizes})
    table["split"] = split.assign(table, test_share=test, validation_share=validation, seed=seed)
    return table


def counts(sizes, **options):
    counts_of = dealt(sizes, **options).split.value_counts()
    return tuple(int(counts_of.get(name, 0)) for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([1], (1, 0, 0)),
        ([9], (9, 0, 0)),
        ([1, 1], (1, 0, 1)),
        ([1, 1, 1], (1, 1, 1)),
        ([1] * 10, (7, 1, 2)),
        ([1] * 100, (70, 10, 20)),
        ([1] * 4, (2, 1, 1)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_and_the_rule_for_small_dishes(sizes, expected, seed):
    assert counts(sizes, seed=seed) == expected


def test_a_split_with_share_0_gets_nothing():
    assert counts([1] * 10, test=0.0) == (9, 1, 0)
    assert counts([1] * 10, validation=0.0) == (8, 0, 2)
    assert counts([1] * 5, test=0.0, validation=0.0) == (5, 0, 0)


@pytest.mark.parametrize("test, validation", [(0.6, 0.2), (0.5, 0.1), (0.3, 0.5)])
def test_three_groups_serve_all_three_splits_whatever_the_shares(test, validation):
    assert counts([1, 1, 1], test=test, validation=validation) == (1, 1, 1)


@pytest.mark.parametrize("seed", range(8))
def test_one_frame_with_many_crops_never_takes_the_training_away(seed):
    assert counts([50, 1, 1, 1], seed=seed)[0] >= 50
    assert counts([30, 5], seed=seed) == (30, 0, 5)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_shares_hold_about(seed):
    sizes = np.random.default_rng(seed).integers(1, 5, 60).tolist()
    table = dealt(sizes, seed=seed)
    assert table.groupby("group_id").split.nunique().max() == 1
    share = table.split.value_counts(normalize=True)
    assert share["test"] == pytest.approx(0.2, abs=0.03)
    assert share["validation"] == pytest.approx(0.1, abs=0.03)


def test_groups_are_dealt_by_the_seed_not_by_their_size():
    sizes = [1] * 20 + [2] * 10
    tested = [
        dealt(sizes, seed=seed).query("split == 'test'").groupby("group_id").size().value_counts()
        for seed in range(20)
    ]
    of_two = sum(int(counts.get(2, 0)) for counts in tested) / sum(
        int(counts.sum()) for counts in tested
    )
    assert 0.2 < of_two < 0.5


def test_the_seed_decides_and_the_order_of_rows_does_not():
    table = photos({"a": [1, 2, 1, 3, 1, 1, 1], "b": [2] * 9})

    def by_id(rows, seed):
        return dict(
            zip(
                rows.image_id,
                split.assign(rows, test_share=0.2, validation_share=0.1, seed=seed),
                strict=True,
            )
        )

    assert by_id(table, 1) == by_id(table.sample(frac=1, random_state=5), 1) == by_id(table, 1)
    assert by_id(table, 1) != by_id(table, 2)


def test_another_dish_changes_nothing_for_this_one():
    alone = photos({"a": [1] * 9})
    beside = photos({"0": [1] * 5, "a": [1] * 9})
    dealt_with_others = split.assign(beside, test_share=0.2, validation_share=0.1, seed=0)
    assert (
        dealt_with_others[beside.dish_id == "a"].tolist()
        == split.assign(alone, test_share=0.2, validation_share=0.1, seed=0).tolist()
    )


def test_outside_sites_keep_their_split():
    table = photos({"a": [1] * 5, "x/a": [1] * 5})
    table.loc[table.dish_id == "x/a", "split"] = "site:x"
    splits = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    assert set(splits[table.dish_id == "x/a"]) == {"site:x"}, "the table itself stays as it was"
    assert (table.split != splits).sum() == 5, "the table itself stays as it was"


@pytest.mark.parametrize("test, validation", [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.4), (1.0, 0.0)])
def test_shares_that_leave_nothing_are_refused(test, validation):
    with pytest.raises(ValueError, match="test_share .* validation_share"):
        split.assign(photos({"a": [1]}), test_share=test, validation_share=validation, seed=0)


def test_dishes_that_lack_a_split_are_listed():
    table = photos({"a": [1], "b": [1, 1], "c": [1, 1, 1]})
    table["split"] = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    lacking = split.small_dishes(table)
    assert lacking.to_dict("index") == {
        "a": {"train": 1, "validation": 0, "test": 0},
        "b": {"train": 1, "validation": 0, "test": 1},
    }


def held(table, **wanted):
    photos = table.copy()
    photos["split"] = split.hold_out(photos, **wanted)
    return photos


def dated(dishes):
    table = photos(dishes)
    return table.assign(
        site=["A" if i % 2 else "B" for i in range(len(table))],
        taken_on=[f"2022-0{1 + i % 3}-11" for i in range(len(table))],
    )


def test_sites_dates_and_dishes_are_held_out_by_whole_groups():
    table = dated({"红烧鱼": [1] * 6, "红烧肉": [2] * 3, "土豆丝": [1] * 4})
    assert set(held(table, sites=["A"]).query("dish_id == '红烧肉'").split) == {"held_out"}, (
        "a group with one photo of the site goes whole"
    )
    by_date = held(table, dates=["2022-02"])
    assert by_date[by_date.taken_on.str.startswith("2022-02")].split.eq("held_out").all()
    assert by_date.split.eq("").any()
    by_dish = held(table, dishes=["红烧*"])
    assert by_dish.groupby("dish_id").split.agg(set).to_dict() == {
        "红烧鱼": {"held_out"},
        "红烧肉": {"held_out"},
        "土豆丝": {""},
    }
    splits = split.assign(by_dish, test_share=0.2, validation_share=0.1, seed=0)
    assert splits[by_dish.dish_id != "土豆丝"].eq("held_out").all()
    assert set(splits[by_dish.dish_id == "土豆丝"]) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    "wanted, message",
    [
        ({"sites": ["C"]}, "hold_out_sites: no photo of 'C'; the photos have A, B"),
        ({"dates": ["2023"]}, "hold_out_dates: no photo of '2023'"),
        ({"dishes": ["红烧?x"]}, "hold_out_dishes: no photo of '红烧.x'; the photos have 红烧鱼"),
    ],
)
def test_a_hold_out_that_holds_nothing_is_refused(wanted, message):
    with pytest.raises(ValueError, match=message):
        held(dated({"红烧鱼": [1, 1]}), **wanted)


def test_a_hold_out_of_photos_whose_split_is_given_is_refused():
    table = dated({"红烧鱼": [1] * 3, "土豆丝": [1] * 4}).assign(split="train")
    with pytest.raises(ValueError, match="hold_out_dishes: .*'红烧鱼' have their split already"):
        held(table, dishes=["红烧鱼"])


def test_photos_in_doubt_train_with_their_whole_group():
    table = photos({"a": [1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1]})
    for seed in range(10):
        splits = split.assign(
            table, test_share=0.4, validation_share=0.2, seed=seed, train_only=["a-1-0", "a-5-0"]
        )
        assert set(splits[table.group_id.isin(["a-1", "a-5"])]) == {"train"}
        assert {
            "validation",
            "test",
        } <= set(splits)


def test_in_doubt_and_two_more_groups_still_serve_all_three_splits():
    table = photos({"a": [1, 1, 1]})
    splits = split.assign(table, test_share=0.2, validation_share=0.1, seed=0, train_only=["a-0-0"])
    assert splits.iloc[0] == "train"
    assert set(splits) == {"train", "validation", "test"}


def given(dishes):
    """{dish: [(group, split), ...]}"""
    rows = [
        (f"{dish}-{i}", f"{dish}/{i}.jpg", dish, f"{dish}-{group}", place)
        for dish, members in dishes.items()
        for i, (group, place) in enumerate(members)
    ]
    return pd.DataFrame(rows, columns=["image_id", "path", "dish_id", "group_id", "split"])


def test_given_splits_are_kept_and_twins_across_them_are_left_out():
    table = given(
        {
            "a": [
                (0, "train"),
                (0, "test"),
                (1, "test"),
                (2, "validation"),
                (1, "validation"),
                (3, "train"),
            ],
            "b": [(0, "train"), (9, "site:x")],
        }
    )
    kept, rejected = split.check_given(table)
    assert kept.image_id.tolist() == ["a-0", "a-2", "a-3", "a-5", "b-0", "b-1"]
    assert [(row.path, row.reason) for row in rejected.itertuples()] == [
        ("a/1.jpg", "in two splits"),
        ("a/4.jpg", "in two splits"),
    ]
    assert "a/0.jpg, which is given as train" in rejected.detail[0]
    assert "a/2.jpg, which is given as test" in rejected.detail[1]
    assert (
        split.assign(kept, test_share=0.2, validation_share=0.1, seed=0).tolist()
        == kept.split.tolist()
    )


def test_a_split_that_was_not_given_is_dealt_from_training():
    table = given({"a": [(i, "train") for i in range(20)] + [(i, "test") for i in range(20, 24)]})
    splits = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    assert splits[table.split == "test"].eq("test").all()
    assert splits[table.split == "train"].value_counts().to_dict() == {"train": 18, "validation": 2}


def test_photos_without_a_split_go_where_others_of_their_group_were_given():
    """As photos_csv may list them: two of three crops of a frame with a split, the third
    without.
    """
    table = photos({"d": [3, 3, 1, 1, 1, 1, 1, 1, 1, 1]})
    table.loc[table.image_id.isin(["d-0-0", "d-0-1"]), "split"] = "test"
    table.loc[table.image_id == "d-1-2", "split"] = "validation"
    table["split"] = split.assign(table, test_share=0.2, validation_share=0.1, seed=0)
    assert set(table.split[table.group_id == "d-0"]) == {"test"}
    assert set(table.split[table.group_id == "d-1"]) == {"validation"}
    assert set(table.split[~table.group_id.isin(["d-0", "d-1"])]) == {"train"}
    assert table.groupby("group_id").split.nunique().max() == 1
