"""The catalogue: every file found is a usable photo or a row with a reason, whatever its name or
content.
"""

import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from pillow_heif import register_heif_opener
from toys import encoded, fill, jpeg, picture, rotated

from dishvl_lib.annotation import catalog, rejections
from dishvl_lib.core import records

register_heif_opener()  # for writing; reading registers it by itself
SHARES = {"test_share": 0.2, "validation_share": 0.1, "seed": 0}


def scan(root, sites=(), **options):
    return catalog.scan_folders(root, sites, workers=2, **options)


def reasons(rejected) -> dict[str, str]:
    return dict(zip(rejected.path, rejected.reason, strict=True))


def files_below(*roots) -> int:
    return sum(
        len(names) + sum(os.path.islink(os.path.join(top, folder)) for folder in folders)
        for root in roots
        for top, folders, names in os.walk(root)
    )


def written_and_read(tmp_path, photos, rejected):
    records.write_table(tmp_path / "catalog.parquet", photos)
    records.write_table(tmp_path / "rejected.csv", rejected)
    return records.read_table(tmp_path / "catalog.parquet"), records.read_table(
        tmp_path / "rejected.csv"
    )


@pytest.fixture
def root(tmp_path):
    """Two dishes with three good photos each."""
    fill(tmp_path / "photos", {"红烧鱼1@HGD_20211221": 3, "土豆丝": 3})
    return tmp_path / "photos"


def test_what_a_row_says(root):
    name = "20210301181427_8190820012282_00044bdebaf5$798_549_1324_811#51.jpg"
    (root / "红烧鱼1@HGD_20211221" / name).write_bytes(rotated(50, 6))
    photos, rejected = scan(root)
    row = photos[photos.path.str.endswith(name)].iloc[0]
    assert row.path == f"红烧鱼1@HGD_20211221/{name}"
    assert row.dish_id == "红烧鱼"
    assert row.folder == "红烧鱼1@HGD_20211221"
    assert row.site == "HGD"
    assert row.frame == "8190820012282_00044bdebaf5", "the photo's date, not the folder's"
    assert row.taken_on == "2021-03-01", "the photo's date, not the folder's"
    assert (row.width, row.height) == (72, 96)
    assert row.sha256 == records.sha256_file(root / row.path)
    assert row.split == ""
    assert len(photos) == 7
    assert rejected.empty
    assert photos.image_id.is_unique
    assert photos.image_id.str.fullmatch("[0-9a-f]{16}").all()
    assert photos[photos.dish_id == "土豆丝"].taken_on.tolist() == [""] * 3


def test_every_file_left_out_has_its_reason(root, tmp_path):
    dish = root / "土豆丝"
    dirt = {
        "土豆丝/empty.jpg": (b"", "empty"),
        "土豆丝/page.jpg": (b"<html></html>", "not an image"),
        "土豆丝/half.jpg": (encoded(picture(60, (400, 300)), "JPEG")[:3000], "damaged"),
        "土豆丝/notes.txt": (b"x", "not a photo file"),
        "土豆丝/no_suffix": (b"no photo either", "not a photo file"),
        "土豆丝/raw.NEF": (b"II*\0" + jpeg(61), "not a photo file"),
        "土豆丝/icon.png": (encoded(Image.new("RGB", (31, 31)), "PNG"), "too small"),
        "土豆丝/.hidden.jpg": (jpeg(62), "hidden file"),
        ".cache/x.jpg": (jpeg(63), "hidden file"),
        "loose.jpg": (jpeg(64), "not in a dish folder"),
        ".DS_Store": (b"x", "not in a dish folder"),
        "土豆丝/strip.png": (encoded(Image.new("RGB", (6500, 32)), "PNG"), "too narrow"),
    }
    for name, (content, _) in dirt.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    (dish / "gone.jpg").symlink_to("nowhere.jpg")
    (dish / "loop.jpg").symlink_to("loop.jpg")
    (root / "again").symlink_to("..")
    os.mkfifo(dish / "pipe.jpg")
    photos, rejected = scan(root)
    assert reasons(rejected) == {name: reason for name, (_, reason) in dirt.items()} | {
        "土豆丝/gone.jpg": "missing",
        "土豆丝/loop.jpg": "unreadable",
        "again": "link out of image_root",
        "土豆丝/pipe.jpg": "not a photo file",
    }
    assert len(photos) == 6
    assert files_below(root) == len(photos) + len(rejected)
    assert (rejected.detail != "").all()


