"""Our own net: its maps say boxes, its ONNX file answers what it answers, its weights go round."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dishvl_lib.detection import centre_maps, export, net
from dishvl_lib.detection.boxes import iou, letterbox
from dishvl_lib.detection.detector import Detector

SIZE = 64
NAMES = ("plate", "bowl")


@pytest.fixture
def own():
    """A net whose normalisations are not what they begin as."""
    torch.manual_seed(0)
    built = net.CentreNet(len(NAMES))
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return built.eval()


def written(own, file, **changed):
    values = {"names": NAMES, "size": SIZE, "threshold": 0.3, **changed}
    export.write(own.folded(), net.MOST_LOG_SIDE, export.Description(**values), file)
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def test_the_maps_of_boxes_are_read_back_as_these_boxes():
    boxes = np.array([[3.0, 5.0, 40.5, 33.0], [60.0, 50.0, 118.0, 127.0], [70.0, 2.0, 100.0, 30.0]])
    classes = np.array([0, 1, 1])
    maps = centre_maps.targets(boxes, classes, 2, 128)
    found, scores, found_classes = centre_maps.peaks(maps.heatmap, maps.sides, 0.99)
    order = np.argsort(found[:, 0])
    assert found[order] == pytest.approx(boxes[[0, 1, 2]], abs=1e-4)
    assert found_classes[order].tolist() == classes.tolist()
    assert scores == pytest.approx(1.0)


def test_a_cell_between_two_boxes_speaks_for_the_nearer():
    boxes = np.array([[0.0, 0.0, 64.0, 64.0], [56.0, 0.0, 120.0, 64.0]])
    maps = centre_maps.targets(boxes, np.array([0, 0]), 1, 128)
    width = (maps.sides[0] + maps.sides[2]) * centre_maps.STRIDE
    assert width[maps.core] == pytest.approx(64.0)
    right = maps.sides[2, 4, 9] + 9.5
    assert right * centre_maps.STRIDE == pytest.approx(120.0)


def test_a_frame_without_boxes_has_empty_maps():
    maps = centre_maps.targets(np.zeros((0, 4)), np.zeros(0, int), 1, SIZE)
    assert not maps.heatmap.any()
    assert not maps.core.any()


def test_the_nets_maps_have_a_cell_for_eight_pixels(own):
    logits, sides = own(torch.zeros(2, 3, SIZE, SIZE))
    assert logits.shape == (2, len(NAMES), SIZE // 8, SIZE // 8)
    assert sides.shape == (2, 4, SIZE // 8, SIZE // 8)
    assert (sides > 0).all()


def test_right_maps_cost_less_than_wrong_ones():
    boxes = np.array([[8.0, 8.0, 40.0, 56.0]])
    maps = centre_maps.targets(boxes, np.array([0]), 1, SIZE)
    heatmap, sides, core = (torch.from_numpy(part)[None] for part in maps)
    sure = torch.where(heatmap == 1, 8.0, -8.0)
    right = net.loss(sure, sides, heatmap, sides, core)
    wrong_place = net.loss(sure.roll(2, dims=2), sides, heatmap, sides, core)
    wrong_size = net.loss(sure, sides * 1.5, heatmap, sides, core)
    assert right < 0.01
    assert wrong_place > 1
    assert wrong_size > 0.5


def test_the_onnx_file_answers_what_the_net_answers(own, tmp_path):
    session = written(own, tmp_path / "own.onnx")
    photos = torch.rand(1, 3, SIZE, SIZE)
    heatmap, sides = session.run(["heatmap", "sides"], {"image": photos.numpy()})
    with torch.no_grad():
        logits, expected_sides = own(photos)
    assert np.abs(heatmap - logits.sigmoid().numpy()).max() < 1e-5
    assert np.abs(sides - expected_sides.numpy()).max() < 1e-5


def test_the_onnx_file_says_what_it_is(own, tmp_path):
    session = written(own, tmp_path / "own.onnx", crop_margin=0.76)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said.pop("names")) == list(NAMES)
    assert said == {
        "dishvl_detector": "1",
        "size": "64",
        "stride": "8",
        "threshold": "0.3",
        "dishvl_crop_margin": "0.76",
    }


def test_a_margin_that_is_not_known_is_not_in_the_file(own, tmp_path):
    session = written(own, tmp_path / "own.onnx")
    assert "dishvl_crop_margin" not in session.get_modelmeta().custom_metadata_map


def test_the_file_is_small_enough_to_send(own, tmp_path):
    written(own, tmp_path / "own.onnx", size=320)
    assert (tmp_path / "own.onnx").stat().st_size <= 4_000_000


def test_without_onnx_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(export.ExportError, match=r"pip install 'dishvl\[trays\]'"):
        export.require_onnx()


def test_boxes_are_found_in_pixels_of_the_photo(own, monkeypatch):
    photo = Image.new("RGB", (200, 100))
    pixels, placement = letterbox(photo, (SIZE, SIZE))
    box = np.array([[100.0, 20.0, 180.0, 90.0]])
    maps = centre_maps.targets(placement.to_input(box), np.array([1]), 2, SIZE)
    logits = torch.from_numpy(np.where(maps.heatmap == 1, 6.0, -6.0))[None]
    sides = torch.from_numpy(maps.sides)[None]
    monkeypatch.setattr(own, "forward", lambda photos: (logits, sides))
    found = net.find(own, np.asarray(pixels), placement, NAMES, 0.3)
    assert found.labels == ("bowl",)
    assert iou(found.boxes, box)[0, 0] > 0.99


def test_the_file_in_use_finds_what_the_net_finds(own, tmp_path):
    written(own, tmp_path / "own.onnx")
    detector = Detector.load(tmp_path / "own.onnx", threshold=0.01)
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    pixels, placement = letterbox(photo, (SIZE, SIZE))
    expected = net.find(own, np.asarray(pixels), placement, NAMES, 0.01)
    found = detector.detect_image(photo)
    best = expected.scores[:3]
    assert len(best) == 3
    assert found.labels[:3] == expected.labels[:3]
    assert found.boxes[:3] == pytest.approx(expected.boxes[:3], abs=1e-3)
    assert found.scores[:3] == pytest.approx(best, abs=1e-5)


def test_weights_go_through_a_file(own, tmp_path):
    net.write_weights(own, tmp_path / "own.safetensors", {"names": "[]"})
    other = net.CentreNet(len(NAMES))
    net.start_from(other, tmp_path / "own.safetensors")
    for name, value in own.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(other.state_dict()[name], value.half().float()), name


def test_other_classes_begin_at_random(own, tmp_path):
    net.write_weights(own, tmp_path / "own.safetensors", {})
    other = net.CentreNet(5)
    net.start_from(other, tmp_path / "own.safetensors")
    assert other.heatmap.weight.shape[0] == 5
    assert torch.equal(other.stem.conv.weight, own.stem.conv.weight.half().float())


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"x": torch.zeros(1)}, "holds other weights than this net's"),
        (None, "cannot be read as weights"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, weights, sentence):
    file = tmp_path / "other.safetensors"
    if weights is None:
        file.write_text("no weights")
    else:
        save_file(weights, file)
    with pytest.raises(net.NetError, match=sentence):
        net.start_from(net.CentreNet(), file)
