"""Users' detectors and our own: every layout, by one interface."""

import subprocess
import sys

import numpy as np
import pytest
from detection_toys import (
    CLASSES,
    LAYOUTS,
    PHOTOS,
    SCORES,
    SIDE,
    ULTRALYTICS,
    boxes_of,
    fake,
    photo_file,
    save,
    v5,
    v8,
    v10,
)
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dishvl_lib.core import records
from dishvl_lib.core.params import DETECTOR_LAYOUTS
from dishvl_lib.detection import boxes, layouts
from dishvl_lib.detection.detector import Detector, DetectorError

SIZE = (1280, 960)
NAMES = ["bowl", "plate"]
COCO_NAMES = ["person", "car", "cup", "bowl", "dining table", *map(str, range(75))]


def worst_iou(found, size):
    return np.diag(boxes.iou(found.boxes, boxes_of(size))).min()


@pytest.mark.parametrize("size, orientation", PHOTOS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_finds_the_known_boxes_on_photos_of_any_shape(
    tmp_path, layout, size, orientation
):
    outputs, others = LAYOUTS[layout]
    file = fake(tmp_path / "net.onnx", outputs(size), **others)
    detector = Detector.load(file, names=NAMES)
    found = detector.detect(photo_file(tmp_path / "tray.jpg", size, orientation))
    assert detector.layout == layout
    assert len(found) == 3
    assert worst_iou(found, size) >= 0.99
    assert found.labels == tuple(NAMES[number] for number in CLASSES)
    assert found.boxes.dtype == np.float32
    factor = 0.95 if layout == "yolov5" else 1
    assert found.scores == pytest.approx(np.array(SCORES) * factor, abs=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision_and_unstated_shapes(tmp_path, layout):
    outputs, others = LAYOUTS[layout]
    file = fake(tmp_path / "net.onnx", outputs(SIZE), half=True, symbolic=True, **others)
    found = Detector.load(file, names=NAMES).detect(Image.new("RGB", SIZE))
    assert len(found) == 3
    # Half precision keeps eleven bits of a place in 640 pixels.
    assert worst_iou(found, SIZE) >= 0.98


@pytest.mark.parametrize("shape", [("batch", 3, "height", "width"), (4, 3, SIDE, SIDE)])
def test_a_batch_that_is_open_or_larger_than_one(tmp_path, shape):
    table = v8(SIZE)["output0"]
    outputs = {"output0": np.repeat(table, 4, axis=0)}
    file = fake(tmp_path / "net.onnx", outputs, photo=("images", shape), metadata=ULTRALYTICS)
    found = Detector.load(file).detect_image(Image.new("RGB", SIZE))
    assert worst_iou(found, SIZE) >= 0.99


def test_every_photo_of_a_fixed_batch_has_its_size(tmp_path):
    sizes = [("orig_target_sizes", (2, 2), TensorProto.INT64)]
    outputs = {
        name: np.repeat(value, 2, axis=0) for name, value in LAYOUTS["dfine"][0](SIZE).items()
    }
    file = fake(tmp_path / "net.onnx", outputs, photo=("images", (2, 3, SIDE, SIDE)), others=sizes)
    found = Detector.load(file, names=NAMES).detect_image(Image.new("RGB", SIZE))
    assert worst_iou(found, SIZE) >= 0.99


@pytest.mark.parametrize(
    "shape, metadata",
    [
        ((1, 3, 320, 320), {}),
        ((1, 3, "height", "width"), {"imgsz": "[320, 320]"}),
        ((1, 3, "height", "width"), {"size": "320"}),
    ],
)
@pytest.mark.parametrize("outputs", [v5(SIZE, 320, 6300), v8(SIZE, 320, 2100)])
def test_other_sizes_than_640(tmp_path, shape, metadata, outputs):
    file = fake(tmp_path / "net.onnx", outputs, photo=("images", shape), metadata=metadata)
    found = Detector.load(file, names=NAMES).detect_image(Image.new("RGB", SIZE))
    assert worst_iou(found, SIZE) >= 0.99


def test_an_input_that_is_not_square(tmp_path):
    metadata = {**ULTRALYTICS, "imgsz": "[480, 640]"}
    table = np.zeros((1, 6, 6300), np.float32)
    # The whole of a photo of four to three.
    table[0, :, 7] = [320, 240, 640, 480, 0.9, 0]
    shape = (1, 3, "height", "width")
    outputs = {"output0": table}
    file = fake(tmp_path / "net.onnx", outputs, photo=("images", shape), metadata=metadata)
    found = Detector.load(file).detect_image(Image.new("RGB", SIZE))
    assert found.boxes.tolist() == [[0, 0, *SIZE]]


def test_one_class_of_v5_is_not_taken_for_end_to_end(tmp_path):
    table = v5(SIZE)["output"][..., :6]
    detector = Detector.load(fake(tmp_path / "net.onnx", {"output": table}))
    assert detector.layout == "yolov5"
    assert detector.names == ("class_0",)


def test_maps_beside_the_table_of_an_older_v5_are_passed_over(tmp_path):
    maps = {"p3": np.zeros((1, 3, 80, 80, 7), np.float32)}
    detector = Detector.load(
        fake(tmp_path / "net.onnx", {**maps, **v5(SIZE)}, metadata=ULTRALYTICS)
    )
    assert detector.layout == "yolov5"


def test_the_net_sees_red_green_and_blue_from_0_to_1(tmp_path):
    """Three boxes, whose scores are the colours of the photo's first pixel."""
    constants = {
        "corners": np.array([[[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]], np.float32),
        "numbers": np.array([[0, 1, 2]], np.int64),
        "first": np.array([0, 0], np.int64),
        "last": np.array([1, 1], np.int64),
        "axes": np.array([2, 3], np.int64),
        "flat": np.array([1, 3], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["images", "first", "last", "axes"], ["pixel"]),
        helper.make_node("Reshape", ["pixel", "flat"], ["scores"]),
        helper.make_node("Identity", ["corners"], ["boxes"]),
        helper.make_node("Identity", ["numbers"], ["labels"]),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))
    answers = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 3)),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 3, 4)),
        helper.make_tensor_value_info("labels", TensorProto.INT64, (1, 3)),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    save(tmp_path / "net.onnx", helper.make_graph(nodes, "first", [image], answers, stored))
    detector = Detector.load(tmp_path / "net.onnx", names=["red", "green", "blue"], threshold=0)
    found = detector.detect_image(Image.new("RGB", (64, 64), (255, 51, 102)))
    assert found.labels == ("red", "blue", "green")
    assert found.scores == pytest.approx([1, 0.4, 0.2])