def test_odd_photos_that_are_good_are_kept(root):
    dish = root / "土豆丝"
    good = {
        "png.jpg": encoded(picture(70), "PNG"),
        "gif.JPEG": encoded(picture(71), "GIF"),
        "w.WebP": encoded(picture(72), "WEBP"),
        "chrome.jfif": jpeg(74),
        "old.JPE": jpeg(75),
        "phone.avif": encoded(picture(76), "AVIF"),
        "phone.heic": encoded(picture(77), "HEIF"),
        "copy.jpg_1": jpeg(78),
        "without_suffix": jpeg(79),
        "odd.dat": encoded(picture(80), "BMP"),
    }
    good["cmyk.jpg"] = encoded(picture(73).convert("CMYK"), "JPEG")
    for name, content in good.items():
        (dish / name).write_bytes(content)
    photos, rejected = scan(root)
    assert {Path(path).name for path in photos.path} >= set(good)
    assert rejected.empty


def test_strange_names_are_kept_or_refused_in_print(root, tmp_path):
    odd = ["-rf.jpg", 'a,"b".jpg', "@#$%().jpg", "  .jpg"]
    control = ["line\nbreak.jpg", "return\r.jpg", "\x1b[31mred.jpg"]
    for number, name in enumerate([*odd, *control]):
        (root / "土豆丝" / name).write_bytes(jpeg(80 + number))
    for folder, name in (
        (b"\xcf\xc8.d", b"1.jpg"),
        ("土豆丝".encode(), b"\xff\xfe.jpg"),
        ("土豆丝".encode(), b"x.\xff"),
    ):
        os.makedirs(os.path.join(os.fsencode(root), folder), exist_ok=True)
        Path(os.fsdecode(os.path.join(os.fsencode(root), folder, name))).write_bytes(jpeg(90))
    photos, rejected = scan(root)
    assert {Path(path).name for path in photos.path} >= set(odd)
    assert len(photos) == 6 + len(odd)
    assert set(rejected.reason) == {"unreadable name"}
    assert len(rejected) == 6
    assert "土豆丝/\\udcff\\udcfe.jpg" in set(rejected.path)
    assert "土豆丝/line\\nbreak.jpg" in set(rejected.path)
    detail = rejected.set_index("path").detail
    assert "GBK read as UTF-8, it should say 先" in detail["\\udccf\\udcc8.d/1.jpg"]
    assert "mv -nT -- 土豆丝" not in detail["土豆丝/return\\r.jpg"], "quoted for a shell"
    assert "\\x0d.jpg' '土豆丝/return.jpg'" in detail["土豆丝/return\\r.jpg"]
    back_photos, back_rejected = written_and_read(tmp_path, photos, rejected)
    assert back_photos.path.tolist() == photos.path.tolist()
    assert back_rejected.to_dict("list") == rejected.to_dict("list")


def test_a_photo_behind_a_link_out_of_the_folder_is_read_only_where_that_is_allowed(root, tmp_path):
    (tmp_path / "far.jpg").write_bytes(jpeg(95))
    (root / "土豆丝" / "far.jpg").symlink_to(tmp_path / "far.jpg")
    (tmp_path / "link").symlink_to(root)
    photos, rejected = scan(tmp_path / "link")
    assert reasons(rejected) == {"土豆丝/far.jpg": "link out of image_root"}
    assert rejected.detail[0] == f"it leads to {tmp_path / 'far.jpg'}; follow_links: true reads it"
    assert len(photos) == 6
    followed, rejected = scan(tmp_path / "link", follow_links=True)
    assert set(followed.path) == {*photos.path, "土豆丝/far.jpg"}
    assert rejected.empty


def test_a_site_is_not_left_through_links_either(root, tmp_path):
    fill(tmp_path / "site", {"红烧鱼": 1}, first_seed=70)
    (tmp_path / "far.jpg").write_bytes(jpeg(95))
    (tmp_path / "site" / "红烧鱼" / "far.jpg").symlink_to(tmp_path / "far.jpg")
    sites = [{"name": "b", "image_root": str(tmp_path / "site")}]
    photos, rejected = scan(root, sites)
    assert reasons(rejected) == {"../site/红烧鱼/far.jpg": "link out of image_root"}
    assert (photos.split == "site:b").sum() == 1
    assert (scan(root, sites, follow_links=True)[0].split == "site:b").sum() == 2


def test_a_folder_of_links_alone_names_the_parameter(root, tmp_path):
    (tmp_path / "linked" / "a").mkdir(parents=True)
    (tmp_path / "linked" / "a" / "0.jpg").symlink_to(next(root.rglob("*.jpg")))
    with pytest.raises(
        catalog.CatalogError,
        match="1 link out of image_root.*; set follow_links: true if these links are meant",
    ):
        scan(tmp_path / "linked")


