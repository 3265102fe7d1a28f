"""A larger canvas: a picture with room added at its sides, its own values kept bit for bit.

What is added holds no picture yet: it is for a fill to make (`Model.__call__`, `extend`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.pictures import exif_block, xmp
from retouche.pictures.picture import Given, Picture
from retouche.pictures.source import MAX_PIXELS, Source


def extended(picture: Picture, room: tuple[int, int, int, int]) -> tuple[Picture, NDArray[np.bool_]]:
    """The picture on a larger canvas, and where it has no content yet, (H, W); what is added is opaque.

    Sizes in the metadata become the new ones. Samples beside colour and alpha repeat the border's.

    Args:
        room: pixels at the left, top, right and bottom

    Raises: InputError where it would be too large
    """
    left, top, right, bottom = room
    width, height = picture.width + left + right, picture.height + top + bottom
    if height * width > MAX_PIXELS:
        raise InputError(
            f"extended, the picture would be {width}x{height}, more than {MAX_PIXELS // 10**6} megapixels: add less"
        )
    beside = ((top, bottom), (left, right))
    pixels = np.pad(picture.pixels, (*beside, (0, 0)))
    fresh = np.pad(np.zeros(picture.pixels.shape[:2], np.bool_), beside, constant_values=True)
    if picture.mode in ("LA", "RGBA"):
        pixels[..., -1][fresh] = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    source = _resized(picture.source, width, height)
    remarks = list(picture.remarks)
    if source.extra is not None:
        source = replace(source, extra=np.pad(source.extra, (*beside, (0, 0)), mode="edge"))
        remarks.append("what its pixels hold beside colour and alpha repeats the border's where the picture is new")
    given = replace(picture.given, shape=_shape(picture.given, height, width))
    return replace(picture, pixels=pixels, source=source, remarks=remarks, given=given), fresh


def padded(values: NDArray[Any], room: tuple[int, int, int, int]) -> NDArray[Any]:
    """(h, w) of the picture -> (H, W) of the canvas, 0 where it is new."""
    left, top, right, bottom = room
    return np.pad(values, ((top, bottom), (left, right)))


def _resized(source: Source, width: int, height: int) -> Source:
    exif = source.exif
    if exif is not None:
        try:
            exif = exif_block.resized(exif, width, height)
        except exif_block.DamagedExif:
            exif = None  # it would state another size than the picture's
    packets = (
        None if packet is None else xmp.resized(packet, width, height) for packet in (source.xmp, source.extended)
    )
    packet, further = packets
    if packet is not None:
        packet = xmp.pointing(packet, further)  # the extension is named by its content
    return replace(source, exif=exif, xmp=packet, extended=further)


def _shape(given: Given, height: int, width: int) -> tuple[int, ...]:
    """The shape to give back: arrays are (H, W[, C]), tensors ([N,] C, H, W)."""
    if given.kind == "array":
        return (height, width, *given.shape[2:])
    return (*given.shape[:-2], height, width) if given.kind == "tensor" else given.shape
