"""`POST /v1/corrections`."""

from fastapi import APIRouter, Request

from dishvl_lib.serving import forms, openapi
from dishvl_lib.serving.corrections import Correction
from dishvl_lib.serving.schemas import CorrectionAnswer, CorrectionFields
from dishvl_lib.serving.service import Service

router = APIRouter()


@router.post(
    "/v1/corrections",
    response_model=CorrectionAnswer,
    status_code=201,
    responses=openapi.errors(401, 413, 415, 422),
    openapi_extra=openapi.photo_body(CorrectionFields),
)
async def correct(request: Request) -> CorrectionAnswer:
    """Keep a photo under its right dish, to be added to the gallery or trained on later."""
    service: Service = request.app.state.service
    sent = await forms.read(request)
    fields = sent.checked(CorrectionFields)
    correction = Correction(sent.photo(), fields.right_dish, fields.answer, fields.site)
    photo = await service.keep(service.corrections.add, correction)
    return CorrectionAnswer(photo=photo.as_posix(), right_dish=photo.parent.name)