def test_a_dish_that_is_found_as_two_classes_is_one_dish(tmp_path):
    outputs = v10(SIZE)
    outputs["output0"][0, 3] = outputs["output0"][0, 0]
    outputs["output0"][0, 3, 4:] = [0.85, 1]
    file = fake(tmp_path / "net.onnx", outputs, metadata=ULTRALYTICS)
    found = Detector.load(file).detect_image(Image.new("RGB", SIZE))
    assert found.labels == ("bowl", "plate", "plate")


def test_kept_labels_are_chosen_before_one_dish_hides_another(tmp_path):
    outputs = v10(SIZE)
    outputs["output0"][0, 3] = outputs["output0"][0, 0]
    outputs["output0"][0, 3, 4:] = [0.85, 1]
    file = fake(tmp_path / "net.onnx", outputs, metadata=ULTRALYTICS)
    found = Detector.load(file, keep_labels=["plate"]).detect_image(Image.new("RGB", SIZE))
    assert found.labels == ("plate", "plate", "plate")
    assert found.scores == pytest.approx([0.85, 0.8, 0.6])


def test_boxes_that_are_no_numbers_or_beside_the_photo_are_not_found(tmp_path):
    outputs = v10(SIZE)
    outputs["output0"][0, 3] = [np.nan, 0, 9, 9, 0.9, 0]
    outputs["output0"][0, 4] = [0, 0, 9, 9, np.nan, 0]
    # In the grey above a photo that is wider than high.
    outputs["output0"][0, 5] = [100, 2, 200, 70, 0.9, 0]
    outputs["output0"][0, 6] = [300, 300, 200, 200, 0.9, 0]
    file = fake(tmp_path / "net.onnx", outputs, metadata=ULTRALYTICS)
    assert len(Detector.load(file).detect_image(Image.new("RGB", SIZE))) == 3


