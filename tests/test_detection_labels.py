"""Labels in COCO's and YOLO's form, laid onto photos."""

import json
import math

import pytest
import yaml
from PIL import Image

from dishvl_lib.detection import labels as labels_of_frames
from dishvl_lib.detection.labels import LabelError

SIZE = (200, 100)
TURNED = 6  # EXIF: to be turned by a quarter
CATEGORIES = [{"id": 7, "name": "碗"}, {"id": 3, "name": "盘"}]


def photo(path, size=SIZE, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "grey").save(path, exif=exif)


def box(image_id, bbox, category_id=7, **others):
    return {"image_id": image_id, "bbox": bbox, "category_id": category_id, **others}


def coco(path, images, annotations, categories=CATEGORIES):
    """A COCO file; `images` are file names, whose ids count from 1, or whole entries."""
    entries = []
    for number, image in enumerate(images, start=1):
        plain = {"file_name": image, "width": SIZE[0], "height": SIZE[1]}
        entry = image if isinstance(image, dict) else plain
        entries.append({"id": number, **entry})
    content = {"images": entries, "annotations": annotations, "categories": categories}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def reasons(read):
    return [(row.path, row.reason) for row in read.left_out]


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    photo(folder / "a.jpg")
    return folder


def test_coco_boxes_are_corners_with_the_names_of_their_ids(tmp_path, frames):
    boxes = [box(1, [10, 20, 30, 40]), box(1, [0, 0, 5, 5], category_id=3)]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], boxes), frames)
    (frame,) = read.frames
    assert frame.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert frame.labels == ("碗", "盘")
    assert (frame.path, frame.width, frame.height) == ("a.jpg", *SIZE)
    assert read.names == ("碗", "盘")
    assert read.left_out == []


@pytest.mark.parametrize(
    "written", ["a.jpg", "x/y/a.jpg", "C:\\photos\\a.jpg", "./A.JPG", "1/0a1b2c3d-a.jpg"]
)
def test_a_photo_is_found_by_any_path_that_ends_in_its_name(tmp_path, frames, written):
    read = labels_of_frames.read(coco(tmp_path / "l.json", [written], []), frames)
    assert [frame.path for frame in read.frames] == ["a.jpg"]


def test_a_photo_without_annotations_shows_no_dish(tmp_path, frames):
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], []), frames)
    assert read.frames[0].boxes.shape == (0, 4)
    assert read.frames[0].labels == ()


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder in ("one", "two"):
        photo(tmp_path / "frames" / folder / "a.jpg")
    boxes = [box(1, [0, 0, 10, 10]), box(2, [0, 0, 20, 20])]
    file = coco(tmp_path / "l.json", ["two/a.jpg", "one/a.jpg"], boxes)
    read = labels_of_frames.read(file, tmp_path / "frames")
    assert [frame.path for frame in read.frames] == ["one/a.jpg", "two/a.jpg"]
    assert [frame.boxes[0, 2] for frame in read.frames] == [20, 10]


def test_a_photo_of_the_same_name_in_another_folder_is_another_photo(tmp_path):
    photo(tmp_path / "frames" / "one" / "a.jpg")
    photo(tmp_path / "frames" / "one" / "b.jpg")
    file = coco(tmp_path / "l.json", ["two/a.jpg", "one/b.jpg"], [])
    read = labels_of_frames.read(file, tmp_path / "frames")
    assert reasons(read) == [("two/a.jpg", "no photo"), ("one/a.jpg", "no labels")]


def test_a_name_that_several_photos_have_is_left_out(tmp_path):
    for path in ("one/a.jpg", "two/a.jpg", "b.jpg"):
        photo(tmp_path / "frames" / path)
    file = coco(tmp_path / "l.json", ["a.jpg", "b.jpg"], [])
    read = labels_of_frames.read(file, tmp_path / "frames")
    assert reasons(read) == [("a.jpg", "several photos")]


def test_names_that_all_mean_several_photos_are_refused(tmp_path):
    for path in ("one/a.jpg", "two/a.jpg"):
        photo(tmp_path / "frames" / path)
    file = coco(tmp_path / "l.json", ["a.jpg"], [])
    with pytest.raises(LabelError, match="may mean one/a.jpg, two/a.jpg.*with the folders"):
        labels_of_frames.read(file, tmp_path / "frames")


