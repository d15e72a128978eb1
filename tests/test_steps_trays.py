"""Stage 00 as its notebook runs it, with a detector that knows where the plates are."""

import json
import os
from pathlib import PurePosixPath

import detection_toys as toys
import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from dishvl_lib.annotation import catalog
from dishvl_lib.core import artefacts, names, paths, records, settings, stages
from dishvl_lib.core.types import PhotoSource
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.detector import DetectorError
from dishvl_lib.steps import tray_frames
from dishvl_lib.steps import trays as steps

DISHES = ("红烧鱼", "土豆丝", "米饭")
SIDE = 60
SIZE = (320, 160)


class ToyDetector:
    """Finds every white square, as a dish."""

    names = ("dish",)
    threshold = 0.25
    sha256 = "0" * 64

    def detect(self, photo: PhotoSource) -> Detections:
        from dishvl_lib.core import images

        white = (np.asarray(images.load_rgb(photo)) > 250).all(axis=2)
        boxes = []
        for x in range(0, SIZE[0], 80):
            rows, columns = np.nonzero(white[:, x : x + 80])
            if len(rows):
                left = columns.min() + x
                right = columns.max() + x + 1
                boxes.append((left, rows.min(), right, rows.max() + 1))
        n = len(boxes)
        return Detections.ranked(
            np.array(boxes, float).reshape(-1, 4), np.full(n, 0.9), ("dish",) * n
        )

    def best_score(self, rgb) -> float:
        return 0.125


def draw(file, number, places):
    """A frame whose table and dishes are like no other's, with a white plate at each of `places`
    (0 to 3).
    """
    noise = np.random.default_rng(number).integers(0, 200, (8, 16, 3), np.uint8)
    frame = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(frame)
    for place in places:
        x = 80 * place + 10
        pen.rectangle((x, 40, x + SIDE - 1, 40 + SIDE - 1), outline="white", width=4)
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.save(file)


@pytest.fixture
def labelled(tmp_path):
    """(frames, COCO labels) of 20 trays with two dishes each, and an empty one."""
    root = tmp_path / "frames"
    categories = [{"id": n, "name": name} for n, name in enumerate((*DISHES, "bowl"), start=1)]
    photos = []
    boxes = []
    for number in range(20):
        places = (number % 4, (number + 1) % 4)
        draw(root / f"{number:02d}.png", number, places)
        photos.append({"id": number, "file_name": f"{number:02d}.png"})
        for order, place in enumerate(places):
            category = 1 + (number + order) % 3
            if number == 3 and order == 1:
                category = 4
            box = [80 * place + 10, 40, SIDE, SIDE]
            boxes.append({"image_id": number, "category_id": category, "bbox": box})
    draw(root / "empty.png", 99, ())
    photos.append({"id": 99, "file_name": "empty.png"})
    for photo in photos:
        photo |= {"width": SIZE[0], "height": SIZE[1]}
    for number, box in enumerate(boxes):
        box |= {"id": number, "area": SIDE * SIDE, "iscrowd": 0}
    file = tmp_path / "labels.json"
    text = json.dumps({"images": photos, "annotations": boxes, "categories": categories})
    file.write_text(text, "utf-8")
    return root, file


