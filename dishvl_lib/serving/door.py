"""What every request passes first and every answer last: its id, the token, limits, counts."""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from dishvl_lib.serving import errors, limits
from dishvl_lib.serving.access import Access
from dishvl_lib.serving.errors import ServiceError
from dishvl_lib.serving.metrics import UNKNOWN_PATH, Metrics
from dishvl_lib.serving.request_body import Message, Receive, RequestBody

Send = Callable[[Message], Awaitable[None]]
ID_HEADER = b"x-request-id"
_USABLE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
log = logging.getLogger("dishvl.serving")


class Door:
    """An ASGI app around the service's."""

    def __init__(self, app: Any, access: Access, metrics: Metrics, max_open: int):
        self.app = app
        self._access = access
        self._metrics = metrics
        self._max_open = max_open
        self._n_open = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        self._n_open += 1
        self._metrics.open.set(self._n_open)
        try:
            await self._answer(request)
        finally:
            self._n_open -= 1
            self._metrics.open.set(self._n_open)
            self._metrics.count_request(*request.counted())

    async def _answer(self, request: "_Request") -> None:
        try:
            self._check(request)
            await self.app(request.scope, request.body.receive, request.send)
        except ServiceError as error:
            await request.refuse(error)
        except Exception:  # whatever it is: answered by the app, or never begun to be
            log.exception("request %s failed", request.id)
            await request.refuse(ServiceError(500, "internal", errors.UNFORESEEN))

    def _check(self, request: "_Request") -> None:
        self._access.check(request.path, request.headers)
        if self._n_open > self._max_open and request.path.startswith("/v1/"):
            raise errors.busy(f"{self._max_open} requests are open already; ask again in a moment")


class _Request:
    """A request with its answer under way."""

    def __init__(self, scope: Message, receive: Receive, send: Send):
        self.began_at = time.monotonic()
        self.scope = scope
        self.path: str = scope["path"]
        self.headers = dict(scope["headers"])
        self.id = _id_of(self.headers)
        self.body = RequestBody(receive, limits.max_body_bytes(self.path), self.headers)
        self.status = 0
        self._send = send
        scope.setdefault("state", {})["request_id"] = self.id

    async def send(self, message: Message) -> None:
        """The server's `send`, with the request's id among the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (ID_HEADER, self.id.encode("ascii"))]
            await self.body.drain()
        await self._send(message)

    async def refuse(self, error: ServiceError) -> None:
        """Answer with an error, unless an answer has begun."""
        if not self.status:
            answer = errors.response(error, self.id)
            await answer(self.scope, self.body.receive, self.send)

    def counted(self) -> tuple[str, str, int, float]:
        """(path of the route, method, status (499: the client had gone), seconds)."""
        route = self.scope.get("route")
        path = getattr(route, "path", UNKNOWN_PATH)
        method = self.scope["method"]
        known = method if method in METHODS else UNKNOWN_PATH
        return path, known, self.status or 499, time.monotonic() - self.began_at


def _id_of(headers: dict[bytes, bytes]) -> str:
    """The id that the client gave, where it can be written down; otherwise a new one."""
    given = headers.get(ID_HEADER, b"")
    if _USABLE_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
