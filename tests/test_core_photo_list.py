"""Lists of photos as other people and programs write them."""

import pytest

from dishvl_lib.core import photo_list
from dishvl_lib.core.records import RecordError

DISHES = ("红烧鱼", "番茄炒蛋")


@pytest.fixture
def root(tmp_path):
    for dish in DISHES:
        for number in range(2):
            file = tmp_path / "photos" / dish / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
    return tmp_path / "photos"


def read(root, text, name="list.csv"):
    file = root.parent / name
    file.write_text(text, "utf-8")
    return photo_list.read(file, root)


def placed(table, root):
    paths = [file.relative_to(root).as_posix() for file in table["photo"]]
    return list(zip(paths, table["label"], strict=True))


EXPECTED = [("红烧鱼/0.jpg", "红烧鱼"), ("番茄炒蛋/1.jpg", "番茄炒蛋")]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n红烧鱼\\0.jpg,红烧鱼\n番茄炒蛋\\1.jpg,番茄炒蛋\n",
        "path,label\nD:\\photos\\红烧鱼\\0.jpg,红烧鱼\nD:\\photos\\番茄炒蛋\\1.jpg,番茄炒蛋\n",
        "path,label\n/mnt/data/红烧鱼/0.JPG,红烧鱼\n/mnt/data/番茄炒蛋/1.JPG,番茄炒蛋\n",
        "图片路径;标签\n红烧鱼/0.jpg;红烧鱼\n番茄炒蛋/1.jpg;番茄炒蛋\n",
        "红烧鱼/0.jpg 红烧鱼\n番茄炒蛋/1.jpg 番茄炒蛋\n",
        "红烧鱼/0.jpg,红烧鱼\n番茄炒蛋/1.jpg,番茄炒蛋\n",
        "红烧鱼/0.jpg\t0\n番茄炒蛋/1.jpg\t1\n",
        "path,label\n红烧鱼/0.jpg,川菜/红烧鱼\n番茄炒蛋/1.jpg,川菜/番茄炒蛋\n",
    ],
    ids=[
        "backslashes",
        "a drive",
        "another root and case",
        "Chinese headings",
        "path and label",
        "no headings",
        "numbers that each stand for a folder",
        "labels that are paths",
    ],
)
def test_every_form_finds_photos_and_names(root, text):
    assert placed(read(root, text), root) == EXPECTED


@pytest.mark.parametrize("names", ["0 红烧鱼\n1 番茄炒蛋\n", "红烧鱼\n番茄炒蛋\n"])
def test_numbers_are_named_by_the_list_beside(root, names):
    (root.parent / "label_list.txt").write_text(names, "utf-8")
    table = read(root, "红烧鱼/0.jpg 1\n番茄炒蛋/1.jpg 0\n", "train_list.txt")
    assert table["label"].tolist() == ["番茄炒蛋", "红烧鱼"]


def test_numbers_that_nothing_names_stay(root):
    table = read(root, "红烧鱼/0.jpg 0\n红烧鱼/1.jpg 1\n")
    assert table["label"].tolist() == ["0", "1"]


def test_a_label_of_two_dishes_is_not_taken_for_a_path(root):
    table = read(root, "path,label\n红烧鱼/0.jpg,红烧鱼/米饭\n红烧鱼/1.jpg,红烧鱼\n")
    assert table["label"].tolist() == ["红烧鱼/米饭", "红烧鱼"]


def test_a_path_that_fits_two_photos_stays_missing(root):
    for site in ("a", "b"):
        file = root / site / "鱼" / "0.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"")
    table = read(root, "path,label\nD:/x/鱼/0.jpg,鱼\nD:/x/b/鱼/0.jpg,鱼\n")
    assert [file.exists() for file in table["photo"]] == [False, True]


def test_a_deleted_photo_of_that_name_is_not_meant(root):
    deleted = root / "#recycle" / "红烧鱼" / "0.jpg"
    deleted.parent.mkdir(parents=True)
    deleted.write_bytes(b"")
    table = read(root, "path,label\nD:/x/红烧鱼/0.jpg,红烧鱼\nD:/x/番茄炒蛋/1.jpg,番茄炒蛋\n")
    assert placed(table, root) == EXPECTED


def test_lines_are_counted_and_a_line_without_a_label_is_kept(root):
    table = read(root, "\n红烧鱼/0.jpg 红烧鱼\n\n红烧鱼/1.jpg\n")
    assert table.index.tolist() == [2, 4]
    assert table["label"].tolist() == ["红烧鱼", ""]


def test_what_is_no_list_of_photos_is_told(root):
    with pytest.raises(RecordError, match="no column path, label"):
        read(root, "folder,name\na,b\n")