def deny(monkeypatch, file, folder):
    """No permission for a file and a folder; for root, whom permissions do not stop, the system's
    refusal is played.
    """
    if os.geteuid() != 0:
        file.chmod(0)
        folder.chmod(0)
        return
    reading = Path.read_bytes
    listing = os.scandir

    def refused(path, wanted, really):
        if Path(os.fsdecode(path)) == wanted:
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(Path, "read_bytes", lambda path: refused(path, file, reading))
    monkeypatch.setattr(os, "scandir", lambda path: refused(path, folder, listing))


def test_what_may_not_be_read(root, monkeypatch):
    fill(root, {"closed": 2}, 100)
    deny(monkeypatch, root / "土豆丝" / "0.jpg", root / "closed")
    try:
        photos, rejected = scan(root)
    finally:
        (root / "closed").chmod(0o755)
    assert reasons(rejected) == {"土豆丝/0.jpg": "unreadable", "closed": "unreadable"}
    assert len(photos) == 5


def test_a_folder_that_cannot_be_listed_is_reported(root, monkeypatch):
    """As above, also for root: the operating system's refusal is played."""
    listing = os.scandir

    def scandir(path):
        if str(path).endswith("土豆丝"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    fill(root, {"third": 1}, 100)
    monkeypatch.setattr(os, "scandir", scandir)
    photos, rejected = scan(root)
    assert rejected.to_dict("records") == [
        {"path": "土豆丝", "reason": "unreadable", "detail": "folder: Permission denied"}
    ]
    assert len(photos) == 4


def test_bytes_under_two_dishes_are_left_out_of_both_and_within_one_stay(root):
    twin = jpeg(40)
    for place in ("红烧鱼1@HGD_20211221/t.jpg", "土豆丝/t.jpg"):
        (root / place).write_bytes(twin)
    (root / "土豆丝" / "copy.jpg").write_bytes((root / "土豆丝" / "0.jpg").read_bytes())
    photos, rejected = scan(root)
    assert reasons(rejected) == {
        "红烧鱼1@HGD_20211221/t.jpg": "two labels",
        "土豆丝/t.jpg": "two labels",
    }
    assert "土豆丝" in rejected.detail[0]
    assert "红烧鱼" in rejected.detail[0]
    assert "土豆丝/copy.jpg" in set(photos.path)


def test_of_copies_in_two_folders_of_one_dish_those_of_one_folder_stay(root):
    twin = jpeg(40)
    fill(root, {"土豆丝 - 副本": 0, "1.红烧鱼": 0})
    for place in ("土豆丝/t.jpg", "土豆丝/again.jpg", "土豆丝 - 副本/t.jpg"):
        (root / place).write_bytes(twin)
    for place in ("红烧鱼1@HGD_20211221/0.jpg",):
        (root / "1.红烧鱼" / "0.jpg").write_bytes((root / place).read_bytes())
    photos, rejected = scan(root)
    assert reasons(rejected) == {
        "土豆丝 - 副本/t.jpg": "copy",
        "红烧鱼1@HGD_20211221/0.jpg": "copy",
    }
    assert Counter(photos.dish_id) == {"红烧鱼": 3, "土豆丝": 5}


def test_names_that_differ_by_punctuation_only_do_not_lose_their_copies_twice(root):
    fill(root, {"红烧-鱼": 0})
    for number in range(3):
        original = root / "红烧鱼1@HGD_20211221" / f"{number}.jpg"
        (root / "红烧-鱼" / f"{number}.jpg").write_bytes(original.read_bytes())
    photos, rejected = scan(root)
    assert set(rejected.reason) == {"copy"}
    assert len(photos) == 6


def test_dishes_without_a_photo_and_empty_folders_are_named(root):
    fill(root, {"麻婆豆腐": 0, "空碗": 0, "餐盘": 1, "夫妻肺片\r": 1}, 70)
    (root / "麻婆豆腐" / "0.jpg").write_bytes(b"no photo")
    (root / "麻婆豆腐" / "a.txt").write_bytes(b"x")
    photos, rejected = scan(root, exclude_dishes=["餐盘"])
    lost = catalog.lost_dishes(root, photos, rejected)["lost"]
    assert lost == {
        "麻婆豆腐": {"not an image": 1, "not a photo file": 1},
        "空碗": {"empty folder": 1},
        "夫妻肺片": {"unreadable name": 1},
    }
    sentences = catalog.lost_notes(lost, rejected)
    assert sentences[0].startswith(
        "3 dishes have no usable photo: 夫妻肺片 (1 unreadable name), 空碗"
    )
    assert sentences[1] == "1 folders are empty: 空碗"
    assert "1 files are left out for their names: 夫妻肺片\\r/0.jpg" in sentences[2]


def test_a_dish_behind_a_link_that_is_not_followed_is_named(root, tmp_path):
    fill(tmp_path / "away", {"麻婆豆腐": 1}, 70)
    (root / "麻婆豆腐").symlink_to(tmp_path / "away" / "麻婆豆腐")
    (root / "再来").symlink_to("土豆丝")
    photos, rejected = scan(root)
    lost = catalog.lost_dishes(root, photos, rejected)["lost"]
    assert lost == {"麻婆豆腐": {"link out of image_root": 1}}


def test_a_set_whose_names_are_all_in_gbk_says_what_mends_them(tmp_path):
    for number, dish in enumerate(("红烧鱼", "土豆丝")):
        folder = os.path.join(os.fsencode(tmp_path), dish.encode("gbk"))
        os.makedirs(folder)
        Path(os.fsdecode(os.path.join(folder, b"0.jpg"))).write_bytes(jpeg(number))
    with pytest.raises(catalog.CatalogError, match="it should say .* mv -nT --"):
        scan(tmp_path)


def test_copies_of_roboflow_are_one_frame_by_their_name_alone(root):
    for number, name in enumerate(("a_jpg.rf.0f3a9c", "a_jpg.rf.1f3a9c", "b_jpg.rf.0f3a9c")):
        (root / "土豆丝" / f"{name}.jpg").write_bytes(jpeg(70 + number))
    photos, *_ = catalog.build(root, [], **SHARES)
    groups = photos.set_index(photos.path.str.rpartition("/")[2]).group_id
    assert groups["a_jpg.rf.0f3a9c.jpg"] == groups["a_jpg.rf.1f3a9c.jpg"]
    assert groups["a_jpg.rf.0f3a9c.jpg"] != groups["b_jpg.rf.0f3a9c.jpg"]


def test_a_misread_folder_is_the_dish_that_it_should_say(root):
    fill(root, {"║∞╔╒╙π": 1}, 70)
    photos, _ = scan(root)
    assert Counter(photos.dish_id) == {"红烧鱼": 4, "土豆丝": 3}


def test_folders_with_one_cleaned_name_are_one_dish_and_numbers_stay_apart(root):
    fill(root, {"红烧鱼2@XX_20220101": 1, "10@A_20220101": 1, "12@A_20220101": 1}, 30)
    photos, _ = scan(root)
    assert Counter(photos.dish_id) == {"红烧鱼": 4, "土豆丝": 3, "10": 1, "12": 1}


def test_outside_sites_are_marked_and_stay_dishes_of_their_own(root, tmp_path):
    fill(tmp_path / "b", {"红烧鱼": 2, "GX4_6": 1}, 200)
    (tmp_path / "b" / "GX4_6" / "known.jpg").write_bytes((root / "土豆丝" / "1.jpg").read_bytes())
    photos, rejected = scan(root, [{"name": "b", "image_root": str(tmp_path / "b")}])
    site = photos[photos.split == "site:b"]
    assert Counter(site.dish_id) == {"b/红烧鱼": 2, "b/GX4_6": 1}
    assert set(site.site) == {"b"}
    assert site.path.str.startswith("../b/").all()
    assert all((root / path).is_file() for path in site.path)
    assert (photos.split == "").sum() == 6
    assert rejected.to_dict("records") == [
        {
            "path": "../b/GX4_6/known.jpg",
            "reason": "not outside",
            "detail": "the same bytes lie in image_root as 土豆丝/1.jpg",
        }
    ]


@pytest.mark.parametrize(
    "sites, message",
    [
        ([{"name": "b"}], "number 1 has no image_root"),
        ([{"image_root": "b"}], "number 1 has no name"),
        ([{"name": "b", "image_root": "{root}/土豆丝"}], "overlaps with that of image_root"),
        ([{"name": "b", "image_root": "{root}/.."}], "overlaps with that of image_root"),
        (
            [
                {"name": "b", "image_root": "{root}/../x"},
                {"name": "c", "image_root": "{root}/../x"},
            ],
            "overlaps with that of site b",
        ),
        (
            [
                {"name": "b", "image_root": "{root}/../x"},
                {"name": "b", "image_root": "{root}/../y"},
            ],
            "the name 'b' is taken",
        ),
        ([{"name": "b", "image_root": "{root}/../none"}], "site b: no folder"),
    ],
)
def test_sites_that_cannot_be(root, sites, message):
    filled = [{key: value.format(root=root) for key, value in site.items()} for site in sites]
    with pytest.raises(catalog.CatalogError, match=message):
        scan(root, filled)


@pytest.mark.parametrize(
    "folders, message",
    [
        ({}, "holds no usable photo .the folder is empty"),
        ({"土豆丝": 4}, "one dish only .土豆丝."),
        ({"红烧鱼1@A_20220101": 2, "红烧鱼2@A_20220101": 2}, "one dish only .红烧鱼."),
    ],
)
def test_too_little_ends_with_one_sentence(tmp_path, folders, message):
    (tmp_path / "p").mkdir()
    fill(tmp_path / "p", folders)
    with pytest.raises(catalog.CatalogError, match=message) as error:
        scan(tmp_path / "p")
    assert str(tmp_path / "p") in str(error.value)


def test_no_usable_photo_says_what_was_there(tmp_path):
    fill(tmp_path / "p", {"a": 0})
    (tmp_path / "p" / "a" / "x.jpg").write_bytes(b"")
    (tmp_path / "p" / "loose.jpg").write_bytes(jpeg(1))
    with pytest.raises(
        catalog.CatalogError,
        match=r"1 empty.*1 not in a dish folder|1 not in a dish folder.*1 empty",
    ):
        scan(tmp_path / "p")
    with pytest.raises(catalog.CatalogError, match="image_root: no folder"):
        scan(tmp_path / "none")


def test_a_dish_with_one_photo_trains_only(root):
    fill(root, {"一张": 1}, 300)
    photos, *_ = catalog.build(root, [], **SHARES)
    assert photos[photos.dish_id == "一张"].split.tolist() == ["train"]


def test_a_rehearsal_takes_the_first_dishes_and_photos_and_reports_the_rest(root):
    fill(root, {"z": 3}, 300)
    photos, rejected = scan(root, max_dishes=2, max_photos_per_dish=2)
    assert Counter(photos.dish_id) == {"z": 2, "土豆丝": 2}
    assert Counter(rejected.reason) == {"rehearsal": 5}
    assert Counter(rejected.detail) == {"max_dishes is 2": 3, "max_photos_per_dish is 2": 2}


def test_built_scanned_again_and_read_back_it_is_the_same(root, tmp_path):
    fill(root, {"z": 4}, 300)
    first, second = (catalog.build(root, [], **SHARES, workers=workers)[0] for workers in (1, 3))
    pd.testing.assert_frame_equal(first, second)
    records.write_table(tmp_path / "catalog.parquet", first)
    back = catalog.read(tmp_path / "catalog.parquet")
    assert back.to_dict("list") == first.to_dict("list")
    records.write_table(tmp_path / "less.parquet", first.drop(columns=["group_id"]))
    with pytest.raises(records.RecordError, match="no column group_id"):
        catalog.read(tmp_path / "less.parquet")


def test_summary_and_sample(root):
    photos, *_ = catalog.build(root, [], **SHARES)
    table = catalog.summary(photos)
    assert table.photos.sum() == 6
    assert table.loc["train", "dishes"] == 2
    sampled = catalog.sample(photos, 5, seed=1)
    assert sorted(sampled.dish_id) == sorted(set(photos.dish_id))
    assert sampled.path.tolist() == catalog.sample(photos, 5, seed=1).path.tolist()


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("DISHVL_TEST_DATA")
    if not folder:
        pytest.skip("DISHVL_TEST_DATA is not set: no real photos here")
    photos, rejected, _ = catalog.build(Path(folder) / "zh_dishes10", [], **SHARES)
    return (
        photos,
        rejected,
        pd.read_csv(Path(folder) / "zh_dishes10_near_duplicates.csv"),
        Path(folder) / "zh_dishes10",
    )


def test_real_photos_are_all_accounted_for(real):
    photos, rejected, _, folder = real
    assert len(photos) + len(rejected) == files_below(folder) == 481
    assert photos.dish_id.nunique() == 10
    assert photos.groupby("group_id").split.nunique().max() == 1
    assert photos.groupby("sha256").group_id.nunique().max() == 1
    assert set(photos.split) == {"train", "validation", "test"}
    shares = photos.split.value_counts(normalize=True)
    assert 0.17 < shares["test"] < 0.25
    assert 0.08 < shares["validation"] < 0.14


def test_real_near_duplicates_lie_in_one_group(real):
    photos, _, pairs, folder = real
    known = photos.set_index("path")
    same_bytes = [
        (a, b)
        for a, b in zip(pairs.a, pairs.b, strict=True)
        if (folder / a).read_bytes() == (folder / b).read_bytes()
    ]
    assert len(same_bytes) == 6
    assert all(known.group_id[a] == known.group_id[b] for a, b in same_bytes)
    torn = [
        (a, b) for a, b in zip(pairs.a, pairs.b, strict=True) if known.split[a] != known.split[b]
    ]
    print(f"{len(torn)} of {len(pairs)} near-duplicate pairs end in different splits: {torn}")
    assert len(torn) <= 4, "crops and stretches are beyond a perceptual hash, copies are not"


def test_photos_that_people_marked_are_left_out_with_their_reason(tmp_path):
    photos = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "path": ["1", "2", "3", "4"]})
    file = tmp_path / "photos.csv"
    file.write_text(
        "image_id,decision\na,photo bad\nb,label wrong\nb,real confusion\nc,label wrong\n", "utf-8"
    )
    kept, out = rejections.without_decided(photos, file)
    assert list(kept.image_id) == ["b", "d"]
    assert out[["path", "reason"]].values.tolist() == [["1", "photo bad"], ["3", "label wrong"]]
    assert len(rejections.without_decided(photos, tmp_path / "none.csv")[0]) == 4