def test_splits_are_those_of_the_files_names(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        photo(tmp_path / "frames" / name)
    folder = tmp_path / "labels" / "annotations"
    coco(folder / "instances_train2017.json", ["a.jpg"], [])
    coco(folder / "instances_val.json", ["b.jpg"], [])
    coco(folder / "instances_Test.json", ["c.jpg"], [])
    coco(folder / "captions_train.json", ["a.jpg"], [{"image_id": 1, "caption": "a tray"}])
    read = labels_of_frames.read(tmp_path / "labels", tmp_path / "frames")
    assert [frame.split for frame in read.frames] == ["train", "validation", "test"]
    assert read.left_out == []


def test_splits_of_roboflows_folders_tell_photos_of_one_name_apart(tmp_path):
    for split in ("train", "valid"):
        photo(tmp_path / split / "a.jpg")
        coco(tmp_path / split / "_annotations.coco.json", ["a.jpg"], [])
    read = labels_of_frames.read(tmp_path, tmp_path)
    found = [(frame.path, frame.split) for frame in read.frames]
    assert found == [("train/a.jpg", "train"), ("valid/a.jpg", "validation")]


def test_a_split_that_all_photos_share_is_none(tmp_path, frames):
    read = labels_of_frames.read(coco(tmp_path / "instances_train.json", ["a.jpg"], []), frames)
    assert read.frames[0].split == ""
    assert "divides nothing" in read.notes[0]


def test_polygons_stand_for_their_box_where_there_is_none(tmp_path, frames):
    polygon = {"segmentation": [[10, 20, 40, 25, 30, 60]], "image_id": 1, "category_id": 7}
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], [polygon]), frames)
    assert read.frames[0].boxes.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    "annotation, reason",
    [
        (box(1, [10, 10, -5, 5]), "inverted or empty box"),
        (box(1, [10, 10, 0, 5]), "inverted or empty box"),
        (box(1, [math.nan, 10, 5, 5]), "not a number"),
        (box(1, [300, 10, 5, 5]), "box beside the photo"),
        (box(1, [1, 2, 3, 4], category_id=99), "class beyond the names"),
        (box(1, [1, 2, 3, 4], iscrowd=1), "crowd"),
        (box(1, [1, 2, 3]), "no box"),
        (box(1, ["1", 2, 3, 4]), "no box"),
    ],
)
def test_a_faulty_box_is_listed_and_the_others_stay(tmp_path, frames, annotation, reason):
    file = coco(tmp_path / "l.json", ["a.jpg"], [annotation, box(1, [1, 2, 30, 40])])
    read = labels_of_frames.read(file, frames)
    assert read.frames[0].boxes.tolist() == [[1, 2, 31, 42]]
    assert reasons(read) == [("a.jpg", reason)]
    assert "annotation 1 of l.json" in read.left_out[0].detail
    assert not read.frames[0].is_whole


def test_a_photo_has_all_boxes_where_one_is_only_cut(tmp_path, frames):
    boxes = [box(1, [190, 90, 30, 30])]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], boxes), frames)
    assert read.frames[0].is_whole


def test_a_box_that_reaches_beyond_the_photo_is_cut_and_listed(tmp_path, frames):
    boxes = [box(1, [190, 90, 30, 30]), box(1, [0, 0, 201, 100])]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], boxes), frames)
    assert read.frames[0].boxes.tolist() == [[190, 90, 200, 100], [0, 0, 200, 100]]
    assert reasons(read) == [("a.jpg", "box cut at the edge")]


def test_a_box_that_is_drawn_twice_is_kept_once(tmp_path, frames):
    boxes = [box(1, [10, 10, 50, 50]), box(1, [10, 10, 50, 50.5]), box(1, [40, 10, 50, 50])]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], boxes), frames)
    assert read.frames[0].boxes[:, 0].tolist() == [10, 40]
    assert reasons(read) == [("a.jpg", "box drawn twice")]
    assert read.frames[0].is_whole


def test_two_names_of_one_box_are_listed(tmp_path, frames):
    boxes = [box(1, [10, 10, 50, 50]), box(1, [10, 10, 50, 50], category_id=3)]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg"], boxes), frames)
    assert read.frames[0].labels == ("碗",)
    assert "says 盘 where another box says 碗" in read.left_out[0].detail
    assert not read.frames[0].is_whole


def test_labels_without_photos_and_photos_without_labels_are_listed(tmp_path, frames):
    photo(frames / "b.jpg")
    file = coco(tmp_path / "l.json", ["a.jpg", "gone.jpg"], [box(9, [1, 2, 3, 4])])
    read = labels_of_frames.read(file, frames)
    assert reasons(read) == [
        ("l.json", "boxes without a photo"),
        ("gone.jpg", "no photo"),
        ("b.jpg", "no labels"),
    ]


