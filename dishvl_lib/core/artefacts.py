"""Every record that one stage writes and another reads, once: its columns, and the ways into it.

A photo is a row of 01's catalog.parquet, a dish a row of dishes.jsonl, a question a row of 03's
files in the form that Qwen's fine-tuning scripts read, a prediction a row of 05's
predictions.jsonl.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, TypedDict

import pandas as pd

from dishvl_lib.core import names, params, questions
from dishvl_lib.core.types import Record, Records, RecordView

PHOTO_COLUMNS = (
    "image_id",
    "path",
    "dish_id",
    "folder",
    "site",
    "frame",
    "taken_on",
    "width",
    "height",
    "sha256",
    "phash",
    "phash_mirrored",
    "sharpness",
    "split",
)
# catalog.parquet: the dish_id of a photo's folder where somebody gave it another dish, else ''.
MOVED_FROM = "moved_from"
# 01's record of the photos that the run in `base_model: run:NAME` knows, with their split there.
EARLIER_PHOTOS = "earlier_photos.parquet"
EARLIER_COLUMNS = (
    "run",
    "image_id",
    "path",
    "folder",
    "frame",
    "sha256",
    "phash",
    "phash_mirrored",
    "split",
)
# What became of people's decisions about photos, in 01 and 03.
DECIDED_COLUMNS = (
    "image_id",
    "path",
    "dish_id",
    "split",
    "decision",
    "right_dish",
    "effect",
    "moved_to",
    "detail",
)
# rejected.csv, skipped.csv, missing_photos.csv: a photo that a stage goes on without, and why.
LEFT_OUT_COLUMNS = ("path", "reason", "detail")
# rejected.csv says too which split a photo would have that somebody left out.
REJECTED_COLUMNS = (*LEFT_OUT_COLUMNS, "split")
# Stage 00: a photo of a whole tray; a box on it, of a person (`truth`) or of the detector; a crop.
FRAMES = "frames.parquet"
CORNERS = ("x1", "y1", "x2", "y2")  # of a box, in pixels of the upright photo
DETECTOR = "detector/detector.onnx"
FRAME_COLUMNS = ("frame_id", "path", "width", "height", "sha256", "split", "n_boxes")
BOXES = "boxes.parquet"
BOX_COLUMNS = ("frame_id", "source", *CORNERS, "score", "label")
CROPS = "crops.parquet"
CROP_COLUMNS = ("path", "frame_id", *CORNERS, "label", "split", "sha256")
CROPS_LIST = "crops.csv"
CROPS_LIST_COLUMNS = ("path", "label", "split")
SIMILAR_COLUMNS = ("dish_id", "similar_id", "rank", "score", "n_votes")
CLUSTER_COLUMNS = ("dish_id", "cluster", "size")
# 04's validation_answers.csv: the entry that best/ chose on a validation menu, by dish; and 03's
# confused_pairs.csv: how often two dishes were taken for each other there.
VALIDATION_ANSWERS = "validation_answers.csv"
VALIDATION_ANSWER_COLUMNS = ("id", "image_id", "dish_id", "answer_id")
CONFUSED_COLUMNS = ("dish_id", "other_id", "n")
# near_duplicates.csv of 01 and moved.csv of 03 say by what two photos were found to be one.
PHOTO_PAIR_COLUMNS = ("image_id_a", "image_id_b", "by", "distance")

SPLITS = ("train", "validation", "test")
HELD_OUT = "held_out"
SITE_PREFIX = "site:"

HUMAN = "human"
MODEL = "gpt"


class Dish(TypedDict):
    """A row of dishes.jsonl.

    `name_source`: decision, names_csv, annotators (who agree), annotator or folder. `card`: the
    dish card, None where nobody gave one. `source`: which annotator said what, and what that cost.
    `review`: the question that a person should answer, '' for none.
    """

    dish_id: str
    folders: list[str]
    name: str
    name_source: str
    aliases: list[str]
    n_images: int
    card: Record | None
    introduction: str
    recipe: str
    source: Records
    review: str


class Prediction(TypedDict):
    """A row of predictions.jsonl: one question answered by one predictor.

    `protocol`: naming, menu, menu_absent or an outside site's. `answer`: None for none; `removed`:
    what stood around it. `scores`: [[entry, probability]], the best first; `log_probabilities`: of
    the menu's entries, in their order. `error`: why there is no answer; `lost`: why a site's
    question is wrong whatever is answered; `framed`: whether the question depends on its predictor;
    `near_training`: what training photo its photo resembles.
    """

    id: str
    predictor: str
    protocol: str
    image_id: str
    dish_id: str
    truth: str
    menu: list[str]
    prompt: str
    answer: str | None
    removed: str
    correct: bool
    correct_normalised: bool
    scores: list[list[Any]]
    log_probabilities: list[float]
    seconds: float
    error: str
    lost: str
    framed: bool
    near_training: str
    cost: float
    currency: str
    tokens: int


def image_id_of(path: str) -> str:
    """A photo's id, from its path relative to image_root: it stays while the file stays."""
    return hashlib.sha256(path.encode("utf-8")).hexdigest()[:16]


def at_site(split: pd.Series) -> pd.Series:
    """Which photos are an outside site's, from their split."""
    return split.str.startswith(SITE_PREFIX)


def site_split(site: str) -> str:
    """The split, and the protocol, of an outside site."""
    return SITE_PREFIX + site


def site_of(split: str) -> str:
    """The outside site that a split or protocol belongs to."""
    return split.removeprefix(SITE_PREFIX)


def unnamed(dish: RecordView) -> str:
    """Why a dish of dishes.jsonl has no name, in one clause; '' when it has one.

    Its name is its folder's, which says nothing (GX4_6), and no decision, table or annotator has
    given it another. Such a dish is not asked about.
    """
    return names.says_nothing(dish["name"]) if dish["name_source"] == "folder" else ""


def names_by_dish(dishes: Iterable[RecordView]) -> dict[str, str]:
    """{dish_id: name} of dishes.jsonl."""
    return {dish["dish_id"]: dish["name"] for dish in dishes}


def unnamed_dishes(dishes: Iterable[RecordView]) -> dict[str, str]:
    """{dish_id: why} of the dishes that nobody has named."""
    reasons = {dish["dish_id"]: unnamed(dish) for dish in dishes}
    return {dish_id: reason for dish_id, reason in reasons.items() if reason}


def conversation(human: str, answer: str) -> list[dict[str, str]]:
    """The two turns of a question. `human`: with the image mark, unless it is about no photo."""
    return [{"from": HUMAN, "value": human}, {"from": MODEL, "value": answer}]


def human_turn_of(question: RecordView) -> str:
    """The question as it stands in the file: image mark, line break, text."""
    return question["conversations"][0]["value"]


def text_of(question: RecordView) -> str:
    """What the model reads: the image mark and the line break after it belong to the file
    format.
    """
    return questions.question_of(human_turn_of(question))


def answer_of(question: RecordView) -> str:
    """The right answer."""
    return question["conversations"][1]["value"]


def net_of(features: RecordView) -> str:
    """The net whose vectors a features.npz holds; earlier versions had one and did not name it."""
    return str(features["net"]) if "net" in features else params.PPLCNET
