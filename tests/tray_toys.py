"""A photo of a tray with a picture in each box, and a detector that finds what it was told: toys for
the tests of whole trays.
"""

from pathlib import Path

import numpy as np
import tiny
from PIL import Image

from dishvl_lib.detection.boxes import Detections
from dishvl_lib.vlm import choose
from dishvl_lib.vlm.recognizer import Recognizer

SIZE = (400, 200)
MENU = ["红烧鱼", "米饭", "番茄炒蛋"]
# Best first, as detectors answer: the middle dish, the right one and the left one.
BOXES = [(150, 40, 250, 140), (280, 50, 380, 150), (20, 60, 120, 160)]
SCORES = [0.9, 0.8, 0.7]


class ToyDetector:
    """Finds `boxes` with `scores` on every photo, at `threshold`; keeps the sizes of the photos that
    it saw.
    """

    def __init__(self, boxes=BOXES, scores=SCORES, *, is_ours=False, crop_margin=None):
        self.boxes = boxes
        self.scores = scores
        self.threshold = 0.25
        self.is_ours = is_ours
        self.crop_margin = crop_margin
        self.file = Path("toy.onnx")
        self.sha256 = "0" * 64
        self.names = ("dish",)
        self.seen = []

    def _all(self) -> Detections:
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        return Detections.ranked(boxes, np.array(self.scores), ["dish"] * len(boxes))

    def detect_image(self, rgb: Image.Image) -> Detections:
        self.seen.append(rgb.size)
        return self._all().above(self.threshold)

    def best_score(self, rgb: Image.Image) -> float:
        return max(self.scores, default=0.0)


def tray(seed: int = 0, size=SIZE, boxes=BOXES) -> Image.Image:
    """A grey photo with another picture in each box."""
    photo = Image.new("RGB", size, "grey")
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        dish = tiny.photo(seed + number, (x2 - x1, y2 - y1))
        photo.paste(dish, (x1, y1))
    return photo


def recognizer(crop_margin: float | None = 1.0, **metadata) -> Recognizer:
    """A tiny model; `crop_margin`: that its folder names."""
    return Recognizer(tiny.model(), {"crop_margin": crop_margin, **metadata})


def count_passes(monkeypatch) -> list[int]:
    """How many photos each pass of the model answers, from now on."""
    passes: list[int] = []
    answer_together = choose.answer_together

    def counted(qwen, queries):
        passes.append(len(queries))
        return answer_together(qwen, queries)

    monkeypatch.setattr(choose, "answer_together", counted)
    return passes
