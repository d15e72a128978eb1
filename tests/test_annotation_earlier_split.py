"""The split of a run that is trained on from: kept by content, followed by near-duplicates."""

import io

import pandas as pd
import pytest
from PIL import Image
from toys import fill, jpeg

from dishvl_lib.annotation import catalog, earlier_split
from dishvl_lib.annotation.layout import CatalogError
from dishvl_lib.core import artefacts

SHARES = {"test_share": 0.2, "validation_share": 0.1, "seed": 0}
DISHES = {"红烧鱼": 10, "土豆丝": 10}


@pytest.fixture
def root(tmp_path):
    """Two dishes of ten photos."""
    fill(tmp_path / "photos", DISHES)
    return tmp_path / "photos"


def build(root, known=None, sites=(), **options):
    return catalog.build(root, sites, known=known, **{**SHARES, **options})


def known_of(photos, **changed):
    """What a run with these photos hands on; changed: {path: split}."""
    table = photos[photos.split.isin(artefacts.SPLITS)].assign(run="first")
    for path, split in changed.items():
        table.loc[table.path == path, "split"] = split
    return table[list(artefacts.EARLIER_COLUMNS)].reset_index(drop=True)


def recompressed(file, name):
    with Image.open(file) as photo:
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=60)
    file.with_name(name).write_bytes(buffer.getvalue())


def by_path(photos):
    return photos.set_index("path").split


def first_in(photos, split):
    return photos.path[photos.split == split].iloc[0]


def test_another_seed_and_other_shares_move_no_known_photo(root):
    before, *_ = build(root)
    after, *_ = build(root, known_of(before), seed=7, test_share=0.5)
    assert by_path(after).equals(by_path(before))


def test_a_known_photo_keeps_its_split_in_another_folder(root):
    before, *_ = build(root)
    path = first_in(before, "test")
    moved = root / "宫保鸡丁" / "renamed.jpg"
    fill(root, {"宫保鸡丁": 4}, first_seed=100)
    (root / path).rename(moved)
    after, *_ = build(root, known_of(before))
    assert by_path(after)["宫保鸡丁/renamed.jpg"] == "test"


@pytest.mark.parametrize("split", artefacts.SPLITS)
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_new_near_duplicate_follows_the_known_photo(root, split, is_gone):
    before, *_ = build(root)
    path = first_in(before, split)
    recompressed(root / path, "copy.jpg")
    if is_gone:
        (root / path).unlink()
    after, *_ = build(root, known_of(before))
    folder, _, _ = path.partition("/")
    assert by_path(after)[f"{folder}/copy.jpg"] == split


def test_a_near_duplicate_of_a_trained_photo_that_is_gone_trains_under_another_dish_too(root):
    before, *_ = build(root)
    path = first_in(before, "train")
    other = "土豆丝" if path.startswith("红烧鱼") else "红烧鱼"
    recompressed(root / path, "copy.jpg")
    folder, _, _ = path.partition("/")
    (root / folder / "copy.jpg").rename(root / other / "copy.jpg")
    (root / path).unlink()
    after, *_ = build(root, known_of(before))
    assert by_path(after)[f"{other}/copy.jpg"] == "train"


def test_new_photos_fill_the_shares_of_their_dish(root):
    before, *_ = build(root)
    fill(root / "更多", {"红烧鱼": 10}, first_seed=200)
    for file in (root / "更多" / "红烧鱼").iterdir():
        file.rename(root / "红烧鱼" / f"new_{file.name}")
    after, *_ = build(root, known_of(before))
    of_dish = after[after.dish_id == "红烧鱼"].split.value_counts()
    assert of_dish.to_dict() == {"train": 14, "test": 4, "validation": 2}


def test_a_new_dish_gets_all_three_splits(root):
    before, *_ = build(root)
    fill(root, {"宫保鸡丁": 10}, first_seed=300)
    after, *_ = build(root, known_of(before))
    of_dish = after[after.dish_id == "宫保鸡丁"].split.value_counts()
    assert of_dish.to_dict() == {"train": 7, "test": 2, "validation": 1}