def test_the_threshold_is_the_callers_the_files_or_the_usual_one(tmp_path):
    plain = fake(tmp_path / "plain.onnx", v10(SIZE), metadata=ULTRALYTICS)
    stating = fake(tmp_path / "own.onnx", v10(SIZE), metadata={"threshold": "0.7"})
    photo = Image.new("RGB", SIZE)
    assert Detector.load(plain).threshold == 0.25
    assert len(Detector.load(stating).detect(photo)) == 2
    assert len(Detector.load(stating, threshold=0.85).detect(photo)) == 1


def test_the_best_score_is_said_where_nothing_reaches_the_threshold(tmp_path):
    file = fake(tmp_path / "net.onnx", v10(SIZE), metadata=ULTRALYTICS)
    detector = Detector.load(file, threshold=0.95)
    photo = Image.new("RGB", SIZE)
    assert len(detector.detect_image(photo)) == 0
    assert detector.best_score(photo) == pytest.approx(0.9)


def test_the_best_score_of_nothing_is_none(tmp_path):
    outputs = {"output0": np.zeros((1, 300, 6), np.float32)}
    file = fake(tmp_path / "net.onnx", outputs, metadata=ULTRALYTICS)
    assert Detector.load(file).best_score(Image.new("RGB", SIZE)) == 0


def test_a_detector_of_our_own_says_its_margin(tmp_path):
    outputs, _ = LAYOUTS["dishvl"]
    stated = {"dishvl_detector": "1", "dishvl_crop_margin": "0.76", "names": '["碗", "盘"]'}
    file = fake(tmp_path / "own.onnx", outputs(SIZE), metadata=stated)
    detector = Detector.load(file)
    assert detector.is_ours
    assert detector.crop_margin == 0.76
    assert detector.names == ("碗", "盘")
    assert detector.sha256 == records.sha256_file(file)
    assert detector.file == file


def test_other_detectors_have_no_margin(tmp_path):
    detector = Detector.load(fake(tmp_path / "net.onnx", v10(SIZE), metadata=ULTRALYTICS))
    assert not detector.is_ours
    assert detector.crop_margin is None


def test_classes_without_names_are_called_by_their_numbers(tmp_path):
    photo = Image.new("RGB", SIZE)
    unsaid = Detector.load(fake(tmp_path / "e2e.onnx", v10(SIZE)), keep_labels=["class_1"])
    assert unsaid.names == ()
    assert unsaid.detect_image(photo).labels == ("class_1", "class_1")
    counted = Detector.load(fake(tmp_path / "v8.onnx", v8(SIZE)))
    assert counted.names == ("class_0", "class_1")


def test_names_are_in_the_order_of_their_numbers(tmp_path):
    stated = {"names": "{1: 'plate', 0: 'bowl'}"}
    detector = Detector.load(fake(tmp_path / "net.onnx", v8(SIZE), metadata=stated))
    assert detector.names == ("bowl", "plate")


@pytest.mark.parametrize("names", ["__import__('os').getcwd()", "[x", "7", "(" * 999])
def test_metadata_is_read_and_never_run(tmp_path, names):
    detector = Detector.load(fake(tmp_path / "net.onnx", v8(SIZE), metadata={"names": names}))
    assert detector.names == ("class_0", "class_1")


