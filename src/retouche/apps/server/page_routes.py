"""The pages: the editor, the form that asks for the token, the documentation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from retouche.apps.server import files, pages
from retouche.apps.server.core import Here
from retouche.apps.server.safety import COOKIE, WRONG_TOKEN_SECONDS, Refused

EDITOR = Path(__file__).parents[1] / "editor"
STATIC_TYPES = {
    ".html": pages.HTML,
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
NO_ADDRESS = "no such address: /docs lists those there are"

router = APIRouter()


@router.get("/health", tags=["server"])
async def health(server: Here) -> dict[str, Any]:
    """That the server is there, and how many requests it has in hand."""
    return {"status": "ok", "busy": server.fill_workers.places, "limit": server.fill_workers.limit}


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> Response:
    return HTMLResponse(pages.docs(request.app.openapi()))


@router.get(pages.STYLE_PATH, include_in_schema=False)
def style() -> Response:
    return Response(pages.STYLE, media_type=STATIC_TYPES[".css"], headers={"Cache-Control": "max-age=3600"})


@router.get("/token", include_in_schema=False)
def token_form(server: Here) -> Response:
    return HTMLResponse(pages.token_form()) if server.settings.access.token is not None else RedirectResponse("/", 303)


@router.post("/token", include_in_schema=False)
async def token(request: Request, server: Here) -> Response:
    access = server.settings.access
    given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
    if access.token is not None and not access.is_token(given.encode()):
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        return HTMLResponse(pages.token_form(wrong=True), 401)
    answer = RedirectResponse("/", 303)
    if access.token is not None:
        answer.set_cookie(COOKIE, access.cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


@router.get("/{path:path}", include_in_schema=False)
def editor(path: str) -> Response:
    try:
        file = files.below(EDITOR, path or "index.html")
    except files.Outside:
        raise Refused(404, NO_ADDRESS) from None
    kind = STATIC_TYPES.get(file.suffix.lower())
    if kind is None or not file.is_file():
        raise Refused(404, NO_ADDRESS)
    return FileResponse(file, media_type=kind, headers={"Cache-Control": "no-cache"})
