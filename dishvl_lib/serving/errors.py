"""Failures of the service, and the one form in which all of them are answered."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dishvl_lib.core.images import ImageError
from dishvl_lib.core.types import Record

RETRY_AFTER_S = 1
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "bad_value",
}
UNFORESEEN = "the service failed; its log has the reason under this request id"


class ServiceError(Exception):
    """A request that is not answered as it was meant. `code`: one of a few fixed words; `details`:
    what else stands beside the message.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Record | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.details = details or {}


def busy(message: str) -> ServiceError:
    """503: the same request may be answered a moment later."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ServiceError(503, "busy", message, headers=headers)


def bad_value(message: str) -> ServiceError:
    """422 for a field that cannot be used."""
    return ServiceError(422, CODES[422], message)


def of_image(error: ImageError, label: str = "the photo") -> ServiceError:
    """413 for a photo of too many pixels, 503 for one that does not fit into memory now, 422 for any
    other that cannot be read.
    """
    message = f"{label} is {error}"
    if error.reason == "too large":
        return ServiceError(413, CODES[413], message)
    if error.reason == "out of memory":
        return busy(message)
    details = {"reason": error.reason}
    return ServiceError(422, "bad_photo", message, details=details)


def response(error: ServiceError, request_id: str) -> JSONResponse:
    """`{"error": {"code", "message", "request_id", ...}}`."""
    said = {"code": error.code, "message": error.message, "request_id": request_id}
    content = {"error": {**said, **error.details}}
    return JSONResponse(content, error.status, headers=error.headers)


def handle_all(app: FastAPI) -> None:
    """Answer every failure within the app in this form."""
    app.add_exception_handler(ServiceError, _of_service)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unforeseen)


async def _of_service(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return response(error, request.state.request_id)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: unknown paths and methods, forms that are none."""
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path}: {error.detail}"
    refused = ServiceError(error.status_code, code, message, headers=error.headers)
    return response(refused, request.state.request_id)


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return response(bad_value(sentence_of(error.errors())), request.state.request_id)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    failed = ServiceError(500, "internal", UNFORESEEN)
    return response(failed, request.state.request_id)


def sentence_of(errors: object) -> str:
    """What pydantic found, in one sentence: each field with its fault."""
    faults = []
    for fault in errors if isinstance(errors, list | tuple) else ():
        field = ".".join(str(part) for part in fault["loc"]) or "the body"
        faults.append(f"{field}: {fault['msg']}")
    return "; ".join(faults)
