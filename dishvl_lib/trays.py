"""A photo of a whole tray: a detector finds the dishes, the recogniser says which entry of the menu
each is.

    trays = Trays(Detector.load("detector.onnx"), Recognizer.load(best))
    trays.recognise("tray.jpg", ["红烧鱼", "凉拌鸡胗", "米饭"])

All crops of a tray are answered in one pass. What a person should look at is said beside each dish:
that it is on no menu, that the menu's best entry is unsure, that two boxes overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from dishvl_lib.core import crops, images
from dishvl_lib.core.types import PhotoSource
from dishvl_lib.detection import boxes
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.detector import NO_DISH, Detector, short_of
from dishvl_lib.vlm.answers import Choice
from dishvl_lib.vlm.photo_answers import PhotoAnswers
from dishvl_lib.vlm.photo_questions import PhotoQuestions

# Of the menu's best entry: below it another entry, or none, is about as probable.
LEAST_SHARE = 0.5
# Plates that touch cover each other a little in a photo from the side; one dish found twice, far.
MOST_OVERLAP = 0.3
NOT_ON_MENU = "not on the menu"
UNSURE = "unsure"
OVERLAP = "overlaps another dish"


class TrayError(ValueError):
    """A detector and a recogniser that do not go together; the message says what to do."""


@dataclass(frozen=True)
class TrayDish:
    """A dish on a tray: its box (x1, y1, x2, y2) in pixels of the upright photo, the detector's
    score, the recogniser's choice, and why a person should look at it (nothing where none should).
    """

    box: tuple[float, float, float, float]
    score: float
    choice: Choice
    review: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The menu's best entry, also where `review` says that it is doubtful."""
        return self.choice.entries[0][0]

    @property
    def share(self) -> float:
        """Its probability among the menu."""
        return self.choice.entries[0][1]


@dataclass(frozen=True)
class Tray:
    """The dishes of a tray, left to right, on an upright photo of `size` (width, height).
    `best_score`: of any box, also one below `threshold`, which says why nothing was found.
    """

    dishes: tuple[TrayDish, ...]
    size: tuple[int, int]
    best_score: float
    threshold: float

    @property
    def review(self) -> tuple[str, ...]:
        """What a person should look at: `dish N: why`, and that nothing was found."""
        if not self.dishes:
            return (self.nothing_found,)
        sentences = []
        for number, dish in enumerate(self.dishes, start=1):
            sentences += [f"dish {number}: {reason}" for reason in dish.review]
        return tuple(sentences)

    @property
    def nothing_found(self) -> str:
        return f"{NO_DISH}: {short_of(self.best_score, self.threshold)}"


@dataclass(frozen=True)
class FoundDishes:
    """The boxes that a crop can be made of, by their `places` in `found`, left to right, and the
    crops.
    """

    found: Detections
    places: list[int]
    pictures: list[Image.Image]

    @classmethod
    def on(cls, upright: Image.Image, found: Detections, crop_margin: float) -> "FoundDishes":
        """Those on an upright photo."""
        places = _croppable(found, crop_margin, upright.size)
        pictures = [crops.cut(upright, found.boxes[place], crop_margin) for place in places]
        return cls(found, places, pictures)

    def answered(self, choices: Sequence[Choice]) -> dict[int, TrayDish]:
        """The dishes by their places in `found`, from the choice for each picture."""
        is_doubled = _overlapping(self.found)
        dishes = {}
        for place, choice in zip(self.places, choices, strict=True):
            x1, y1, x2, y2 = map(float, self.found.boxes[place])
            score = float(self.found.scores[place])
            review = _review(choice, is_doubled[place])
            dishes[place] = TrayDish((x1, y1, x2, y2), score, choice, review)
        return dishes


@dataclass(frozen=True)
class FoundTray:
    """What was found on a photo, before the recogniser has answered; the fields are those of
    `Tray`.
    """

    dishes: FoundDishes
    size: tuple[int, int]
    best_score: float
    threshold: float

    def answered(self, choices: Sequence[Choice]) -> Tray:
        """The tray, from the choice for each picture."""
        dishes = self.dishes.answered(choices)
        return Tray(tuple(dishes.values()), self.size, self.best_score, self.threshold)


