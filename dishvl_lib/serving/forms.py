"""What a request sends: photos and fields, as a form (multipart) or as JSON with data URLs."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from dishvl_lib.core import given_tables, menu_entries
from dishvl_lib.core.records import RecordError
from dishvl_lib.core.types import Record
from dishvl_lib.serving import errors, limits
from dishvl_lib.serving.errors import ServiceError, bad_value

FORM = "multipart/form-data"
JSON = "application/json"
PHOTO_FIELDS = ("photo", "photos")
MAX_FIELDS = 20
_DATA_URL = re.compile(r"data:[\w.+/;=-]*;base64,", re.ASCII)
Fields = TypeVar("Fields", bound=BaseModel)


@dataclass(frozen=True)
class Sent:
    """`photos`: bytes of each; `fields`: everything else, as it came."""

    photos: Sequence[bytes]
    fields: Record

    def photo(self) -> bytes:
        """The only photo. Raises `ServiceError` 422 for none and for several."""
        if len(self.photos) != 1:
            raise bad_value(f"photo: give one photo, not {len(self.photos)}")
        return self.photos[0]

    def checked(self, form: type[Fields]) -> Fields:
        """The fields as `form` declares them. Raises `ServiceError` 422."""
        try:
            return form.model_validate(self.fields)
        except ValidationError as error:
            raise bad_value(errors.sentence_of(error.errors())) from None


async def read(request: Request, max_photos: int = 1) -> Sent:
    """Photos and fields of a request. Raises `ServiceError` 413, 415 or 422."""
    kind = _media_type(request)
    if kind == FORM:
        return await _read_form(request, max_photos)
    if kind == JSON:
        body = await _body(request)
        # Megabytes of base64 take a while: other requests go on meanwhile.
        return await asyncio.to_thread(_of_json, body, max_photos)
    raise ServiceError(415, errors.CODES[415], f"send {FORM} or {JSON}, not {kind or 'nothing'}")


async def read_menu(request: Request) -> list[str]:
    """A menu that is the whole body: JSON {"entries": [...]}, or text with an entry a line.

    Raises `ServiceError` 422.
    """
    body = await _body(request)
    if _media_type(request) == JSON:
        return entries_of(_object_of(body))
    try:
        text = given_tables.decoded(body, Path("the menu"))
    except RecordError as error:
        raise ServiceError(422, "bad_menu", str(error)) from None
    return menu_entries.of_text(text)


def entries_of(menu: object) -> list[str]:
    """The entries of a menu as people send one: {"entries": [...]}, a list, or text.

    Raises `ServiceError` 422.
    """
    if isinstance(menu, str):
        if not menu.lstrip().startswith(("{", "[")):
            return menu_entries.of_text(menu)
        try:
            menu = json.loads(menu)
        except (ValueError, RecursionError):
            return menu_entries.of_text(str(menu))
    entries = menu.get("entries") if isinstance(menu, dict) else menu
    if not isinstance(entries, list):
        raise ServiceError(422, "bad_menu", 'a menu is {"entries": ["...", ...]}, or text')
    for place, entry in enumerate(entries, start=1):
        if not isinstance(entry, str):
            raise ServiceError(
                422, "bad_menu", f"menu entry {place} is {type(entry).__name__}, not a text"
            )
    return entries


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise gone() from None


def gone() -> ServiceError:
    """For a client that went before its request was complete: nobody reads the answer."""
    return ServiceError(400, errors.CODES[400], "the body ended before it was complete")


async def _read_form(request: Request, max_photos: int) -> Sent:
    photos: list[bytes] = []
    fields: Record = {}
    try:
        form = request.form(
            max_files=max_photos, max_fields=MAX_FIELDS, max_part_size=limits.MAX_OTHER_BODY_BYTES
        )
        async with form as parts:
            for name, part in parts.multi_items():
                if isinstance(part, UploadFile):
                    _check_name(name)
                    _check_size(part.size or 0, len(photos))
                    photos.append(await part.read())
                else:
                    fields[name] = part
    except ClientDisconnect:
        raise gone() from None
    return Sent(photos, fields)


def _object_of(body: bytes) -> Record:
    """A body that is a JSON object. Raises `ServiceError` 422."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_value(f"the body is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise bad_value(f"the body must be a JSON object, it is {type(content).__name__}")
    return content


def _of_json(body: bytes, max_photos: int) -> Sent:
    content = _object_of(body)
    urls: list[Any] = []
    for name in PHOTO_FIELDS:
        given = content.pop(name, [])
        urls += given if isinstance(given, list) else [given]
    if len(urls) > max_photos:
        raise bad_value(f"give at most {max_photos} photos, not {len(urls)}")
    photos: list[bytes] = []
    for url in urls:
        photo = _of_data_url(url)
        _check_size(len(photo), len(photos))
        photos.append(photo)
    return Sent(photos, content)


def _of_data_url(url: object) -> bytes:
    match = _DATA_URL.match(url) if isinstance(url, str) else None
    if match is None or not isinstance(url, str):
        raise bad_value("photo: give a data URL (data:image/jpeg;base64,...)")
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except binascii.Error as error:
        raise bad_value(f"photo: the data URL is not base64 ({error})") from None


def _check_name(name: str) -> None:
    if name not in PHOTO_FIELDS:
        raise bad_value(f"{name!r} is a file; photos are sent as {' or '.join(PHOTO_FIELDS)}")


def _check_size(n_bytes: int, n_before: int) -> None:
    if n_bytes > limits.MAX_PHOTO_BYTES:
        limit = limits.MAX_PHOTO_BYTES // limits.MIB
        message = f"photo {n_before + 1} is over the limit of {limit} MiB"
        raise ServiceError(413, errors.CODES[413], message)
