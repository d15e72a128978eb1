"""Our own net as an ONNX file: one input, two outputs, and what they mean as metadata.

    image (1, 3, size, size)                RGB in 0..1, letterboxed on grey
    heatmap (1, C, size / 8, size / 8)      probabilities
    sides (1, 4, size / 8, size / 8)        left, top, right, bottom, in units of the stride

The graph is written node by node: it has few kinds of them, and torch's own exporter needs another
package.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dishvl_lib.core import records
from dishvl_lib.detection import metadata
from dishvl_lib.detection.centre_maps import STRIDE

OPSET = 17
IR_VERSION = 8
VERSION = "1"  # of the net and its outputs
EXTRA = (
    "writing a detector needs the package onnx, which is not installed: pip install 'dishvl[trays]'"
)


class ExportError(RuntimeError):
    """A detector that cannot be written; the message says what to install."""


@dataclass(frozen=True)
class Description:
    """What a detector's file says of itself. names: the classes. size: the input's side, px.
    threshold: from which score on something is a dish. crop_margin: of the crops that a recogniser
    is trained on, None where it is not known.
    """

    names: Sequence[str]
    size: int
    threshold: float
    crop_margin: float | None = None

    def metadata(self) -> dict[str, str]:
        values = {
            metadata.OURS: VERSION,
            metadata.NAMES: json.dumps(list(self.names), ensure_ascii=False),
            metadata.SIZE: str(self.size),
            "stride": str(STRIDE),  # for other readers of the file
            metadata.THRESHOLD: f"{self.threshold:.6g}",
        }
        if self.crop_margin is not None:
            values[metadata.CROP_MARGIN] = f"{self.crop_margin:.6g}"
        return values


def require_onnx() -> None:
    """Raises `ExportError` where the package that writes the file is missing."""
    _onnx()


def write(convs: Mapping[str, Any], most_log_side: float, description: Description, file: Path):
    """Writes the net whose folded convolutions (`CentreNet.folded`) are given.

    most_log_side: where the logarithm of a side is cut. Raises `ExportError`.
    """
    onnx = _onnx()
    graph = _Graph(onnx, convs)
    _add_nodes(graph, most_log_side)
    model = graph.model(description)
    onnx.checker.check_model(model, full_check=True)
    with records.atomic_path(file) as part:
        onnx.save(model, part)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise ExportError(EXTRA) from None
    return onnx


def _add_nodes(graph: "_Graph", most_log_side: float) -> None:
    """The nodes of `CentreNet.forward`, and what makes its outputs probabilities and distances."""
    at4 = graph.conv_relu("stage4", graph.conv_relu("stem", "image"))
    at8 = graph.residual("stage8.1", graph.conv_relu("stage8.0", at4))
    at16 = graph.conv_relu("stage16.0", at8)
    at16 = graph.residual("stage16.2", graph.residual("stage16.1", at16))
    at32 = graph.conv_relu("stage32.0", at16)
    at32 = graph.residual("stage32.2", graph.residual("stage32.1", at32))
    from32 = graph.doubled("up16", graph.conv_relu("up16", at32))
    at16 = graph.residual("merged16", graph.add("at16", at16, from32))
    from16 = graph.doubled("up8", graph.conv_relu("up8", at16))
    at8 = graph.residual("merged8", graph.add("at8", at8, from16))
    features = graph.conv_relu("head", at8)
    graph.node("Sigmoid", [graph.conv("heatmap", features)], "heatmap")
    graph.constant("most_log_side", np.array(most_log_side, np.float32))
    log_sides = graph.conv("sides", features)
    cut = graph.node("Clip", [log_sides, "", "most_log_side"], "log_sides.cut")
    graph.node("Exp", [cut], "sides")


class _Graph:
    """Nodes and weights, gathered; a node's output has its name."""

    def __init__(self, onnx: Any, convs: Mapping[str, Any]):
        self.onnx = onnx
        self.convs = convs
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(value, name))
        return name

    def conv(self, name: str, x: str) -> str:
        weight, bias, stride = self.convs[name]
        kernel = weight.shape[-1]
        inputs = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.node(
            "Conv",
            inputs,
            f"{name}.conv",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
        )

    def conv_relu(self, name: str, x: str) -> str:
        return self.node("Relu", [self.conv(name, x)], f"{name}.relu")

    def residual(self, name: str, x: str) -> str:
        return self.add(name, x, self.conv_relu(f"{name}.inner", x))

    def add(self, name: str, x: str, y: str) -> str:
        return self.node("Add", [x, y], f"{name}.sum")

    def doubled(self, name: str, x: str) -> str:
        scales = self.constant(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        return self.node(
            "Resize",
            [x, "", scales],
            f"{name}.doubled",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def model(self, description: Description) -> Any:
        helper = self.onnx.helper
        float32 = self.onnx.TensorProto.FLOAT
        side = description.size
        cells = side // STRIDE
        classes = len(description.names)
        image = helper.make_tensor_value_info("image", float32, [1, 3, side, side])
        heatmap = helper.make_tensor_value_info("heatmap", float32, [1, classes, cells, cells])
        sides = helper.make_tensor_value_info("sides", float32, [1, 4, cells, cells])
        graph = helper.make_graph(
            self.nodes, "dishvl_detector", [image], [heatmap, sides], self.weights
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="dishvl"
        )
        helper.set_model_props(model, description.metadata())
        return model