@pytest.fixture
def relabel(labelled):
    """Changes the labels by a function of their content."""
    _, file = labelled

    def changed(change):
        content = records.read_json(file)
        change(content)
        file.write_text(json.dumps(content), "utf-8")

    return changed


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Runs the stage with some parameters; returns (stage, trays, boxes, cropped)."""
    monkeypatch.setattr(steps, "detector_of", lambda stage, trays: ToyDetector())
    monkeypatch.setattr(steps, "_keep_given", lambda file, stage: None)
    monkeypatch.setattr(steps, "_opened", lambda stage, file, threshold: ToyDetector())

    def made(root, **chosen):
        overrides = {"run_name": "r", "trays_root": str(root), "detector": "d.onnx", **chosen}
        (tmp_path / "d.onnx").write_bytes(b"x")
        overrides["detector"] = str(tmp_path / "d.onnx")
        values = settings.load_profile("demo_trays", overrides)[paths.TRAYS]
        stage = stages.start(paths.TRAYS, values)
        trays = steps.read_frames(stage)
        detector = steps.detector_of(stage, trays)
        boxes = steps.find_dishes(stage, detector, trays)
        steps.measure(stage, detector, trays)
        cropped = steps.crop(stage, trays, boxes, detector)
        steps.notes(stage, trays, cropped)
        assert steps.problems(trays, cropped) == []
        steps.best_and_worst(stage, trays, boxes)
        stage.finish(
            counts=steps.counts(trays, cropped),
            frames_root=str(trays.root),
            detector=steps.described(detector),
        )
        return stage, trays, boxes, cropped

    return made


def test_labels_become_crops_of_dishes(make, labelled):
    root, file = labelled
    _, trays, _, cropped = make(root, tray_labels=str(file))
    assert len(trays.frames) == 21
    assert len(cropped.crops) == 40
    assert set(cropped.of_dishes.label) == set(DISHES)


def test_a_bowl_is_no_dish(make, labelled):
    root, file = labelled
    stage, _, _, cropped = make(root, tray_labels=str(file))
    assert len(cropped.unlabelled) == 1
    assert any("1 crops have no dish's name" in note for note in stage.notes)


def test_no_frame_is_torn(make, labelled):
    root, file = labelled
    _, trays, _, cropped = make(root, tray_labels=str(file))
    assert (cropped.crops.groupby("frame_id").split.nunique() == 1).all()
    assert trays.frames.split.value_counts().to_dict() == {"train": 15, "test": 4, "validation": 2}


def test_a_tray_without_dishes_is_kept(make, labelled):
    root, file = labelled
    _, trays, _, _ = make(root, tray_labels=str(file))
    assert trays.frames.set_index("path").n_boxes["empty.png"] == 0


def test_the_detector_is_measured_where_nothing_was_trained(make, labelled):
    root, file = labelled
    stage, _, _, _ = make(root, tray_labels=str(file))
    measured = records.read_json(stage.path("metrics.json"))
    assert measured["test"]["n_frames"] == 4
    assert measured["test"]["ap50"] == 1.0
    assert measured["test"]["all_right"]["value"] == 1.0


def test_the_margin_decides_the_crops(make, labelled):
    root, file = labelled
    _, _, _, cropped = make(root, tray_labels=str(file), crop_margin=0.5)
    sides = (cropped.crops.x2 - cropped.crops.x1).unique().tolist()
    assert sides == [SIDE // 2]


def test_the_best_and_worst_frames_are_drawn(make, labelled):
    root, file = labelled
    stage, trays, boxes, _ = make(root, tray_labels=str(file))
    assert len(steps.best_and_worst(stage, trays, boxes).axes) == 6


def test_a_frame_twice_is_taken_once(make, labelled):
    root, file = labelled
    (root / "00.png").rename(root / "01.png")
    (root / "00.png").write_bytes((root / "01.png").read_bytes())
    _, trays, _, _ = make(root, tray_labels=str(file))
    copies = trays.rejected[trays.rejected.reason == "copy"]
    assert copies.path.tolist() == ["01.png"]
    assert copies.detail.tolist() == ["the same bytes as 00.png"]


def test_folders_of_frames_name_the_only_dish_on_them(make, tmp_path):
    root = tmp_path / "frames"
    draw(root / "米饭" / "one.png", 1, (2,))
    draw(root / "米饭" / "two.png", 2, (0, 3))
    draw(root / "红烧鱼" / "none.png", 3, ())
    draw(root / "红烧鱼" / "one.png", 4, (1,))
    stage, _, _, cropped = make(root)
    assert sorted(cropped.of_dishes.label) == ["米饭", "红烧鱼"]
    left_out = dict(zip(cropped.rejected.path, cropped.rejected.reason, strict=True))
    assert left_out == {"米饭/two.png": "several dishes", "红烧鱼/none.png": "no dish found"}
    assert len(stage.notes) == 1
    assert stage.notes[0].startswith("2 of 4 photos give no crop: ")


def test_a_folder_of_a_day_or_camera_names_no_dish(make, tmp_path):
    root = tmp_path / "frames"
    draw(root / "20210301" / "a.png", 1, (0, 2))
    draw(root / "米饭" / "20210301" / "b.png", 2, (1,))
    draw(root / "cam_1" / "c.png", 3, (3,))
    _, _, _, cropped = make(root)
    assert cropped.of_dishes.label.tolist() == ["米饭"]
    assert len(cropped.unlabelled) == 3
    assert cropped.rejected.empty


def test_frames_without_labels_and_folders_give_crops_without_names(make, tmp_path):
    root = tmp_path / "frames"
    draw(root / "a.png", 1, (0, 2))
    draw(root / "b.png", 2, (1,))
    _, _, _, cropped = make(root)
    assert len(cropped.unlabelled) == 3
    assert cropped.of_dishes.empty


def test_a_folder_without_a_photo_is_said(make, tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(tray_frames.NoTraysError, match="holds no photo of a tray"):
        make(tmp_path / "frames")


def test_a_frame_that_leaves_the_split_of_its_labels_is_noted(make, labelled):
    root, file = labelled
    twin = Image.open(root / "00.png")
    twin.putpixel((0, 0), (1, 2, 3))
    twin.save(root / "15.png")
    content = records.read_json(file)
    for split, (first, last) in {"train": (0, 9), "test": (10, 99)}.items():
        part = {**content}
        part["images"] = [photo for photo in content["images"] if first <= photo["id"] <= last]
        ids = {photo["id"] for photo in part["images"]}
        part["annotations"] = [box for box in content["annotations"] if box["image_id"] in ids]
        records.write_json(file.parent / "coco" / f"instances_{split}.json", part)
    stage, trays, _, _ = make(root, tray_labels=str(file.parent / "coco"))
    assert trays.frames.set_index("path").split["15.png"] == "train"
    assert any("1 frames show the same tray" in note for note in stage.notes)


def test_files_that_are_left_out_are_noted_by_reason(make, labelled):
    root, file = labelled
    (root / "00.png").write_bytes(b"")
    draw(root / "new.png", 77, (0,))
    stage, trays, _, _ = make(root, tray_labels=str(file))
    assert trays.n_left_out == 2
    note = next(note for note in stage.notes if "left out" in note)
    assert note.startswith("2 photos or labels are left out: ")
    assert "no labels 1" in note


def test_photos_of_which_none_can_be_used_are_said(make, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "a.jpg").write_bytes(b"")
    with pytest.raises(tray_frames.NoTraysError, match=r"the first of 1 left out is a.jpg: empty"):
        make(tmp_path / "frames")


def test_a_link_to_a_folder_is_listed(make, tmp_path):
    draw(tmp_path / "frames" / "a.png", 1, (0,))
    draw(tmp_path / "elsewhere" / "b.png", 2, (1,))
    (tmp_path / "frames" / "link").symlink_to(tmp_path / "elsewhere")
    _, trays, _, _ = make(tmp_path / "frames")
    assert trays.frames.path.tolist() == ["a.png"]
    assert trays.rejected.reason.tolist() == ["link to a folder"]


@pytest.mark.parametrize("name", [b"\xba\xec.png", b"a\nb.png"])
def test_a_name_that_cannot_be_written_down_is_listed(make, tmp_path, name):
    draw(tmp_path / "frames" / "a.png", 1, (0,))
    draw(tmp_path / "frames" / "b.png", 2, (1,))
    os.rename(tmp_path / "frames" / "b.png", os.fsencode(tmp_path / "frames") + b"/" + name)
    _, trays, _, _ = make(tmp_path / "frames")
    assert trays.frames.path.tolist() == ["a.png"]
    assert trays.rejected.reason.tolist() == ["unreadable name"]


def test_a_photo_that_is_decoded_smaller_than_its_boxes_is_listed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tray_frames, "MOST_PIXELS", SIZE[0] * SIZE[1])
    draw(tmp_path / "frames" / "a.png", 1, (0,))
    Image.new("RGB", (SIZE[0] + 1, SIZE[1])).save(tmp_path / "frames" / "b.png")
    _, trays, _, _ = make(tmp_path / "frames")
    assert trays.frames.path.tolist() == ["a.png"]
    assert trays.rejected.reason.tolist() == ["too large"]


def test_labels_without_a_box_are_refused_before_photos_are_looked_at(make, labelled, relabel):
    root, file = labelled
    relabel(lambda content: content["annotations"].clear())
    with pytest.raises(tray_frames.NoTraysError, match="has no box on any of its 21 photos"):
        make(root, tray_labels=str(file))


def test_labels_of_which_no_photo_is_whole_are_refused_with_the_first_fault(
    make, labelled, relabel
):
    root, file = labelled

    def halve(content):
        for photo in content["images"]:
            photo["width"] //= 2

    relabel(halve)
    with pytest.raises(tray_frames.NoTraysError, match=r"of 21 faults is 00.png: another size"):
        make(root, tray_labels=str(file))


def test_a_frame_that_lacks_a_box_is_cropped_and_not_judged(make, labelled, relabel):
    root, file = labelled
    whole = make(root, tray_labels=str(file), run_name="whole")[1]
    tested = whole.frames[whole.frames.split == "test"].iloc[0]

    def spoil(content):
        number = next(
            photo["id"] for photo in content["images"] if photo["file_name"] == tested.path
        )
        box = next(box for box in content["annotations"] if box["image_id"] == number)
        box["category_id"] = 99

    relabel(spoil)
    stage, trays, _, cropped = make(root, tray_labels=str(file))
    assert tested.path not in set(trays.judged.path)
    assert tested.path not in {frame.path for frame in steps._labelled(trays)}
    assert (cropped.crops.frame_id == tested.frame_id).sum() == 1
    assert any("1 frames have boxes that were left out" in note for note in stage.notes)


def test_a_frame_that_lacks_a_box_is_no_file_left_out(make, labelled, relabel):
    root, file = labelled
    relabel(lambda content: content["annotations"][0].update(category_id=99))
    _, trays, _, cropped = make(root, tray_labels=str(file))
    assert len(trays.rejected) == 1
    counts = steps.counts(trays, cropped)
    assert (counts["files"], counts["ok"], counts["skipped"]) == (21, 21, 0)


def test_boxes_called_background_are_no_dishes(make, labelled, relabel):
    root, file = labelled
    relabel(lambda content: content["categories"][3].update(name="__background__"))
    _, trays, _, cropped = make(root, tray_labels=str(file))
    assert len(trays.truth) == 39
    assert cropped.unlabelled.empty
    assert trays.rejected.reason.tolist() == ["background"]
    assert trays.frames.set_index("path").n_boxes["03.png"] == 1


def test_a_detector_that_finds_nothing_is_noted(make, labelled, monkeypatch):
    root, file = labelled
    monkeypatch.setattr(ToyDetector, "detect", lambda self, photo: Detections.none())
    stage, _, _, _ = make(root, tray_labels=str(file))
    assert any("the detector finds 0 of the " in note for note in stage.notes)


def test_labels_without_a_frame_to_test_with_are_noted(make, labelled):
    root, file = labelled
    stage, _, _, _ = make(root, tray_labels=str(file), test_share=0.0)
    assert any("the test frames hold 0 dishes" in note for note in stage.notes)


def test_where_nothing_is_found_the_best_score_is_said(make, tmp_path):
    draw(tmp_path / "frames" / "a.png", 1, ())
    said = (
        r"no dish found 1 .*a.png: the best box has a score of 0.12, the threshold is 0.25; lower"
    )
    with pytest.raises(AssertionError, match=said):
        make(tmp_path / "frames")


def test_whole_trays_in_folders_want_labels(make, tmp_path):
    draw(tmp_path / "frames" / "monday" / "a.png", 1, (0, 1))
    with pytest.raises(AssertionError, match="2 dishes, of which monday may be any; .*tray_labels"):
        make(tmp_path / "frames")


def test_a_longer_name_than_a_file_may_have_is_cut(make, tmp_path):
    name = "盘" * 80
    draw(tmp_path / "frames" / f"{name}1.png", 1, (0,))
    draw(tmp_path / "frames" / f"{name}2.png", 2, (0,))
    _, _, _, cropped = make(tmp_path / "frames")
    frames_named = {names.frame_of(PurePosixPath(path).stem) for path in cropped.crops.path}
    assert len(frames_named) == 2


def test_notes_of_the_labels_outlive_a_kill(make, labelled, relabel):
    root, file = labelled
    file = file.rename(file.with_name("instances_train.json"))
    first, *_ = make(root, tray_labels=str(file))
    first.path(stages.SUCCESS).unlink()
    again, *_ = make(root, tray_labels=str(file))
    assert any("which divides nothing" in note for note in first.notes)
    assert again.notes == first.notes


def test_a_finished_stage_is_shown_when_its_photos_have_gone(make, labelled):
    root, file = labelled
    make(root, tray_labels=str(file))
    root.rename(root.with_name("moved"))
    stage, _, _, _ = make(root, tray_labels=str(file))
    assert stage.done


def started(root, detector):
    """The stage with a file of a detector."""
    overrides = {"run_name": "r", "trays_root": str(root), "detector": str(detector)}
    return stages.start(paths.TRAYS, settings.load_profile("demo_trays", overrides)[paths.TRAYS])


def test_a_file_that_is_no_detector_is_refused_before_photos_are_looked_at(labelled, tmp_path):
    root, _ = labelled
    text = tmp_path / "text.onnx"
    text.write_text("no net", "utf-8")
    stage = started(root, text)
    with pytest.raises(DetectorError, match=f"{text} is text and no ONNX file"):
        steps.read_frames(stage)
    assert not stage.path(artefacts.FRAMES).exists()


def test_a_detector_of_another_margin_is_refused(labelled, tmp_path):
    root, _ = labelled
    ours = {**toys.ULTRALYTICS, "dishvl_detector": "1", "dishvl_crop_margin": "0.6"}
    net = toys.fake(tmp_path / "net.onnx", toys.v8((640, 640)), metadata=ours)
    with pytest.raises(DetectorError, match=r"margin 0.6, and crop_margin is .*to 0.6"):
        steps.read_frames(started(root, net))


def test_weights_in_a_file_beside_the_detector_are_said(labelled, tmp_path):
    root, _ = labelled
    net = toys.fake(tmp_path / "net.onnx", toys.v8((640, 640)), metadata=toys.ULTRALYTICS)
    onnx.save(
        onnx.load(net),
        net,
        save_as_external_data=True,
        location="net.onnx.data",
        convert_attribute=True,
    )
    with pytest.raises(DetectorError, match="keeps its weights in another file beside it"):
        steps.read_frames(started(root, net))


def test_stage_01_keeps_the_frames_splits(make, labelled):
    root, file = labelled
    stage, trays, _, cropped = make(root, tray_labels=str(file))
    photos, _, _ = catalog.build(
        stage.folder,
        photos_csv=stage.path(artefacts.CROPS_LIST),
        test_share=0.5,
        validation_share=0.2,
        seed=0,
    )
    split_of = dict(zip(cropped.crops.path, cropped.crops.split, strict=True))
    assert (photos.split == photos.path.map(split_of)).all()
    frame_of = dict(zip(cropped.crops.path, cropped.crops.frame_id, strict=True))
    frames = photos.assign(of=photos.path.map(frame_of)).groupby("of").split.nunique()
    assert (frames == 1).all()


def test_a_finished_stage_does_nothing(make, labelled, capsys):
    root, file = labelled
    stage, *_ = make(root, tray_labels=str(file))
    before = {path: path.stat().st_mtime_ns for path in stage.folder.rglob("*")}
    make(root, tray_labels=str(file))
    assert {path: path.stat().st_mtime_ns for path in stage.folder.rglob("*")} == before
    assert "nothing was changed" in capsys.readouterr().out


def test_a_killed_stage_goes_on_with_the_crops_that_are_there(make, labelled):
    root, file = labelled
    stage, _, _, first = make(root, tray_labels=str(file))
    for name in (stages.SUCCESS, artefacts.CROPS, artefacts.CROPS_LIST):
        stage.path(name).unlink()
    kept = stage.path(first.crops.path[0])
    gone = stage.path(first.crops.path[1])
    gone.unlink()
    written = kept.stat().st_mtime_ns
    _, _, _, again = make(root, tray_labels=str(file))
    assert again.crops.equals(first.crops)
    assert kept.stat().st_mtime_ns == written
    assert gone.is_file()


def test_a_table_of_measures_has_a_row_for_each_split():
    share = {"value": 0.5, "n": 4, "ci95": [0.2, 0.8]}
    rows = steps.as_rows({"test": {"n_frames": 4, "recall": share}})
    expected = {"split": "test", "n_frames": 4, "recall": 0.5}
    assert rows == [{**expected, "recall_ci_low": 0.2, "recall_ci_high": 0.8}]
    assert pd.DataFrame(rows).shape == (1, 5)
