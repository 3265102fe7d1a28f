"""The operator's folders: pictures below --input, results below --output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from retouche.apps.server import files, schema, work
from retouche.apps.server.bodies import BodyRoute
from retouche.apps.server.core import ALL_MEDIA, ERRORS, NO_PICTURE, Here, Server, answer, picture_answer
from retouche.apps.server.safety import Refused

router = APIRouter(prefix="/api/v1", tags=["files"], route_class=BodyRoute)


def _input(server: Server) -> Path:
    if server.settings.input is None or server.settings.input.is_file():
        raise Refused(404, "this server has no folder of pictures: start it with --input DIR")
    return server.settings.input


def _existing(server: Server, name: str) -> Path:
    """A picture below --input."""
    try:
        return files.existing(_input(server), name)
    except files.Outside:
        raise Refused(404, NO_PICTURE) from None


def _source(server: Server, asked: schema.Save | schema.Cut) -> Path | None:
    """The file below --input that a request names instead of sending one."""
    return None if asked.image is not None or asked.name is None else _existing(server, asked.name)


@router.get("/inputimage", responses=picture_answer("the file as it is", *ALL_MEDIA), response_class=Response)
def input_image(server: Here) -> Response:
    """The one picture that the server was started with by --input FILE, byte for byte."""
    path = server.settings.input
    if path is None or not path.is_file():
        raise Refused(404, "this server has no picture of its own: start it with --input FILE")
    return FileResponse(path, media_type=files.TYPES[path.suffix.lower()])


@router.get("/files", responses=ERRORS)
def listing(server: Here) -> dict[str, Any]:
    """The pictures below --input, in the order of their names."""
    return {"files": files.listing(_input(server))}


@router.get("/files/{name:path}", responses=picture_answer("the file as it is", *ALL_MEDIA), response_class=Response)
def read_file(name: str, server: Here) -> Response:
    """A picture below --input, byte for byte."""
    path = _existing(server, name)
    return FileResponse(path, media_type=files.TYPES[path.suffix.lower()])


@router.get(
    "/view/{name:path}", responses=picture_answer("the picture upright, 8 bit", "image/png"), response_class=Response
)
async def view_file(request: Request, name: str, server: Here) -> Response:
    """A picture below --input as a PNG for browsers."""
    await request.body()
    return answer(request, await server.read(request, work.view_file, _existing(server, name)))


@router.post(
    "/save",
    responses=picture_answer("the file, or {saved: [names]} where output was given", *ALL_MEDIA),
    response_class=Response,
)
async def save(request: Request, asked: schema.Save, server: Here) -> Response:
    """Put patches into a source file's own pixels: its format, depth, profile and metadata are kept. With
    `output`, write it below --output; else answer the file."""
    if asked.output is not None and server.settings.output is None:
        raise Refused(404, "this server saves no files: start it with --output DIR")
    output = None if asked.output is None else server.settings.output
    done = await server.read(request, work.save, asked, _source(server, asked), output)
    return answer(request, done) if isinstance(done, work.Answer) else JSONResponse({"saved": done})


@router.post(
    "/cut", responses=picture_answer("the part, in the source's own depth", "image/png"), response_class=Response
)
async def cut(request: Request, asked: schema.Cut, server: Here) -> Response:
    """Cut a part out of a source file, with patches put into it before: what browsers cannot do with 16 bits."""
    return answer(request, await server.read(request, work.cut, asked, _source(server, asked)))
