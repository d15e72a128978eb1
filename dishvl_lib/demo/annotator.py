"""A local OpenAI-compatible server that stands in for the online vision LLM: it knows the drawn dishes by sight.

    with BuiltinAnnotator(Path("outputs/cache/demo_photos")) as annotator:
        client = openai.OpenAI(base_url=annotator.base_url, api_key="any")

For a photo it drew it answers the dish's card; for any other photo only the cleaned folder name from the prompt.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from dishvl_lib.core.images import load_rgb
from dishvl_lib.core.names import clean_folder_name
from dishvl_lib.demo.cards import DISHES, dish_card, empty_card
from dishvl_lib.demo.dishes import thumbnail

MODEL = "dishvl-builtin"
FOLDER_LINE = "文件夹名（可能有误）："
CARD_LINE = "菜品卡片："
# Mean absolute difference of 16x16 thumbnails (0..255). Measured: a drawn photo sent again at 112-400 px and quality
# 30-85 stays under 4 from its own, other drawn dishes begin at 15, 481 real dish photos at 26.
MAX_DIFFERENCE = 9.0
MAX_BODY = 32 * 1024 * 1024  # bytes
IMAGE_TOKENS = 255  # what a photo is charged as in the usage counts


class BadRequest(ValueError):
    """A request that the protocol or this server does not allow; its text goes into the error body."""


class BuiltinAnnotator:
    """The server, in a daemon thread of this process. A context manager; `base_url` is set from construction on.

    photos: the folder that draw_demo_photos wrote, or None to know no photo. latency_s: seconds each reply waits.
    port: 0 takes a free one; OSError when the given one is in use.
    """

    def __init__(self, photos: Path | None = None, *, latency_s: float = 0.0, port: int = 0) -> None:
        self.latency_s = latency_s
        self._thumbnails, self._names = _load_thumbnails(photos)
        self._server = _listen(port)
        self._server.annotator = self
        self._thread: threading.Thread | None = None
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def start(self) -> BuiltinAnnotator:
        if self._thread is None:
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
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
        return str(self._names[best]) if away[best] <= MAX_DIFFERENCE else None

    def complete(self, request: object) -> dict:
        """The reply to the JSON of one chat completion request; raises BadRequest."""
        text, photos = _read_messages(request)
        answers = {"dish_card": self._card, "dish_texts": self._texts}
        try:
            wanted = request["response_format"]["json_schema"]["name"]
        except (KeyError, TypeError) as error:
            raise BadRequest("response_format.json_schema.name is missing") from error
        if wanted not in answers:
            raise BadRequest(f"this server answers {' and '.join(answers)}, not {wanted!r}")
        content = json.dumps(answers[wanted](text, photos), ensure_ascii=False)
        return _completion(str(request.get("model") or MODEL), text, len(photos), content)

    def _card(self, text: str, photos: list[bytes]) -> dict:
        if not photos:
            raise BadRequest("a dish_card request needs an image_url")
        name = self.recognise(photos[0])
        return dish_card(name) if name else empty_card(clean_folder_name(_line_after(text, FOLDER_LINE) or ""))

    def _texts(self, text: str, photos: list[bytes]) -> dict:
        try:
            card = json.loads(_line_after(text, CARD_LINE) or "")
        except json.JSONDecodeError as error:
            raise BadRequest(f"the prompt has no line {CARD_LINE} with the card as JSON") from error
        if not isinstance(card, dict):
            raise BadRequest(f"what follows {CARD_LINE} must be a JSON object")
        dish = DISHES.get(str(card.get("name"))) if card.get("ingredients") else None
        return {"introduction": dish.introduction if dish else "", "recipe": dish.recipe if dish else ""}


def _load_thumbnails(photos: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if photos is None:
        return np.zeros((0, 16, 16, 3), np.float32), np.zeros(0, str)
    with np.load(Path(photos) / "thumbnails.npz") as stored:
        return stored["thumbnails"].astype(np.float32), stored["names"]


def _listen(port: int) -> ThreadingHTTPServer:
    try:
        return _Server(("127.0.0.1", port), _Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(error.errno, f"port {port} is in use on 127.0.0.1; stop what listens there or give port 0 for a free one") from None


def _read_messages(request: object) -> tuple[str, list[bytes]]:
    """All text of a request, and its pictures' bytes."""
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("messages must be a list of objects with at least one entry")
    texts, photos = [], []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, (str, list)):
            raise BadRequest("a message's content must be text or a list of parts")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            _read_part(part, texts, photos)
    return "\n".join(texts), photos


def _read_part(part: object, texts: list[str], photos: list[bytes]) -> None:
    try:
        if part["type"] == "text":
            texts.append(str(part["text"]))
        else:
            head, _, data = part["image_url"]["url"].partition(";base64,")
            if not head.startswith("data:image/") or not data:
                raise BadRequest("image_url.url must be a data URL: data:image/jpeg;base64,...")
            photos.append(base64.b64decode(data, validate=True))
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise BadRequest(f"a part of a message's content is malformed: {error!r}") from error


def _line_after(text: str, label: str) -> str | None:
    """What follows the label: the rest of its line, or the next line when the label stands alone."""
    _, found, rest = text.partition(label)
    return next((line.strip() for line in rest.splitlines() if line.strip()), None) if found else None


def _completion(model: str, text: str, n_photos: int, content: str) -> dict:
    prompt, answer = len(text) + IMAGE_TOKENS * n_photos, len(content)
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    digest = hashlib.sha256(f"{text}\n{content}".encode()).hexdigest()[:24]
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": content, "refusal": None}}
    return {"id": f"chatcmpl-{digest}", "object": "chat.completion", "created": int(time.time()), "model": model, "choices": [choice], "usage": usage}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    annotator: BuiltinAnnotator


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._allowed("/v1/models"):
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "dishvl"}
            self._reply(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        body = self._body()
        if body is None or not self._allowed("/v1/chat/completions"):
            return
        try:
            reply = self.server.annotator.complete(json.loads(body))
        except (BadRequest, json.JSONDecodeError, UnicodeDecodeError) as error:
            self._refuse(400, "invalid_request_error", str(error))
            return
        time.sleep(self.server.annotator.latency_s)
        self._reply(200, reply)

    def _body(self) -> bytes | None:
        """The request's body; read before any refusal, or the client would see a broken connection."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._refuse(400, "invalid_request_error", f"Content-Length must be a number of at most {MAX_BODY} bytes")
            return None
        return self.rfile.read(int(length))

    def _allowed(self, path: str) -> bool:
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            self._refuse(401, "invalid_api_key", "give an API key: Authorization: Bearer ANYTHING")
        elif self.path.split("?")[0].rstrip("/") != path:
            self._refuse(404, "not_found", f"there is no {self.command} {self.path} here")
        else:
            return True
        return False

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._reply(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})

    def _reply(self, status: int, value: dict) -> None:
        data = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """A notebook's output is no place for an access log."""
