"""Fills and masks: what needs a picture and gives one back."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from retouche.apps.server import schema, work
from retouche.apps.server.bodies import BodyRoute, forget
from retouche.apps.server.core import ALL_MEDIA, ERRORS, Here, Server, answer, picture_answer
from retouche.apps.server.jobs import Left
from retouche.apps.server.models import FillWorker
from retouche.apps.server.queue import Place
from retouche.apps.server.safety import Refused
from retouche.progress import ProgressCallback

NO_JOB = "no such job: it was never begun, or its picture has waited too long"

router = APIRouter(prefix="/api/v1", tags=["fill"], route_class=BodyRoute, default_response_class=Response)


@router.post(
    "/inpaint", responses=picture_answer("the filled picture, in the format of the one sent, metadata kept", *ALL_MEDIA)
)
async def inpaint(request: Request, asked: schema.Inpaint, server: Here) -> Response:
    """Fill the hole of a picture. Headers of the answer: X-Seed, X-Retouche-Strategy, X-Retouche-Seconds,
    X-Retouche-Report (JSON)."""

    result = await server.do(
        request, server.fill_workers, _act(server, asked), lambda place: server.admit(asked, place)
    )
    return answer(request, result)


def _act(server: Server, asked: schema.Inpaint) -> Callable[[FillWorker, ProgressCallback], work.Answer]:
    def act(worker: FillWorker, report_progress: ProgressCallback) -> work.Answer:
        offered = server.catalogue.resolve(asked.model)
        source = server.catalogue.source(offered)
        result, model = work.inpaint(server.reader, worker, asked, offered, source, report_progress)
        server.catalogue.learn(offered, model)
        return result

    return act


@router.post("/jobs", status_code=202, responses=ERRORS, response_class=JSONResponse)
async def start_job(request: Request, response: Response, asked: schema.Inpaint, server: Here) -> schema.JobStarted:
    """Fill the hole of a picture without waiting for it: the answer says where to ask and where to fetch."""
    forget(request)
    name = asked.job = asked.job or secrets.token_hex(16)

    async def fill(left: Left, admitted: Callable[[], None]) -> work.Answer:
        def admit(place: Place) -> None:
            server.admit(asked, place)
            admitted()

        return await server.have_done(left, server.fill_workers, _act(server, asked), admit)

    await server.jobs.start(name, fill)
    address = response.headers["Location"] = f"/api/v1/jobs/{name}"
    return schema.JobStarted(job=name, state=address, result=f"{address}/result")


@router.get(
    "/jobs/{name}/result",
    responses={
        202: {"model": schema.JobState, "description": "not ready yet"},
        **picture_answer("as of inpaint", *ALL_MEDIA),
    },
)
async def job_result(request: Request, name: str, server: Here) -> Response:
    """The picture of a job begun by POST /api/v1/jobs, for ten minutes after it is ready; why there is none, if it
    failed."""
    task = server.jobs.find(name)
    if task is None:
        raise Refused(404, NO_JOB)
    if task.done():
        return answer(request, await task)
    request.scope["retouche.log"]["quiet"] = True
    return JSONResponse(server.register.state(name).model_dump(), 202, {"Retry-After": "1"})


@router.delete("/jobs/{name}", status_code=204, responses=ERRORS)
async def end_job(name: str, server: Here) -> Response:
    """End a job begun by POST /api/v1/jobs, or forget its picture."""
    if not server.jobs.cancel(name):
        raise Refused(404, NO_JOB)
    return Response(status_code=204)


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
