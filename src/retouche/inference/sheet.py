"""Contact sheets: pictures side by side, each with a caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retouche.image import to_uint8
from retouche.masks import dilate
from retouche.pictures import Picture

MARGIN = 12  # pixels around each cell
TEXT_PIXELS = 16
LINE_PIXELS = 22
BAND_ROWS = 256
PAPER, INK, FAINT = (250, 250, 248), (24, 24, 24), (110, 110, 110)
MARK = (255, 0, 96)
"""The hole's colour: rare in photographs."""


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet.

    Attributes:
        pixels: (H, W, 3) uint8 RGB
        caption: its first line is printed dark, the others grey
    """

    pixels: NDArray[np.uint8]
    caption: str


def pixels_rgb(picture: Picture) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of any picture, made band by band."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, picture.height)
        pixels[top:bottom] = to_uint8(picture.rgb((0, top, picture.width, bottom)))
    return pixels


def mark_hole(pixels: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture with its hole tinted and outlined.

    Args:
        pixels: (H, W, 3) RGB
        hole: (H, W), True = hole
    """
    marked = pixels.copy()
    marked[hole] = (pixels[hole] * 0.45 + np.array(MARK) * 0.55).round().astype(np.uint8)
    width = max(1, round(max(hole.shape) / 512))
    marked[dilate(hole, width) & ~hole] = MARK
    return marked


def contact_sheet(panels: Sequence[Panel], longest: int = 1024, columns: int | None = None) -> Image.Image:
    """All panels on one sheet, in reading order.

    Args:
        panels: at least one
        longest: larger pictures are shrunk to this longest side, pixels; small ones stay
        columns: None = as near to a square as the number allows
    """
    assert panels, "a sheet needs a panel"
    pictures = [_shrunk(panel.pixels, longest) for panel in panels]
    columns = min(len(panels), columns or math.ceil(math.sqrt(len(panels))))
    font = ImageFont.load_default(TEXT_PIXELS)
    wide = max(160, *(picture.width for picture in pictures))
    captions = [_wrapped(panel.caption, font, wide) for panel in panels]
    rows = [range(start, min(start + columns, len(panels))) for start in range(0, len(panels), columns)]
    heights = [
        max(pictures[i].height for i in row) + LINE_PIXELS * max(len(captions[i]) for i in row) + 8 for row in rows
    ]
    size = (columns * (wide + MARGIN) + MARGIN, sum(heights) + MARGIN * (len(rows) + 1))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        tallest = max(pictures[i].height for i in row)
        for column, i in enumerate(row):
            left = MARGIN + column * (wide + MARGIN)
            sheet.paste(pictures[i], (left, top))
            for number, (line, colour) in enumerate(captions[i]):
                draw.text((left, top + tallest + 6 + number * LINE_PIXELS), line, fill=colour, font=font)
        top += height + MARGIN
    return sheet


def _shrunk(pixels: NDArray[np.uint8], longest: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture


def _wrapped(
    caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[tuple[str, tuple[int, int, int]]]:
    """Lines that fit the width, each with its colour; a word that is too long alone is cut in its middle."""
    lines: list[tuple[str, tuple[int, int, int]]] = []
    for number, text in enumerate(caption.splitlines()):
        colour = FAINT if number else INK
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append((line, colour))
                longer = word
            line = _cut(longer, font, width)
        lines.append((line, colour))
    return lines


def _cut(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    kept = word
    while font.getlength(kept) > width and len(word) > 3:
        half = (len(word) - 2) // 2
        word = word[:half] + word[-half:]
        kept = f"{word[:half]}...{word[-half:]}"
    return kept
