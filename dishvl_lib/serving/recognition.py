"""`POST /v1/recognise`."""

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request

from dishvl_lib.serving import forms, menus, openapi
from dishvl_lib.serving.errors import ServiceError, bad_value
from dishvl_lib.serving.schemas import (
    ChoiceAnswer,
    EntryAnswer,
    RecogniseFields,
    RecognitionAnswer,
    TrayAnswer,
    TrayDishAnswer,
)
from dishvl_lib.serving.service import Service
from dishvl_lib.trays import Tray, Trays
from dishvl_lib.vlm.answers import Choice
from dishvl_lib.vlm.photo_questions import PhotoQuestions

NAMING = "naming-1"
router = APIRouter()


@router.post(
    "/v1/recognise",
    response_model=RecognitionAnswer,
    responses=openapi.errors(401, 404, 413, 415, 422, 503),
    openapi_extra=openapi.photo_body(RecogniseFields),
)
async def recognise(request: Request) -> RecognitionAnswer:
    """Name the dish of a photo, or choose from a site's menu or one that is given; with `detect`,
    choose for every dish on a tray.
    """
    service: Service = request.app.state.service
    sent = await forms.read(request)
    began_at = time.monotonic()
    photo = sent.photo()
    fields = sent.checked(RecogniseFields)
    trays = _trays(service, fields) if fields.detect else None
    questions = await service.keep(_questions, service, fields)
    name = choice = tray = None
    if trays is not None:
        answered = await service.recognise_tray(trays, photo, questions)
        tray = _tray(answered, trays, questions)
    else:
        recognition = await service.recognise(photo, questions)
        name = recognition.name
        choice = _choice(recognition.choices[0], questions) if questions.menus else None
    return RecognitionAnswer(
        request_id=request.state.request_id,
        name=name,
        choice=choice,
        tray=tray,
        site=fields.site,
        seconds=round(time.monotonic() - began_at, 4),
    )


def _trays(service: Service, fields: RecogniseFields) -> Trays:
    """What answers whole trays. Raises `ServiceError`."""
    if service.trays is None:
        message = (
            "this service has no detector, so it answers photos of one dish only; start it with "
            "dishvl serve --detector FILE for detect"
        )
        raise ServiceError(404, "no_detector", message)
    if fields.site is None and fields.menu is None:
        raise bad_value("detect: a tray's dishes are chosen from a menu; give site or menu")
    if fields.naming:
        raise bad_value("naming: with detect dishes are chosen from the menu only; leave it out")
    return service.trays


def _questions(service: Service, fields: RecogniseFields) -> PhotoQuestions:
    """What is asked about the photo. Raises `ServiceError`."""
    menu = _menu(service, fields)
    is_named = menu is None if fields.naming is None else fields.naming
    if menu is None and not is_named:
        raise bad_value("nothing is asked: give site or menu, or naming")
    try:
        return PhotoQuestions(
            [] if menu is None else [menu],
            naming=NAMING if is_named else "",
            top_k=fields.top_k,
        )
    except ValueError as error:
        raise ServiceError(422, "bad_menu", str(error)) from None


def _menu(service: Service, fields: RecogniseFields) -> Sequence[str] | None:
    """The entries as they are written; None where no menu is asked about."""
    if fields.site is not None and fields.menu is not None:
        raise bad_value("give site or menu, not both")
    if fields.site is not None:
        return service.menus.get(fields.site).written
    if fields.menu is None:
        return None
    entries = forms.entries_of(fields.menu)
    menus.check_entries(entries)
    return entries


def _tray(tray: Tray, trays: Trays, questions: PhotoQuestions) -> TrayAnswer:
    dishes = []
    for dish in tray.dishes:
        answer = TrayDishAnswer(
            box=dish.box,
            score=dish.score,
            choice=_choice(dish.choice, questions),
            review=list(dish.review),
        )
        dishes.append(answer)
    return TrayAnswer(
        dishes=dishes,
        review=list(tray.review),
        size=tray.size,
        margin_is_proved=trays.is_proved,
    )


def _choice(choice: Choice, questions: PhotoQuestions) -> ChoiceAnswer:
    name_of = dict(zip(questions.menus[0], questions.read[0], strict=True))
    entries = []
    for entry, probability in choice.entries:
        entries.append(EntryAnswer(entry=entry, name=name_of[entry], probability=probability))
    return ChoiceAnswer(
        answer=choice.answer,
        on_menu=choice.on_menu,
        threshold=choice.threshold,
        entries=entries,
        remark=choice.remark,
    )
