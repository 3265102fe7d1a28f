"""Bodies of requests: JSON, or multipart with the same names, to what `schema` says they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from retouche.apps.server import multipart, schema
from retouche.apps.server.safety import Refused

RequestT = TypeVar("RequestT", bound=schema.Request)


def reader(kind: type[RequestT]) -> Callable[[Request], Any]:
    """Reads a request's body as this kind: JSON, or multipart with the same names."""

    async def read(request: Request) -> RequestT:
        content = request.headers.get("content-type", "")
        plain = content.partition(";")[0].strip().lower()
        if plain not in {"application/json", "multipart/form-data", ""} and not plain.endswith("+json"):
            raise Refused(415, "this kind of body is not read here: send application/json or multipart/form-data")
        body = await request.body()
        try:
            # on another thread: there may be megabytes of base64
            if plain == "multipart/form-data":
                return await run_in_threadpool(lambda: kind.model_validate(_form(kind, content, body)))
            return await run_in_threadpool(kind.model_validate_json, body)
        except ValidationError as error:
            raise Refused(422, schema.one_line(error)) from None
        except multipart.Damaged as error:
            raise Refused(422, f"multipart: {error}") from None

    return read


def _form(kind: type[schema.Request], content_type: str, body: bytes) -> dict[str, Any]:
    """The known fields of a multipart body: files as bytes, words as they are, lists and objects parsed from JSON."""
    values: dict[str, Any] = {}
    for name, part in multipart.parse(content_type, body).items():
        if name not in kind.model_fields or (not part.content and not kind.model_fields[name].is_required()):
            continue  # forms send what is left empty, too
        if part.is_file:
            values[name] = bytes(part.content)
            continue
        try:
            words = part.content.decode()
            values[name] = json.loads(words) if name in schema.NESTED else words
        except (ValueError, RecursionError):
            raise multipart.Damaged(f"{name} is no {'JSON' if name in schema.NESTED else 'UTF-8'}") from None
    return values


def body_of(kind: type[schema.Request], multipart: bool = True) -> dict[str, Any]:
    """What OpenAPI is to say of a route that reads its own body."""
    reference = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    kinds = ["application/json", *(["multipart/form-data"] if multipart else [])]
    return {"requestBody": {"required": True, "content": dict.fromkeys(kinds, reference)}}
