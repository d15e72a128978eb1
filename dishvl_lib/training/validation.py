"""Strict naming and menu accuracy while training, on a fixed sample of the validation questions.

Names by generation, menus by scoring their entries.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from dishvl_lib.core import artefacts, images, intervals, questions
from dishvl_lib.core.types import Record, Records
from dishvl_lib.vlm import choose, inputs
from dishvl_lib.vlm.qwen import Qwen
from dishvl_lib.vlm.recognizer import Recognizer

KINDS = ("naming", "menu")


class Validation:
    """`most`: questions of each kind, drawn once by `seed`.

    `batch_size`: photos per generation step. `beat`: told how far it is.
    """

    def __init__(
        self,
        loaded: Qwen,
        rows: Sequence[Record],
        image_root: Path,
        *,
        most: int,
        batch_size: int,
        seed: int,
        beat: Callable[[str, int, int], None] = lambda doing, done, of: None,
    ):
        self.qwen = loaded
        self.root = image_root
        self.batch_size = batch_size
        self.beat = beat
        self.samples = {}
        for kind in KINDS:
            of_kind = [row for row in rows if row["kind"] == kind and row.get("image")]
            self.samples[kind] = sample(of_kind, most, seed)

    def measure(self, device: torch.device) -> dict[str, float]:
        """KIND_accuracy, KIND_ci_low, KIND_ci_high (95%, Wilson) and KIND_n of every kind.

        Every process takes its share. All make the same number of calls, the last ones with
        questions that count nothing: under ZeRO-3 a process that calls once less leaves the others
        waiting.
        """
        accuracies: dict[str, float] = {}
        with own_forward(self.qwen.model), torch.no_grad():
            for kind, rows in self.samples.items():
                if rows:
                    right = self._right(kind, rows, device)
                    accuracies |= _accuracy(kind, right, len(rows))
        return accuracies

    def _right(self, kind: str, rows: Records, device: torch.device) -> int:
        marked = {"naming": self._naming, "menu": self._menu}[kind]
        size = self.batch_size if kind == "naming" else 1
        process, processes = _rank_and_world_size()
        right = torch.zeros(1, dtype=torch.long, device=device)
        batches = shares(len(rows), size, process, processes)
        for done, batch in enumerate(batches, start=1):
            if process == 0:
                self.beat(f"validation, {kind} questions, batch", done, len(batches))
            marks = marked([rows[number] for number, _ in batch])
            right += sum(mark and counts for mark, (_, counts) in zip(marks, batch, strict=True))
        if processes > 1:
            dist.all_reduce(right)
        return int(right)

    def _naming(self, rows: Records) -> list[bool]:
        queries = [(self._photo(row), _question(row)) for row in rows]
        answers = Recognizer(self.qwen, {}).answer(queries)
        pairs = zip(answers, rows, strict=True)
        return [questions.mark(answer, _truth(row)) for answer, row in pairs]

    def _menu(self, rows: Records) -> list[bool]:
        (row,) = rows
        photo = inputs.photo_inputs(self.qwen, self._photo(row))
        scores = choose.log_probabilities(self.qwen, photo, _question(row), row["menu"])
        answer = row["menu"][int(scores.argmax())]
        return [answer == _truth(row)]

    def _photo(self, row: Record) -> Any:
        return images.load_rgb(self.root / row["image"])


def sample(rows: Sequence[Record], most: int, seed: int) -> Records:
    """At most `most` of the rows, the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(rows))[:most]
    return [rows[number] for number in sorted(order)]


def shares(n: int, size: int, process: int, processes: int) -> list[list[tuple[int, bool]]]:
    """This process' batches of (number, whether it counts) of n items.

    As many and as large as every other process'.
    """
    rounds = -(-n // (size * processes))
    share = rounds * size
    numbers = range(process * share, (process + 1) * share)
    padded = [(number, True) if number < n else (n - 1, False) for number in numbers]
    return [padded[start : start + size] for start in range(0, len(padded), size)]


@contextlib.contextmanager
def own_forward(model: torch.nn.Module) -> Iterator[None]:
    """transformers' own forward for a while, and no dropout.

    The forward of question trees, which it stands in for, needs labels.
    """
    bound = model.__dict__.pop("forward", None)
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        if bound is not None:
            model.forward = bound


def _accuracy(kind: str, right: int, n: int) -> dict[str, float]:
    low, high = intervals.wilson(right, n)
    return {
        f"{kind}_accuracy": right / n,
        f"{kind}_ci_low": low,
        f"{kind}_ci_high": high,
        f"{kind}_n": n,
    }


def _rank_and_world_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _question(row: Record) -> str:
    return artefacts.text_of(row)


def _truth(row: Record) -> str:
    return artefacts.answer_of(row)