class Trays:
    """A detector and a recogniser (or a `Hybrid`) that answer as one.

    `crop_margin`: by which factor of its box a dish is cropped; `is_proved`: whether that is known
    to be what the recogniser was trained on.
    """

    def __init__(
        self,
        detector: Detector,
        recognizer: PhotoAnswers[Any],
        *,
        crop_margin: float | None = None,
    ):
        """`crop_margin`: needed where the recogniser's folder knows none. Raises `TrayError` for
        one that is not the recogniser's, and for a detector of ours that was made with another.
        """
        self.detector = detector
        self.recognizer = recognizer
        trained_on = _trained_margin(recognizer)
        self.crop_margin = _agreed(trained_on, crop_margin, detector)
        self.is_proved = trained_on is not None

    def recognise(self, photo: PhotoSource, menu: Sequence[str], *, top_k: int = 3) -> Tray:
        """The dishes on a photo. Raises `ImageError` for one that cannot be read, ValueError for a
        menu that cannot be one.
        """
        questions = PhotoQuestions([menu], top_k=top_k)
        found = self.find(images.load_rgb(photo, max_image_pixels=images.MAX_IMAGE_PIXELS))
        return found.answered(_choices(self.recognizer, found.dishes.pictures, questions))

    def find(self, upright: Image.Image) -> FoundTray:
        """What the detector finds on an upright RGB photo, to be answered."""
        found = self.detector.detect_image(upright)
        best = float(found.scores[0]) if len(found) else self.detector.best_score(upright)
        dishes = FoundDishes.on(upright, found, self.crop_margin)
        return FoundTray(dishes, upright.size, best, self.detector.threshold)


def recognised(
    recognizer: PhotoAnswers[Any],
    upright: Image.Image,
    found: Detections,
    menu: Sequence[str],
    *,
    crop_margin: float,
) -> dict[int, TrayDish]:
    """The dishes in boxes on an upright photo, by their places in `found`, left to right, in one
    pass of the recogniser. A box beside the photo has none.
    """
    dishes = FoundDishes.on(upright, found, crop_margin)
    return dishes.answered(_choices(recognizer, dishes.pictures, PhotoQuestions([menu])))


def _choices(
    recognizer: PhotoAnswers[Any], pictures: Sequence[Image.Image], questions: PhotoQuestions
) -> list[Choice]:
    """The choice for each picture, from one pass; [] for none."""
    if not pictures:
        return []
    answers = recognizer.answer_photos(pictures, questions, batch_size=len(pictures))
    return [answer.choices[0] for answer in answers]


def _trained_margin(recognizer: PhotoAnswers[Any]) -> float | None:
    """The margin of the crops that the recogniser was trained on; None where that is unknown."""
    alone: Any = getattr(recognizer, "recognizer", recognizer)  # a hybrid's model
    return getattr(alone, "metadata", {}).get("crop_margin")


def _agreed(trained_on: float | None, given: float | None, detector: Detector) -> float:
    if trained_on is None and given is None:
        raise TrayError(
            "nobody knows by which margin the recogniser's photos were cropped: give crop_margin "
            "(--crop-margin; 1.0 is the detector's box itself)"
        )
    if given is not None and not crops.LEAST_MARGIN <= given <= crops.MOST_MARGIN:
        raise TrayError(
            f"crop_margin {given:g} is not from {crops.LEAST_MARGIN:g} to {crops.MOST_MARGIN:g}"
        )
    margin = given if trained_on is None else trained_on
    assert margin is not None
    if given is not None and given != margin:
        raise TrayError(
            f"crop_margin {given:g} is not that of the photos the recogniser was trained on "
            f"({margin:g}): leave it out"
        )
    if detector.is_ours and detector.crop_margin not in (None, margin):
        raise TrayError(
            f"{detector.file} was made for crops of margin {detector.crop_margin:g}, and the "
            f"recogniser's are of margin {margin:g}: take the detector of the recogniser's own run"
        )
    return margin


def _croppable(found: Detections, margin: float, size: tuple[int, int]) -> list[int]:
    """The places of the boxes that a crop can be made of, left to right."""
    places = []
    for place in np.argsort(found.boxes[:, 0], kind="stable").tolist():
        try:
            crops.pixel_box(found.boxes[place], margin, size)
        except crops.CropError:
            continue
        places.append(place)
    return places


def _overlapping(found: Detections) -> list[bool]:
    """Of each box whether it covers another one further than plates that touch."""
    overlap = boxes.iou(found.boxes, found.boxes)
    np.fill_diagonal(overlap, 0.0)
    return [bool(row.any()) for row in overlap > MOST_OVERLAP]


def _review(choice: Choice, is_doubled: bool) -> tuple[str, ...]:
    reasons = []
    if choice.answer is None:
        reasons.append(NOT_ON_MENU)
    elif choice.entries[0][1] < LEAST_SHARE:
        reasons.append(UNSURE)
    if is_doubled:
        reasons.append(OVERLAP)
    return tuple(reasons)
