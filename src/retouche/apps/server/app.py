"""The application: what each address does. Works are done by the workers of `queue`; who may ask, `safety` decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import torch
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from retouche import __version__
from retouche.apps.server import files, pages, schema, work
from retouche.apps.server.bodies import body_of, reader
from retouche.apps.server.delivery import Delivery
from retouche.apps.server.models import Bench, Catalogue
from retouche.apps.server.progress import NameTaken, Register
from retouche.apps.server.queue import ClientLeft, Full, Place, TooSlow, Workers
from retouche.apps.server.safety import COOKIE, INTERNAL, WRONG_TOKEN_SECONDS, Access, App, Guard, Refused
from retouche.errors import RetoucheError
from retouche.inference.devices import Choice, choose_device
from retouche.progress import Hear

ResultT = TypeVar("ResultT")

EDITOR = Path(__file__).parent.parent / "editor"
STATIC_TYPES = {
    ".html": pages.HTML,
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
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
CLIENT_LEFT = 499  # nobody reads it; the log shows it
OUT_OF_MEMORY_SECONDS = 5


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        access: who may come in
        models: what is offered beside the installed ones; the first fills where a request names none
        devices: one worker each, as `choose_device` takes them
        input, output: folders that the editor may read and write; None = none
        waiting: requests that may wait while the workers are busy
        max_bytes: of one request
        max_pixels: of one picture
        max_seconds: that one work may take, and that a request's body may take to arrive
    """

    access: Access = field(default_factory=Access)
    models: tuple[str, ...] = ("default",)
    devices: tuple[str, ...] = ("auto",)
    input: Path | None = None
    output: Path | None = None
    waiting: int = 16
    max_bytes: int = 256 << 20
    max_pixels: int = 100_000_000
    max_seconds: float = 300.0


class Server:
    """What the addresses share: settings, workers, the models on offer."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.devices: list[Choice] = [choose_device(name) for name in settings.devices]
        self.catalogue = Catalogue(settings.models)
        self.desk = work.Desk(settings.max_pixels)
        benches = [Bench(choice.device) for choice in self.devices]
        for name in self.catalogue.given:  # what cannot be loaded is said now; the first fill need not wait
            self.catalogue.learn(name, benches[0].model(self.catalogue.source(name))[0])
        self.fillers: Workers[Bench] = Workers(benches, settings.waiting)
        # masks, previews and saved files need no device: they do not wait behind fills
        self.clerks: Workers[None] = Workers([None], settings.waiting)
        self.register = Register()

    @property
    def offered(self) -> dict[str, str]:
        """The devices' names, each once, and why they were chosen."""
        return {str(choice.device): choice.why for choice in self.devices}

    def admit(self, asked: schema.Inpaint, place: Place) -> None:
        """What a fill asks of its place: a worker of its device, and to be known by its name.

        Raises: Refused
        """
        if asked.device is not None:
            if asked.device not in self.offered:
                wanted = " ".join(asked.device.split())
                raise Refused(422, f'no device "{wanted}" on this server; offered: {", ".join(self.offered)}')
            place.suits = _on(asked.device)
        if asked.job is not None:
            try:
                self.register.enter(asked.job, place)
            except NameTaken:
                raise Refused(409, "job: a request of this name is in hand: choose another") from None

    def close(self) -> None:
        """End the works in hand."""
        self.fillers.close()
        self.clerks.close()

    async def do(
        self,
        request: Request,
        workers: Workers[Any],
        read: Callable[[Request], Any],
        act: Callable[[Any, Any, Hear], ResultT],
        admit: Callable[[Any, Place], None] = lambda asked, place: None,
    ) -> ResultT:
        """Take a place, read the request, have the work done.

        Args:
            request: its body not yet read
            workers: whose queue it joins
            read: the request -> what it asks for (awaited)
            act: (what is asked for, the worker's resource, hears how far it is) -> result, on the worker's thread
            admit: told what is asked for and its place, before it waits there
        """
        seconds = self.settings.max_seconds
        try:
            with workers.place() as place:
                asked = await read(request)
                admit(asked, place)
                return await workers.run(place, lambda bench: act(asked, bench, place.tell), seconds, _left(request))
        except Full:
            raise Refused(
                429, "the queue is full: try again in a moment", {"Retry-After": str(workers.patience())}
            ) from None
        except TooSlow:
            raise Refused(
                504, f"took more than {seconds:g} seconds and was ended: send a smaller part or choose a faster model"
            ) from None
        except (ClientLeft, ClientDisconnect):
            raise Refused(CLIENT_LEFT, "the client has left") from None
        except (files.Outside, FileNotFoundError):
            raise Refused(404, "no such picture: the list at /api/v1/files tells which there are") from None
        except files.Exists:
            raise Refused(409, "a file of this name exists: choose another, or say overwrite") from None
        except (torch.OutOfMemoryError, MemoryError):
            raise Refused(
                503, "out of memory: send a smaller part", {"Retry-After": str(OUT_OF_MEMORY_SECONDS)}
            ) from None


