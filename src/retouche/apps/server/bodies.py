"""Bodies of requests: JSON, or a form with the same names; FastAPI makes of either what `schema` says it holds."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException, MultiPartParser

from retouche.apps.server import schema
from retouche.apps.server.safety import Refused

FORM = "multipart/form-data"
MOST_FILES, MOST_FIELDS = 20, 50


class BodyRoute(APIRoute):
    """A route whose body, where it has one, may come as a form, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.body_field is not None:
            reference = {"schema": {"$ref": f"#/components/schemas/{self.kind.__name__}"}}
            self.openapi_extra = {"requestBody": {"content": {FORM: reference}}}

    @property
    def kind(self) -> type[schema.Request]:
        """What its body holds."""
        assert self.body_field is not None
        return self.body_field.field_info.annotation  # type: ignore[return-value]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read(request: Request) -> Response:
            if self.kind.queue is not None:
                request.app.state.server.expect_room(self.kind.queue)
            sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if sent == FORM:
                values: Any = await _form(request, self.kind)
            elif sent in {"application/json", ""} or sent.endswith("+json"):
                values = await run_in_threadpool(_json, await request.body())
            else:
                raise Refused(415, "this kind of body is not read here: send application/json or multipart/form-data")
            return await handle(_Read(request, values))

        return read


def paths_of_pictures(routers: Iterable[APIRouter]) -> frozenset[str]:
    """The paths whose bodies hold pictures, and may be large."""
    routes = [route for router in routers for route in router.routes if isinstance(route, BodyRoute)]
    return frozenset(route.path for route in routes if route.body_field is not None and route.kind.large)


class _Read(Request):
    """A request whose body has been read: FastAPI sees its values as JSON. The bytes they came as are let go."""

    def __init__(self, request: Request, values: Any) -> None:
        super().__init__(dict(request.scope), request.receive)
        headers = MutableHeaders(raw=list(request.headers.raw))
        headers["content-type"] = "application/json"
        self.scope["headers"] = headers.raw
        self.scope["retouche.sent"] = self._json = values

    async def body(self) -> bytes:
        return b"read"


def forget(request: Request) -> None:
    """Let go of what was sent once it has been validated: FastAPI would hold its pictures until the answer is made."""
    sent = request.scope.get("retouche.sent")
    if isinstance(sent, dict):
        sent.clear()


def _json(body: bytes | str) -> Any:
    """Values from JSON, on another thread than the event loop's: there may be megabytes of base64."""
    try:
        return _decoded(json.loads(body))
    except RecursionError:
        raise Refused(422, "request: the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(422, f"request: no JSON ({getattr(error, 'msg', 'not UTF-8, or a number too long')})") from None


def _decoded(values: Any) -> Any:
    """Pictures, those of patches too, as bytes; what is wrong with one is reported by its model."""
    if isinstance(values, list):
        return [_decoded(each) for each in values]
    for name in schema.PICTURES & values.keys() if isinstance(values, dict) else ():
        with contextlib.suppress(ValueError):
            values[name] = schema.from_base64(values[name])
    if isinstance(values, dict) and "patches" in values:
        values["patches"] = _decoded(values["patches"])
    return values


class _InMemory(MultiPartParser):
    """Starlette's parser, whose files stay in memory: the guard has bounded them, and none touches the disk."""

    spool_max_size = sys.maxsize

    def __init__(self, request: Request) -> None:
        bounds = {"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": sys.maxsize}
        super().__init__(request.headers, self._whole(request), **bounds)
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, request: Request) -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        if not self._ended:
            raise MultiPartException("the body is cut short")


async def _form(request: Request, kind: type[schema.Request]) -> dict[str, Any]:
    """A form's values by name, the last of each: files as bytes, words as they are, lists and objects from JSON."""
    try:
        form = await _InMemory(request).parse()
    except MultiPartException as error:
        raise Refused(422, f"multipart: {' '.join(error.message.split())}") from None
    values: dict[str, Any] = {}
    for name in kind.model_fields.keys() & form.keys():
        value = form[name]
        content = value if isinstance(value, str) else await value.read()
        if content or kind.model_fields[name].is_required():  # forms send what is left empty, too
            values[name] = content
    await form.close()
    for name in schema.NESTED & values.keys():
        values[name] = await run_in_threadpool(_json, values[name])
    return values
