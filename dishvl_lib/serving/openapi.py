"""What FastAPI cannot see by itself of bodies that are read by hand, for `/openapi.json`."""

from typing import Any

from pydantic import BaseModel

from dishvl_lib.core.types import Record
from dishvl_lib.serving import forms
from dishvl_lib.serving.schemas import ErrorAnswer, MenuBody

Responses = dict[int | str, dict[str, Any]]
MEANINGS = {
    401: "no token, or a wrong one",
    404: "there is none of this name",
    409: "somebody should look first",
    413: "over a limit of bytes or pixels",
    415: "neither a form nor JSON",
    422: "a photo, menu or field that cannot be used, with the reason",
    503: "the queue is full; Retry-After says when to ask again",
}


def errors(*statuses: int) -> Responses:
    """The failures of a route."""
    return {status: {"model": ErrorAnswer, "description": MEANINGS[status]} for status in statuses}


def photo_body(fields: type[BaseModel], several: bool = False) -> Record:
    """A body of `fields` with a photo, or several, as a form or as JSON."""
    in_form = _with_photos(fields, {"type": "string", "format": "binary"}, several)
    in_json = _with_photos(fields, {"type": "string", "description": "a data URL"}, several)
    content = {forms.FORM: {"schema": in_form}, forms.JSON: {"schema": in_json}}
    return {"requestBody": {"required": True, "content": content}}


def menu_body() -> Record:
    """A menu as JSON or as text."""
    text = {"type": "string", "description": "an entry a line"}
    as_json = {"schema": MenuBody.model_json_schema()}
    content = {forms.JSON: as_json, "text/plain": {"schema": text}}
    return {"requestBody": {"required": True, "content": content}}


def _with_photos(fields: type[BaseModel], photo: Record, several: bool) -> Record:
    schema = fields.model_json_schema()
    name = "photos" if several else "photo"
    photos = {"type": "array", "items": photo} if several else photo
    required = [name, *schema.get("required", [])]
    properties = {name: photos, **schema["properties"]}
    return {**schema, "properties": properties, "required": required}
