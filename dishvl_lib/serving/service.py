"""The service without HTTP: photos in, answers out, and what it keeps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dishvl_lib.core import cores, images
from dishvl_lib.core.decoding_memory import DecodingMemory
from dishvl_lib.serving import errors
from dishvl_lib.serving.batcher import Batcher
from dishvl_lib.serving.corrections import Corrections
from dishvl_lib.serving.errors import ServiceError, bad_value
from dishvl_lib.serving.limits import MAX_TRAY_DISHES, Limits
from dishvl_lib.serving.menus import Menus
from dishvl_lib.serving.metrics import Metrics
from dishvl_lib.serving.served_model import ServedModel
from dishvl_lib.trays import FoundTray, Tray, Trays
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
    a thread each, so that none waits for another. `trays`: None where no detector was given.
    """

    def __init__(
        self, model: ServedModel, folders: Folders, limits: Limits, trays: Trays | None = None
    ):
        self.model = model
        self.trays = trays
        self.limits = limits
        self.menus = Menus(folders.menus)
        self.corrections = Corrections(folders.corrections)
        self.metrics = Metrics()
        self.batcher = Batcher(limits, self.metrics.count_pass)
        self.metrics.waiting.set_function(lambda: self.batcher.n_taken)
        self._memory = DecodingMemory()
        n_decoders = min(MOST_DECODERS, cores.available())
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
            future = place.submit(answers, [prepared])
        (recognition,) = await _answered(future)
        return recognition

    async def recognise_tray(self, trays: Trays, photo: bytes, questions: PhotoQuestions) -> Tray:
        """The dishes on a photo of a tray, from one pass. Raises `ServiceError`."""
        loop = asyncio.get_running_loop()
        with self.batcher.place() as place:
            answers, found, prepared = await loop.run_in_executor(
                self._decoders, self._prepare_tray, trays, photo, questions
            )
            if not prepared:
                return found.answered([])
            future = place.submit(answers, prepared)
        recognitions = await _answered(future)
        return found.answered([recognition.choices[0] for recognition in recognitions])

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
        return answers, self._decoded(photo, lambda: answers.prepare(photo, questions))

    def _prepare_tray(
        self, trays: Trays, photo: bytes, questions: PhotoQuestions
    ) -> tuple[PhotoAnswers[Any], FoundTray, list[Any]]:
        """(what answers, what was found on the photo, each dish as it has prepared it)."""
        found = self._decoded(photo, lambda: _found(trays, photo))
        n_dishes = len(found.dishes.pictures)
        if n_dishes > MAX_TRAY_DISHES:
            raise bad_value(
                f"the detector finds {n_dishes} dishes on the photo, at most {MAX_TRAY_DISHES} are "
                "answered; send a photo of one tray, or start the service with a higher --threshold"
            )
        answers = self.model.answers()
        prepared = [answers.prepare(picture, questions) for picture in found.dishes.pictures]
        return answers, found, prepared

    def _decoded(self, photo: bytes, function: Callable[[], Result]) -> Result:
        """What `function` makes of a photo, which it decodes. Raises `ServiceError`."""
        try:
            n_bytes = images.loading_bytes(photo, images.MAX_IMAGE_PIXELS)
            return self._memory.decode(n_bytes, function)
        except images.ImageError as error:
            raise errors.of_image(error) from None


async def _answered(future: "Future[list[Recognition]]") -> list[Recognition]:
    """What the model said. Raises `ServiceError` for a menu that it cannot be asked about."""
    try:
        return await asyncio.wrap_future(future)
    except ValueError as error:  # entries that are one to the tokenizer
        raise ServiceError(422, "bad_menu", str(error)) from None


def _found(trays: Trays, photo: bytes) -> FoundTray:
    return trays.find(images.load_rgb(photo, max_image_pixels=images.MAX_IMAGE_PIXELS))
