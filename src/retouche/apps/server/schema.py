"""What requests hold. Field names are IOPaint's where it has them; fields it has beyond these are ignored."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

PIECE = 1 << 20
"""Signs of base64 decoded in one call; a multiple of four."""


def from_base64(value: object) -> object:
    """Base64, or a data URL of base64, to bytes; bytes, which multipart requests bring, as they are."""
    if not isinstance(value, str):
        return value
    text = value
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("is a data URL without base64: give data:image/png;base64,...")
    text = "".join(text.split())
    try:
        # a piece at a time: within one call no other thread gets its turn, and there may be megabytes
        pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
        if "=" in text[: -(len(text) % 4 or 4)]:
            raise ValueError
        return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64: encode the file's bytes, or give a data URL") from None


def _not_empty(value: object) -> object:
    if value == b"":
        raise ValueError("is empty: give a picture file")
    return value


PictureBytes = Annotated[
    bytes,
    BeforeValidator(_not_empty),
    BeforeValidator(from_base64),
    WithJsonSchema({"type": "string", "description": "a picture file: base64, or a data URL; a file in multipart"}),
]
Pixels = Annotated[int, Field(ge=0, le=2000)]
FileName = Annotated[str, Field(min_length=1, max_length=1000)]


class Request(BaseModel):
    """Base of all: unknown fields are ignored, as archived clients send many."""

    large: ClassVar[bool] = True  # holds pictures
    queue: ClassVar[Literal["fills", "files"] | None] = "files"  # whose place it will take
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, protected_namespaces=())


class Options(Request):
    """How to fill."""

    model: Annotated[str, Field(max_length=200)] | None = Field(None, description="as /api/v1/models lists them")
    dilate: Pixels | None = Field(None, description="pixels to grow the hole by; by default the longest side / 256")
    feather: Pixels | None = Field(None, description="width of the soft edge in pixels; by default half of dilate")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="for models that draw at random")
    device: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="a device of /api/v1/server-config; without it, whichever is free first"
    )


class Inpaint(Options):
    """Fill the hole of a picture."""

    queue = "fills"
    image: PictureBytes
    mask: PictureBytes | None = Field(
        None, description="white is the hole; of the picture's size; needed unless extend"
    )
    extend: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="room to add at the sides and to fill: left=200,right=10%"
    )
    sketch: PictureBytes | None = Field(None, description="white strokes on black, for a model that takes a sketch")
    structure: PictureBytes | None = Field(None, description="a smoothed picture, for a model that takes one")
    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")] | None = Field(
        None, description="a random name of 16 to 64 letters and digits, to ask /api/v1/jobs/NAME how far the fill is"
    )
    answer: Literal["picture", "hole"] = Field(
        "picture", description="hole: a PNG of the part that holds the grown hole; X-Retouche-Box says where it lies"
    )


class Error(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="one line")


class JobState(BaseModel):
    """How far a request is that named itself."""

    state: Literal["unknown", "waiting", "running", "done", "failed"] = Field(
        description="unknown: not here yet, or long ago; failed: ended without a picture, its own answer says why"
    )
    place: int | None = Field(default=None, description="while waiting: 1 is next")
    fraction: float | None = Field(default=None, description="once it runs: what is done of it, 0..1")
    seconds: float | None = Field(default=None, description="that it has been waiting, or has been running")


class JobStarted(BaseModel):
    """Where to ask after a fill, and where its picture will be."""

    job: str
    state: str = Field(description="the address that reports how far it is")
    result: str = Field(description="the address of the picture")


class Batch(Options):
    """Fill pictures of the folder --input and save them below --output under their own names."""

    queue = None  # one place at a time, later
    names: Annotated[list[FileName], Field(min_length=1, max_length=10_000)]
    mask: PictureBytes | None = Field(None, description="for all pictures that `masks` does not name; of their size")
    masks: dict[str, PictureBytes] = Field(default_factory=dict, description="masks by the pictures' names")
    overwrite: bool = False


class BatchPicture(BaseModel):
    """How far one picture of a batch is."""

    name: str
    state: Literal["waiting", "running", "done", "failed", "stopped"] = "waiting"
    fraction: float | None = Field(default=None, description="while it runs: what is done of it, 0..1")
    saved: list[str] = Field(default_factory=list, description="the names written below --output")
    error: str | None = Field(default=None, description="why it failed, in one line")
    strategy: str | None = None
    hole: float | None = Field(default=None, description="the hole's share of the picture, 0..1")
    seconds: float | None = Field(default=None, description="of the fill itself")


class BatchState(BaseModel):
    """How far a batch is."""

    batch: str
    state: Literal["running", "done", "stopped"]
    done: int
    failed: int
    pictures: list[BatchPicture]


class SwitchModel(Request):
    """Make a model the one that fills where a request names none."""

    large = False
    queue = "fills"
    name: Annotated[str, Field(min_length=1, max_length=200)]


class AdjustMask(Request):
    """Grow, shrink or invert a mask."""

    mask: PictureBytes
    operate: Literal["expand", "shrink", "reverse"]
    kernel_size: Annotated[int, Field(ge=0, le=2000)] = Field(5, description="pixels to grow or shrink by")


class View(Request):
    """Show a picture file of any kind read here as a PNG that every browser shows."""

    image: PictureBytes


class Patch(Request):
    """What replaces a part of a picture: pixels at (left, top), where the mask, if there is one, is white."""

    left: Annotated[int, Field(ge=0, le=100_000)] = 0
    top: Annotated[int, Field(ge=0, le=100_000)] = 0
    image: PictureBytes
    mask: PictureBytes | None = None


class Save(Request):
    """Put patches into a source file's own pixels and write it in its own format, with its metadata.

    The source is `image`, or the file `name` below --input. With `output` the result is written below --output under
    that name, with `sidecar` beside it; without, the answer is the file.
    """

    image: PictureBytes | None = None
    name: FileName | None = None
    patches: list[Patch] = Field(default_factory=list, max_length=1000)
    output: FileName | None = None
    format: Literal["jpg", "png", "webp", "tif", "bmp"] | None = Field(None, description="other than the source's")
    overwrite: bool = False
    sidecar: dict[str, Any] | None = None


class Cut(Request):
    """Cut a part out of a source file, with patches put into it before, as a PNG of the source's own depth.

    The source is `image`, or the file `name` below --input.
    """

    image: PictureBytes | None = None
    name: FileName | None = None
    box: tuple[int, int, int, int] = Field(description="left, top, right, bottom; the last two are exclusive")
    patches: list[Patch] = Field(default_factory=list, max_length=1000)


PICTURES = frozenset({"image", "mask", "sketch", "structure"})
"""Fields that hold a picture file, wherever they stand."""
NESTED = frozenset({"patches", "sidecar", "box", "names", "masks"})
"""Fields that forms send as JSON."""


def one_line(found: Sequence[dict[str, Any]]) -> str:
    """The first thing wrong, in words, without what was sent; `found` is what pydantic reports."""
    message = re.sub(r"^Value error, ", "", found[0]["msg"])
    place = ".".join(str(part) for part in found[0]["loc"] if part != "body")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return " ".join(f"{place}: {message}{more}".split()) if place else " ".join(f"request: {message}{more}".split())
