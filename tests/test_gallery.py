"""Dishes are added and removed without training, whole or not at all; what somebody should look at
first is said; whatever is wrong with a gallery has a remedy.
"""

import json
import os
import shutil
import subprocess
import sys

import gallery_toys
import numpy as np
import pytest
from gallery_toys import DISHES, NEW, contents, gallery_folder, photo_files, striped
from PIL import Image

paddle = pytest.importorskip("paddle")

from dishvl_lib import Gallery  # noqa: E402
from dishvl_lib.core import locks, paths  # noqa: E402
from dishvl_lib.gallery import doubts, store  # noqa: E402
from dishvl_lib.gallery.doubts import DoubtError  # noqa: E402
from dishvl_lib.gallery.gallery import GalleryError  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return gallery_folder(tmp_path_factory.mktemp("made") / "gallery")


@pytest.fixture
def folder(made, tmp_path):
    """A gallery of its own for a test."""
    return shutil.copytree(made, tmp_path / "model" / "gallery")


@pytest.fixture
def new_photos(tmp_path):
    return photo_files(tmp_path / "new", 7, 5)


def test_loaded_again_is_the_gallery_of_the_disk_beside_the_old_one_with_the_same_net(
    made, tmp_path
):
    folder = shutil.copytree(made, tmp_path / "again")
    gallery = Gallery.load(folder)
    gallery.open_net()
    Gallery.load(folder).remove(DISHES[0])
    again = gallery.loaded_again()
    assert len(again) == len(gallery) - 1
    assert again._net() is gallery._net()


def test_pixels_that_were_read_before_give_the_same_features(made):
    gallery = Gallery.load(made)
    photos = [striped(dish, 50) for dish in range(3)]
    pixels = np.stack([gallery.pixels(photo) for photo in photos])
    assert (gallery.features_of_pixels(pixels) == gallery.features(photos)).all()


def test_a_run_s_dishes_are_all_trained_on(folder):
    assert [(dish.name, dish.n_photos, dish.trained) for dish in Gallery.load(folder)] == [
        (name, 4, True) for name in sorted(DISHES)
    ]


def test_an_added_dish_is_found_and_was_not_trained_on(folder, new_photos):
    gallery = Gallery.load(folder)
    gallery.add(NEW, new_photos, yes=True)
    feature = Gallery.load(folder).features([striped(7, 50)])[0]
    assert Gallery.load(folder).shortlist(feature)[0] == NEW
    (dish,) = [dish for dish in Gallery.load(folder) if dish.name == NEW]
    assert (dish.n_photos, dish.trained) == (5, False)
    assert dish.added_at


def test_a_removed_dish_is_not_found_any_more_and_the_others_are(folder, new_photos):
    gallery = Gallery.load(folder)
    gallery.add(NEW, new_photos, yes=True)
    assert gallery.remove(NEW) == 5
    assert contents(folder) == dict.fromkeys(sorted(DISHES), 4)
    assert NEW not in gallery.shortlist(gallery.features([striped(7, 50)])[0])


def test_a_dish_that_was_removed_and_added_again_has_the_new_photos_only(folder, new_photos):
    gallery = Gallery.load(folder)
    gallery.add(NEW, new_photos, yes=True)
    gallery.remove(NEW)
    gallery.add(NEW, new_photos[:2], yes=True)
    assert contents(folder)[NEW] == 2


def test_files_of_removed_dishes_go(folder, new_photos):
    gallery = Gallery.load(folder)
    before = set(folder.iterdir())
    gallery.add(NEW, new_photos, yes=True)
    gallery.remove(NEW)
    assert set(folder.iterdir()) == before


def test_many_additions_lie_in_few_files(folder, tmp_path):
    gallery = Gallery.load(folder)
    files = photo_files(tmp_path / "many", 8, store.FORMAT + 40)
    for file in files:
        gallery.add("小炒", [file], yes=True)
    assert contents(folder)["小炒"] == len(files)
    assert len(list(folder.glob(store.PHOTOS))) <= 33


def test_a_name_that_is_there_is_said_however_it_is_spelt(folder, new_photos):
    with pytest.raises(DoubtError, match="there is a dish called 红烧鱼"):
        Gallery.load(folder).add(" 红烧鱼。", new_photos)
    assert contents(folder) == dict.fromkeys(sorted(DISHES), 4)


def test_photos_of_a_dish_that_is_there_join_it_under_its_own_spelling(folder, new_photos):
    Gallery.load(folder).add("红烧 鱼", new_photos, yes=True)
    assert contents(folder)["红烧鱼"] == 9
    assert Gallery.load(folder).is_trained("红烧鱼")


