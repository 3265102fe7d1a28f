"""Fills and masks: what needs a picture and gives one back."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from retouche.apps.server import schema, work
from retouche.apps.server.bodies import BodyRoute
from retouche.apps.server.core import ALL_MEDIA, ERRORS, Here, answer, picture_answer
from retouche.apps.server.models import Bench
from retouche.progress import Hear

router = APIRouter(prefix="/api/v1", tags=["fill"], route_class=BodyRoute, default_response_class=Response)


@router.post(
    "/inpaint", responses=picture_answer("the filled picture, in the format of the one sent, metadata kept", *ALL_MEDIA)
)
async def inpaint(request: Request, asked: schema.Inpaint, server: Here) -> Response:
    """Fill the hole of a picture. Headers of the answer: X-Seed, X-Retouche-Strategy, X-Retouche-Seconds,
    X-Retouche-Report (JSON)."""

    def act(bench: Bench, tell: Hear) -> work.Answer:
        offered = server.catalogue.resolve(asked.model)
        source = server.catalogue.source(offered)
        made, model = work.inpaint(server.desk, bench, asked, offered, source, tell)
        server.catalogue.learn(offered, model)
        return made

    return answer(request, await server.do(request, server.fillers, act, lambda place: server.admit(asked, place)))


@router.get("/jobs/{name}", responses={401: ERRORS[401]}, response_class=JSONResponse)
async def job(request: Request, name: str, server: Here) -> schema.JobState:
    """How far a fill is whose request named itself by the field `job`."""
    request.scope["retouche.log"]["quiet"] = True  # asked twice a second: not for the log
    return server.register.state(name)


@router.post("/adjust_mask", responses=picture_answer("white and opaque where the hole is, else clear", "image/png"))
async def adjust_mask(request: Request, asked: schema.AdjustMask, server: Here) -> Response:
    """Grow, shrink or invert a mask."""
    return answer(request, await server.read(request, work.adjust_mask, asked))


@router.post("/view", responses=picture_answer("the picture upright, 8 bit", "image/png"))
async def view(request: Request, asked: schema.View, server: Here) -> Response:
    """Show a picture of any format read here (TIFF, 16 bit, CMYK) as a PNG for browsers."""
    return answer(request, await server.read(request, work.view, asked))