def build(root, sites=(), **options):
    return catalog.build(root, sites, **{**SHARES, **options}, workers=2)


def test_given_splits_are_kept_and_checked(tmp_path):
    seed = fill(
        tmp_path,
        {
            "train/红烧鱼1@HGD_20211221": 4,
            "train/土豆丝": 4,
            "val/土豆丝": 2,
            "test/红烧鱼": 2,
            "test/土豆丝": 2,
        },
    )
    (tmp_path / "test/土豆丝/twin.jpg").write_bytes((tmp_path / "train/土豆丝/0.jpg").read_bytes())
    (tmp_path / "test/土豆丝/smaller.jpg").write_bytes(encoded(picture(4).resize((48, 36)), "JPEG"))
    photos, rejected, _ = build(tmp_path)
    assert seed == 14
    assert photos.groupby(photos.path.str.split("/").str[0]).split.agg(set).to_dict() == {
        "train": {"train"},
        "val": {"validation"},
        "test": {"test"},
    }
    assert reasons(rejected) == {
        "test/土豆丝/twin.jpg": "in two splits",
        "test/土豆丝/smaller.jpg": "in two splits",
    }
    assert set(photos.dish_id) == {
        "红烧鱼",
        "土豆丝",
    }


def test_a_list_takes_the_place_of_folders(root, tmp_path):
    listed = tmp_path / "photos.csv"
    listed.write_text(
        "path,label\n"
        + "".join(
            f"土豆丝/{i}.jpg,甲\n红烧鱼1@HGD_20211221/{i}.jpg,乙2@XX_20200101\n" for i in range(3)
        ),
        "utf-8",
    )
    photos, rejected, _ = build(root, photos_csv=listed)
    assert Counter(photos.dish_id) == {"甲": 3, "乙": 3}
    assert set(photos.site) == {"", "XX"}
    assert rejected.empty


