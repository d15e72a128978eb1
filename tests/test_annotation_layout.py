"""Which files are photos of which dish: class folders, given splits over them, and lists."""

import pytest
from toys import fill, jpeg

from dishvl_lib.annotation import layout


def list_photos(*places, **options):
    """(photos, files left out) of a folder."""
    listing = layout.listing(*places, **options)
    return listing.photos, listing.refused


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def places_of(photos, root):
    return {layout.relative_path(photo.file, root): (photo.folder, photo.split) for photo in photos}


@pytest.mark.parametrize(
    "folders, expected",
    [
        (("train", "val", "test"), {"train": "train", "val": "validation", "test": "test"}),
        (("Train", "validation"), {"Train": "train", "validation": "validation"}),
        (("train", "test", ".git"), {"train": "train", "test": "test"}),
        (("train", "test", "__MACOSX"), {"train": "train", "test": "test"}),
        (("train", "test", "@eaDir"), {"train": "train", "test": "test"}),
        (("train",), {"train": ""}),
        (("val", "test"), {"val": "", "test": ""}),
        (("train", "val", "valid"), {"train": "", "val": "", "valid": ""}),
        (("train", "test", "川菜"), {"train": "", "test": "", "川菜": ""}),
    ],
)
def test_folders_that_are_splits(tmp_path, folders, expected):
    fill(tmp_path, {f"{folder}/红烧鱼": 1 for folder in folders})
    photos, _ = list_photos(tmp_path)
    assert {photo.file.parts[-3]: photo.split for photo in photos} == expected


def test_folders_without_photos_unmake_no_splits(tmp_path):
    fill(tmp_path, {"train/红烧鱼": 1, "test/红烧鱼": 1, "labels": 0, "empty": 0})
    write(tmp_path / "labels" / "red.txt", "x")
    listing = layout.listing(tmp_path)
    assert {photo.split for photo in listing.photos} == {"train", "test"}
    assert ("empty", *layout.EMPTY_FOLDER) in listing.refused
    assert listing.notes == []


def test_splits_that_are_not_taken_are_said(tmp_path):
    fill(tmp_path, {"train/红烧鱼": 1, "test/红烧鱼": 1, "土豆丝": 1})
    assert "土豆丝 beside them is none" in layout.listing(tmp_path).notes[0]


def test_folders_below_a_dish_that_say_nothing_are_its_own(tmp_path):
    fill(tmp_path, {"红烧鱼/20240301": 1, "红烧鱼/批次2": 1, "一食堂/土豆丝": 1})
    assert [photo.folder for photo in layout.listing(tmp_path).photos] == [
        "土豆丝",
        "红烧鱼",
        "红烧鱼",
    ]


def test_folders_that_are_not_clear_stop_until_the_level_is_given(tmp_path):
    fill(tmp_path, {"红烧鱼/张江": 1, "土豆丝/张江": 1, "麻婆豆腐/张江": 1})
    with pytest.raises(layout.CatalogError, match="image_root .*张江.* set dish_level"):
        list_photos(tmp_path)
    photos, _ = list_photos(tmp_path, dish_level=1)
    assert {photo.folder for photo in photos} == {"红烧鱼", "土豆丝", "麻婆豆腐"}
    assert len(layout.listing(tmp_path, source="site").photos) == 3


def test_splits_over_class_folders(tmp_path):
    fill(tmp_path, {"train/红烧鱼": 1, "val/红烧鱼": 1, "test/土豆丝": 1})
    (tmp_path / "train" / "loose.jpg").write_bytes(jpeg(9))
    photos, left_out = list_photos(tmp_path)
    assert places_of(photos, tmp_path) == {
        "train/红烧鱼/0.jpg": ("红烧鱼", "train"),
        "val/红烧鱼/0.jpg": ("红烧鱼", "validation"),
        "test/土豆丝/0.jpg": ("土豆丝", "test"),
    }
    assert left_out == [
        ("train/loose.jpg", "not in a dish folder", "it lies beside the dish folders")
    ]


def test_a_dish_called_test_is_a_dish(tmp_path):
    fill(tmp_path, {"test": 1, "红烧鱼": 1})
    assert places_of(layout.listing(tmp_path).photos, tmp_path) == {
        "test/0.jpg": ("test", ""),
        "红烧鱼/0.jpg": ("红烧鱼", ""),
    }


def test_a_list_of_paths_and_labels(tmp_path):
    fill(tmp_path, {"a": 3, "b": 1})
    lines = [
        "path,label,split",
        "a/0.jpg,红烧鱼,train",
        "a/1.jpg,红烧鱼,",
        "b/0.jpg,土豆丝,val",
        "a/0.jpg,红烧鱼,",
        "a/2.jpg,红烧鱼,",
        "a/2.jpg,土豆丝,",
        ",x,",
        "a/x.txt,y,",
        "gone.jpg,y,",
    ]
    listed = write(tmp_path / "photos.csv", "\n".join(lines))
    photos, left_out = list_photos(tmp_path, listed)
    assert places_of(photos, tmp_path) == {
        "a/0.jpg": ("红烧鱼", "train"),
        "a/1.jpg": ("红烧鱼", ""),
        "b/0.jpg": ("土豆丝", "validation"),
        "gone.jpg": ("y", ""),
    }
    assert sorted(reason for _, reason, _ in left_out) == [
        "listed twice",
        "no path or label",
        "not a photo file",
        "two labels",
        "two labels",
    ]
    assert len(photos) + len(left_out) == len(lines) - 1, "every line is a photo or has a reason"


