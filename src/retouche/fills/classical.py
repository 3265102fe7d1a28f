"""OpenCV's fills, the baselines of many tables: Telea, Navier-Stokes and frequency selective reconstruction.

Telea 2004 (doi 10.1080/10867651.2004.10487596); Bertalmio, Bertozzi, Sapiro 2001 (CVPR, doi 10.1109/CVPR.2001.990497);
Genser, Seiler, Kaup 2018 (frequency selective reconstruction, the fast variant). They need the extra `classical`
(OpenCV with its contrib modules), which is imported at the first fill. All work in 8 bit; what they do to known
pixels is not used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouche.errors import InputError
from retouche.image import to_uint8

RADIUS = 3  # pixels around each hole pixel that Telea and Navier-Stokes read; OpenCV's examples use 3


def available() -> bool:
    """Whether OpenCV is installed."""
    return importlib.util.find_spec("cv2") is not None


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise InputError(
            "telea, navier-stokes and fsr need OpenCV: pip install 'retouche[classical]', or choose another model"
        ) from None
    return cv2


def _telea(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    cv2 = _opencv()
    return cv2.inpaint(picture, hole, RADIUS, cv2.INPAINT_TELEA)


def _navier_stokes(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    cv2 = _opencv()
    return cv2.inpaint(picture, hole, RADIUS, cv2.INPAINT_NS)


def _fsr(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    cv2 = _opencv()
    if not hasattr(cv2, "xphoto"):
        raise InputError("fsr needs OpenCV's contrib modules: pip install opencv-contrib-python-headless alone")
    result = np.zeros_like(picture)
    cv2.xphoto.inpaint(picture, 255 - hole, result, cv2.xphoto.INPAINT_FSR_FAST)  # here 0 is the hole
    return result


Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _mirrored(paint: Paint, smallest: int) -> Paint:
    """The same for pictures of any size: OpenCV reads past small ones, so these are mirrored to `smallest` pixels."""

    def painted(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
        height, width = hole.shape
        more = ((0, max(0, smallest - height)), (0, max(0, smallest - width)))
        wide = np.pad(picture, (*more, (0, 0)), "symmetric"), np.pad(hole, more, "symmetric")
        return paint(*wide)[:height, :width]

    return painted


def _of(paint: Paint) -> Callable[[Tensor, Tensor, int], Tensor]:
    def fill(image: Tensor, mask: Tensor, seed: int = 0) -> Tensor:
        """Image (N, 3, H, W) -1..1, mask (N or 1, 1, H, W) 1 = hole -> (N, 3, H, W); the seed is unused."""
        masks = mask.expand(len(image), 1, *image.shape[-2:])
        filled = []
        for one, hole in zip(image, masks, strict=True):
            blank = (hole[0] > 0.5).cpu().numpy().astype(np.uint8) * 255
            picture = to_uint8(one[None])
            picture[blank > 0] = 0  # nothing of the hole's old content can be read
            painted = paint(np.ascontiguousarray(picture[..., ::-1]), blank)[..., ::-1]  # OpenCV's order is BGR
            values = torch.from_numpy(painted.copy()).permute(2, 0, 1).to(image.dtype)
            filled.append(values / 127.5 - 1)
        return torch.stack(filled).to(image.device)

    return fill


telea = _of(_mirrored(_telea, 4))
navier_stokes = _of(_mirrored(_navier_stokes, 4))
fsr = _of(_mirrored(_fsr, 64))  # it reconstructs blocks of a power of two
