"""The service without HTTP: photos in, answers out, and what it keeps."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dishvl_lib.core import images
from dishvl_lib.core.decoding_memory import DecodingMemory
from dishvl_lib.serving import errors
from dishvl_lib.serving.batcher import Batcher
from dishvl_lib.serving.corrections import Corrections
from dishvl_lib.serving.errors import ServiceError
from dishvl_lib.serving.limits import Limits
from dishvl_lib.serving.menus import Menus
from dishvl_lib.serving.metrics import Metrics
from dishvl_lib.serving.served_model import ServedModel
from dishvl_lib.vlm.answers import Recognition
from dishvl_lib.vlm.photo_answers import PhotoAnswers
from dishvl_lib.vlm.photo_questions import PhotoQuestions

MOST_DECODERS = 4
Result = TypeVar("Result")


@dataclass(frozen=True)
class Folders:
    """Where a service keeps what people give it: of a run, the run's folder."""

    home: Path

    @property
    def menus(self) -> Path:
        return self.home / "menus"

    @property
    def corrections(self) -> Path:
        return self.home / "corrections"


class Service:
    """Photos are decoded by a few threads; the model, the files and the changes of the gallery have
    a thread each, so that none waits for another.
    """

    def __init__(self, model: ServedModel, folders: Folders, limits: Limits):
        self.model = model
        self.limits = limits
        self.menus = Menus(folders.menus)
        self.corrections = Corrections(folders.corrections)
        self.metrics = Metrics()
        self.batcher = Batcher(limits, self.metrics.count_pass)
        self.metrics.waiting.set_function(lambda: self.batcher.n_taken)
        self._memory = DecodingMemory()
        n_decoders = min(MOST_DECODERS, os.cpu_count() or 1)
        self._decoders = ThreadPoolExecutor(n_decoders, "decoder")
        self._keeper = ThreadPoolExecutor(1, "keeper")
        self._changer = ThreadPoolExecutor(1, "gallery")

    def start(self) -> None:
        self.batcher.start()

    async def close(self) -> None:
        """Answer what was taken, then let go of the threads."""
        await asyncio.to_thread(self.batcher.close)
        self._decoders.shutdown()
        self._keeper.shutdown()
        self._changer.shutdown()
        self._memory.close()

    async def recognise(self, photo: bytes, questions: PhotoQuestions) -> Recognition:
        """What is said of a photo. Raises `ServiceError`."""
        loop = asyncio.get_running_loop()
        with self.batcher.place() as place:
            answers, prepared = await loop.run_in_executor(
                self._decoders, self._prepare, photo, questions
            )
            future = place.submit(answers, prepared)
        try:
            return await asyncio.wrap_future(future)
        except ValueError as error:  # entries that are one to the tokenizer
            raise ServiceError(422, "bad_menu", str(error)) from None

    async def keep(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What `function` returns, which reads or changes files; one after another."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeper, function, *arguments)

    async def change(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What `function` returns, which changes the gallery; one after another."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._changer, function, *arguments)

    def _prepare(self, photo: bytes, questions: PhotoQuestions) -> tuple[PhotoAnswers[Any], Any]:
        """(what answers, the photo as it has prepared it)."""
        answers = self.model.answers()
        try:
            size = images.upright_size(photo)
            n_bytes = images.decoding_bytes(photo, size)
            if size[0] * size[1] > images.MAX_IMAGE_PIXELS:
                n_bytes = 0  # refused by its header, not decoded
            prepared = self._memory.decode(n_bytes, lambda: answers.prepare(photo, questions))
        except images.ImageError as error:
            raise errors.of_image(error) from None
        return answers, prepared