def test_excluded_small_and_left_out_dishes_have_reasons(root, tmp_path):
    fill(root, {"一张": 1, "餐盘": 3, "餐盘2@X_20220101": 2, "不是菜": 2}, 300)
    decided = tmp_path / "names.csv"
    decided.write_text(
        "folder,name,action\n不是菜,,leave_out\n土豆丝,,leave_out\n土豆丝,土豆丝,\n", "utf-8"
    )
    photos, rejected, _ = build(
        root, exclude_dishes=["餐*"], min_photos_per_dish=2, name_decisions=decided
    )
    assert Counter(rejected.reason) == {
        "excluded": 5,
        "too few photos": 1,
        "not a dish": 2,
    }
    assert set(photos.dish_id) == {"红烧鱼", "土豆丝"}
    assert "the dish has 1, min_photos_per_dish is 2" in set(rejected.detail)
    assert len(photos) + len(rejected) == files_below(root)


def test_one_picture_under_two_dishes_trains_only_and_is_told(root):
    fill(root, {"红烧鱼1@HGD_20211221": 12, "土豆丝": 12})
    (root / "土豆丝" / "wrong.jpg").write_bytes(encoded(picture(1), "JPEG", quality=60))
    for seed in range(5):
        photos, _, pairs = build(root, seed=seed)
        between = pairs[pairs.dish_a != pairs.dish_b]
        assert {*between.path_a, *between.path_b} == {
            "土豆丝/wrong.jpg",
            "红烧鱼1@HGD_20211221/1.jpg",
        }
        assert set(photos[photos.path.isin([*between.path_a, *between.path_b])].split) == {"train"}


