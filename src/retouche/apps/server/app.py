"""The application: its addresses, how its errors read, the guard around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect

from retouche import __version__
from retouche.apps.server import (
    batch_routes,
    browser_routes,
    fill_routes,
    find_routes,
    folder_routes,
    model_routes,
    page_routes,
    schema,
)
from retouche.apps.server.bodies import paths_of_pictures
from retouche.apps.server.core import ALL_MEDIA, Server, Settings
from retouche.apps.server.delivery import Heads, Versions
from retouche.apps.server.in_browser import MEDIA, headers
from retouche.apps.server.page_routes import EDITOR, NO_ADDRESS
from retouche.apps.server.safety import CLIENT_LEFT, INTERNAL, App, Guard, Refused
from retouche.errors import RetoucheError

__all__ = ["EDITOR", "Settings", "create_app"]

ENDING_SECONDS = 4.0
"""How long an ending server waits for works that nobody waits for any more."""
LEAST_BYTES = 500
"""Shorter texts go as they are: compressed they would hardly be shorter."""


def create_app(server: Server) -> App:
    """The guarded application of a server."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.openapi()  # FastAPI prepares its routes at their first use: not in the middle of somebody's request
        yield
        server.jobs.close()
        server.batches.close()
        await run_in_threadpool(server.close, ENDING_SECONDS)

    app = FastAPI(
        title="Retouche",
        version=__version__,
        description="Fill holes in pictures. Nothing outside the hole changes.",
        docs_url=None,  # FastAPI's page loads its scripts from elsewhere; ours is in `pages`
        redoc_url=None,
        strict_content_type=False,
        lifespan=lifespan,
    )
    app.state.server = server
    for kind, handler in _ERRORS.items():
        app.add_exception_handler(kind, handler)
    api = (fill_routes, batch_routes, find_routes, model_routes, folder_routes)
    routers = [routes.router for routes in (*api, browser_routes, page_routes)]  # the last knows every address
    for router in routers:
        app.include_router(router)
    compressed = GZipMiddleware(Versions(app), LEAST_BYTES, 6, exclude_content_types=(*ALL_MEDIA, MEDIA))
    settings, large = server.settings, paths_of_pictures(routers)
    return Guard(
        Heads(compressed), settings.access, settings.max_bytes, settings.max_seconds, large, headers(settings.browser)
    )


# Errors -------------------------------------------------------------------------------------------------------------


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.why}, error.status, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": schema.one_line(error.errors())}, 422)


async def _unusable(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": " ".join(str(error).split())}, 422)


async def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: NO_ADDRESS, 405: "not by this method: see /docs"}
    return JSONResponse({"error": words.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _left(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the client has left"}, CLIENT_LEFT)


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": INTERNAL.format(type(error).__name__)}, 500)


_ERRORS = {
    Refused: _refused,
    RequestValidationError: _invalid,
    RetoucheError: _unusable,
    HTTPException: _unknown,
    ClientDisconnect: _left,
    Exception: _failed,
}