def test_a_photo_that_is_labelled_twice_keeps_the_first_labels(tmp_path, frames):
    boxes = [box(1, [0, 0, 10, 10]), box(2, [0, 0, 20, 20])]
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg", "a.jpg"], boxes), frames)
    assert read.frames[0].boxes.tolist() == [[0, 0, 10, 10]]
    assert reasons(read) == [("a.jpg", "labelled twice")]


def test_a_photo_of_another_size_than_stated_is_left_out(tmp_path, frames):
    photo(frames / "b.jpg")
    resized = {"file_name": "a.jpg", "width": 400, "height": 200}
    read = labels_of_frames.read(coco(tmp_path / "l.json", [resized, "b.jpg"], []), frames)
    assert reasons(read) == [("a.jpg", "another size")]


def test_a_damaged_photo_is_left_out(tmp_path, frames):
    (frames / "b.jpg").write_bytes(b"no photo")
    read = labels_of_frames.read(coco(tmp_path / "l.json", ["a.jpg", "b.jpg"], []), frames)
    assert [path for path, _ in reasons(read)] == ["b.jpg"]


@pytest.mark.parametrize("stated", [{"width": 100, "height": 200}, {}])
def test_boxes_of_the_upright_photo_stay_as_they_are(tmp_path, stated):
    photo(tmp_path / "frames" / "a.jpg", orientation=TURNED)
    entry = {"file_name": "a.jpg", **stated}
    file = coco(tmp_path / "l.json", [entry], [box(1, [10, 20, 30, 40])])
    (frame,) = labels_of_frames.read(file, tmp_path / "frames").frames
    assert (frame.width, frame.height) == (100, 200)
    assert frame.boxes.tolist() == [[10, 20, 40, 60]]


def test_sizes_of_the_unturned_photo_name_the_parameter(tmp_path):
    photo(tmp_path / "frames" / "a.jpg", orientation=TURNED)
    file = coco(tmp_path / "l.json", ["a.jpg"], [box(1, [10, 20, 30, 40])])
    with pytest.raises(LabelError, match=r"1 photos.*\(a.jpg\): set boxes_follow_exif to false"):
        labels_of_frames.read(file, tmp_path / "frames")


@pytest.mark.parametrize("stated", [{"width": 200, "height": 100}, {}])
def test_boxes_of_the_unturned_photo_are_turned_with_it(tmp_path, stated):
    photo(tmp_path / "frames" / "a.jpg", orientation=TURNED)
    entry = {"file_name": "a.jpg", **stated}
    file = coco(tmp_path / "l.json", [entry], [box(1, [10, 20, 30, 40])])
    read = labels_of_frames.read(file, tmp_path / "frames", boxes_follow_exif=False)
    # The stored photo is 100 high: its lower edge becomes the upright one's left.
    assert read.frames[0].boxes.tolist() == [[40, 10, 80, 40]]


def test_a_stated_upright_size_speaks_for_its_boxes(tmp_path):
    photo(tmp_path / "frames" / "a.jpg", orientation=TURNED)
    entry = {"file_name": "a.jpg", "width": 100, "height": 200}
    file = coco(tmp_path / "l.json", [entry], [box(1, [10, 20, 30, 40])])
    read = labels_of_frames.read(file, tmp_path / "frames", boxes_follow_exif=False)
    assert read.frames[0].boxes.tolist() == [[10, 20, 40, 60]]


def test_boxes_in_shares_are_turned_too(tmp_path):
    photo(tmp_path / "a.jpg", orientation=TURNED)
    text(tmp_path / "a.txt", "0 0.125 0.4 0.15 0.4\n")
    read = labels_of_frames.read(tmp_path, tmp_path, names=["碗"], boxes_follow_exif=False)
    assert read.frames[0].boxes.tolist() == [[40, 10, 80, 40]]


YOLO_LINE = "1 0.125 0.4 0.15 0.4\n"  # of 200 x 100 pixels: 10, 20, 40, 60


