"""A local OpenAI-compatible server that stands in for the online vision LLM: it knows the drawn
dishes by sight.

    with BuiltinAnnotator(Path("outputs/cache/demo_photos")) as annotator:
        client = openai.OpenAI(base_url=annotator.base_url, api_key="any")

For a photo it drew it answers the dish's card; for any other photo only the cleaned folder name
from the prompt.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dishvl_lib.core.images import load_rgb
from dishvl_lib.core.names import clean_folder_name
from dishvl_lib.demo.batches import BadRequest, BatchDesk
from dishvl_lib.demo.cards import DISHES, dish_card, empty_card
from dishvl_lib.demo.dishes import thumbnail
from dishvl_lib.demo.protocol import MODEL, completion, listen, read_messages

FOLDER_LINE = "文件夹名（可能有误）："
CARD_LINE = "菜品卡片："
# Mean absolute difference of 16x16 thumbnails (0..255). Measured: a drawn photo sent again at
# 112-400 px and quality 30-85 stays under 4 from its own, other drawn dishes begin at 15, 481 real
# dish photos at 26.
MAX_DIFFERENCE = 9.0


class BuiltinAnnotator:
    """The server, in a daemon thread of this process. A context manager; `base_url` is set from
    construction on.

    photos: the folder that draw_demo_photos wrote, or None to know no photo. latency_s: seconds
    each reply waits. batch_s: seconds a batch takes, so that batch mode can be tried too. port: 0
    takes a free one; OSError when the given one is in use.
    """

    def __init__(
        self,
        photos: Path | None = None,
        *,
        latency_s: float = 0.0,
        batch_s: float = 0.0,
        port: int = 0,
    ) -> None:
        self.latency_s = latency_s
        self.desk = BatchDesk(self.complete, batch_s)
        self._thumbnails, self._names = _load_thumbnails(photos)
        self._server = listen(port)
        self._server.answering = self
        self._thread: threading.Thread | None = None
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def start(self) -> BuiltinAnnotator:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.05,), daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> BuiltinAnnotator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def recognise(self, photo: bytes) -> str | None:
        """The drawn dish on an encoded photo, or None for a photo this set does not hold."""
        if not len(self._names):
            return None
        try:
            seen = thumbnail(load_rgb(photo)).astype(np.float32)
        except (OSError, ValueError) as error:
            raise BadRequest(f"the image cannot be decoded: {error}") from error
        away = np.abs(self._thumbnails - seen).mean(axis=(1, 2, 3))
        best = int(away.argmin())
        is_known = away[best] <= MAX_DIFFERENCE
        return str(self._names[best]) if is_known else None

    def complete(self, request: Any) -> dict:
        """The reply to the JSON of one chat completion request; raises BadRequest."""
        text, photos = read_messages(request)
        answers = {"dish_card": self._card, "dish_texts": self._texts}
        try:
            wanted = request["response_format"]["json_schema"]["name"]
        except (KeyError, TypeError) as error:
            raise BadRequest("response_format.json_schema.name is missing") from error
        if wanted not in answers:
            raise BadRequest(f"this server answers {' and '.join(answers)}, not {wanted!r}")
        content = json.dumps(answers[wanted](text, photos), ensure_ascii=False)
        model = str(request.get("model") or MODEL)
        return completion(model, text, len(photos), content)

    def _card(self, text: str, photos: list[bytes]) -> dict:
        if not photos:
            raise BadRequest("a dish_card request needs an image_url")
        name = self.recognise(photos[0])
        if name:
            return dish_card(name)
        folder = _line_after(text, FOLDER_LINE) or ""
        return empty_card(clean_folder_name(folder))

    def _texts(self, text: str, photos: list[bytes]) -> dict:
        try:
            card = json.loads(_line_after(text, CARD_LINE) or "")
        except json.JSONDecodeError as error:
            raise BadRequest(f"the prompt has no line {CARD_LINE} with the card as JSON") from error
        if not isinstance(card, dict):
            raise BadRequest(f"what follows {CARD_LINE} must be a JSON object")
        dish = DISHES.get(str(card.get("name")))
        if not card.get("ingredients"):
            dish = None
        return {
            "introduction": dish.introduction if dish else "",
            "recipe": dish.recipe if dish else "",
        }


def _load_thumbnails(photos: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if photos is None:
        return np.zeros((0, 16, 16, 3), np.float32), np.zeros(0, str)
    with np.load(Path(photos) / "thumbnails.npz") as stored:
        return stored["thumbnails"].astype(np.float32), stored["names"]


def _line_after(text: str, label: str) -> str | None:
    """What follows the label: the rest of its line, or the next line when the label stands
    alone.
    """
    _, label_there, rest = text.partition(label)
    lines = (line.strip() for line in rest.splitlines())
    return next(filter(None, lines), None) if label_there else None
