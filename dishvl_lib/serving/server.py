"""Listening at an address, until somebody ends it."""

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from dishvl_lib.serving import access
from dishvl_lib.serving.door import Door

KEEP_ALIVE_S = 30
BACKLOG = 512
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@dataclass(frozen=True)
class Address:
    """`port` 0: any that is free."""

    host: str
    port: int


def check_reach(host: str, token: str) -> str:
    """A warning for an address that other machines reach, '' for any other.

    Raises RuntimeError for such an address without a token.
    """
    if access.is_loopback(host):
        return ""
    variable = access.TOKEN_VARIABLE
    if not token:
        raise RuntimeError(
            f"--host {host} lets other machines reach the service, which needs a token: set the "
            f"environment variable {variable} (openssl rand -hex 32 makes one), or leave --host away"
        )
    return (
        f"warning: other machines reach {host}; whoever has {variable} may use the service, and "
        "photos and the token travel unencrypted: put a proxy with https before it"
    )


def listening(address: Address) -> socket.socket:
    """A socket bound to an address, which is taken from then on. Raises RuntimeError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Said by name, the protocol lets asyncio send small answers at once (TCP_NODELAY): without it
    # each takes 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise RuntimeError(
            f"cannot listen at {address.host}, port {address.port} ({error.strerror}); give "
            "another --port or --host"
        ) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """`http://HOST:PORT` of a bound socket."""
    host, port = bound.getsockname()[:2]
    is_v6 = ipaddress.ip_address(host).version == 6
    return f"http://[{host}]:{port}" if is_v6 else f"http://{host}:{port}"


def serve(app: Door, bound: socket.socket, on_listening: Callable[[], None]) -> bool:
    """Answer requests until SIGTERM or Ctrl-C; those that were accepted are answered first, which is
    returned: a second Ctrl-C ends it at once.
    """
    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = _Server(config, on_listening)
    with _ended_by_signal():
        server.run(sockets=[bound])
    return not server.force_exit


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]):
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more when all is done: that must not look like a
    failure.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda *_: None) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