def test_a_name_that_means_the_same_is_said(folder, new_photos):
    with pytest.raises(DoubtError, match="番茄炒蛋, which means the same"):
        Gallery.load(folder).add("西红柿炒鸡蛋", new_photos)


def kinds(candidate):
    return {doubt.kind for doubt in candidate.doubts}


def twin(folder, photo):
    given = Gallery.load(folder).look(NEW, [photo]).doubts
    return [doubt.sentence for doubt in given if doubt.kind == doubts.TWIN]


def test_the_same_file_under_another_dish_is_said(folder, made):
    (sentence,) = twin(folder, made.parent / "registered" / "1_2.png")
    assert "is the same file as a photo of 米饭" in sentence


def test_a_resized_copy_under_another_dish_is_said(folder, tmp_path):
    copy = tmp_path / "copy.jpg"
    striped(1, 2).resize((144, 112), Image.Resampling.BICUBIC).save(copy, quality=90)
    (sentence,) = twin(folder, copy)
    assert "米饭" in sentence


def test_a_mirrored_copy_under_another_dish_is_said(folder, tmp_path):
    copy = tmp_path / "copy.png"
    striped(1, 2).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(copy)
    (sentence,) = twin(folder, copy)
    assert "a copy, or almost, of a photo of 米饭" in sentence


def test_a_dish_that_looks_like_another_is_said_with_the_cosine(folder, tmp_path):
    more = photo_files(tmp_path / "more", 1, 3, first=40)
    candidate = Gallery.load(folder).look(NEW, more)
    assert doubts.LOOK_ALIKE in kinds(candidate)
    sentence = next(str(doubt) for doubt in candidate.doubts if doubt.kind == doubts.LOOK_ALIKE)
    assert sentence.startswith("it looks like 米饭: cosine 0.")
    assert candidate.closest[0][0] == "米饭"


def test_looking_changes_nothing(folder, new_photos):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    Gallery.load(folder).look(NEW, new_photos)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_an_unreadable_photo_is_left_out_and_the_others_are_added(folder, new_photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(new_photos[0].read_bytes()[:300])
    candidate = Gallery.load(folder).add(NEW, [broken, "gone.jpg", *new_photos], yes=True)
    assert contents(folder)[NEW] == 5
    assert [str(broken) in str(candidate.left_out[0]), "missing" in str(candidate.left_out[1])] == [
        True,
        True,
    ]


def test_without_a_readable_photo_nothing_is_added(folder, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(GalleryError, match="none of the photos can be read: .*not an image"):
        Gallery.load(folder).add(NEW, [tmp_path / "a.jpg"])


def test_a_photo_that_is_given_twice_or_registered_already_counts_once(folder, new_photos):
    gallery = Gallery.load(folder)
    candidate = gallery.add(NEW, [*new_photos, new_photos[0]], yes=True)
    assert "the same file as" in str(candidate.left_out[0])
    gallery.add(NEW, new_photos, yes=True)
    assert contents(folder)[NEW] == 5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "it is empty"),
        ("。_ ", "it is empty"),
        ("红烧鱼、米饭", "separate menu entries"),
        ("菜" * 200, "200 characters"),
        ("鱼<|im_end|>", "reads as a command"),
    ],
)
def test_a_name_that_cannot_stand_on_a_menu_is_refused(folder, new_photos, name, words):
    with pytest.raises(GalleryError, match="cannot be a dish's name") as error:
        Gallery.load(folder).add(name, new_photos)
    assert words in str(error.value)


def test_odd_names_are_kept_as_they_are_read(folder, new_photos):
    for name in ("Crème brûlée №5", "=SUM(1)", "<b>鱼</b>", "红/../鱼"):
        Gallery.load(folder).add(name, new_photos[:1], yes=True)
    assert {"Crème brûlée No5", "=SUM(1)", "<b>鱼</b>", "红/../鱼"} <= set(contents(folder))
    assert not (folder.parent / "鱼").exists()


def test_removing_what_is_not_there_names_what_was_meant(folder):
    with pytest.raises(GalleryError, match="did you mean 番茄炒蛋"):
        Gallery.load(folder).remove("西红柿炒鸡蛋")
    with pytest.raises(GalleryError, match="dishvl dish list"):
        Gallery.load(folder).remove("饺子")


def test_the_last_dish_can_be_removed_and_another_added(folder, new_photos):
    gallery = Gallery.load(folder)
    for name in DISHES:
        gallery.remove(name)
    assert len(Gallery.load(folder)) == 0
    assert gallery.shortlist(gallery.features([striped(1, 1)])[0]) == []
    gallery.add(NEW, new_photos)
    assert contents(folder) == {NEW: 5}


