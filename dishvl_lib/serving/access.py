"""Who may ask: with a token whoever has it, without one this machine alone."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from dishvl_lib.serving.errors import ServiceError

TOKEN_VARIABLE = "DISHVL_TOKEN"
OPEN_PATHS = ("/", "/openapi.json", "/health", "/health/live", "/health/ready")
OPEN_FOLDER = "/static/"
LOCAL_NAME = "localhost"


class Access:
    """`token`: '' for a service that only this machine reaches."""

    def __init__(self, token: str = ""):
        self._token = token.encode("utf-8")

    def check(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Raises `ServiceError` 401 or 403 for a request that may not be answered."""
        if not self._token:
            _check_local(headers)
        elif path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
            self._check_token(headers.get(b"authorization", b""))

    def _check_token(self, authorization: bytes) -> None:
        scheme, _, given = authorization.partition(b" ")
        is_right = hmac.compare_digest(given.strip(), self._token)
        if scheme.lower() != b"bearer" or not is_right:
            raise ServiceError(
                401,
                "unauthorized",
                "give the service's token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )


def is_loopback(host: str) -> bool:
    """Whether an address to listen at is reached from this machine alone."""
    if host == LOCAL_NAME:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_local(headers: dict[bytes, bytes]) -> None:
    """Without a token a page of another site, open in a browser on this machine, must not reach the
    service: neither under a name of its own that leads here nor by a form.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    name = _host_name(f"//{host}")
    if not is_loopback(name):
        raise ServiceError(
            403,
            "forbidden",
            f"without a token the service answers under {LOCAL_NAME} only, not as {name!r}; "
            f"set {TOKEN_VARIABLE} to serve other names",
        )
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
        raise ServiceError(403, "forbidden", "a page of another site may not ask this service")


def _host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
