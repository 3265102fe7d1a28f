"""What the addresses share: settings, workers, the models on offer, and how a request becomes a work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from fastapi import Depends, Request, Response

from retouche.apps.server import files, foreign, schema, work
from retouche.apps.server.batches import Batches
from retouche.apps.server.bodies import forget
from retouche.apps.server.in_browser import InBrowser
from retouche.apps.server.jobs import Jobs, Left
from retouche.apps.server.models import Catalogue, FileWorker, FillWorker
from retouche.apps.server.progress import NameTaken, Register
from retouche.apps.server.queue import ClientLeft, Full, Place, TooSlow, Workers
from retouche.apps.server.safety import CLIENT_LEFT, Access, Refused
from retouche.arithmetic import Computing
from retouche.errors import InputError
from retouche.inference.devices import Choice, choose_device
from retouche.progress import ProgressCallback

ResultT = TypeVar("ResultT")

OUT_OF_MEMORY_SECONDS = 5
FILE_WORKERS = 2
NO_PICTURE = "no such picture: the list is at /api/v1/files"


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        access: who may come in
        models: what is offered beside the installed ones; the first fills where a request names none
        weights: a folder whose weight files are offered by their names; None = none
        devices: one worker each, as `choose_device` takes them
        engine: who runs networks, as `load` takes it
        computing: how the networks that PyTorch runs compute
        input: a folder that the editor may read, or one picture; None = none
        output: a folder that it may write; None = none
        waiting: requests that may wait while the workers are busy
        max_bytes: of one request
        max_pixels: of one picture
        max_seconds: that one work may take, and that a request's body may take to arrive
        connections: that one client may hold
        browser: what the page fills with by itself; None = nothing
    """

    access: Access = field(default_factory=Access)
    models: tuple[str, ...] = ("default",)
    weights: Path | None = None
    devices: tuple[str, ...] = ("auto",)
    engine: str | None = None
    computing: Computing = field(default_factory=Computing)
    input: Path | None = None
    output: Path | None = None
    waiting: int = 16
    max_bytes: int = 256 << 20
    max_pixels: int = 100_000_000
    max_seconds: float = 300.0
    connections: int = 256
    browser: InBrowser | None = None


