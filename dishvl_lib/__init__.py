"""DishVL: from a folder of dish photos to a menu-aware Qwen2.5-VL dish recogniser.

`from dishvl_lib import Recognizer` is the public face; importing the package alone loads no deep-learning library.
"""

from typing import Any

__all__ = ["Recognizer"]


def __getattr__(name: str) -> Any:
    if name == "Recognizer":
        from dishvl_lib.vlm.recognizer import Recognizer

        return Recognizer
    raise AttributeError(f"module 'dishvl_lib' has no attribute {name!r}")
