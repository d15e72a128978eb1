"""Rows of train.jsonl as model inputs: photos decoded once, resized, and kept while they fit a budget."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from dishvl_lib.core import images, questions, records
from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import Qwen


class DataError(RuntimeError):
    """A row that cannot be trained on; the message names the file, the row and the photo."""


class QuestionRows(Dataset):
    """One question per item. A photo that has gone or does not decode stops the training: nothing is replaced in silence."""

    def __init__(self, file: str | Path, image_root: str | Path, qwen: Qwen, photo_cache_mb: int = 0, augmentation: str = "none"):
        self.file, self.qwen, self.augmentation = Path(file), qwen, augmentation
        self.rows = records.read_jsonl(file)
        if not self.rows:
            raise DataError(f"{file} holds no questions")
        self.photos = Photos(Path(image_root), qwen, photo_cache_mb)
        self._check_photos_exist()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> inputs.Sample:
        row = self.rows[index]
        human, gpt = (turn["value"] for turn in row["conversations"])
        try:
            image = self.photos[row["image"]]
        except images.ImageError as error:
            raise DataError(f"{self.file}, row {index + 1} ({row['id']}): photo {row['image']} is {error}; make the catalogue again") from None
        if self.augmentation == "flips":
            image = turned(image, int(torch.randint(8, ())))
        return inputs.build(self.qwen, inputs.photo_inputs(self.qwen, image, resized=True), questions.question_of(human), gpt)

    def _check_photos_exist(self) -> None:
        gone = sorted({row["image"] for row in self.rows} - {row["image"] for row in self.rows if (self.photos.root / row["image"]).is_file()})
        if gone:
            raise DataError(
                f"{len(gone)} photos of {self.file} are gone from {self.photos.root}, the first is {gone[0]}; set image_root to where they are now, or make the catalogue again"
            )


class Photos:
    """Photos by path, at the size the vision tower reads. Up to `budget_mb` of them (3 bytes a pixel) are kept in memory."""

    def __init__(self, root: Path, qwen: Qwen, budget_mb: int):
        self.root, self.qwen, self.left = root, qwen, budget_mb * 2**20
        self.kept: dict[str, np.ndarray] = {}

    def __getitem__(self, path: str) -> Image.Image:
        if path in self.kept:
            return Image.fromarray(self.kept[path])
        resized = inputs.resize(self.qwen, images.load_rgb(self.root / path))
        if 3 * resized.width * resized.height <= self.left:
            self.kept[path] = np.asarray(resized)
            self.left -= self.kept[path].nbytes
        return resized


def turned(image: Image.Image, way: int) -> Image.Image:
    """One of the eight ways a photo taken from above can lie: mirrored left-right, top-bottom, along the diagonal (bits of `way`)."""
    for bit, flip in enumerate((Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE)):
        if way >> bit & 1:
            image = image.transpose(flip)
    return image


def collator(pad_token_id: int) -> Callable[[Sequence[inputs.Sample]], dict[str, Any]]:
    """What the data loader joins samples with."""

    def join(samples: Sequence[inputs.Sample]) -> dict[str, torch.Tensor]:
        return inputs.collate(samples, pad_token_id)

    return join