@pytest.mark.parametrize("photo_path, label_path", [
    ("images/train/a.jpg", "labels/train/a.txt"),
    ("train/images/a.jpg", "train/labels/a.txt"),
    ("a.jpg", "obj_train_data/a.txt"),
    ("a.jpg", "a.txt"),
])  # fmt: skip
@pytest.mark.parametrize("named", ["list", "dict", "obj.names", "classes.txt", "parameter"])
def test_yolo_labels_lie_where_tools_put_them(tmp_path, photo_path, label_path, named):
    photo(tmp_path / photo_path)
    text(tmp_path / label_path, YOLO_LINE)
    if named in ("list", "dict"):
        classes = ["碗", "盘"] if named == "list" else {1: "盘", 0: "碗"}
        text(tmp_path / "data.yaml", yaml.safe_dump({"names": classes}, allow_unicode=True))
    elif named != "parameter":
        text(tmp_path / named, "碗\n盘\n")
    names = ["碗", "盘"] if named == "parameter" else []
    read = labels_of_frames.read(tmp_path, tmp_path, names=names)
    assert [frame.path for frame in read.frames] == [photo_path]
    assert read.frames[0].boxes[0] == pytest.approx([10, 20, 40, 60])
    assert read.frames[0].labels == ("盘",)
    assert read.names == ("碗", "盘")
    assert read.left_out == []


def test_yolo_labels_of_photos_in_another_folder(tmp_path, frames):
    text(tmp_path / "labels" / "train" / "a.txt", YOLO_LINE)
    text(tmp_path / "labels" / "data.yaml", "names: [碗, 盘]\n")
    read = labels_of_frames.read(tmp_path / "labels" / "data.yaml", frames)
    assert [frame.path for frame in read.frames] == ["a.jpg"]


@pytest.mark.parametrize("line, expected", [
    ("0 0.1 0.2 0.3 0.2 0.3 0.6", [20, 20, 60, 60]),
    ("0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6", [20, 20, 60, 60]),
    ("0 0.125 0.4 0.15 0.4 0.97", [10, 20, 40, 60]),
])  # fmt: skip
def test_polygons_turned_boxes_and_scores_in_yolo_lines(tmp_path, line, expected):
    photo(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", line)
    read = labels_of_frames.read(tmp_path, tmp_path, names=["碗"])
    assert read.frames[0].boxes[0] == pytest.approx(expected)


def test_lines_with_key_points_begin_with_their_box(tmp_path):
    photo(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", "0 0.125 0.4 0.15 0.4 0.9 0.9 2 0.8 0.8 2\n")
    text(tmp_path / "data.yaml", "names: [碗]\nkpt_shape: [2, 3]\n")
    read = labels_of_frames.read(tmp_path, tmp_path)
    assert read.frames[0].boxes[0] == pytest.approx([10, 20, 40, 60])


@pytest.mark.parametrize("line, reason", [
    ("碗 0.1 0.2 0.3 0.4", "unreadable line"),
    ("0 0.1 0.2 0.3", "unreadable line"),
    ("0.5 0.1 0.2 0.3 0.4", "unreadable line"),
    ("nan 0.1 0.2 0.3 0.4", "unreadable line"),
    ("2 0.5 0.5 0.3 0.4", "class beyond the names"),
    ("-1 0.5 0.5 0.3 0.4", "class beyond the names"),
    ("0 nan 0.2 0.3 0.4", "not a number"),
    ("0 0.1 0.2 0.3 nan 0.3 0.6", "not a number"),
    ("0 0.5 0.5 -0.1 0.1", "inverted or empty box"),
    ("0 345 120 40 50", "box beside the photo"),
    ("0 0.95 0.5 0.3 0.4", "box cut at the edge"),
])  # fmt: skip
def test_a_faulty_line_is_listed_by_its_number(tmp_path, line, reason):
    photo(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", f"0 0.1 0.2 0.1 0.1\n\n{line}\n")
    read = labels_of_frames.read(tmp_path, tmp_path, names=["碗", "盘"])
    assert reasons(read) == [("a.jpg", reason)]
    assert "line 3 of a.txt" in read.left_out[0].detail


def test_an_empty_text_file_is_a_photo_without_dishes(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    text(tmp_path / "a.txt", "")
    read = labels_of_frames.read(tmp_path, tmp_path, names=["碗"])
    assert [(frame.path, len(frame.boxes)) for frame in read.frames] == [("a.jpg", 0)]
    assert reasons(read) == [("b.jpg", "no labels")]


def test_a_text_file_that_is_no_text_is_listed(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    text(tmp_path / "a.txt", YOLO_LINE)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    read = labels_of_frames.read(tmp_path, tmp_path, names=["碗", "盘"])
    assert reasons(read)[0] == ("b.txt", "unreadable labels")


def test_without_names_classes_are_called_by_their_numbers(tmp_path):
    photo(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", YOLO_LINE)
    read = labels_of_frames.read(tmp_path, tmp_path)
    assert read.frames[0].labels == ("class_1",)
    assert "names no classes" in read.notes[0]


def two_photos(folder):
    for name in ("a", "b"):
        photo(folder / f"{name}.jpg")


@pytest.mark.parametrize("given", ["images", "../images", "/data/trays/images", "./"])
def test_splits_by_the_folders_of_data_yaml(tmp_path, given):
    two_photos(tmp_path / "frames")
    text(tmp_path / "labels" / "first" / "a.txt", "")
    text(tmp_path / "labels" / "second" / "b.txt", "")
    settings = f"names: [碗]\ntrain: {given}/first\nval: [{given}/second]\n"
    text(tmp_path / "labels" / "data.yaml", settings)
    read = labels_of_frames.read(tmp_path / "labels", tmp_path / "frames")
    assert [frame.split for frame in read.frames] == ["train", "validation"]


@pytest.mark.parametrize("names", [["碗 ", " 盘"], {0: "碗 ", 1: " 盘"}])
def test_names_of_data_yaml_are_without_the_space_around_them(tmp_path, names):
    photo(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", "1 0.5 0.5 0.2 0.2")
    text(tmp_path / "data.yaml", yaml.safe_dump({"names": names}, allow_unicode=True))
    assert labels_of_frames.read(tmp_path, tmp_path).frames[0].labels == ("盘",)


def test_splits_by_lists_of_photos(tmp_path):
    two_photos(tmp_path / "frames")
    for name in ("a", "b"):
        text(tmp_path / "labels" / "obj_train_data" / f"{name}.txt", "")
    text(tmp_path / "labels" / "obj.names", "碗\n")
    text(tmp_path / "labels" / "train.txt", "data/obj_train_data/a.jpg\n")
    text(tmp_path / "labels" / "valid.txt", "data/obj_train_data/b.jpg\n")
    read = labels_of_frames.read(tmp_path / "labels", tmp_path / "frames")
    assert [frame.split for frame in read.frames] == ["train", "validation"]
    assert read.left_out == []


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("no json", "is not JSON"),
        ("[1]", "must be an object with images"),
        ('{"images": []}', "its images must be a list of objects"),
        ('{"images": [1]}', "its images must be a list of objects"),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1}]}',
            "has no categories",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1}]}',
            "a category without a name",
        ),
        ('{"images": [{"id": 1, "file_name": "z.jpg"}]}', r"no photo of .* \(looked for: z.jpg\)"),
    ],
)
def test_a_coco_file_that_nothing_can_be_done_with(tmp_path, frames, content, sentence):
    file = text(tmp_path / "l.json", content)
    with pytest.raises(LabelError, match=sentence) as raised:
        labels_of_frames.read(file, frames)
    assert str(file) in str(raised.value)


