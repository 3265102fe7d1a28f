"""Batches: many pictures of the folder --input with one request."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from retouche.apps.server import schema, work
from retouche.apps.server.batches import Batch
from retouche.apps.server.bodies import BodyRoute, forget
from retouche.apps.server.core import ERRORS, Here
from retouche.apps.server.models import FillWorker
from retouche.apps.server.queue import Place
from retouche.apps.server.safety import Refused
from retouche.inference.report import Report
from retouche.progress import ProgressCallback

router = APIRouter(prefix="/api/v1/batches", tags=["files"], route_class=BodyRoute)


@router.post("", status_code=202, responses=ERRORS)
async def start_batch(request: Request, response: Response, asked: schema.Batch, server: Here) -> schema.BatchState:
    """Fill pictures below --input, one after another, and save them below --output under the same names. The answer
    is at once there; its Location reports how far the batch is."""
    forget(request)
    folders = server.settings.input, server.settings.output
    if folders[0] is None or folders[1] is None or not folders[0].is_dir():
        raise Refused(404, "a batch needs two folders: start the server with --input DIR and --output DIR")
    both = folders[0], folders[1]
    offered = server.catalogue.resolve(asked.model)
    source = server.catalogue.source(offered)

    async def fill(batch: Batch, row: schema.BatchPicture) -> None:
        def act(worker: FillWorker, report_progress: ProgressCallback) -> tuple[list[str], Report]:
            written, report, model = work.fill_file(
                server.reader, worker, asked, row.name, both, source, report_progress
            )
            server.catalogue.learn(offered, model)
            return written, report

        def admit(place: Place) -> None:
            server.suit(asked, place)
            batch.place = place

        row.saved, report = await server.have_done(batch.unwanted.wait, server.fill_workers, act, admit)
        row.strategy, row.hole, row.seconds = report.strategy, report.hole_ratio, round(report.seconds, 3)

    batch = server.batches.start(asked, fill)
    response.headers["Location"] = f"/api/v1/batches/{batch.name}"
    return batch.state()


@router.get("/{name}", responses=ERRORS)
async def batch_state(request: Request, name: str, server: Here) -> schema.BatchState:
    """How far a batch is, picture by picture."""
    request.scope["retouche.log"]["quiet"] = True
    return server.batches.find(name).state()


@router.delete("/{name}", responses=ERRORS)
async def stop_batch(name: str, server: Here) -> schema.BatchState:
    """Stop a batch: the picture in hand is dropped, those that are done stay."""
    batch = server.batches.find(name)
    batch.unwanted.set()
    return batch.state()
