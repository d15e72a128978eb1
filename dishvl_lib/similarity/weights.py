"""`.pdparams` files without running them: a restricted unpickler, and the matching of keys."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ALLOWED_GLOBALS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("collections", "OrderedDict"),
}
RENAMED_PREFIXES = (
    ("backbone.", ""),
    ("neck.fc.", "embedding."),
    ("head.fc.", "fc."),
    ("head.weight", "fc.weight"),
)
PADDLE_NAME_TABLE = "StructuredToParameterName@@"


class WeightsError(ValueError):
    """A weights file that is missing, unsafe, damaged or made for another network."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) in ALLOWED_GLOBALS:
            return super().find_class(module, name)
        raise WeightsError(
            f"the file asks for {module}.{name}, which weights never need: it was not loaded"
        )


def load_pdparams(path: str | Path) -> dict[str, np.ndarray]:
    """Parameter name -> array, as any Paddle's `paddle.save(layer.state_dict())` wrote them.

    Nothing but numpy arrays can come out of the file: a pickle that asks for anything else is
    refused before it runs. Raises `WeightsError` naming the file.
    """
    try:
        with open(path, "rb") as file:
            state = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises almost any class
        raise WeightsError(
            f"{path} is not a .pdparams file ({type(error).__name__}: {error})"
        ) from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a table of parameters")
    return {
        str(name): _as_array(name, value, path)
        for name, value in state.items()
        if name != PADDLE_NAME_TABLE
    }


def rename_recognition_keys(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A PP-ShiTu recognition model's names (backbone., neck.fc., head.) as our network's names."""
    renamed = {}
    for name, value in state.items():
        for old, new in RENAMED_PREFIXES:
            if name.startswith(old):
                name = new + name[len(old) :]
                break
        renamed[name] = value
    return renamed


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
    state = rename_recognition_keys(state)
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


def _refuse_differences(
    state: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]], where: object
) -> None:
    common = [name for name in state if name in wanted]
    misshapen = [
        f"{name} {state[name].shape} != {wanted[name]}"
        for name in common
        if state[name].shape != wanted[name]
    ]
    faults = [
        ("missing", [name for name in wanted if name not in state]),
        ("unexpected", [name for name in state if name not in wanted]),
        ("of another shape", misshapen),
    ]
    found = [f"{len(names)} {kind} ({_few(names)})" for kind, names in faults if names]
    if found:
        raise WeightsError(
            f"{where} does not fit this PP-LCNet: {'; '.join(found)}. Check `scale` and its form"
        )


def embedding_size(state: Mapping[str, np.ndarray]) -> int | None:
    """D of the embedding layer in the weights; None when the pooled features are compared."""
    bias = rename_recognition_keys(state).get("embedding.bias")
    return None if bias is None else len(bias)


def _few(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _as_array(name: object, value: object, path: object) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
        value = value[1]
    if not isinstance(value, np.ndarray) or value.dtype == object:
        raise WeightsError(f"{path}: {name} is a {type(value).__name__}, not an array of numbers")
    return value
