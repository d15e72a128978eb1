"""The service as an ASGI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

from fastapi import FastAPI

from dishvl_lib.serving import (
    correction_routes,
    dish_routes,
    errors,
    menu_routes,
    page_routes,
    recognition,
    state_routes,
)
from dishvl_lib.serving.access import Access
from dishvl_lib.serving.door import Door
from dishvl_lib.serving.service import Service

ROUTES = (recognition, menu_routes, dish_routes, correction_routes, state_routes, page_routes)
ABOUT = "Names dishes and chooses from menus. Every failure is answered as ErrorAnswer."


def build(service: Service, token: str = "") -> Door:
    """The app of a service; `token`: '' for one that only this machine reaches."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    app = FastAPI(
        title="DishVL",
        version=metadata.version("dishvl"),
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from the internet
        redoc_url=None,
        telemetry={"auto_configure": False},  # nothing is sent anywhere, whatever OTEL_* says
    )
    app.state.service = service
    for routes in ROUTES:
        app.include_router(routes.router)
    errors.handle_all(app)
    return Door(app, Access(token), service.metrics, service.limits.max_open)
