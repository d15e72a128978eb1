"""Fake nets: ONNX files that answer with given arrays, whatever they are shown."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

IR_VERSION = 10
OPSET = helper.make_opsetid("", 17)
SIDE = 640
ULTRALYTICS = {"task": "detect", "names": "{0: 'bowl', 1: 'plate'}", "imgsz": "[640, 640]"}
# Upright sizes of photos, and how EXIF says that their files lie.
PHOTOS = [((1280, 960), 1), ((600, 800), 1), ((333, 500), 6), ((1000, 200), 1)]
# Of the upright photo, as shares of its sides, with the number of the class and the score.
SHARES = np.array([[0.1, 0.2, 0.4, 0.5], [0.55, 0.3, 0.95, 0.9], [0.0, 0.6, 0.3, 1.0]])
CLASSES = [0, 1, 1]
SCORES = [0.9, 0.8, 0.6]


def fake(
    path,
    outputs,
    *,
    photo=("images", (1, 3, SIDE, SIDE)),
    others=(),
    metadata=(),
    half=False,
    symbolic=False,
):
    """An ONNX file with constant outputs {name: array}.

    `photo`: name and shape of the input of photos, texts in it for sides that are not fixed;
    `others`: (name, shape, type) of further inputs; `half`: input and outputs in half precision;
    `symbolic`: the outputs' shapes are not stated.
    """
    float_kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(photo[0], float_kind, photo[1])]
    inputs += [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in others]
    nodes = []
    answers = []
    for name, value in outputs.items():
        if half and value.dtype == np.float32:
            value = value.astype(np.float16)
        constant = numpy_helper.from_array(value, name)
        nodes.append(helper.make_node("Constant", [], [name], value=constant))
        shape = [f"{name}_{axis}" for axis in range(value.ndim)] if symbolic else value.shape
        answers.append(helper.make_tensor_value_info(name, constant.data_type, shape))
    save(path, helper.make_graph(nodes, "fake", inputs, answers), metadata)
    return path


def save(path, graph, metadata=()):
    model = helper.make_model(graph, opset_imports=[OPSET], ir_version=IR_VERSION)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)


def photo_file(path, size, orientation):
    """A photo that is of `size` when it is turned as EXIF says."""
    stored = size[::-1] if orientation >= 5 else size
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", stored, "white").save(path, exif=exif)
    return path


def boxes_of(size):
    """The known boxes in pixels of a photo."""
    return SHARES * [*size, *size]


def letterboxed(size, side=SIDE):
    """The known boxes in pixels of an input in which the photo lies in the middle."""
    width, height = size
    scale = min(side / width, side / height)
    left = (side - width * scale) / 2
    top = (side - height * scale) / 2
    return boxes_of(size) * scale + [left, top, left, top]


def centred(corners):
    """Centre, width and height of boxes."""
    return np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])


def class_scores(n_classes=2):
    scores = np.zeros((len(SCORES), n_classes))
    scores[range(len(SCORES)), CLASSES] = SCORES
    return scores


def v5(size, side=SIDE, cells=25200):
    """Boxes among thousands of rows without any, each found twice."""
    table = np.zeros((1, cells, 7), np.float32)
    table[..., 4] = 0.001
    found = np.hstack([centred(letterboxed(size, side)), np.full((3, 1), 0.95), class_scores()])
    again = found * [1, 1, 1.02, 1.02, 0.9, 1, 1]
    table[0, 5:8] = found
    table[0, -3:] = again
    return {"output": table}


def v8(size, side=SIDE, cells=8400):
    table = np.zeros((1, 6, cells), np.float32)
    found = np.hstack([centred(letterboxed(size, side)), class_scores()])
    again = found * [1, 1, 1.02, 1.02, 0.9, 0.9]
    table[0, :, 5:8] = found.T
    table[0, :, -3:] = again.T
    return {"output0": table}


def v10(size):
    table = np.zeros((1, 300, 6), np.float32)
    table[0, :3] = np.column_stack([letterboxed(size), SCORES, CLASSES])
    return {"output0": table}


def dfine(size):
    corners = np.zeros((1, 300, 4), np.float32)
    # Stretched over the input: the same shares of its sides.
    corners[0, :3] = SHARES * SIDE
    scores = np.zeros((1, 300), np.float32)
    scores[0, :3] = SCORES
    labels = np.zeros((1, 300), np.int64)
    labels[0, :3] = CLASSES
    return {"labels": labels, "boxes": corners, "scores": scores}


def detr(size):
    logits = np.full((1, 300, 2), -9, np.float32)
    likely = np.array(SCORES) / (1 - np.array(SCORES))
    logits[0, range(3), CLASSES] = np.log(likely)
    corners = np.full((1, 300, 4), 0.01, np.float32)
    corners[0, :3] = centred(SHARES)
    return {"logits": logits, "pred_boxes": corners}


def rtdetr(size):
    table = np.full((1, 300, 6), 0.01, np.float32)
    table[0, :3] = np.hstack([centred(SHARES), class_scores()])
    return {"output0": table}


def dishvl(size):
    heatmap = np.full((1, 2, SIDE // 8, SIDE // 8), 0.01, np.float32)
    sides = np.zeros((1, 4, SIDE // 8, SIDE // 8), np.float32)
    for corners, number, score in zip(letterboxed(size) / 8, CLASSES, SCORES, strict=True):
        column, row = ((corners[:2] + corners[2:]) / 2).astype(int)
        heatmap[0, number, row - 1 : row + 2, column - 1 : column + 2] = score / 2
        heatmap[0, number, row, column] = score
        middle = np.array([column + 0.5, row + 0.5])
        sides[0, :, row, column] = np.hstack([middle - corners[:2], corners[2:] - middle])
    return {"heatmap": heatmap, "sides": sides}


def paddle(size):
    rows = np.column_stack([CLASSES, SCORES, SHARES * SIDE])
    table = np.vstack([rows, [[-1, 0, 0, 0, 0, 0]]]).astype(np.float32)
    return {"rows": table, "counts": np.array([4], np.int32)}


SIZED = [("orig_target_sizes", (1, 2), TensorProto.INT64)]
PADDLE_INPUTS = [
    ("im_shape", (1, 2), TensorProto.FLOAT),
    ("scale_factor", (1, 2), TensorProto.FLOAT),
]
# By layout: its outputs for a photo, and how its file is made otherwise.
LAYOUTS = {
    "yolov5": (v5, {"metadata": {"names": "['bowl', 'plate']", "stride": "32"}}),
    "yolov8": (v8, {"metadata": ULTRALYTICS}),
    "yolov10": (v10, {"metadata": ULTRALYTICS}),
    "dfine": (dfine, {"others": SIZED}),
    "detr": (detr, {"photo": ("pixel_values", (1, 3, SIDE, SIDE))}),
    "dishvl": (dishvl, {"metadata": {"names": '["bowl", "plate"]', "dishvl_detector": "1"}}),
    "rtdetr": (rtdetr, {"metadata": ULTRALYTICS}),
    "paddle": (paddle, {"others": PADDLE_INPUTS}),
}
