"""What the service says of itself: `/v1/model`, `/health`, `/metrics`."""

from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from dishvl_lib.core import images
from dishvl_lib.core.types import Record
from dishvl_lib.serving import errors, limits, openapi
from dishvl_lib.serving.schemas import DetectorState, GalleryState, HealthAnswer, ModelAnswer
from dishvl_lib.serving.served_model import ServedModel
from dishvl_lib.serving.service import Service
from dishvl_lib.trays import Trays
from dishvl_lib.vlm.recognizer import model_fingerprint

router = APIRouter()
NOT_READY = "the service is ending, or its model has stopped; see its log"


@router.get("/v1/model", response_model=ModelAnswer, responses=openapi.errors(401))
async def model(request: Request) -> ModelAnswer:
    """Which model answers, how it reads photos, and by which thresholds it refuses."""
    service: Service = request.app.state.service
    return await service.keep(_described, service)


@router.get("/health/live", response_model=HealthAnswer)
async def live() -> HealthAnswer:
    """Whether the process answers at all."""
    return HealthAnswer(status="live")


@router.get("/health", response_model=HealthAnswer, responses=openapi.errors(503))
@router.get("/health/ready", response_model=HealthAnswer, responses=openapi.errors(503))
async def ready(request: Request) -> HealthAnswer:
    """Whether photos are taken."""
    service: Service = request.app.state.service
    if not service.batcher.is_taking:
        raise errors.busy(NOT_READY)
    return HealthAnswer(status="ready")


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **openapi.errors(401)})
async def metrics(request: Request) -> Response:
    """Counters in Prometheus' text format."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _described(service: Service) -> ModelAnswer:
    served = service.model
    qwen = served.recognizer.qwen
    described = served.recognizer.metadata
    size = qwen.image_processor.size
    return ModelAnswer(
        model=_name_of(Path(qwen.folder)),
        fingerprint=model_fingerprint(qwen.folder),
        input_fingerprint=described.get("input_fingerprint", ""),
        min_pixels=size["shortest_edge"],
        max_pixels=size["longest_edge"],
        temperature=described.get("temperature", 1.0),
        off_menu_threshold=described.get("off_menu_threshold", 0.0),
        on_menu=described.get("on_menu"),
        device=str(qwen.model.device),
        dtype=str(qwen.model.dtype).removeprefix("torch."),
        gallery=_gallery_state(served),
        detector=_detector_state(service.trays),
        limits=_limits_of(service),
        version=metadata.version("dishvl"),
    )


def _name_of(folder: Path) -> str:
    """The last parts of the folder's path; where it lies on this machine is nobody's business."""
    return "/".join(folder.absolute().parts[-3:])


def _gallery_state(served: ServedModel) -> GalleryState | None:
    served.answers()  # as a photo would be answered now
    gallery = served.gallery
    if gallery is None:
        return None
    return GalleryState(n_dishes=len(gallery), revision=gallery.manifest.revision)


def _detector_state(trays: Trays | None) -> DetectorState | None:
    if trays is None:
        return None
    return DetectorState(
        sha256=trays.detector.sha256,
        names=list(trays.detector.names),
        threshold=trays.detector.threshold,
        crop_margin=trays.crop_margin,
        margin_is_proved=trays.is_proved,
    )


def _limits_of(service: Service) -> Record:
    return {
        **asdict(service.limits),
        "max_photo_bytes": limits.MAX_PHOTO_BYTES,
        "max_photo_pixels": images.MAX_IMAGE_PIXELS,
        "max_menu_entries": limits.MAX_MENU_ENTRIES,
        "max_tray_dishes": limits.MAX_TRAY_DISHES,
        "max_dish_photos": limits.MAX_DISH_PHOTOS,
    }