def test_a_layout_that_is_named_is_taken(tmp_path):
    table = np.zeros((1, 300, 7), np.float32)
    table[0, 0] = [320, 320, 64, 64, 1, 0.9, 0.1]
    file = fake(tmp_path / "net.onnx", {"output": table}, metadata={"names": "['a', 'b']"})
    found = Detector.load(file, layout="yolov5").detect_image(Image.new("RGB", (64, 64)))
    assert found.boxes.tolist() == [pytest.approx([28.8, 28.8, 35.2, 35.2])]


def test_a_profile_may_name_each_layout():
    assert DETECTOR_LAYOUTS == ("", *layouts.LAYOUTS)


def loads(tmp_path, outputs, options=(), **others):
    file = fake(tmp_path / "net.onnx", outputs, **others)
    Detector.load(file, **dict(options))


@pytest.mark.parametrize("task", ["segment", "pose", "classify", "obb"])
def test_another_task_by_what_the_file_says(tmp_path, task):
    stated = {**ULTRALYTICS, "task": task}
    with pytest.raises(DetectorError, match=rf"net.onnx is made for another task \({task}\)"):
        loads(tmp_path, v8(SIZE), metadata=stated)


@pytest.mark.parametrize(
    "outputs, sentence",
    [
        ({"logits": (1, 1000)}, "say what a whole photo shows"),
        ({"output0": (1, 38, 8400), "output1": (1, 32, 160, 160)}, "nets do that segment"),
        ({"output0": (1, 8400, 85)}, "no known layout: dishvl heatmap"),
    ],
)
def test_another_task_by_its_outputs(tmp_path, outputs, sentence):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    with pytest.raises(DetectorError, match=sentence):
        loads(tmp_path, arrays)


def test_poses_by_columns_that_are_no_classes(tmp_path):
    outputs = {"output0": np.zeros((1, 56, 8400), np.float32)}
    with pytest.raises(DetectorError, match="answers for 52 classes and it names 1"):
        loads(tmp_path, outputs, metadata={"names": "{0: 'person'}"})


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"layout": "yolov7"}, r"layout: 'yolov7' is none; did you mean yolov"),
        ({"layout": "dfine"}, r"not of layout dfine, which is labels \(1, n\)"),
        ({"layout": "yolov10"}, r"not of layout yolov10, which is \(1, n, 6\)"),
        ({"names": ["碗"]}, "answers for 2 classes and names has 1"),
        ({"keep_labels": ["bowel"]}, r"keep_labels: 'bowel' is no class .*did you mean bowl"),
    ],
)
def test_parameters_that_do_not_go_with_the_file(tmp_path, options, sentence):
    with pytest.raises(DetectorError, match=sentence):
        loads(tmp_path, v8(SIZE), options, metadata=ULTRALYTICS)


def test_a_detector_of_everyday_things_needs_to_know_which_are_dishes(tmp_path):
    table = np.zeros((1, 84, 8400), np.float32)
    stated = {"names": str(dict(enumerate(COCO_NAMES)))}
    file = fake(tmp_path / "net.onnx", {"output0": table}, metadata=stated)
    with pytest.raises(DetectorError, match=r"knows 80 everyday things .*keep_labels.*\[bowl\]"):
        Detector.load(file)
    assert Detector.load(file, keep_labels=["bowl"]).keep_labels == ("bowl",)


@pytest.mark.parametrize(
    "others, sentence",
    [
        ({"photo": ("x", (1, 3, 64))}, r"takes x \(1, 3, 64\)"),
        ({"photo": ("x", (1, 64, 64, 3))}, "colours first"),
        ({"others": [("pixel_mask", (1, 64, 64), TensorProto.INT64)]}, "wants pixel_mask"),
    ],
)
def test_inputs_that_are_no_photo(tmp_path, others, sentence):
    with pytest.raises(DetectorError, match=sentence):
        loads(tmp_path, v8(SIZE), **others)


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    file = fake(tmp_path / "net.onnx", v8(SIZE))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DetectorError, match=r"pip install 'dishvl\[trays\]'"):
        Detector.load(file)


def test_nothing_heavy_is_loaded_before_a_detector_is():
    code = (
        "import sys, dishvl_lib.detection.detector; "
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'paddle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
