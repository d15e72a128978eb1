"""The protocol of the local server: chat completions, files and batches over HTTP, whatever it is
that answers.
"""

import base64
import binascii
import errno
import hashlib
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from dishvl_lib.demo.batches import BadRequest, BatchDesk

MODEL = "dishvl-builtin"
MAX_BODY = 128 * 1024 * 1024  # bytes: a whole batch file
IMAGE_TOKENS = 255  # what a photo is charged as in the usage counts


class Answering(Protocol):
    """What the server needs to answer with."""

    latency_s: float
    desk: BatchDesk

    def complete(self, request: Any) -> dict: ...


def listen(port: int) -> "Server":
    """A server on this machine; 0 takes a free port. Raises OSError with the remedy when the port
    is in use.
    """
    try:
        return Server(("127.0.0.1", port), _Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            error.errno,
            f"port {port} is in use on 127.0.0.1; stop what listens there or give port 0 for "
            "a free one",
        ) from None


def read_messages(request: Any) -> tuple[str, list[bytes]]:
    """All text of a request, and its pictures' bytes."""
    messages = request.get("messages") if isinstance(request, dict) else None
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(message, dict) for message in messages)
    ):
        raise BadRequest("messages must be a list of objects with at least one entry")
    texts: list[str] = []
    photos: list[bytes] = []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, (str, list)):
            raise BadRequest("a message's content must be text or a list of parts")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            _read_part(part, texts, photos)
    return "\n".join(texts), photos


def _read_part(part: Any, texts: list[str], photos: list[bytes]) -> None:
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


def completion(model: str, text: str, n_photos: int, content: str) -> dict:
    """The body of a chat completion, with token counts that add up."""
    prompt = len(text) + IMAGE_TOKENS * n_photos
    answer = len(content)
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    digest = hashlib.sha256(f"{text}\n{content}".encode()).hexdigest()[:24]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "logprobs": None,
        "message": {"role": "assistant", "content": content, "refusal": None},
    }
    return {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


class Server(ThreadingHTTPServer):
    """The server of `listen`; `answering` is set before it serves."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    answering: Answering


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if not self._authorised():
            return
        parts, query = self._path()
        desk = self.server.answering.desk
        match parts:
            case ["models"]:
                model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "dishvl"}
                self._reply(200, {"object": "list", "data": [model]})
            case ["batches"]:
                self._reply(200, desk.page(query.get("after", ""), int(query.get("limit", 20))))
            case ["batches", batch_id]:
                self._answer(lambda: desk.show(batch_id))
            case ["files", file_id, "content"]:
                self._answer(lambda: desk.content(file_id))
            case _:
                self._unknown()

    def do_POST(self) -> None:
        body = self._body()
        if body is None or not self._authorised():
            return
        desk = self.server.answering.desk
        match self._path()[0]:
            case ["chat", "completions"]:
                self._answer(lambda: self._complete(body))
            case ["files"]:
                self._answer(lambda: desk.upload(self.headers.get("Content-Type", ""), body))
            case ["batches"]:
                self._answer(lambda: desk.create(json.loads(body)))
            case _:
                self._unknown()

    def _complete(self, body: bytes) -> dict:
        reply = self.server.answering.complete(json.loads(body))
        time.sleep(self.server.answering.latency_s)
        return reply

    def _answer(self, make: Callable[[], dict | bytes]) -> None:
        try:
            answer = make()
        except KeyError as error:
            self._refuse(404, "not_found", f"there is no {error} here")
        except (BadRequest, json.JSONDecodeError, UnicodeDecodeError) as error:
            self._refuse(400, "invalid_request_error", str(error))
        else:
            self._reply(200, answer)

    def _path(self) -> tuple[list[str], dict[str, str]]:
        """(parts after /v1/, query)."""
        url = urlsplit(self.path)
        start, *parts = url.path.strip("/").split("/")
        return parts if start == "v1" else [], {
            name: values[-1] for name, values in parse_qs(url.query).items()
        }

    def _body(self) -> bytes | None:
        """The request's body; read before any refusal, or the client would see a broken
        connection.
        """
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._refuse(
                400,
                "invalid_request_error",
                f"Content-Length must be a number of at most {MAX_BODY} bytes",
            )
            return None
        return self.rfile.read(int(length))

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "").startswith("Bearer ")
        if not given:
            self._refuse(401, "invalid_api_key", "give an API key: Authorization: Bearer ANYTHING")
        return given

    def _unknown(self) -> None:
        self._refuse(404, "not_found", f"there is no {self.command} {self.path} here")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._reply(
            status,
            {
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": code,
                }
            },
        )

    def _reply(self, status: int, value: dict | bytes) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """A notebook's output is no place for an access log."""
