"""The files with which the page fills by itself: exported networks, and ONNX Runtime Web."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from retouche.apps.server.core import Here
from retouche.apps.server.in_browser import MEDIA, MODELS_PATH, RUNTIME_PATH, runtime_file
from retouche.apps.server.page_routes import NO_ADDRESS, STATIC_TYPES
from retouche.apps.server.safety import Refused

router = APIRouter()


@router.get(f"{RUNTIME_PATH}/{{name}}", include_in_schema=False)
def runtime(name: str, server: Here) -> Response:
    page = server.settings.browser
    file = None if page is None else runtime_file(page, name)
    if file is None or not file.is_file():
        raise Refused(404, NO_ADDRESS)
    return FileResponse(file, media_type=STATIC_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})


@router.get(f"{MODELS_PATH}/{{sha256}}.onnx", include_in_schema=False)
def network(sha256: str, server: Here) -> Response:
    page = server.settings.browser
    found = next((model for model in page.models if model.sha256 == sha256), None) if page is not None else None
    if found is None or not found.path.is_file():
        raise Refused(404, NO_ADDRESS)
    return FileResponse(found.path, media_type=MEDIA)