def test_crops_are_found_with_features_of_an_earlier_run(root, tmp_path):
    import numpy as np

    photo = picture(7, (320, 240))
    (root / "土豆丝" / "whole.jpg").write_bytes(encoded(photo))
    (root / "土豆丝" / "crop.jpg").write_bytes(encoded(photo.crop((8, 6, 312, 234))))
    photos, *_ = build(root)
    crop = photos.path.isin(["土豆丝/whole.jpg", "土豆丝/crop.jpg"])
    vectors = np.eye(len(photos), dtype=np.float32)
    vectors[crop] = vectors[crop][0]
    np.savez(tmp_path / "features.npz", image_id=photos.image_id.to_numpy(str), feature=vectors)
    joined, *_ = build(root, near_features=tmp_path / "features.npz")
    assert photos.group_id.is_unique
    assert joined[crop].group_id.nunique() == 1
    assert joined.group_id.nunique() == len(photos) - 1
    with pytest.raises(
        records.RecordError, match="near_features: .*none.npz is not a features.npz"
    ):
        build(root, near_features=tmp_path / "none.npz")


@pytest.mark.parametrize("net, joined", [("pplcnet", False), ("efficientnet_lite0", True)])
def test_how_far_features_reach_depends_on_their_net(root, tmp_path, monkeypatch, net, joined):
    """Two photos 20 bits apart, whose vectors are the same."""
    import numpy as np

    for number in range(2):
        (root / "土豆丝" / f"{number}_.jpg").write_bytes(encoded(picture(number, (320, 240))))
    scanned = catalog.scan_folders

    def scan_folders(*arguments, **options):
        photos, rejected = scanned(*arguments, **options)
        for name, bits in (("土豆丝/0_.jpg", 0), ("土豆丝/1_.jpg", 2**20 - 1)):
            photos.loc[photos.path == name, ["phash", "phash_mirrored"]] = f"{bits:016x}"
        return photos, rejected

    monkeypatch.setattr(catalog, "scan_folders", scan_folders)
    photos, *_ = build(root)
    pair = photos.path.isin(["土豆丝/0_.jpg", "土豆丝/1_.jpg"])
    vectors = np.eye(len(photos), dtype=np.float32)
    vectors[pair] = vectors[pair][0]
    file = tmp_path / "features.npz"
    np.savez(file, image_id=photos.image_id.to_numpy(str), feature=vectors, net=net)
    found, *_ = build(root, near_features=file)
    assert (found[pair].group_id.nunique() == 1) is joined


