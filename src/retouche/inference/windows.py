"""Reading a window of a picture at the size a method sees, and enlarging its prediction again, band by band.

Pictures may have 100 megapixels: a float copy of the whole is never made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouche.image import Box
from retouche.pictures import Picture

BAND_PIXELS = 1 << 22  # pixels converted at once
TINY = 1e-9  # share of a shrunk pixel below any that one known pixel can have


def reflected(start: int, stop: int, length: int) -> np.ndarray:
    """Positions start..stop of an axis that mirrors at both ends without repeating the end: indices in 0..length-1."""
    period = max(1, 2 * (length - 1))
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position) if length > 1 else np.zeros(stop - start, np.int64)


def size_seen(crop: Box, scale: float) -> tuple[int, int]:
    """Height and width of a crop as the method sees it."""
    return max(1, round((crop[3] - crop[1]) * scale)), max(1, round((crop[2] - crop[0]) * scale))


def mirrored(crop: Box, bounds: Box) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the picture that a crop shows, mirrored beyond the bounds."""
    left, top, right, bottom = bounds
    rows = reflected(crop[1] - top, crop[3] - top, bottom - top) + top
    return rows, reflected(crop[0] - left, crop[2] - left, right - left) + left


def box_read(crop: Box, bounds: Box) -> Box:
    """The box of a picture whose pixels a crop shows, those mirrored beyond the bounds included."""
    rows, columns = mirrored(crop, bounds)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def read_window(
    picture: Picture, hole: np.ndarray, crop: Box, scale: float, bounds: Box | None = None
) -> tuple[Tensor, Tensor]:
    """The window as the method sees it.

    Args:
        picture: the canvas
        hole: (H, W) bool, what is unknown now
        crop: pixels; may reach beyond the bounds, at which the picture is mirrored
        scale: size seen / size in the picture, at most 1. Shrinking averages known pixels only; a shrunk pixel that
            touches the hole is hole, unless no other is there: then one that touches a known pixel is known
        bounds: a part of the picture; None = all of it

    Returns: image (1, 3, h, w) -1..1 with the hole blanked to 0, mask (1, 1, h, w) 1 = hole
    """
    rows, columns = mirrored(crop, bounds or (0, 0, picture.width, picture.height))
    size = size_seen(crop, scale)
    factor = max(1, int(min(len(rows) / size[0], len(columns) / size[1])))
    images, knowns = [], []
    for band in _bands(len(rows), len(columns), factor):
        image, known = _known(picture, hole, rows[band], columns)
        if factor > 1:
            # average of whole cells; the last ones may be cut off by the picture's edge
            image = functional.avg_pool2d(image, factor, ceil_mode=True, count_include_pad=False)
            known = functional.avg_pool2d(known, factor, ceil_mode=True, count_include_pad=False)
        images.append(image)
        knowns.append(known)
    image, known = torch.cat(images, 2), torch.cat(knowns, 2)
    if known.shape[-2:] != size:
        image = functional.interpolate(image, size, mode="bilinear", antialias=True)
        known = functional.interpolate(known, size, mode="bilinear", antialias=True)
    mask = known < 1 - 1e-4
    if mask.all():
        mask = known < TINY
    return torch.where(mask, 0.0, image / known.clamp(min=TINY)), mask.float()


def _bands(height: int, width: int, multiple: int) -> Iterator[slice]:
    step = max(1, BAND_PIXELS // max(1, width) // multiple) * multiple
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _known(picture: Picture, hole: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[Tensor, Tensor]:
    """image * known (1, 3, h, w) and known (1, 1, h, w) at these rows and columns."""
    top, left = int(rows.min()), int(columns.min())
    box = (left, top, int(columns.max()) + 1, int(rows.max()) + 1)
    image = picture.rgb(box)
    known = torch.from_numpy(~hole[box[1] : box[3], box[0] : box[2]]).to(image)[None, None]
    if len(rows) != image.shape[2] or len(columns) != image.shape[3] or rows[0] != top or columns[0] != left:
        index = torch.from_numpy(rows - top)[:, None], torch.from_numpy(columns - left)[None, :]
        image, known = image[:, :, index[0], index[1]], known[:, :, index[0], index[1]]
    return image * known, known


def enlarged(prediction: Tensor, length: tuple[int, int], part: Box) -> Iterator[tuple[Tensor, Box]]:
    """A prediction brought to the crop's size, as bands of the part that is wanted.

    Args:
        prediction: (1, 3, h, w)
        length: (height, width) of the crop it stands for
        part: wanted box inside the crop

    Yields: (band (1, 3, rows, columns), its box inside the crop)
    """
    left, top, right, bottom = part
    if prediction.shape[-2:] == length:
        yield prediction[..., top:bottom, left:right], part
        return
    x = (torch.arange(left, right, dtype=torch.float32) * 2 + 1) / length[1] - 1  # pixel centres in -1..1
    for band in _bands(bottom - top, right - left, 1):
        box = (left, top + band.start, right, top + band.stop)
        y = (torch.arange(box[1], box[3], dtype=torch.float32) * 2 + 1) / length[0] - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].to(prediction)  # (1, rows, columns, 2)
        smooth = functional.grid_sample(prediction, grid, "bicubic", padding_mode="border", align_corners=False)
        yield smooth, box
