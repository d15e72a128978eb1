"""A request's body while it arrives: not longer than its limit, not slower than patience allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dishvl_lib.serving import limits
from dishvl_lib.serving.errors import ServiceError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
# What is read and thrown away after a refusal: a client that is still sending when the connection
# closes loses the answer with it.
DRAINED_BYTES = 96 * limits.MIB
DRAINED_S = 10.0
DRAIN_PATIENCE_S = 1.0  # between two parts: whoever sends nothing loses nothing


class RequestBody:
    """Stands between the server and the app as the app's `receive`."""

    def __init__(self, receive: Receive, max_bytes: int, headers: dict[bytes, bytes]):
        self._receive = receive
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._declared = _number(headers.get(b"content-length", b"0"))
        has_body = self._declared > 0 or b"transfer-encoding" in headers
        self._ended = not has_body
        self._until = time.monotonic() + limits.BODY_S
        self._waits_for_leave = headers.get(b"expect", b"").lower() == b"100-continue"

    async def receive(self) -> Message:
        """The next part. Raises `ServiceError` 413 for a body over the limit, whatever length it
        declared, and 408 when nothing comes for BODY_PATIENCE_S or it takes longer than BODY_S.
        """
        if self._ended:
            return await self._receive()
        if self._declared > self._max_bytes:
            raise self._too_large()
        left = max(self._until - time.monotonic(), 0.001)
        patience = min(left, limits.BODY_PATIENCE_S)
        try:
            message = await asyncio.wait_for(self._receive(), patience)
        except TimeoutError:
            raise ServiceError(
                408,
                "too_slow",
                f"the body came too slowly (at most {limits.BODY_PATIENCE_S:.0f} s without a part "
                f"of it, {limits.BODY_S:.0f} s in all)",
            ) from None
        self._count(message)
        if self._n_bytes > self._max_bytes:
            raise self._too_large()
        return message

    async def drain(self) -> None:
        """Read what is left of a body that was refused, within bounds."""
        # A client that waits for leave to send has nothing under way.
        if self._waits_for_leave and not self._n_bytes:
            return
        until = time.monotonic() + DRAINED_S
        while not self._ended and self._n_bytes < DRAINED_BYTES:
            left = until - time.monotonic()
            try:
                patience = max(0.001, min(left, DRAIN_PATIENCE_S))
                message = await asyncio.wait_for(self._receive(), patience)
            except TimeoutError:
                return
            self._count(message)

    def _count(self, message: Message) -> None:
        if message["type"] != "http.request":
            self._ended = True
            return
        self._n_bytes += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)

    def _too_large(self) -> ServiceError:
        limit = self._max_bytes / limits.MIB
        return ServiceError(413, "too_large", f"the body is over the limit of {limit:.0f} MiB")


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