class Server:
    """What the addresses share: settings, workers, the models on offer."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.devices: list[Choice] = [choose_device(name) for name in settings.devices]
        foreign.prepare()
        self.catalogue = Catalogue(settings.models, settings.weights)
        self.reader = work.PictureReader(settings.max_pixels)
        fill_workers = [FillWorker(choice.device, settings.engine, settings.computing) for choice in self.devices]
        given = {name: fill_workers[0].model(self.catalogue.source(name))[0] for name in self.catalogue.given}
        for name, model in given.items():  # what cannot be loaded is reported now; the first fill need not wait
            self.catalogue.learn(name, model)
        if settings.computing and not any(model.computes for model in given.values()):
            raise InputError("no --model has a network that PyTorch runs: leave --precision and --compile out")
        first = self.catalogue.source(self.catalogue.current)
        self.fill_workers: Workers[FillWorker] = Workers(
            fill_workers, settings.waiting, lambda worker: worker.warm(first)
        )
        # masks, previews and saved files need no device: they do not wait behind fills
        file_workers = [FileWorker() for _ in range(FILE_WORKERS)]
        self.file_workers: Workers[FileWorker] = Workers(file_workers, settings.waiting)
        self.helpers = [*(worker.helper for worker in fill_workers), *(worker.helper for worker in file_workers)]
        self.register = Register()
        self.jobs = Jobs()
        self.batches = Batches()

    @property
    def offered(self) -> dict[str, str]:
        """The devices' names, each once, and why they were chosen."""
        return {str(choice.device): choice.why for choice in self.devices}

    def suit(self, asked: schema.Options, place: Place) -> None:
        """What a fill asks of its place: a worker of its device.

        Raises: Refused
        """
        if asked.device is not None:
            if asked.device not in self.offered:
                wanted = " ".join(asked.device.split())
                raise Refused(422, f'no device "{wanted}" on this server; offered: {", ".join(self.offered)}')
            place.suits = _on(asked.device)

    def admit(self, asked: schema.Inpaint, place: Place) -> None:
        """What a fill asks of its place beside a device: to be known by its name.

        Raises: Refused
        """
        self.suit(asked, place)
        if asked.job is not None:
            try:
                self.register.enter(asked.job, place)
            except NameTaken:
                raise Refused(409, "job: a request of this name is in hand: choose another") from None

    def close(self, seconds: float = 0.0) -> bool:
        """End the works in hand, and wait so long for it; whether they have ended. It may be called again."""
        for workers in (self.fill_workers, self.file_workers):
            workers.close()
        until = time.monotonic() + seconds
        ended = [
            workers.ended(max(0.0, until - time.monotonic())) for workers in (self.fill_workers, self.file_workers)
        ]
        if all(ended):
            for helper in self.helpers:
                helper.end()
        return all(ended)

    def expect_room(self, queue: str) -> None:
        """Refuse a request whose queue is full before its body is read; it takes no place yet.

        Raises: Refused
        """
        workers: Workers[Any] = self.fill_workers if queue == "fills" else self.file_workers
        if workers.places >= workers.limit:
            raise _crowded(workers)

    async def read(self, request: Request, function: Callable[..., ResultT], *args: Any) -> ResultT:
        """Have a function of files called that needs no device, in a file worker's helper; its first argument is
        the reader.
        """

        def act(worker: FileWorker, report_progress: ProgressCallback) -> ResultT:
            return worker.helper.call(lambda: report_progress(0.0), function, self.reader, *args)

        return await self.do(request, self.file_workers, act)

    async def do(
        self,
        request: Request,
        workers: Workers[Any],
        act: Callable[[Any, ProgressCallback], ResultT],
        admit: Callable[[Place], None] = lambda place: None,
    ) -> ResultT:
        """Have a work done for a request whose body has arrived: who sends slowly takes no place."""
        forget(request)
        return await self.have_done(lambda: _left(request), workers, act, admit)

    async def have_done(
        self,
        left: Left,
        workers: Workers[Any],
        act: Callable[[Any, ProgressCallback], ResultT],
        admit: Callable[[Place], None] = lambda place: None,
    ) -> ResultT:
        """Take a place in the queue and have a work done there.

        Args:
            left: gives what ends when nobody waits for the result any more
            workers: whose queue it joins
            act: (the worker, a callback for progress that raises where nobody waits) -> result, on the worker's thread
            admit: called with the place before the work waits there
        Raises: Refused, or what the work raises
        """
        seconds = self.settings.max_seconds
        try:
            with workers.place() as place:
                admit(place)
                return await workers.run(place, lambda worker: act(worker, place.report_progress), seconds, left())
        except Full:
            raise _crowded(workers) from None
        except TooSlow:
            raise Refused(
                504, f"took more than {seconds:g} seconds and was ended: send a smaller part or choose a faster model"
            ) from None
        except ClientLeft:
            raise Refused(CLIENT_LEFT, "the client has left") from None
        except files.Outside:
            raise Refused(404, NO_PICTURE) from None
        except files.Exists:
            raise Refused(409, "a file of this name exists: choose another, or say overwrite") from None
        except (torch.OutOfMemoryError, MemoryError):
            raise Refused(
                503, "out of memory: send a smaller part", {"Retry-After": str(OUT_OF_MEMORY_SECONDS)}
            ) from None


def _crowded(workers: Workers[Any]) -> Refused:
    return Refused(429, "the queue is full: try again in a moment", {"Retry-After": str(workers.turn())})


def _on(device: str) -> Callable[[FillWorker], bool]:
    return lambda worker: worker.name == device  # holds nothing of the request, whose pictures are large


async def _left(request: Request) -> None:
    """Ends when the client has closed the connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server(request: Request) -> Server:
    return request.app.state.server


Here = Annotated[Server, Depends(_server)]
"""The server, for a route."""


# Answers -------------------------------------------------------------------------------------------------------------


def answer(request: Request, result: work.Answer) -> Response:
    """A work's file as what is sent; its facts go to the log."""
    request.scope["retouche.log"].update(result.facts)
    return Response(result.content, media_type=result.media, headers=result.headers)


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.Error, "description": meaning}
    for status, meaning in {
        401: "the token is missing or wrong",
        403: "a page of another site",
        404: "no such file",
        408: "the request did not arrive in time",
        409: "the file exists, or the job's name is in use",
        413: "too many bytes",
        415: "neither JSON nor multipart",
        421: "a foreign Host",
        422: "the request, picture or mask cannot be used as given",
        429: "the queue is full",
        503: "out of memory",
        504: "took too long",
    }.items()
}


def picture_answer(description: str, *media: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI is to say of an address that answers with a picture."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": dict.fromkeys(media, binary)}, **ERRORS}


ALL_MEDIA = tuple(dict.fromkeys(files.TYPES.values()))
