"""Rows of train.jsonl as question trees."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, Sampler

from dishvl_lib.core import artefacts, images, records
from dishvl_lib.core.types import AnyPath, Record, RecordViews
from dishvl_lib.training.photos import Photos, another_view, turned
from dishvl_lib.vlm import inputs, text_rows, trees
from dishvl_lib.vlm.qwen import QwenInputs


class DataError(RuntimeError):
    """A row that cannot be trained on; the message names the file, the row and the photo."""


class QuestionTrees(Dataset):
    """One tree per item: a photo and up to `questions_per_photo` of its questions.

    A photo with more makes several trees. An item's number may be any n >= 0: `n % len(self)` says
    which tree, and n with `seed` how its photo is augmented, so that an epoch's views depend on
    neither workers nor a resume (`Shuffled` deals such numbers). Questions without a photo make
    trees of their own, by dish. A photo that has gone or does not decode stops the training:
    nothing is replaced in silence.
    """

    def __init__(
        self,
        file: AnyPath,
        image_root: AnyPath,
        qwen: QwenInputs,
        *,
        questions_per_photo: int,
        photo_cache_mb: int = 0,
        photo_decoding: str = "exact",
        augmentation: str = "none",
        view_strength: float = 1.0,
        seed: int = 0,
    ):
        self.file = Path(file)
        self.qwen = qwen
        self.augmentation = augmentation
        self.view_strength = view_strength
        self.seed = seed
        self.rows = records.read_jsonl(file)
        if not self.rows:
            raise DataError(f"{file} holds no questions")
        self._check_answers()
        self.items = by_photo(self.rows, questions_per_photo)
        self.photos = Photos(Path(image_root), qwen, photo_cache_mb, photo_decoding)
        self._check_photos_exist()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[trees.Tree, list[int]]:
        """(tree, the row numbers of its branches in order)."""
        numbers = self.items[number % len(self.items)]
        rows = [self.rows[row_number] for row_number in numbers]
        turns = [self._turns(row) for row in rows]
        if not rows[0].get("image"):
            return text_rows.grow(self.qwen, turns), numbers
        view = self._view(rows[0], numbers[0], number)
        photo = inputs.photo_inputs(self.qwen, view, resized=True)
        samples = [inputs.build(self.qwen, photo, question, answer) for question, answer in turns]
        return trees.grow(samples), numbers

    def _view(self, row: Record, line: int, number: int) -> Image.Image:
        try:
            photo = self.photos[row["image"]]
        except images.ImageError as error:
            raise DataError(
                f"{self.file}, row {line + 1} ({row['id']}): photo {row['image']} is "
                f"{error}; make the catalogue again"
            ) from None
        chance = np.random.default_rng((self.seed, number))
        if self.augmentation != "none":
            photo = turned(photo, int(chance.integers(8)))
        if self.augmentation == "views":
            photo = another_view(photo, chance.random(6).tolist(), self.view_strength)
        return photo

    def _turns(self, row: Record) -> tuple[str, str]:
        return artefacts.text_of(row), artefacts.answer_of(row)

    def _check_answers(self) -> None:
        without_answer = []
        for row in self.rows:
            if not artefacts.answer_of(row).strip():
                without_answer.append(row["id"])
        if without_answer:
            raise DataError(
                f"{self.file}: {len(without_answer)} questions have an empty answer, so nothing "
                f"to learn, the first is {without_answer[0]}; make the dataset again"
            )

    def _check_photos_exist(self) -> None:
        photos = {row["image"] for row in self.rows if row.get("image")}
        gone = sorted(name for name in photos if not (self.photos.root / name).is_file())
        if gone:
            raise DataError(
                f"{len(gone)} photos of {self.file} are gone from {self.photos.root} since "
                f"this training was begun, the first is {gone[0]}; "
                "bring them back (or set image_root to where they are now) and it goes on, "
                "or begin it again without them: --redo 04"
            )


class Shuffled(Sampler):
    """The trees of one epoch in an order that depends on seed and epoch only.

    Epoch e deals numbers e * length ... (e + 1) * length - 1.
    """

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return iter((self.epoch * self.length + order).tolist())


def by_photo(rows: RecordViews, questions_per_photo: int) -> list[list[int]]:
    """Row numbers per tree, in the order in which the photos first appear.

    Rows without a photo go by dish.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        photo = row.get("image") or ""
        key = (photo, "" if photo else row["dish_id"])
        groups.setdefault(key, []).append(number)
    of_trees = []
    for numbers in groups.values():
        for start in range(0, len(numbers), questions_per_photo):
            of_trees.append(numbers[start : start + questions_per_photo])
    return of_trees


def collator(
    pad_token_id: int,
) -> Callable[[Sequence[tuple[trees.Tree, list[int]]]], dict[str, torch.Tensor]]:
    """What the data loader joins trees with: `trees.collate`'s batch, and two tensors about it.

    `rows` (supervised tokens,): the row number of each, in the order in which the loss sees them.
    `sizes` (3,): photos, questions and tokens of the batch.
    """

    def join(items: Sequence[tuple[trees.Tree, list[int]]]) -> dict[str, torch.Tensor]:
        rows: list[int] = []
        for tree, numbers in items:
            rows += _rows_of_labels(tree, numbers)
        num_questions = sum(len(numbers) for _, numbers in items)
        num_tokens = sum(len(tree.input_ids) for tree, _ in items)
        return {
            **trees.collate([tree for tree, _ in items], pad_token_id),
            "rows": torch.tensor(rows),
            "sizes": torch.tensor([len(items), num_questions, num_tokens]),
        }

    return join


def _rows_of_labels(tree: trees.Tree, numbers: Sequence[int]) -> list[int]:
    """The row number of each supervised token; branch 1 asks the first row's question."""
    rows = []
    for branch, label in zip(tree.branch, tree.labels, strict=True):
        if label != inputs.IGNORE:
            rows.append(numbers[branch - 1])
    return rows