def test_a_given_split_does_not_test_what_was_trained_on(tmp_path):
    fill(tmp_path / "photos", DISHES)
    before, *_ = build(tmp_path / "photos")
    trained = first_in(before, "train")
    given = tmp_path / "given"
    fill(given, {f"train/{dish}": 10 for dish in DISHES}, first_seed=50)
    for number, dish in enumerate(DISHES):
        (given / "test" / dish).mkdir(parents=True)
        (given / "test" / dish / "own.jpg").write_bytes(jpeg(400 + number))
    dish, _, _ = trained.partition("/")
    copied = given / "test" / dish / "known.jpg"
    copied.write_bytes((tmp_path / "photos" / trained).read_bytes())
    after, *_ = build(given, known_of(before))
    splits = by_path(after)
    assert splits[f"test/{dish}/known.jpg"] == "train"
    assert splits[f"test/{dish}/own.jpg"] == "test"


@pytest.mark.parametrize("is_copy", [False, True])
def test_an_outside_site_has_nothing_that_was_trained_on(root, tmp_path, is_copy):
    before, *_ = build(root)
    path = first_in(before, "train")
    site = tmp_path / "site" / "a"
    site.mkdir(parents=True)
    (site / "own.jpg").write_bytes(jpeg(500))
    if is_copy:
        recompressed(root / path, "copy.jpg")
        folder, _, _ = path.partition("/")
        (root / folder / "copy.jpg").rename(site / "learned.jpg")
        (root / path).unlink()
    else:
        (root / path).rename(site / "learned.jpg")
    sites = [{"name": "b", "image_root": str(tmp_path / "site")}]
    after, rejected, _ = build(root, known_of(before), sites)
    at_site = after.path[after.split == "site:b"]
    assert [path.rpartition("/")[2] for path in at_site] == ["own.jpg"]
    left_out = rejected[rejected.path.str.endswith("learned.jpg")]
    assert left_out.reason.tolist() == [earlier_split.TRAINED_BEFORE]


def test_a_known_test_photo_that_a_new_one_joins_to_a_trained_one_is_left_out(root):
    before, *_ = build(root)
    path = first_in(before, "test")
    recompressed(root / path, "copy.jpg")
    folder, _, _ = path.partition("/")
    copy = f"{folder}/copy.jpg"
    # An earlier version, say, had put the copy into training.
    both, *_ = build(root)
    after, rejected, _ = build(root, known_of(both, **{path: "test", copy: "train"}))
    splits = by_path(after)
    assert splits[copy] == "train"
    assert path not in splits
    assert rejected.reason[rejected.path == path].tolist() == [earlier_split.TORN]


def test_held_out_photos_of_the_run_are_new_photos(root):
    held = {"sites": (), "dates": (), "dishes": ["土豆丝"]}
    fill(root, {"宫保鸡丁": 10}, first_seed=600)
    before, *_ = build(root, hold_out=held)
    after, *_ = build(root, known_of(before))
    assert set(after[after.dish_id == "土豆丝"].split) == set(artefacts.SPLITS)


def test_a_dish_that_was_trained_on_is_no_new_dish(root):
    fill(root, {"宫保鸡丁": 10}, first_seed=700)
    before, *_ = build(root)
    held = {"sites": (), "dates": (), "dishes": ["土豆*"]}
    with pytest.raises(CatalogError, match="trained on 土豆丝, which is no new dish"):
        build(root, known_of(before), hold_out=held)


def test_what_people_leave_out_stays_left_out(root, tmp_path):
    before, *_ = build(root)
    photo = before[before.split == "train"].iloc[0]
    decisions = tmp_path / "photos.csv"
    decisions.write_text(f"image_id,decision\n{photo.image_id},photo bad\n", "utf-8")
    after, rejected, _ = build(root, known_of(before), photo_decisions=decisions)
    assert photo.path not in set(after.path)
    assert rejected.split[rejected.path == photo.path].tolist() == ["train"]


def test_the_sentence_counts_old_new_and_gone_photos(root):
    before, *_ = build(root)
    known = known_of(before)
    fill(root, {"宫保鸡丁": 10}, first_seed=800)
    (root / first_in(before, "train")).unlink()
    after, *_ = build(root, known)
    assert earlier_split.summary(after, known) == (
        "19 photos keep the split that they have in first (train 13, validation 2, test 4); 10 are "
        "new (train 7, validation 1, test 2); 1 of its photos are not here any more"
    )


def test_features_are_known_under_the_ids_of_photos_that_are_gone():
    compared = pd.DataFrame({"image_id": ["a", "~b", "~c"]})
    features = {"a": 1, "b": 2}
    assert earlier_split.features_of_gone(compared, features) == {"a": 1, "b": 2, "~b": 2}
