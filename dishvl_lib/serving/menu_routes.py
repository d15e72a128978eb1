"""`/v1/menus`."""

from fastapi import APIRouter, Request, Response

from dishvl_lib.serving import forms, openapi
from dishvl_lib.serving.menus import Menu
from dishvl_lib.serving.schemas import SitesAnswer
from dishvl_lib.serving.service import Service

router = APIRouter()
SITE = "/v1/menus/{site}"


@router.get("/v1/menus", response_model=SitesAnswer, responses=openapi.errors(401))
async def sites(request: Request) -> SitesAnswer:
    """The sites that have a menu."""
    service: Service = request.app.state.service
    return SitesAnswer(sites=await service.keep(service.menus.sites))


@router.get(SITE, response_model=Menu, responses=openapi.errors(401, 404, 422))
async def get_menu(request: Request, site: str) -> Menu:
    """A site's menu."""
    service: Service = request.app.state.service
    return await service.keep(service.menus.get, site)


@router.put(
    SITE,
    response_model=Menu,
    responses=openapi.errors(401, 413, 422),
    openapi_extra=openapi.menu_body(),
)
async def put_menu(request: Request, site: str) -> Menu:
    """Keep a site's menu in the place of the one before: JSON, or text with an entry a line."""
    service: Service = request.app.state.service
    entries = await forms.read_menu(request)
    return await service.keep(service.menus.put, site, entries)


@router.delete(SITE, status_code=204, responses=openapi.errors(401, 404, 422))
async def delete_menu(request: Request, site: str) -> Response:
    """Forget a site's menu."""
    service: Service = request.app.state.service
    await service.keep(service.menus.remove, site)
    return Response(status_code=204)