def test_own_patterns_for_folders_and_files(tmp_path):
    fill(tmp_path, {"north-红烧鱼": 2, "south-土豆丝": 2})
    (tmp_path / "north-红烧鱼" / "cam7_0001_a.jpg").write_bytes(jpeg(50))
    (tmp_path / "north-红烧鱼" / "cam7_0001_b.jpg").write_bytes(jpeg(51))
    photos, *_ = build(
        tmp_path,
        folder_pattern=r"(?P<site>\w+)-(?P<name>.+)",
        file_patterns=[r"(?P<device>cam\d+)_(?P<frame>\d+)_\w"],
    )
    rows = photos.set_index("path")
    assert Counter(photos.site) == {"north": 4, "south": 2}
    assert set(photos.dish_id) == {
        "红烧鱼",
        "土豆丝",
    }
    assert (
        rows.group_id["north-红烧鱼/cam7_0001_a.jpg"]
        == rows.group_id["north-红烧鱼/cam7_0001_b.jpg"]
    )
    assert set(rows.frame) == {"", "cam7_0001"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"folder_pattern": "(?P<name>"}, "folder_pattern: .* is not a regular expression"),
        ({"folder_pattern": "(.*)"}, "folder_pattern: .* has no group .*name"),
        ({"file_patterns": ["x"]}, "file_patterns: .*'x'.* has no group .*time.*frame"),
    ],
)
def test_patterns_that_cannot_be(root, options, message):
    with pytest.raises(catalog.CatalogError, match=message):
        build(root, **options)


def test_held_out_dishes_are_catalogued_and_kept_apart(root):
    fill(root, {"新菜": 5}, 400)
    photos, *_ = build(root, hold_out={"dishes": ["新菜"]})
    assert set(photos[photos.dish_id == "新菜"].split) == {"held_out"}
    assert catalog.summary(photos).loc["held_out", "photos"] == 5


def test_typical_photos_do_not_change_with_decisions(root, tmp_path):
    """What was asked about once is asked about again, from the journal, when a person has marked
    some other photo.
    """
    fill(root, {"土豆丝": 9}, 500)
    photos, *_ = build(root)
    first = photos[(photos.dish_id == "土豆丝") & (photos.typical == 0)].image_id.item()
    other = photos[(photos.dish_id == "土豆丝") & (photos.typical == 3)].image_id.item()
    (tmp_path / "photos.csv").write_text(f"image_id,decision\n{other},photo bad\n", "utf-8")
    fewer, *_ = build(root, photo_decisions=tmp_path / "photos.csv")
    assert len(fewer) == len(photos) - 1
    assert fewer[fewer.dish_id == "土豆丝"].sort_values("typical").image_id.iloc[0] == first