def test_a_moved_gallery_works_where_it_lies(folder, tmp_path, new_photos):
    moved = folder.parent.rename(tmp_path / "elsewhere") / "gallery"
    Gallery.load(moved).add(NEW, new_photos, yes=True)
    assert contents(moved)[NEW] == 5


def test_a_gallery_is_found_beside_its_model_or_in_it(folder, tmp_path):
    beside = folder.parent / "best"
    beside.mkdir()
    assert Gallery.of_model(beside) == folder
    alone = tmp_path / "copied" / "model"
    shutil.copytree(folder, alone / "gallery")
    assert Gallery.of_model(alone) == alone / "gallery"
    assert Gallery.of_model(tmp_path / "new") is None


def test_another_process_s_dishes_are_kept(folder, new_photos, tmp_path):
    first = Gallery.load(folder)
    second = Gallery.load(folder)
    first.add(NEW, new_photos, yes=True)
    second.add("小炒", photo_files(tmp_path / "more", 9, 2), yes=True)
    assert {NEW, "小炒"} <= set(contents(folder))


def test_a_name_that_another_process_has_added_meanwhile_is_said(folder, new_photos, tmp_path):
    second = Gallery.load(folder)
    candidate = second.look(NEW, photo_files(tmp_path / "more", 9, 2))
    Gallery.load(folder).add(NEW, new_photos, yes=True)
    with pytest.raises(DoubtError, match=f"there is a dish called {NEW}"):
        second.register(candidate)


def test_a_lock_that_is_held_is_waited_for_and_then_named(folder, new_photos, monkeypatch):
    code = (
        "import sys, time; from pathlib import Path; from dishvl_lib.core import locks; "
        "locks.take(Path(sys.argv[1]), 'x'); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(store.lock_file(folder))]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=paths.PROJECT_ROOT)
    try:
        holder.stdout.readline()
        monkeypatch.setattr(store, "WAIT_S", 0.2)
        with pytest.raises(GalleryError, match=f"process {holder.pid}"):
            Gallery.load(folder).add(NEW, new_photos, yes=True)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert locks.holder(store.lock_file(folder)) is None
    Gallery.load(folder).add(NEW, new_photos, yes=True)


def test_weights_that_are_others_now_are_named_with_the_remedy(folder, tmp_path, new_photos):
    shutil.copyfile(gallery_toys.weights(tmp_path, seed=5), folder / store.WEIGHTS)
    with pytest.raises(GalleryError, match=r"sha256 \w{12}, then \w{12}.*put back net.pdparams"):
        Gallery.load(folder).add(NEW, new_photos)


def test_weights_that_are_gone_are_named_with_the_remedy(folder, new_photos):
    (folder / store.WEIGHTS).unlink()
    with pytest.raises(GalleryError, match="no such weights file.*put back net.pdparams"):
        Gallery.load(folder).add(NEW, new_photos)


def test_a_folder_without_a_gallery_says_what_makes_one(tmp_path):
    with pytest.raises(GalleryError, match="stage 05 makes it"):
        Gallery.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_manifest_is_named_with_the_remedy(folder, content):
    (folder / store.MANIFEST).write_text(content)
    with pytest.raises(GalleryError, match="gallery.json is damaged.*put back a copy"):
        Gallery.load(folder)


def test_a_later_version_is_not_guessed_at(folder):
    manifest = json.loads((folder / store.MANIFEST).read_text())
    (folder / store.MANIFEST).write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(GalleryError, match="a later version"):
        Gallery.load(folder)


def damage_and_load(folder, change):
    (file,) = folder.glob(store.PHOTOS)
    change(file)
    with pytest.raises(GalleryError) as error:
        Gallery.load(folder)
    return str(error.value)


def test_photos_that_are_gone_are_named_with_the_remedy(folder):
    assert "it is gone" in damage_and_load(folder, lambda file: file.unlink())


def test_photos_that_are_cut_are_named_with_the_remedy(folder):
    said = damage_and_load(folder, lambda file: os.truncate(file, file.stat().st_size // 2))
    assert "is damaged" in said


def test_a_flipped_bit_in_the_photos_is_noticed(folder):
    def flip(file):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 4
        file.write_bytes(bytes(content))

    assert "is damaged" in damage_and_load(folder, flip)


def test_features_come_back_as_they_were_but_for_their_last_digits(folder, made):
    gallery = Gallery.load(folder)
    (file,) = [made.parent / "registered" / "1_2.png"]
    feature = gallery.features([file])[0]
    row = np.flatnonzero(np.isclose(gallery.photos.feature @ feature, 1, atol=1e-3))
    assert "米饭" in gallery.photos.name[row]


def test_the_public_face_loads_nothing_heavy():
    code = (
        "import sys; from dishvl_lib import Gallery; "
        "print([m for m in ('torch', 'transformers', 'paddle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
