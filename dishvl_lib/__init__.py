"""DishVL: from a folder of dish photos to a menu-aware Qwen2.5-VL dish recogniser.

`from dishvl_lib import Recognizer, Gallery, Hybrid, Detector, Trays` is the public face; importing
the package alone loads no deep-learning library.
"""

import os
from typing import Any

# OpenMP threads that spin while they wait make two processes on the same cores ten times slower; it
# is read when torch is loaded, so it is set here, before anything can load it. Whoever set it
# otherwise keeps that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["Detector", "Gallery", "Hybrid", "Recognizer", "Trays"]


def __getattr__(name: str) -> Any:
    if name == "Recognizer":
        from dishvl_lib.vlm.recognizer import Recognizer

        return Recognizer
    if name == "Gallery":
        from dishvl_lib.gallery.gallery import Gallery

        return Gallery
    if name == "Hybrid":
        from dishvl_lib.hybrid import Hybrid

        return Hybrid
    if name == "Detector":
        from dishvl_lib.detection.detector import Detector

        return Detector
    if name == "Trays":
        from dishvl_lib.trays import Trays

        return Trays
    raise AttributeError(f"module 'dishvl_lib' has no attribute {name!r}")