def decide(file, photo, decision, right_dish=""):
    file.write_text(
        f"image_id,decision,right_dish\n{photo.image_id},{decision},{right_dish}\n", "utf-8"
    )
    return file


def test_another_dish_leaves_groups_and_splits_of_all_photos_as_they_are(root, tmp_path):
    fill(root, {"土豆丝": 12}, 500)
    before, *_ = build(root)
    photo = before[before.split == "test"].iloc[0]
    file = decide(tmp_path / "photos.csv", photo, "other dish", "红烧鱼")
    after, rejected, _ = build(root, photo_decisions=file)
    pd.testing.assert_frame_equal(after, before)
    assert "other dish" not in set(rejected.reason)


def test_a_photo_that_is_left_out_says_which_split_it_had(root, tmp_path):
    fill(root, {"土豆丝": 12}, 500)
    before, *_ = build(root)
    for split in ("test", "train"):
        photo = before[(before.dish_id == "土豆丝") & (before.split == split)].iloc[0]
        file = decide(tmp_path / "photos.csv", photo, "photo bad")
        _, rejected, _ = build(root, photo_decisions=file)
        assert rejected[rejected.path == photo.path].split.tolist() == [split]
        assert set(rejected[rejected.path != photo.path].split) <= {""}


def test_what_natural_near_duplicates_are_found(real):
    photos, _, known, _ = real
    pairs = catalog.build(Path(os.environ["DISHVL_TEST_DATA"]) / "zh_dishes10", [], **SHARES)[2]
    joined = {frozenset((row.path_a, row.path_b)) for row in pairs[pairs.joined].itertuples()}
    listed = {frozenset(pair) for pair in zip(known.a, known.b, strict=True)}
    assert joined <= listed, f"pairs that nobody listed: {joined - listed}"
    assert len(joined) >= 19, (
        f"of {len(listed)} known pairs {len(joined)} are joined by hashes alone"
    )


def test_a_sites_photo_that_looks_like_one_at_home_is_told_and_moves_nothing_into_training(
    root, tmp_path
):
    fill(root, {"土豆丝": 12}, 600)
    fill(tmp_path / "b", {"x": 2}, 700)
    alone, *_ = build(root)
    test_photo = alone[alone.split == "test"].path.iloc[0]
    (tmp_path / "b" / "x" / "like.jpg").write_bytes(
        encoded(Image.open(root / test_photo), "JPEG", quality=50)
    )
    beside, _, pairs = build(root, [{"name": "b", "image_root": str(tmp_path / "b")}])
    assert (
        beside[beside.split != "site:b"].set_index("path").split.to_dict()
        == alone.set_index("path").split.to_dict()
    )
    assert {"../b/x/like.jpg", test_photo} in [
        {row.path_a, row.path_b} for row in pairs[pairs.dish_a != pairs.dish_b].itertuples()
    ]


def settled():
    """(catalogue, photos, dishes) in which all holds: two photos of one dish, one of another."""
    rows = [("a", "d1", "g1", "train"), ("b", "d1", "g2", "test"), ("c", "d2", "g3", "train")]
    photos = pd.DataFrame(rows, columns=["image_id", "dish_id", "group_id", "split"])
    photos["path"] = photos.image_id + ".jpg"
    return photos.copy(), photos, [{"dish_id": "d1"}, {"dish_id": "d2"}]


def test_a_sound_catalogue_has_no_problems():
    assert catalog.problems(*settled()) == []


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (
            "group_id",
            "g1",
            "a.jpg and b.jpg; mark one of them as 'photo bad' in decisions/photos.csv",
        ),
        ("split", "", "1 photos have no split; give all photos one in photos_csv, or none"),
        (
            "image_id",
            "a",
            "3 photos became 3 when dishes were merged; take the latest lines out of "
            "decisions/names.csv",
        ),
        (
            "dish_id",
            "d3",
            "2 dishes are recorded, photos show 3; take the latest lines out of "
            "decisions/names.csv",
        ),
    ],
)
def test_what_does_not_hold_of_a_catalogue_is_said_with_what_to_do(column, value, words):
    catalogue, photos, dishes = settled()
    catalogue.loc[1, column] = value
    (sentence,) = catalog.problems(catalogue, photos, dishes)
    assert words in sentence
