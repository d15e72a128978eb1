"""A run's gallery beside best/: made where there is none, fitted again where it is the same, never
taken from people who added dishes.
"""

import pandas as pd
import pytest
from gallery_toys import DISHES, FUSION, NET, NEW, contents, gallery_folder, photo_files, weights

paddle = pytest.importorskip("paddle")

from dishvl_lib import Gallery  # noqa: E402
from dishvl_lib.gallery import net, run_gallery, store  # noqa: E402
from dishvl_lib.gallery.fusion import Fusion  # noqa: E402
from dishvl_lib.gallery.gallery import Gallery as InMemory  # noqa: E402

OTHER = Fusion(vlm=0.5, gallery=3.0)


@pytest.fixture
def folder(tmp_path):
    return gallery_folder(tmp_path / "04_training" / "gallery", model="first")


@pytest.fixture
def with_new(folder, tmp_path):
    """The same with a dish that a person added."""
    Gallery.load(folder).add(NEW, photo_files(tmp_path / "new", 7, 2), yes=True)
    return folder


def published(folder, fusion=OTHER, seed=0, dishes=DISHES, **options):
    """What is said when a run of these dishes is published to the folder again."""
    file = weights(folder.parent, seed=seed)
    described = net.describe(file, **NET)
    rows = Gallery.load(folder).photos.of(dishes)
    gallery = run_gallery.in_memory(rows, "pplcnet").with_fusion({"menu": fusion})
    return run_gallery.publish(folder, gallery, described, file, "second", **options)


def test_the_same_photos_keep_what_people_added_and_are_fitted_again(with_new):
    assert "fitted again" in published(with_new)
    assert contents(with_new)[NEW] == 2
    loaded = Gallery.load(with_new)
    assert (loaded.fusion(), loaded.manifest.model) == (OTHER, "second")


def test_other_photos_take_the_place_of_a_gallery_that_nobody_changed(folder):
    assert "holds 2 dishes" in published(folder, dishes=DISHES[:2])
    assert set(contents(folder)) == set(DISHES[:2])
    assert len(list(folder.glob(store.PHOTOS))) == 1


def test_other_photos_leave_a_gallery_that_people_added_to(with_new):
    said = published(with_new, dishes=DISHES[:2])
    assert "people added 1 dishes to it: it stays as it is. Move it away" in said
    assert set(contents(with_new)) == {*DISHES, NEW}


def test_another_net_leaves_it_and_its_weights(with_new):
    before = (with_new / store.WEIGHTS).read_bytes()
    assert "by another net" in published(with_new, seed=3)
    assert (with_new / store.WEIGHTS).read_bytes() == before
    Gallery.load(with_new).add(NEW, photo_files(with_new.parent / "more", 7, 3), yes=True)


def test_another_net_without_additions_takes_its_place_with_its_weights(folder):
    published(folder, seed=3)
    gallery = Gallery.load(folder)
    assert (
        gallery.manifest.net.weights_sha256
        == net.describe(weights(folder.parent, seed=3), **NET).weights_sha256
    )
    assert gallery.features(photo_files(folder.parent / "more", 1, 1)).shape == (1, 1280)


def test_another_run_s_gallery_stays(folder):
    said = published(folder, dishes=DISHES[:2], replace=False)
    assert "the run that it belongs to; it stays" in said
    assert set(contents(folder)) == set(DISHES)


def test_a_reader_who_has_it_open_sees_that_it_changed(with_new, tmp_path):
    gallery = Gallery.load(with_new)
    published(with_new)
    gallery.add(NEW, photo_files(tmp_path / "more", 7, 1, first=9), yes=True)
    assert gallery.fusion() == OTHER
    assert contents(with_new)[NEW] == 3


def test_photos_without_a_feature_or_a_name_are_not_registered(folder):
    rows = Gallery.load(folder).photos
    table = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "dish_id": ["d1", "d1", "d2"], "sha256": list("abc")}
    ).assign(phash="0" * 16, phash_mirrored="0" * 16)
    vectors = {"a": rows.feature[0], "c": rows.feature[1]}
    registered = run_gallery.registered(table, {"d1": "红烧鱼"}, vectors)
    assert registered.sha256.tolist() == ["a"]


def test_a_picture_that_cannot_be_read_is_taken_from_the_next_photo(folder, tmp_path):
    rows = Gallery.load(folder).photos
    (good,) = photo_files(tmp_path, 1, 1)
    (tmp_path / "bad.jpg").write_bytes(b"<html>")
    table = pd.DataFrame({"dish_id": ["d", "d", "e"], "path": ["bad.jpg", good.name, "gone.jpg"]})
    pictured = run_gallery.with_pictures(rows, table, {"d": "红烧鱼", "e": "米饭"}, tmp_path)
    assert pictured.pictured.tolist() == ["红烧鱼"]
    assert bytes(pictured.picture[0]).startswith(b"\xff\xd8")


def test_a_gallery_in_memory_is_not_changed_and_has_a_fusion_of_its_own(folder):
    shown = run_gallery.in_memory(Gallery.load(folder).photos, "pplcnet")
    assert isinstance(shown.with_fusion({"menu": OTHER}), InMemory)
    assert shown.fusion() == Fusion()
    with pytest.raises(ValueError, match="in memory only"):
        shown.remove("米饭")
    assert Gallery.load(folder).fusion("naming") == FUSION