def test_a_yaml_file_that_is_none(tmp_path, frames):
    text(tmp_path / "labels" / "a.txt", "")
    text(tmp_path / "labels" / "data.yaml", "names: [碗\n")
    with pytest.raises(LabelError, match="data.yaml cannot be read as YAML"):
        labels_of_frames.read(tmp_path / "labels", frames)


@pytest.mark.parametrize(
    "there, sentence",
    [
        ("labels", "neither COCO's JSON nor YOLO's"),
        ("labels.zip", "unpack it"),
        ("a.txt", "name the folder in which the text files lie"),
    ],
)
def test_what_holds_no_labels(tmp_path, frames, there, sentence):
    path = tmp_path / there
    path.write_bytes(b"PK") if path.suffix else path.mkdir()
    with pytest.raises(LabelError, match=sentence):
        labels_of_frames.read(path, frames)


def test_a_packed_file_in_a_folder_without_labels_is_named(tmp_path, frames):
    text(tmp_path / "labels" / "export.zip", "PK")
    with pytest.raises(LabelError, match="or unpack export.zip"):
        labels_of_frames.read(tmp_path / "labels", frames)


def test_missing_paths_are_said(tmp_path, frames):
    with pytest.raises(LabelError, match="name the path of the labels"):
        labels_of_frames.read(tmp_path / "gone", frames)
    file = coco(tmp_path / "l.json", ["a.jpg"], [])
    with pytest.raises(LabelError, match="name the path of the photos"):
        labels_of_frames.read(file, tmp_path / "gone")


def test_names_are_for_yolo_alone(tmp_path, frames):
    file = coco(tmp_path / "l.json", ["a.jpg"], [])
    with pytest.raises(LabelError, match="take out names"):
        labels_of_frames.read(file, frames, names=["碗"])
