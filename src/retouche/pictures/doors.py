"""The doors: paths, PIL images, arrays and tensors become pictures; pictures become files, whole or not at all."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.conventions import is_tensor
from retouche.errors import InputError, reason
from retouche.files import atomic_write
from retouche.pictures.decoding import decode, from_pil
from retouche.pictures.encoding import encode_into, format_of
from retouche.pictures.picture import Given, Picture
from retouche.pictures.source import MAX_PIXELS

if TYPE_CHECKING:
    from torch import Tensor

_ARRAY_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

PictureLike: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[Any] | Tensor | Picture"


def open_picture(given: PictureLike, max_pixels: int = MAX_PIXELS) -> Picture:
    """Take a picture in any of the forms users have them; what they gave is never changed.

    Args:
        given: a path to a picture file, a PIL image, an array (H, W) or (H, W, 1..4) of uint8, uint16
            or floats in 0..1, a float tensor (3, H, W) or (1, 3, H, W) in 0..1, or a `Picture`, returned as it is
        max_pixels: height times width at most, for paths and PIL images

    Raises: InputError in one line with the remedy
    """
    if isinstance(given, Picture):
        return given
    if isinstance(given, (str, PathLike)):
        return read_file(given if isinstance(given, Path) else Path(os.fspath(given)), max_pixels)
    if isinstance(given, Image.Image):
        return from_pil(given, "the picture", max_pixels)
    if is_tensor(given):
        return _from_tensor(given)
    if isinstance(given, np.ndarray):
        return _from_array(given)
    raise InputError(
        f"the picture is a {type(given).__name__}: give a path, a PIL image, an array of uint8, uint16 or floats, "
        "or a float tensor"
    )


def read_file(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one picture file, which is opened once.

    Raises: InputError in one line with the remedy
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give one picture file")
    try:
        with path.open("rb") as file:
            return decode(file, path.name or str(path), max_pixels)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): check its permissions") from error


def _from_array(given: NDArray[Any]) -> Picture:
    accepted = "give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8 or uint16, or of floats in 0..1"
    if given.dtype.kind != "f" and (given.dtype.kind != "u" or given.dtype.itemsize > 2):
        raise InputError(f"the picture is an array of {given.dtype}: {accepted}")
    if given.dtype.itemsize > 8:  # no smaller kind gives them back bit for bit
        raise InputError(f"the picture is an array of {given.dtype}: give float64 or smaller (picture.astype(float))")
    values = given[..., None] if given.ndim == 2 else given
    if values.ndim != 3 or values.shape[2] not in _ARRAY_MODES or 0 in values.shape:
        raise InputError(f"the picture is an array {given.shape}: {accepted}")
    kind = given.dtype.newbyteorder("=")
    if kind.kind == "f":
        _check_floats(float(values.min()), float(values.max()), "an array", accepted)
        kind = np.dtype(np.float64 if kind.itemsize > 4 else np.float32)  # which hold every smaller kind bit for bit
    pixels = np.array(values, kind, order="C", subok=False)
    return Picture(pixels, _ARRAY_MODES[values.shape[2]], given=Given("array", given.shape, given.dtype))


def _from_tensor(given: Tensor) -> Picture:
    accepted = "give a float tensor (3, H, W) or (1, 3, H, W) in 0..1"
    if not given.is_floating_point():
        raise InputError(f"the picture is a tensor of {given.dtype}: {accepted}")
    values = given.detach()
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 3 or values.shape[0] not in (1, 3, 4) or 0 in values.shape:
        raise InputError(f"the picture is a tensor {tuple(given.shape)}: {accepted}")
    _check_floats(float(values.min()), float(values.max()), "a tensor", accepted)
    # float32 holds every float16 and bfloat16; so they return bit for bit
    values = values.cpu()
    values = values.double() if values.element_size() == 8 else values.float()
    pixels = np.array(np.moveaxis(values.numpy(), 0, 2), order="C")
    mode = _ARRAY_MODES[pixels.shape[2]]
    return Picture(pixels, mode, given=Given("tensor", tuple(given.shape), given.dtype, given.device))


def _check_floats(lowest: float, highest: float, kind: str, accepted: str) -> None:
    if not (lowest >= 0 and highest <= 1):  # also where either is NaN
        raise InputError(f"the picture is {kind} of values from {lowest:g} to {highest:g}: {accepted}")


def write_picture(picture: Picture, path: Path, *, overwrite: bool = False, parents: bool = False) -> None:
    """Write a picture in the format of the suffix, whole or not at all; what goes along tells `encode`.

    With `parents` missing folders are made.

    Raises: InputError where the file exists and `overwrite` is false, the folder cannot be written, or the format
        cannot hold the picture (transparency, CMYK, 16 bit)
    """
    path = Path(path)
    kind = format_of(path)
    with atomic_write(path, overwrite=overwrite, parents=parents) as temporary, temporary.open("r+b") as file:
        encode_into(picture, file, kind, path.name)
