"""`/v1/dishes`: the gallery's dishes, added and removed without training."""

import base64
from collections.abc import Sequence

from fastapi import APIRouter, Request

from dishvl_lib.core.types import Record, Records
from dishvl_lib.gallery import adding
from dishvl_lib.gallery.adding import Added
from dishvl_lib.gallery.doubts import Doubt, DoubtError
from dishvl_lib.gallery.gallery import Candidate, Gallery, GalleryError
from dishvl_lib.serving import forms, limits, openapi
from dishvl_lib.serving.errors import ServiceError
from dishvl_lib.serving.schemas import (
    AddedAnswer,
    DishAnswer,
    DishesAnswer,
    DishFields,
    LeftOutPhoto,
    RemovedAnswer,
    SimilarDish,
)
from dishvl_lib.serving.service import Service

router = APIRouter()
DISH = "/v1/dishes/{name:path}"
CONFIRM = "confirm"


@router.get("/v1/dishes", response_model=DishesAnswer, responses=openapi.errors(401, 404))
async def dishes(request: Request) -> DishesAnswer:
    """The dishes of the gallery, in the order in which they came."""
    service: Service = request.app.state.service
    return await service.keep(_listed, service)


@router.post(
    DISH,
    response_model=AddedAnswer,
    responses=openapi.errors(401, 404, 409, 413, 415, 422),
    openapi_extra=openapi.photo_body(DishFields, several=True),
)
async def add_dish(request: Request, name: str) -> AddedAnswer:
    """Register a dish by photos. What somebody should look at first is answered 409, unless
    `confirm` (a field, or in the address) is true.
    """
    service: Service = request.app.state.service
    sent = await forms.read(request, limits.MAX_DISH_PHOTOS)
    confirmed = request.query_params.get(CONFIRM)
    if confirmed is not None:
        sent.fields.setdefault(CONFIRM, confirmed)
    fields = sent.checked(DishFields)
    return await service.change(_add, service, name, sent.photos, fields.confirm)


@router.delete(DISH, response_model=RemovedAnswer, responses=openapi.errors(401, 404))
async def remove_dish(request: Request, name: str) -> RemovedAnswer:
    """Take a dish off the gallery."""
    service: Service = request.app.state.service
    return await service.change(_remove, service, name)


def _listed(service: Service) -> DishesAnswer:
    listed = []
    for dish in _current(service).dishes:
        listed.append(
            DishAnswer(
                name=dish.name,
                n_photos=dish.n_photos,
                trained=dish.trained,
                added_at=dish.added_at,
            )
        )
    return DishesAnswer(dishes=listed)


def _add(service: Service, name: str, photos: Sequence[bytes], is_confirmed: bool) -> AddedAnswer:
    _check_name(name)
    gallery = _changeable(service)
    try:
        candidate = gallery.look(name, photos)
    except GalleryError as error:
        raise ServiceError(422, "bad_dish", str(error)) from None
    try:
        added = adding.register(gallery, candidate, yes=is_confirmed)
    except DoubtError as error:
        raise _look_first(gallery, candidate, error.doubts) from None
    service.model.refresh()
    return _added(added)


def _remove(service: Service, name: str) -> RemovedAnswer:
    _check_name(name)
    gallery = _changeable(service)
    try:
        n_photos = gallery.remove(name)
    except GalleryError:
        message = f"the gallery has no dish called {name}; GET /v1/dishes lists them"
        raise ServiceError(404, "unknown_dish", message) from None
    service.model.refresh()
    return RemovedAnswer(name=name, n_photos=n_photos)


def _check_name(name: str) -> None:
    if len(name) > limits.MAX_NAME_CHARACTERS:
        message = f"a dish's name has at most {limits.MAX_NAME_CHARACTERS} characters"
        raise ServiceError(422, "bad_dish", message)


def _changeable(service: Service) -> Gallery:
    _current(service)
    return service.model.changeable()


def _current(service: Service) -> Gallery:
    """The gallery that answers. Raises `ServiceError` 404 where there is none."""
    model = service.model
    if not model.use_gallery:
        message = "the service was started without its gallery (--no-gallery)"
        raise ServiceError(404, "no_gallery", message)
    model.answers()  # one that has come or gone since is seen
    if model.gallery is None:
        message = f"this model has no gallery. {adding.HOW_TO_GET_ONE}"
        raise ServiceError(404, "no_gallery", message)
    return model.gallery


def _look_first(gallery: Gallery, candidate: Candidate, doubts: Sequence[Doubt]) -> ServiceError:
    """409 with each doubt, the picture of the dish that it is about, and what was seen beside."""
    seen: Records = []
    for doubt in doubts:
        picture = _data_url(gallery.picture(doubt.dish))
        number = None if doubt.photo is None else doubt.photo + 1
        seen.append({"kind": doubt.kind, "dish": doubt.dish, "message": doubt.sentence})
        seen[-1] |= {"photo": number, "picture": picture}
    sentences = "; ".join(doubt.sentence for doubt in doubts)
    message = (
        f"{candidate.name} was not added: {sentences}. With confirm=true it is added all the same"
    )
    details: Record = {
        "doubts": seen,
        "closest": [similar.model_dump() for similar in _closest(candidate)],
        "left_out": [photo.model_dump() for photo in _left_out(candidate)],
    }
    return ServiceError(409, "look_first", message, details=details)


def _added(added: Added) -> AddedAnswer:
    return AddedAnswer(
        name=added.candidate.name,
        n_added=added.n_added,
        n_photos=added.n_photos,
        left_out=_left_out(added.candidate),
        closest=_closest(added.candidate),
    )


def _closest(candidate: Candidate) -> list[SimilarDish]:
    return [SimilarDish(dish=name, cosine=cosine) for name, cosine in candidate.closest]


def _left_out(candidate: Candidate) -> list[LeftOutPhoto]:
    return [LeftOutPhoto(photo=photo.label, reason=photo.reason) for photo in candidate.left_out]


def _data_url(picture: bytes | None) -> str | None:
    if picture is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