def test_a_list_names_photos_anywhere(tmp_path):
    fill(tmp_path, {"far": 1})
    (tmp_path / "root").mkdir()
    listed = write(
        tmp_path / "photos.csv", f"path,label\n../far/0.jpg,甲\n{tmp_path}/far/0.jpg,甲\n"
    )
    photos, left_out = list_photos(tmp_path / "root", listed)
    assert [photo.file for photo in photos] == [tmp_path / "far" / "0.jpg"]
    assert left_out[0][1] == "listed twice"


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "photos_csv: .*photos.csv is missing"),
        ("path,split\na,b\n", "no column label"),
        ("path,label,split\na.jpg,b,trian\n", "line 2: split 'trian' must be"),
    ],
)
def test_lists_that_cannot_be(tmp_path, text, message):
    if text:
        write(tmp_path / "photos.csv", text)
    with pytest.raises(ValueError, match=message):
        list_photos(tmp_path, tmp_path / "photos.csv")


def test_no_folder_is_said(tmp_path):
    with pytest.raises(
        layout.CatalogError, match="image_root: no folder .*none; it must hold one folder"
    ):
        list_photos(tmp_path / "none")


@pytest.fixture
def linked(tmp_path):
    """(image_root, outside): links to a file and a folder outside, also by way of other links, and
    to places inside.
    """
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    fill(root, {"红烧鱼": 1})
    fill(outside, {"土豆丝": 2}, first_seed=5)
    (root / "红烧鱼" / "inside.jpg").symlink_to("0.jpg")
    (root / "红烧鱼" / "far.jpg").symlink_to(outside / "土豆丝" / "0.jpg")
    (root / "红烧鱼" / "step.jpg").symlink_to("far.jpg")
    (root / "红烧鱼" / "gone.jpg").symlink_to(outside / "none.jpg")
    (root / "土豆丝").symlink_to(outside / "土豆丝")
    (root / "twice").symlink_to("土豆丝")
    (root / "again").symlink_to("红烧鱼")
    return root, outside


def test_links_out_of_the_folder_are_left_out_and_name_the_parameter(linked):
    root, outside = linked
    photos, left_out = list_photos(root)
    assert places_of(photos, root) == {
        "红烧鱼/0.jpg": ("红烧鱼", ""),
        "红烧鱼/inside.jpg": ("红烧鱼", ""),
    }
    out = {path: detail for path, reason, detail in left_out if reason == layout.LINK_OUT}
    assert out.keys() == {"红烧鱼/far.jpg", "红烧鱼/step.jpg", "红烧鱼/gone.jpg", "土豆丝", "twice"}
    assert all("follow_links: true" in detail and str(outside) in detail for detail in out.values())
    assert [row for row in left_out if row[1] != layout.LINK_OUT] == [
        ("again", "link to a folder", "it leads to a folder that is read at its own place")
    ]


def test_links_are_followed_where_that_is_allowed(linked):
    root, _ = linked
    photos, left_out = list_photos(root, follow_links=True)
    inside = {"0.jpg", "inside.jpg", "far.jpg", "step.jpg", "gone.jpg"}
    wanted = {f"红烧鱼/{name}" for name in inside} | {
        f"{folder}/{n}.jpg" for folder in ("土豆丝", "twice") for n in (0, 1)
    }
    assert places_of(photos, root).keys() == wanted
    assert [path for path, *_ in left_out] == ["again"]


def test_circles_of_links_end(tmp_path):
    root = tmp_path / "root"
    fill(root, {"红烧鱼": 1})
    fill(tmp_path, {"a": 1, "b": 1}, first_seed=5)
    (root / "out").symlink_to(tmp_path / "a")
    (root / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "self").symlink_to(".")
    photos, left_out = list_photos(root, follow_links=True)
    assert places_of(photos, root).keys() == {"红烧鱼/0.jpg", "out/0.jpg", "out/b/0.jpg"}
    assert {path for path, reason, _ in left_out if reason == "link to a folder"} == {
        "up",
        "out/b/a",
        "out/b/self",
    }


def test_the_folder_itself_may_be_a_link_and_a_list_may_name_links(linked, tmp_path):
    root, _ = linked
    (tmp_path / "link").symlink_to(root)
    assert list_photos(tmp_path / "link") == as_found_in(list_photos(root), root, tmp_path / "link")
    listed = write(tmp_path / "photos.csv", "path,label\n红烧鱼/far.jpg,甲\n")
    assert [photo.folder for photo in layout.listing(root, listed).photos] == ["甲"]


def as_found_in(listed, old, new):
    photos, left_out = listed
    moved = [
        layout.PhotoFile(new / photo.file.relative_to(old), photo.folder, photo.source, photo.split)
        for photo in photos
    ]
    return moved, left_out
