"""What is no ONNX file: said in one sentence, with the command that exports it."""

import pickle
import zipfile

import pytest

from dishvl_lib.detection import other_files
from dishvl_lib.detection.detector import Detector, DetectorError


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def torch_zip(path, words=b"", names=("archive/data.pkl",)):
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, pickle.dumps(Trap()) + words)


def refusal(path):
    with pytest.raises(DetectorError) as raised:
        Detector.load(path)
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


@pytest.mark.parametrize(
    "words, names, sentence",
    [
        (b"ultralytics.nn.tasks", ["best/data.pkl"], "yolo export model={path} format=onnx"),
        (b"models.yolo", ["best/data.pkl"], "python export.py --weights {path} --include onnx"),
        (b"", ["best/data.pkl"], "yolo export model={path} format=onnx"),
        (b"", ["best/data.pkl", "best/code/a.py"], "is a TorchScript program"),
        (b"", ["photo.jpg"], "is a zip file"),
    ],
)
@pytest.mark.parametrize("name", ["best.pt", "best.onnx"])
def test_zips_are_known_by_what_is_in_them(tmp_path, name, words, names, sentence):
    path = tmp_path / name
    torch_zip(path, words, names)
    assert sentence.format(path=path) in refusal(path)


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("best.pt", pickle.dumps(Trap()), "yolo export model={path} format=onnx"),
        ("best.engine", b"ftrt" + bytes(99), "yolo export model={folder}/best.pt format=onnx"),
        ("best.onnx", b"ftrt" + bytes(99), "is a TensorRT engine"),
        ("best.onnx", b"\x40\x01\x00\x00" + b'{"stride": 32}', "is a TensorRT engine"),
        ("model.pdmodel", b"\x0a\x00\x01", "paddle2onnx --model_dir {folder}"),
        ("model.pdiparams", b"\x00\x00\x01", "paddle2onnx --model_dir {folder}"),
        ("best.pdparams", pickle.dumps(Trap()), "weights={path} makes a folder, and paddle2onnx"),
        (
            "model.safetensors",
            b"\x20\x00\x00\x00\x00\x00\x00\x00" + b'{"a": 1}',
            "optimum-cli export onnx --task object-detection --model {folder} detector",
        ),
        ("best.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(9), "is a TFLite model"),
        ("best.onnx", "一个文本\n".encode() * 999, "is text and no ONNX file"),
        ("best.onnx", b"<!DOCTYPE html>\n<p>404", "is text and no ONNX file"),
        ("best.onnx", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("best.onnx", b"", "is empty"),
        ("best.onnx", b"PK\x03\x04 and no more", "is a damaged zip file"),
        ("best.onnx", b"\x00\x01\x02\x03" * 99, "is no ONNX file that onnxruntime reads"),
    ],
)
def test_files_are_known_by_their_bytes(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)
    assert sentence.format(path=path, folder=tmp_path) in refusal(path)


def test_a_missing_file_is_said(tmp_path):
    assert "is missing" in refusal(tmp_path / "gone.onnx")


@pytest.mark.parametrize(
    "names, sentence",
    [
        (["infer_cfg.yml", "model.pdmodel"], "paddle2onnx --model_dir {folder}"),
        (["model.json", "model.pdiparams"], "paddle2onnx --model_dir {folder}"),
        (["config.json", "model.safetensors"], "optimum-cli export onnx"),
        (["args.yaml", "best.pt"], "yolo export model={folder}/best.pt"),
        (["readme.md"], "holds no detector"),
        (["a.onnx", "b.onnx"], "holds several detectors (a.onnx, b.onnx)"),
    ],
)
def test_folders_are_known_by_their_files(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert sentence.format(folder=tmp_path) in refusal(tmp_path)


def test_the_only_onnx_file_of_a_folder_is_meant(tmp_path):
    (tmp_path / "detector.onnx").write_bytes(b"\x08\x07\x00")
    (tmp_path / "metrics.json").write_text("{}")
    assert other_files.onnx_file(tmp_path) == tmp_path / "detector.onnx"