def _on(device: str) -> Callable[[Bench], bool]:
    return lambda bench: bench.name == device  # holds nothing of the request, whose pictures are large


async def _left(request: Request) -> None:
    """Ends when the client has closed the connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(settings: Settings) -> App:
    """The guarded application of a server.

    Raises: RetoucheError if a model cannot be loaded or a device is not here
    """
    server = Server(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        server.close()

    app = FastAPI(
        title="Retouche", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    app.state.server = server
    _add_errors(app)
    _add_fills(app, server)
    _add_models(app, server)
    _add_files(app, server)
    _add_pages(app, server)
    return Guard(Delivery(app), settings.access, settings.max_bytes, settings.max_seconds)


# Answers -------------------------------------------------------------------------------------------------------------


def _answer(request: Request, made: work.Answer) -> Response:
    request.scope["retouche.log"].update(made.facts)
    return Response(made.content, media_type=made.media, headers=made.headers)


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
            }
        },
    }
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


def _picture_answer(description: str, *media: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": dict.fromkeys(media, binary)}, **_ERRORS}


_ALL_MEDIA = tuple(dict.fromkeys(files.TYPES.values()))


# Errors -------------------------------------------------------------------------------------------------------------


def _add_errors(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"error": error.why}, error.status, error.headers)

    async def unusable(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": " ".join(str(error).split())}, 422)

    async def unknown(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "no such address: /docs lists those there are", 405: "not by this method: see /docs"}
        return JSONResponse({"error": words.get(error.status_code, error.detail)}, error.status_code, error.headers)

    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": INTERNAL.format(type(error).__name__)}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RetoucheError, unusable)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(Exception, failed)


# Fills and masks ----------------------------------------------------------------------------------------------------


def _add_fills(app: FastAPI, server: Server) -> None:
    @app.post(
        "/api/v1/inpaint",
        tags=["fill"],
        responses=_picture_answer("the filled picture, in the format of the one sent, metadata kept", *_ALL_MEDIA),
        response_class=Response,
        openapi_extra=body_of(schema.Inpaint),
    )
    async def inpaint(request: Request) -> Response:
        """Fill the hole of a picture. Headers of the answer: X-Seed, X-Retouche-Strategy, X-Retouche-Seconds,
        X-Retouche-Report (JSON)."""

        def act(asked: schema.Inpaint, bench: Bench, tell: Hear) -> work.Answer:
            offered = server.catalogue.resolve(asked.model)
            source = server.catalogue.source(offered)
            made, model = work.inpaint(server.desk, bench, asked, offered, source, tell)
            server.catalogue.learn(offered, model)
            return made

        read = reader(schema.Inpaint)
        return _answer(request, await server.do(request, server.fillers, read, act, server.admit))

    @app.get("/api/v1/jobs/{name}", tags=["fill"], responses={401: _ERRORS[401]})
    async def job(request: Request, name: str) -> schema.JobState:
        """How far a fill is whose request named itself by the field `job`."""
        request.scope["retouche.log"]["quiet"] = True  # asked twice a second: not for the log
        return server.register.state(name)

    @app.post(
        "/api/v1/adjust_mask",
        tags=["fill"],
        responses=_picture_answer("a PNG: white and opaque where the hole is, else clear", "image/png"),
        response_class=Response,
        openapi_extra=body_of(schema.AdjustMask),
    )
    async def adjust_mask(request: Request) -> Response:
        """Grow, shrink or invert a mask."""
        read = reader(schema.AdjustMask)
        made = await server.do(request, server.clerks, read, lambda asked, *_: work.adjust_mask(server.desk, asked))
        return _answer(request, made)

    @app.post(
        "/api/v1/view",
        tags=["fill"],
        responses=_picture_answer("the picture upright, 8 bit", "image/png"),
        response_class=Response,
        openapi_extra=body_of(schema.View),
    )
    async def view(request: Request) -> Response:
        """Show a picture of any format read here (TIFF, 16 bit, CMYK) as a PNG for browsers."""
        read = reader(schema.View)
        made = await server.do(request, server.clerks, read, lambda asked, *_: work.view(server.desk, asked))
        return _answer(request, made)


# Models -------------------------------------------------------------------------------------------------------------


def _add_models(app: FastAPI, server: Server) -> None:
    catalogue, settings = server.catalogue, server.settings

    def about(name: str) -> dict[str, Any]:
        row = next((row for row in catalogue.rows() if row["name"] == name), None)
        guides = catalogue.listens(name)
        # the names that archived clients read
        archived = {"path": name, "model_type": "inpaint", "need_prompt": False, "controlnets": []}
        return {"name": name, **archived, "listens": guides, **(row or {})}

    @app.get("/api/v1/server-config", tags=["server"])
    def server_config() -> dict[str, Any]:
        """What this server has: models, devices, limits, folders."""
        rows = catalogue.rows()
        return {
            "version": __version__,
            "model": catalogue.current,
            "models": rows,
            "devices": [{"name": name, "why": why} for name, why in server.offered.items()],
            "limits": {
                "bytes": settings.max_bytes,
                "pixels": settings.max_pixels,
                "seconds": settings.max_seconds,
                "waiting": settings.waiting,
            },
            "input": settings.input is not None,
            "output": settings.output is not None,
            "token": settings.access.token is not None,
            # the names that archived clients read
            "plugins": [],
            "modelInfos": [about(row["name"]) for row in rows],
            "samplers": [],
            "enableFileManager": settings.input is not None,
            "enableAutoSaving": settings.output is not None,
            "enableControlnet": False,
            "disableModelSwitch": False,
            "isDesktop": False,
        }

    @app.get("/api/v1/models", tags=["models"])
    def models() -> list[dict[str, Any]]:
        """The models on offer: name, title, the guides each listens to, which one is current."""
        return catalogue.rows()

    @app.get("/api/v1/model", tags=["models"])
    def model() -> dict[str, Any]:
        """The model that fills where a request names none."""
        return about(catalogue.current)

    @app.post("/api/v1/model", tags=["models"], responses=_ERRORS, openapi_extra=body_of(schema.SwitchModel, False))
    async def switch_model(request: Request) -> dict[str, Any]:
        """Make another model the one that fills where a request names none; it is loaded at once."""

        def act(asked: schema.SwitchModel, bench: Bench, tell: Hear) -> str:
            name = catalogue.resolve(asked.name)
            loaded, _ = bench.model(catalogue.source(name))
            catalogue.learn(name, loaded)
            return name

        read = reader(schema.SwitchModel)
        catalogue.current = await server.do(request, server.fillers, read, act)
        return about(catalogue.current)


# Folders ------------------------------------------------------------------------------------------------------------


def _add_files(app: FastAPI, server: Server) -> None:
    settings = server.settings

    def input_folder() -> Path:
        if settings.input is None:
            raise Refused(404, "this server has no folder of pictures: start it with --input DIR")
        return settings.input

    @app.get("/api/v1/files", tags=["files"], responses=_ERRORS)
    def listing() -> dict[str, Any]:
        """The pictures below --input, in the order of their names."""
        return {"files": files.listing(input_folder())}

    @app.get(
        "/api/v1/files/{name:path}",
        tags=["files"],
        responses=_picture_answer("the file as it is", *_ALL_MEDIA),
        response_class=Response,
    )
    def read_file(name: str) -> Response:
        """A picture below --input, byte for byte."""
        try:
            path = files.existing(input_folder(), name)
        except files.Outside:
            raise Refused(404, "no such picture: the list at /api/v1/files tells which there are") from None
        return FileResponse(path, media_type=files.TYPES[path.suffix.lower()])

    @app.get(
        "/api/v1/view/{name:path}",
        tags=["files"],
        responses=_picture_answer("the picture upright, 8 bit", "image/png"),
        response_class=Response,
    )
    async def view_file(request: Request, name: str) -> Response:
        """A picture below --input as a PNG for browsers."""
        folder = input_folder()

        async def read(_: Request) -> str:
            return name

        def act(asked: str, *_: Any) -> work.Answer:
            return work.view_file(server.desk, files.existing(folder, asked))

        await request.body()
        return _answer(request, await server.do(request, server.clerks, read, act))

    @app.post(
        "/api/v1/save",
        tags=["files"],
        responses=_picture_answer("the file, or {saved: [names]} where output was given", *_ALL_MEDIA),
        response_class=Response,
        openapi_extra=body_of(schema.Save),
    )
    async def save(request: Request) -> Response:
        """Put patches into a source file's own pixels: its format, depth, profile and metadata are kept. With
        `output`, write it below --output; else answer the file."""

        def act(asked: schema.Save, *_: Any) -> work.Answer | list[str]:
            source = output = None
            if asked.image is None and asked.name is not None:
                source = files.existing(input_folder(), asked.name)
            if asked.output is not None:
                if settings.output is None:
                    raise Refused(404, "this server saves no files: start it with --output DIR")
                output = settings.output
            return work.save(server.desk, asked, source, output)

        done = await server.do(request, server.clerks, reader(schema.Save), act)
        return _answer(request, done) if isinstance(done, work.Answer) else JSONResponse({"saved": done})

    @app.post(
        "/api/v1/cut",
        tags=["files"],
        responses=_picture_answer("the part, in the source's own depth", "image/png"),
        response_class=Response,
        openapi_extra=body_of(schema.Cut),
    )
    async def cut(request: Request) -> Response:
        """Cut a part out of a source file, with patches put into it before: what browsers cannot do with 16 bits."""

        def act(asked: schema.Cut, *_: Any) -> work.Answer:
            source = None
            if asked.image is None and asked.name is not None:
                source = files.existing(input_folder(), asked.name)
            return work.cut(server.desk, asked, source)

        return _answer(request, await server.do(request, server.clerks, reader(schema.Cut), act))


# Pages --------------------------------------------------------------------------------------------------------------


def _add_pages(app: FastAPI, server: Server) -> None:
    access = server.settings.access
    described: dict[str, Any] = {}

    def description() -> dict[str, Any]:
        if not described:
            described.update(_described(app))
        return described

    @app.get("/health", tags=["server"])
    async def health() -> dict[str, Any]:
        """That the server is there, and how many requests it has in hand."""
        return {"status": "ok", "busy": server.fillers.places, "limit": server.fillers.limit}

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return description()

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(pages.docs(description()))

    @app.get(pages.STYLE_PATH, include_in_schema=False)
    def style() -> Response:
        return Response(pages.STYLE, media_type=STATIC_TYPES[".css"], headers={"Cache-Control": "max-age=3600"})

    @app.get("/token", include_in_schema=False)
    def token_form() -> Response:
        return HTMLResponse(pages.token_form()) if access.token is not None else RedirectResponse("/", 303)

    @app.post("/token", include_in_schema=False)
    async def token(request: Request) -> Response:
        body = await request.body()
        given = parse_qs(body[:10_000].decode("utf-8", "replace")).get("token", [""])[0]
        if access.token is not None and not access.is_token(given.encode()):
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
            return HTMLResponse(pages.token_form(wrong=True), 401)
        answer = RedirectResponse("/", 303)
        if access.token is not None:
            answer.set_cookie(
                COOKIE, access.cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https"
            )
        return answer

    @app.get("/{path:path}", include_in_schema=False)
    def editor(path: str) -> Response:
        try:
            file = files.below(EDITOR, path or "index.html")
        except files.Outside:
            raise Refused(404, "no such address: /docs lists those there are") from None
        kind = STATIC_TYPES.get(file.suffix.lower())
        if kind is None or not file.is_file():
            raise Refused(404, "no such address: /docs lists those there are")
        return FileResponse(file, media_type=kind, headers={"Cache-Control": "no-cache"})


def _described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the bodies that the routes read themselves."""
    kinds: Sequence[type[schema.Request]] = (
        schema.Inpaint,
        schema.SwitchModel,
        schema.AdjustMask,
        schema.View,
        schema.Save,
    )
    found = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="Fill holes in pictures. Nothing outside the hole changes.",
    )
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    found.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    return found
