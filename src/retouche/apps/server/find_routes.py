"""Masks that find themselves: dust and scratches or the date of one picture, or the mark that many share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field

from retouche.apps.server import schema, work
from retouche.apps.server.bodies import BodyRoute
from retouche.apps.server.core import Here, answer, picture_answer
from retouche.errors import InputError
from retouche.finders.date import date_mask, find_row
from retouche.finders.dust import WIDEST, find_dust
from retouche.finders.series import VALUES, values
from retouche.finders.watermark import FEWEST, estimate, outline, region_of
from retouche.masks import Mask, components
from retouche.pictures import Picture, encode

router = APIRouter(prefix="/api/v1", tags=["fill"], route_class=BodyRoute, default_response_class=Response)

MOST = 48
MARGIN = 24
"""Pixels around a mark that are looked at with it."""


class Find(schema.Request):
    """Look for what should go. Of one picture send `image`, of a series `images`: one size, small copies will do."""

    kind: Literal["dust", "date", "mark"] = Field(
        description="specks and scratches of `image`, the date a camera wrote into it, or a mark that `images` share"
    )
    image: schema.PictureBytes | None = None
    images: list[schema.PictureBytes] = Field(default_factory=list, max_length=MOST)
    sensitivity: Annotated[float, Field(gt=0, lt=100)] = Field(1.0, description="of dust: 2 finds fainter things")
    widest: Annotated[int, Field(ge=1, le=200)] = Field(WIDEST, description="of dust: pixels")


@router.post("/find_mask", responses=picture_answer("white where something was found, of the size sent", "image/png"))
async def find_mask(request: Request, asked: Find, server: Here) -> Response:
    """Find a mask: dust and scratches, a date in a corner, or a mark at the same place of many pictures."""

    return answer(request, await server.read(request, found, asked))


def found(reader: work.PictureReader, asked: Find) -> work.Answer:
    """The mask as a PNG."""
    hole = FINDERS[asked.kind](reader, asked)
    headers = {"X-Retouche-Share": f"{hole.mean():.6f}"}
    content = encode(Picture(hole.astype(np.uint8) * np.uint8(255), "L"), "PNG")
    return work.Answer(content, "image/png", headers, {"found": asked.kind})


def _dust(reader: work.PictureReader, asked: Find) -> Mask:
    if asked.image is None:
        raise InputError("image: give the picture to look at")
    return find_dust(values(reader.picture(asked.image)), asked.widest, asked.sensitivity)


def _date(reader: work.PictureReader, asked: Find) -> Mask:
    if asked.image is None:
        raise InputError("image: give the picture to look at")
    image = values(reader.picture(asked.image))
    row = find_row(image)
    return np.zeros(image.shape[:2], np.bool_) if row is None else date_mask(image, row)


def _mark(reader: work.PictureReader, asked: Find) -> Mask:
    if len(asked.images) < FEWEST:
        raise InputError(f"images: give {FEWEST} or more, a mark shows in no fewer; there are {len(asked.images)}")
    stack: list[np.ndarray] = []
    for number, content in enumerate(asked.images):
        picture = reader.picture(content, f"images.{number}")
        shape = (picture.height, picture.width, 3)
        if stack and shape != stack[0].shape:
            raise InputError(f"images.{number}: is {picture.width}x{picture.height}, the first is not: give one size")
        if len(asked.images) * picture.height * picture.width * 3 > VALUES:
            raise InputError("images: too large to be compared: send smaller copies, or fewer")
        stack.append(values(picture))
    together = np.stack(stack)
    hole = np.zeros(together.shape[1:3], np.bool_)
    region = region_of(outline(together))
    if not region.any():
        return hole
    left, top, right, bottom = components(region, max(region.shape))[0]  # one box around all of it
    part = np.s_[max(0, top - MARGIN) : bottom + MARGIN, max(0, left - MARGIN) : right + MARGIN]
    found = estimate(together[:, part[0], part[1]])
    if found is not None:
        hole[part] = found.mask
    return hole


FINDERS: dict[str, Callable[[work.PictureReader, Find], Mask]] = {"dust": _dust, "date": _date, "mark": _mark}
