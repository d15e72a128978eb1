"""From the path that somebody names as a detector to its ONNX file; for files of another kind, the
command that exports them.

What a file is, is read from its bytes. Nothing is unpickled: a pickle is known by its beginning, and
what is in a zip by its list of names.
"""

import shlex
import zipfile
from pathlib import Path

from dishvl_lib.core import rules
from dishvl_lib.detection.errors import DetectorError

SUFFIX = ".onnx"
BEGINNING_BYTES = 4096
PICKLE = b"\x80"
ZIP = b"PK\x03\x04"
LFS_POINTER = b"version https://git-lfs"
TENSORRT = (b"ftrt", b"ptrt")
TENSORRT_SUFFIXES = (".engine", ".trt", ".plan")
TFLITE = b"TFL3"  # at byte 4
PADDLE_PROGRAMS = (".pdmodel", ".pdiparams")
PADDLE_WEIGHTS = ".pdparams"
HF_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
MOST_PICKLE_BYTES = 1_000_000  # of torch's zips, searched for words that tell whose model it is
NEEDED = "a detector must be an ONNX file"


def onnx_file(path: Path) -> Path:
    """The ONNX file that a path means: itself, or the only one in a folder. Raises `DetectorError`
    with the command that exports what is there instead.
    """
    if path.is_dir():
        return _in_folder(path)
    try:
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING_BYTES)
    except FileNotFoundError:
        raise DetectorError(f"{path} is missing; name the detector's ONNX file") from None
    except OSError as error:
        raise DetectorError(f"{path} cannot be read ({error.strerror}); check it") from None
    problem = _problem(path, beginning)
    if problem:
        raise DetectorError(f"{path} {problem}")
    return path


def _in_folder(folder: Path) -> Path:
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) == 1:
        return onnx_file(files[0])
    if files:
        there = rules.listed([file.name for file in files])
        raise DetectorError(f"{folder} holds several detectors ({there}); name one of them")
    raise DetectorError(f"{folder} {_folder_problem(folder)}")


def _folder_problem(folder: Path) -> str:
    names = {file.name for file in folder.iterdir()}
    suffixes = {Path(name).suffix for name in names}
    if "infer_cfg.yml" in names or suffixes & {*PADDLE_PROGRAMS}:
        return f"is a model of PaddleDetection; {NEEDED}: {_paddle2onnx(folder)}"
    if "config.json" in names and names & {*HF_WEIGHTS}:
        return f"is a model of Hugging Face; {NEEDED}: {_optimum(folder)}"
    weights = sorted(name for name in names if Path(name).suffix in (".pt", ".pth"))
    if weights:
        return f"holds torch's weights; {NEEDED}: {_yolo(folder / weights[0])}"
    return f"holds no detector; name the {SUFFIX} file"


def _problem(path: Path, beginning: bytes) -> str:
    """What a file is instead of ONNX, with a remedy; '' where it may be ONNX."""
    suffix = path.suffix.lower()
    if not beginning:
        return "is empty; copy or export it again"
    if suffix == PADDLE_WEIGHTS:
        return (
            f"holds Paddle's weights; {NEEDED}: PaddleDetection's tools/export_model.py -o "
            f"weights={_quoted(path)} makes a folder, and paddle2onnx an ONNX file of that"
        )
    if suffix in PADDLE_PROGRAMS:
        return f"is a part of a Paddle model; {NEEDED}: {_paddle2onnx(path.parent)}"
    if beginning.startswith(ZIP):
        return _zip_problem(path)
    if beginning.startswith(PICKLE):
        return f"is a pickle, as torch wrote its weights; {NEEDED}: {_yolo(path)}"
    if _is_tensorrt(suffix, beginning):
        source = path.with_suffix(".pt")
        return f"is a TensorRT engine, made for one GPU; {NEEDED}: {_yolo(source)}"
    if beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") < 2**32:
        return f"holds weights in safetensors; {NEEDED}: {_optimum(path.parent)}"
    if beginning[4:8] == TFLITE:
        return f"is a TFLite model; {NEEDED}: export it again from what it was made of"
    return _text_problem(beginning)


def _zip_problem(path: Path) -> str:
    """What a zip is: torch's weights, by whom they were saved, or any other."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
            pickles = [name for name in names if name.endswith("data.pkl")]
            pickle = packed.open(pickles[0]).read(MOST_PICKLE_BYTES) if pickles else b""
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return "is a damaged zip file; copy it again"
    if not pickles:
        return f"is a zip file; {NEEDED}: unpack it"
    if any("/code/" in name for name in names):
        return f"is a TorchScript program; {NEEDED}: export it from the weights that it was made of"
    if path.name in HF_WEIGHTS:
        return f"holds a Hugging Face model's weights; {NEEDED}: {_optimum(path.parent)}"
    if b"ultralytics" in pickle or b"models.yolo" not in pickle:
        return f"holds torch's weights; {NEEDED}: {_yolo(path)}"
    return f"holds weights of YOLOv5; {NEEDED}: python export.py --weights {_quoted(path)} --include onnx"


def _is_tensorrt(suffix: str, beginning: bytes) -> bool:
    # Ultralytics writes the length of a JSON text (4 bytes), and the text, before the engine.
    is_headed = beginning[4:5] == b"{" and beginning[2:4] == b"\0\0"
    return suffix in TENSORRT_SUFFIXES or beginning[:4] in TENSORRT or is_headed


def _text_problem(beginning: bytes) -> str:
    if beginning.startswith(LFS_POINTER):
        return "is a pointer of git LFS and not the file itself; git lfs pull brings it"
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut where the beginning ends.
        is_cut = error.start >= len(beginning) - 3 and len(beginning) == BEGINNING_BYTES
        text = beginning[: error.start].decode("utf-8") if is_cut else "\0"
    if any(char < " " and char not in "\t\r\n\f" for char in text):
        return ""
    return "is text and no ONNX file; download or export it again"


def _yolo(file: Path) -> str:
    return f"yolo export model={_quoted(file)} format=onnx"


def _optimum(folder: Path) -> str:
    return f"optimum-cli export onnx --task object-detection --model {_quoted(folder)} detector"


def _paddle2onnx(folder: Path) -> str:
    # Paddle 3 writes the program as JSON.
    program = "model.json" if (folder / "model.json").exists() else "model.pdmodel"
    return (
        f"paddle2onnx --model_dir {_quoted(folder)} --model_filename {program} --params_filename "
        "model.pdiparams --save_file detector.onnx"
    )


def _quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
