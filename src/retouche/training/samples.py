"""Pictures of a run: sheets of fixed samples as training goes on, and what its holes are like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from retouche.image import composite, to_uint8
from retouche.methods.method import Prediction

ROWS = 6
"""Pictures on a sheet."""
SEEN = 128
"""Pixels that a picture's side needs to be looked at: smaller ones are shown enlarged."""
GAP, HEAD, PAPER, INK, BAR = 4, 18, 255, 40, (70, 110, 170)

Pixels = NDArray[np.uint8]


def sheet(image: Tensor, mask: Tensor, result: Prediction, structure: Tensor | None = None) -> Pixels:
    """Input, coarse, filled, truth (and structure pictures where there are some), one sample a row.

    Args:
        image: (N, 3, H, W), -1..1
        mask: (N, 1, H, W), 1 = hole
        result: what the generator gives
        structure: the true structure pictures

    Returns: (height, width, 3)
    """
    grey = torch.zeros_like(image)
    columns: dict[str, Tensor] = {"input": torch.where(mask > 0, grey, image)}
    if result.structure is not None:
        columns["structure"] = result.structure
    if structure is not None:
        columns["its truth"] = structure
    if result.coarse is not None:
        columns["coarse"] = result.coarse
    if result.refined is not None:
        columns["filled"] = composite(image, result.refined, mask)
    columns["truth"] = image
    return _grid({name: [to_uint8(one[None]) for one in column.cpu()] for name, column in columns.items()})


def _grid(columns: dict[str, list[Pixels]]) -> Pixels:
    """Named columns of equal pictures."""
    first = next(iter(columns.values()))
    times = max(1, -(-SEEN // max(first[0].shape[:2])))  # whole, so that pixels stay squares
    (height, width), rows = (times * side for side in first[0].shape[:2]), len(first)
    size = (len(columns) * (width + GAP) + GAP, rows * (height + GAP) + GAP + HEAD)
    page = Image.new("RGB", size, (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    for number, (name, pictures) in enumerate(columns.items()):
        left = GAP + number * (width + GAP)
        draw.text((left, 3), name, fill=(INK,) * 3, font=ImageFont.load_default(11))
        for row, picture in enumerate(pictures):
            enlarged = Image.fromarray(picture.repeat(times, 0).repeat(times, 1))
            page.paste(enlarged, (left, HEAD + GAP + row * (height + GAP)))
    return np.asarray(page)


def mask_sheet(holes: Sequence[NDArray[np.bool_]], counts: Sequence[int], title: str) -> Pixels:
    """The hole ratios as a histogram, and a few of the masks below it.

    Args:
        holes: examples, (H, W) each
        counts: masks in equal classes of the hole ratio 0..1
        title: what they were drawn from
    """
    bar, tall = 44, 150
    tile = 96
    wide = max(len(counts) * bar, len(holes) * (tile + GAP)) + 2 * GAP
    page = Image.new("RGB", (wide, HEAD * 3 + tall + tile + 3 * GAP), (PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(11)
    draw.text((GAP, 2), f"hole ratios of {sum(counts)} masks: {title}", fill=(INK,) * 3, font=font)
    bottom = HEAD * 2 + tall
    for number, count in enumerate(counts):
        left, height = GAP + number * bar, round(tall * count / max(1, *counts))
        draw.rectangle((left + 2, bottom - height, left + bar - 3, bottom), fill=BAR)
        draw.text((left + 4, bottom - height - 14), str(count), fill=(INK,) * 3, font=font)
        draw.text(
            (left + 4, bottom + 3),
            f"{number / len(counts):.1f}-{(number + 1) / len(counts):.1f}",
            fill=(INK,) * 3,
            font=font,
        )
    for number, hole in enumerate(holes):
        picture = Image.fromarray(hole.astype(np.uint8) * 255).resize((tile, tile))
        page.paste(picture.convert("RGB"), (GAP + number * (tile + GAP), bottom + HEAD + GAP))
        left, top = GAP + number * (tile + GAP), bottom + HEAD + GAP
        draw.rectangle((left, top, left + tile - 1, top + tile - 1), outline=(INK,) * 3)
    return np.asarray(page)
