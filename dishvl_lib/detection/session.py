"""A net in an ONNX file, run by onnxruntime: the one file that loads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dishvl_lib.core import cores, rules
from dishvl_lib.detection.errors import DetectorError

THREADS_VARIABLE = "OMP_NUM_THREADS"  # which torch and Paddle heed, too
ONLY_ERRORS = 3  # of onnxruntime's log levels


@dataclass(frozen=True)
class Tensor:
    """An input of a net: `shape` with None for a side that is not fixed; `kind` as onnxruntime
    writes it, tensor(float).
    """

    name: str
    shape: tuple[int | None, ...]
    kind: str


class Session:
    """`inputs`, `metadata` of the file, and `run`; safe to be called by several threads."""

    def __init__(self, file: Path):
        """Raises `DetectorError` where onnxruntime is missing or cannot read the file."""
        self.file = file
        self._session = _opened(file)
        self.inputs = [_tensor(given) for given in self._session.get_inputs()]
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, half precision as float32. Raises `DetectorError`."""
        try:
            outputs = self._session.run(None, dict(feeds))
        # onnxruntime has a class for each status, below no common one but Exception.
        except Exception as error:
            reason = rules.one_line(error)
            raise DetectorError(f"{self.file} cannot be run ({reason}); export it again") from None
        return dict(zip(self._outputs, map(_plain, outputs), strict=True))


def _opened(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise DetectorError(
            f"{file} needs onnxruntime, which is not installed; pip install 'dishvl[trays]' brings "
            "it"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = ONLY_ERRORS
    # Threads that wait for the next photo would otherwise keep their cores busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    # As in `run`.
    except Exception as error:
        raise DetectorError(
            f"{file} is no ONNX file that onnxruntime reads ({rules.one_line(error)}); export the "
            "detector as ONNX again"
        ) from None


def _threads() -> int:
    stated = os.environ.get(THREADS_VARIABLE, "")
    return int(stated) if stated.isdigit() else cores.available()


def _tensor(given: Any) -> Tensor:
    shape = tuple(side if isinstance(side, int) else None for side in given.shape)
    return Tensor(given.name, shape, given.type)


def _plain(output: np.ndarray) -> np.ndarray:
    return output.astype(np.float32) if output.dtype == np.float16 else output
