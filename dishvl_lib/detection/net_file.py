"""A net that takes one photo: which of its inputs that is, of which size, and what the others are
given.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dishvl_lib.core import rules
from dishvl_lib.detection import layouts, metadata
from dishvl_lib.detection.boxes import Size
from dishvl_lib.detection.errors import DetectorError
from dishvl_lib.detection.layouts import Outputs
from dishvl_lib.detection.session import Session, Tensor

DEFAULT_SIZE = (640, 640)  # of nets that take any size and do not say which they were trained on
KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
DETECTION = "detect"  # of Ultralytics' tasks


@dataclass(frozen=True)
class _PhotoInput:
    """`batch`: photos a run takes, of which one is filled; `size`: (width, height) in pixels."""

    name: str
    batch: int
    size: Size
    kind: type


class Net:
    """`size` of its input, `metadata` of its file, and `run`."""

    def __init__(self, file: Path):
        """Raises `DetectorError` for a file that is no net, or one of another task."""
        self.file = file
        self._session = Session(file)
        self.metadata = metadata.read(self._session.metadata)
        if self.metadata.task not in ("", DETECTION):
            raise DetectorError(
                f"{file} is made for another task ({self.metadata.task}); train and export a "
                f"detector (task {DETECTION})"
            )
        self._input = self._photo_input()
        self.size = self._input.size
        self._others = self._other_feeds()

    def run(self, picture: Image.Image) -> Outputs:
        """The outputs for an RGB picture of the input's size. Raises `DetectorError`."""
        pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
        batch = np.zeros((self._input.batch, *pixels.shape), self._input.kind)
        batch[0] = pixels
        return self._session.run({self._input.name: batch, **self._others})

    def _photo_input(self) -> _PhotoInput:
        pictures = [given for given in self._session.inputs if len(given.shape) == 4]
        if len(pictures) != 1 or pictures[0].kind not in KINDS:
            shown = ", ".join(map(_described, self._session.inputs))
            raise DetectorError(
                f"{self.file} takes {shown}, and a detector one photo (1, 3, height, width) of "
                "floats; export a detector"
            )
        given = pictures[0]
        batch, channels, height, width = given.shape
        if channels not in (3, None):
            raise DetectorError(
                f"{self.file} takes {_described(given)}, and a detector photos of three colours, "
                "colours first; export it so"
            )
        default_width, default_height = self.metadata.size or DEFAULT_SIZE
        size = (width or default_width, height or default_height)
        return _PhotoInput(given.name, batch or 1, size, KINDS[given.kind])

    def _other_feeds(self) -> dict[str, np.ndarray]:
        """What inputs beside the photo are given, so that boxes come in pixels of the input."""
        width, height = self.size
        known: dict[str, np.ndarray] = {
            "orig_target_sizes": np.array([[width, height]], np.int64),
            "im_shape": np.array([[height, width]], np.float32),
            "scale_factor": np.array([[1, 1]], np.float32),
        }
        others = [given for given in self._session.inputs if given.name != self._input.name]
        unknown = [_described(given) for given in others if given.name not in known]
        if unknown:
            raise DetectorError(
                f"{self.file} wants {rules.listed(unknown)} beside the photo, which is no known "
                f"layout (known are {', '.join(layouts.LAYOUTS)}); export it without"
            )
        n_photos = self._input.batch
        return {given.name: np.repeat(known[given.name], n_photos, axis=0) for given in others}


def _described(given: Tensor) -> str:
    sides = ["?" if side is None else str(side) for side in given.shape]
    return f"{given.name} ({', '.join(sides)}) of {given.kind}"
