"""`.pdparams` files without running them: a restricted unpickler, and the matching of keys."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dishvl_lib.core.types import AnyPath

RENAMED_PREFIXES = (
    ("backbone.", ""),
    ("neck.fc.", "embedding."),
    ("neck.feat_bn.", "neck."),
    ("neck.bn.", "neck."),
    ("head.fc.", "fc."),
    ("head.weight", "fc.weight"),
)
# What trainings put before every name: of a distilled net the student is the one that is used.
OUTER_PREFIXES = ("Student.", "Teacher.", "_layers.", "module.", "model.")
# What Paddle writes beside the parameters.
PADDLE_TABLES = ("StructuredToParameterName@@", "UnpackBigParamInfor@@")
BIG_PARAMETERS = PADDLE_TABLES[1]
OTHER_FILES = {
    ".pdiparams": "the parameters of an exported inference model",
    ".pdmodel": "the graph of an exported inference model",
    ".pdopt": "an optimizer's state",
    ".onnx": "an ONNX model",
    ".safetensors": "a file of safetensors",
    ".pt": "a file of PyTorch's",
    ".pth": "a file of PyTorch's",
}
ZIP_MAGIC = b"PK\x03\x04"


class WeightsError(ValueError):
    """A weights file that is missing, unsafe, damaged or made for another network."""


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 and before store bytes; any other codec has no place in weights."""
    if encoding not in ("latin1", "latin-1"):
        raise WeightsError(f"the file asks for the codec {encoding!r}: it was not loaded")
    return text.encode("latin-1")


def _array_of_buffer(
    buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str, *axes: object
) -> np.ndarray:
    """How pickles of protocol 5 store arrays."""
    if order not in ("C", "F") or axes not in ((), (None,)):
        raise WeightsError(f"the file holds an array in the order {order!r}: it was not loaded")
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _allowed() -> dict[tuple[str, str], Any]:
    """{(module, name) in a file: what it becomes}; numpy's modules under old and new names."""
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("collections", "OrderedDict"): dict,
        ("_codecs", "encode"): _latin1_bytes,
    }
    reconstruct: Callable[..., np.ndarray] = np.empty(0).__reduce__()[0]  # type: ignore[assignment]  # numpy's own
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray", "_reconstruct"] = reconstruct
        allowed[f"{core}.numeric", "_frombuffer"] = _array_of_buffer
    return allowed


class _ArraysOnly(pickle.Unpickler):
    allowed = _allowed()

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        raise WeightsError(
            f"the file asks for {module}.{name}, which weights never need: it was not loaded"
        )


def load_pdparams(path: AnyPath) -> dict[str, np.ndarray]:
    """Parameter name -> array, as any Paddle's `paddle.save(layer.state_dict())` wrote them.

    Half precision becomes float32. Nothing but numpy arrays can come out of the file: a pickle that
    asks for anything else is refused before it runs. Raises `WeightsError` naming the file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            state = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file{_instead(path)}") from None
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises almost any class
        raise WeightsError(f"{path} is not a .pdparams file: {_what_it_is(path, error)}") from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a table of parameters")
    if state.get(BIG_PARAMETERS):
        raise WeightsError(
            f"{path} holds parameters in parts, as Paddle writes those over 1 GB; it is no PP-LCNet"
        )
    return {
        str(name): _as_array(name, value, path)
        for name, value in state.items()
        if name not in PADDLE_TABLES
    }


def our_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters under our network's names.

    A distilled net's student alone, a PP-ShiTu recognition model (backbone., neck., head.), a net
    that was trained on several devices (_layers., module.).
    """
    for prefix in OUTER_PREFIXES:
        inner = {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        if inner:
            state = inner
    return {_our_name(name): value for name, value in state.items()}


def is_v2(state: Mapping[str, np.ndarray]) -> bool:
    """Whether parameters (under our names) are those of a PP-LCNetV2."""
    return "stem.0.conv.weight" in state


def match(
    state: Mapping[str, np.ndarray],
    wanted: Mapping[str, tuple[int, ...]],
    where: object,
    fresh: tuple[str, ...] = ("fc.",),
) -> tuple[dict[str, np.ndarray], list[str]]:
    """(tensors to load, messages): `state` fitted to the names and shapes `wanted`.

    A head, that is the parameters whose names begin with one of `fresh`, is left out as a whole
    when it is absent or of another shape (another class count), and a message says so. Everything
    else must agree; otherwise `WeightsError` lists missing, unexpected and misshapen names.
    """
    state = our_names(state)
    messages = []
    for head in fresh:
        has = {name: value.shape for name, value in state.items() if name.startswith(head)}
        needs = {name: shape for name, shape in wanted.items() if name.startswith(head)}
        if has != needs:
            messages.append(
                f"{where}: {head}* left out, it is {has or 'absent'} there and "
                f"{needs or 'absent'} here"
            )
            state = {name: value for name, value in state.items() if name not in has}
            wanted = {name: shape for name, shape in wanted.items() if name not in needs}
    _refuse_differences(state, wanted, where)
    return state, messages


def embedding_size(state: Mapping[str, np.ndarray]) -> int | None:
    """D of the embedding layer in the weights; None when the pooled features are compared."""
    bias = our_names(state).get("embedding.bias")
    return None if bias is None else len(bias)


def _our_name(name: str) -> str:
    for old, new in RENAMED_PREFIXES:
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def _refuse_differences(
    state: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]], where: object
) -> None:
    misshapen = []
    for name, values in state.items():
        shape = wanted.get(name, values.shape)
        if values.shape != shape:
            misshapen.append(f"{name} {values.shape} != {shape}")
    names_by_fault = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "of another shape": misshapen,
    }
    faults = [
        f"{len(names)} {fault} ({_few(names)})" for fault, names in names_by_fault.items() if names
    ]
    if faults:
        listed = "; ".join(faults)
        raise WeightsError(
            f"{where} does not fit this PP-LCNet: {listed}. Check `scale` and its form"
        )


def _few(names: list[str], most: int = 4) -> str:
    rest = ", ..." if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _instead(path: Path) -> str:
    """PaddleClas takes paths without their suffix; here the file is named whole."""
    whole = Path(f"{path}.pdparams")
    return f"; give {whole}, with its suffix" if whole.exists() else ""


def _what_it_is(path: Path, error: Exception) -> str:
    """What another file is, and what to give instead."""
    kind = OTHER_FILES.get(path.suffix.lower(), "")
    if not kind and path.read_bytes()[:4] == ZIP_MAGIC:
        kind = OTHER_FILES[".pt"]
    if kind:
        return f"it is {kind}; give the .pdparams of the training"
    return f"{type(error).__name__}: {error}"


def _as_array(name: object, value: object, path: object) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2:
        _, array = value
        value = array if isinstance(array, np.ndarray) else value
    if not isinstance(value, np.ndarray) or value.dtype == object:
        raise WeightsError(f"{path}: {name} is a {type(value).__name__}, not an array of numbers")
    if value.dtype == np.uint16:  # how Paddle stores bfloat16: the upper half of a float32
        return (value.astype(np.uint32) << 16).view(np.float32)
    return value.astype(np.float32) if value.dtype in (np.float16, np.float64) else value
