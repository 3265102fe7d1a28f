"""Pictures that the tests of `retouche.pictures` share."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms

from retouche.pictures import Picture, open_picture, png, write_picture

SIZES: list[tuple[int, int]] = [(1, 1), (7, 5), (1, 4000)]  # (height, width)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def values(height: int, width: int, channels: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A soft picture: JPEG changes it little."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (20 + 9 * c) + c) * np.cos(y / (30 + 5 * c)) for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def pil(array: np.ndarray, mode: str) -> Image.Image:
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())


def repainted(path: Path, out: Path, box: tuple[int, int, int, int], level: float = 1.0) -> Picture:
    """Open, paste one colour into a box, write."""
    picture = open_picture(path)
    left, top, right, bottom = box
    weight = torch.ones(1, 1, bottom - top, right - left)
    picture.paste(torch.full((1, 3, bottom - top, right - left), level), box, weight)
    write_picture(picture, out)
    return picture


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png16(array: np.ndarray, chunks: bytes = b"", interlaced: bool = False) -> bytes:
    """A 16-bit PNG by the book, filter 0; Adam7 on request."""
    height, width, channels = array.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, step_x, step_y in passes:
        part = array[y::step_y, x::step_x]
        if part.size:
            raw += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    return b"".join(
        (png.SIGNATURE, chunk(b"IHDR", head), chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    )
