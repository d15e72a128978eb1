"""What an ONNX file says of itself beside the net: Ultralytics' keys, and those of our own export."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dishvl_lib.detection.boxes import Size

NAMES = "names"
TASK = "task"
SIZE = "size"
SIZES = (SIZE, "imgsz")
THRESHOLD = "threshold"
OURS = "dishvl_detector"
CROP_MARGIN = "dishvl_crop_margin"


@dataclass(frozen=True)
class Metadata:
    """`names`: the classes by number; `size`: (width, height) of the input; `threshold`: the least
    score; `task`: as Ultralytics calls it; `crop_margin` and `is_ours`: of detectors of our own.
    Empty or None is what the file does not say.
    """

    names: tuple[str, ...]
    size: Size | None
    threshold: float | None
    task: str
    crop_margin: float | None
    is_ours: bool


def read(settings: Mapping[str, str]) -> Metadata:
    """The metadata of a file, of which all values are text as Python or JSON write them."""
    return Metadata(
        names=_names(settings),
        size=_size(settings),
        threshold=_number(settings, THRESHOLD),
        task=settings.get(TASK, ""),
        crop_margin=_number(settings, CROP_MARGIN),
        is_ours=OURS in settings,
    )


def _names(settings: Mapping[str, str]) -> tuple[str, ...]:
    """From a list, or a dict by number."""
    named = _literal(settings.get(NAMES, ""))
    if isinstance(named, dict):
        named = [named[key] for key in sorted(named)]
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def _size(settings: Mapping[str, str]) -> Size | None:
    """From one side or, as Ultralytics writes it, height and width."""
    for key in SIZES:
        stated = _literal(settings.get(key, ""))
        if isinstance(stated, int):
            return stated, stated
        if isinstance(stated, list | tuple) and len(stated) == 2:
            height, width = stated
            return int(width), int(height)
    return None


def _number(settings: Mapping[str, str], key: str) -> float | None:
    value = _literal(settings.get(key, ""))
    return float(value) if isinstance(value, int | float) else None


def _literal(text: str) -> Any:
    """The value that a text writes; None for any other text. Nothing is run."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
