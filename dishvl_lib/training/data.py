"""Rows of train.jsonl as question trees."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from dishvl_lib.core import images, questions, records
from dishvl_lib.training.photos import Photos, another_view, turned
from dishvl_lib.vlm import inputs, trees
from dishvl_lib.vlm.qwen import Qwen


class DataError(RuntimeError):
    """A row that cannot be trained on; the message names the file, the row and the photo."""


class QuestionTrees(Dataset):
    """One tree per item: a photo and up to `questions_per_photo` of its questions; a photo with more makes several.

    A photo that has gone or does not decode stops the training: nothing is replaced in silence.
    """

    def __init__(self, file: str | Path, image_root: str | Path, qwen: Qwen, *, questions_per_photo: int, photo_cache_mb: int = 0, augmentation: str = "none"):
        self.file, self.qwen, self.augmentation = Path(file), qwen, augmentation
        self.rows = records.read_jsonl(file)
        if not self.rows:
            raise DataError(f"{file} holds no questions")
        if blind := [row["id"] for row in self.rows if not row.get("image")]:
            raise DataError(
                f"{file}: {len(blind)} questions have no photo, the first is {blind[0]}; this stage trains on photos only: set knowledge_with_photo: true in 03_dataset"
            )
        self.items = by_photo(self.rows, questions_per_photo)
        self.photos = Photos(Path(image_root), qwen, photo_cache_mb)
        self._check_photos_exist()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> trees.Tree:
        rows = [self.rows[number] for number in self.items[index]]
        try:
            image = self.photos[rows[0]["image"]]
        except images.ImageError as error:
            raise DataError(
                f"{self.file}, row {self.items[index][0] + 1} ({rows[0]['id']}): photo {rows[0]['image']} is {error}; make the catalogue again"
            ) from None
        if self.augmentation != "none":
            image = turned(image, int(torch.randint(8, ())))
        if self.augmentation == "views":
            image = another_view(image, torch.rand(6).tolist())
        photo = inputs.photo_inputs(self.qwen, image, resized=True)
        return trees.grow([self._sample(photo, row) for row in rows])

    def _sample(self, photo: inputs.Photo, row: dict[str, Any]) -> inputs.Sample:
        human, gpt = (turn["value"] for turn in row["conversations"])
        return inputs.build(self.qwen, photo, questions.question_of(human), gpt)

    def _check_photos_exist(self) -> None:
        gone = sorted({row["image"] for row in self.rows} - {row["image"] for row in self.rows if (self.photos.root / row["image"]).is_file()})
        if gone:
            raise DataError(
                f"{len(gone)} photos of {self.file} are gone from {self.photos.root}, the first is {gone[0]}; set image_root to where they are now, or make the catalogue again"
            )


def by_photo(rows: Sequence[dict[str, Any]], questions_per_photo: int) -> list[list[int]]:
    """Row numbers per tree, in the order in which the photos first appear."""
    of_photo: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of_photo.setdefault(row["image"], []).append(number)
    return [numbers[start : start + questions_per_photo] for numbers in of_photo.values() for start in range(0, len(numbers), questions_per_photo)]


def collator(pad_token_id: int) -> Callable[[Sequence[trees.Tree]], dict[str, Any]]:
    """What the data loader joins trees with."""
    return functools.partial(trees.collate, pad_token_id=pad_token_id)
