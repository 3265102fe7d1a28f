"""What users call a mask, as booleans: by brightness, or by opacity; refused where two readings are as good.

Behind `masks.py`. A mask is whatever people's programs write: black and white in any depth, two values of any kind,
strokes on a clear layer, a photograph with its object erased, an array for a picture that a camera has turned.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.conventions import is_tensor
from retouche.errors import InputError
from retouche.pictures import MAX_PIXELS, Picture
from retouche.pictures.decoding import from_pil
from retouche.pictures.doors import read_file

if TYPE_CHECKING:
    from torch import Tensor

MaskLike: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[Any] | Tensor | Picture"
Mask: TypeAlias = NDArray[np.bool_]

LUMA = (0.299, 0.587, 0.114)
BAND = 1 << 18  # pixels that are compared at once
LOOKED_AT = 1 << 22  # pixels of a large mask whose colours are counted
STROKES = 8  # a layer painted by hand has few colours: so many of them cover most of it
MOST = 0.75
LABELS = 32  # a picture of labels has no more colours
NEAR = 1 / 16  # of white: as near to black or white counts as such
_WORDS = {"mask": "hole", "sketch": "stroke"}


def open_mask(
    given: MaskLike,
    size: tuple[int, int] | None,
    *,
    invert: bool = False,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> tuple[Mask, list[str]]:
    """What a user calls a mask, as booleans.

    Two values are background and hole, the higher is hole. Of more, hole is: above 127 in 8 bit, above 32767 in 16 bit;
    above 0.5 in floats. Colours count by luma. Where opacity varies it decides: what is painted on a clear layer is
    hole, in any colour; in a photograph the erased part is. Hidden colours count nowhere.

    Args:
        given: a path, a PIL image, an array (H, W), (H, W, 1), (H, W, 3 or 4), or a tensor (H, W), (1, H, W),
            (1, 1, H, W), or a decoded `Picture`
        size: (height, width) of the picture it belongs to; None accepts any
        invert: white is then what is kept
        name: what errors call it; None = its file's name, or "mask"

    Returns: (H, W), True = hole, and remarks worth a user's eye.
    Raises: InputError where it cannot be read, has another size, holds values out of range, or can be read in two ways
    """
    hole, remarks = _read(given, size, max_pixels, "mask", name)
    if invert:
        hole = ~hole
    ratio = np.count_nonzero(hole) / hole.size
    if ratio > 0.5:
        remedy = "leave out --invert-mask" if invert else "--invert-mask"
        remarks.append(f"mask is {ratio:.0%} hole: is it inverted? {remedy}")
    elif ratio == 0:
        remarks.append(EMPTY)
    return hole, remarks


EMPTY = "mask is empty: nothing to fill"


def open_sketch(given: MaskLike, size: tuple[int, int] | None, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """White strokes on black, or any on a clear layer, as (H, W) booleans, True = stroke; read like a mask."""
    return _read(given, size, max_pixels, "sketch", None)[0]


def _read(
    given: MaskLike, size: tuple[int, int] | None, max_pixels: int, word: str, name: str | None
) -> tuple[Mask, list[str]]:
    """Hole or stroke, and remarks."""
    called, decoded = name or word, None
    if isinstance(given, (str, PathLike)):
        path = given if isinstance(given, Path) else Path(given)  # one elsewhere stays what it is
        called = name or path.name
        decoded = read_file(path, max_pixels)
    elif isinstance(given, Image.Image):
        decoded = from_pil(given, word, max_pixels)
    elif isinstance(given, Picture):
        decoded = given
    values = decoded.pixels if decoded is not None else _array(given, word)
    height, width = values.shape[:2]
    if not height or not width:
        raise InputError(f"{called} is {width}x{height}: give at least one pixel")
    if size is not None and (height, width) != tuple(size):
        turned = " and turned as the picture is shown" if (width, height) == tuple(size) else ""
        raise InputError(
            f"{called} is {width}x{height} but the picture is {size[1]}x{size[0]}: "
            f"give a {word} of the same size{turned}, or scale it first"
        )
    if decoded is not None and decoded.mode in ("CMYK", "YCbCr"):
        raise InputError(f"{called} is {decoded.mode}: save the {word} as black and white PNG")
    if values.dtype.kind == "b" and values.shape[2] == 1:
        hole = values[..., 0]
        hole.flags.writeable = False  # a view of what the user gave
        return hole, []
    values = _checked(values, called)
    if values.shape[2] in (2, 4):
        colours, alpha = values[..., :-1], values[..., -1]
        if alpha.min() != alpha.max() or not alpha.any():
            return _by_opacity(colours, alpha, called, word)
        values = colours
    return _by_brightness(values, called, word, labels=decoded is None)


def _array(given: Any, word: str) -> NDArray[Any]:
    """An array's or a tensor's values as (H, W, C)."""
    if is_tensor(given):
        tensor = given.detach().cpu()
        values: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        while values.ndim > 2 and values.shape[0] == 1:
            values = values[0]
        if values.ndim != 2:
            raise InputError(f"{word} is a tensor {tuple(given.shape)}: give (H, W), (1, H, W) or (1, 1, H, W)")
        return values[..., None]
    if isinstance(given, np.ndarray):
        values = given[..., None] if given.ndim == 2 else given
        if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
            raise InputError(f"{word} is an array {given.shape}: give (H, W), or (H, W, 3) in black and white")
        return values
    raise InputError(f"{word} is a {type(given).__name__}: give a path, a PIL image, an array or a tensor")


def _checked(values: NDArray[Any], called: str) -> NDArray[Any]:
    """The values, booleans as 0 and 255.

    Raises: InputError where their type or range has no white
    """
    kind = values.dtype.kind
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "u" and values.dtype.itemsize <= 2:  # which hold nothing else
        return values
    if kind not in "iuf":
        raise InputError(f"{called} is of type {values.dtype}: give booleans, uint8, uint16 or floats in 0..1")
    lowest, highest = values.min(), values.max()
    if not (lowest >= 0 and highest <= _white(values)):  # also where either is NaN
        if kind == "f":
            raise InputError(f"{called} holds floats from {lowest:g} to {highest:g}: give 0..1 with 1 = hole")
        raise InputError(f"{called} holds integers from {lowest} to {highest}: give 0..{_white(values)} or booleans")
    return values


def _white(values: NDArray[Any]) -> int:
    """The value that means white."""
    return 1 if values.dtype.kind == "f" else 65535 if values.dtype.str[1:] == "u2" else 255


# By brightness ------------------------------------------------------------------------------------------------------


def _by_brightness(values: NDArray[Any], called: str, word: str, labels: bool) -> tuple[Mask, list[str]]:
    """(H, W, 1 or 3) -> hole, remarks. `labels`: an array whose only value is 1 means 1 = hole."""
    plane = _luma(values)
    lowest, highest = plane.min(), plane.max()
    white, hole = _white(plane), _WORDS[word]
    half = 0.5 if plane.dtype.kind == "f" else white // 2
    if lowest == highest:
        if (values != values[:1, :1]).any():
            raise InputError(
                f"{called} has several colours of the same brightness: either is the {hole}; {_remedy(word)}"
            )
        whole = bool(lowest > half or (labels and lowest == 1))
        remarks = [] if whole or not lowest else [f"{word} holds the value {lowest:g} only, taken as black"]
        return np.full(plane.shape, whole), remarks
    two = None if plane.dtype.kind == "f" else _of_two(plane, lowest, highest)
    if two is not None:
        plain = not lowest and (highest == white or (labels and highest == 1))
        return two, [] if plain else [f"{word} holds {lowest} and {highest} only: {highest} is {hole}"]
    if plane.dtype.kind != "f" and highest <= half:
        raise InputError(
            f"{called} holds values from {lowest} to {highest} and none above {half}: either all above {lowest} is "
            f"{hole}, or nothing; {_remedy(word)}"
        )
    if _is_labels(values, half):
        raise InputError(
            f"{called} has dark and light colours on black, like a picture of labels: either each colour is {hole}, "
            f"or the light ones; {_remedy(word)}"
        )
    grey = int(np.count_nonzero((plane > 0) & (plane < white)))
    remarks = [f"{word} holds {grey} grey values between black and white (a JPEG?): the lighter half is {hole}"]
    return plane > half, remarks if grey else []


def _of_two(plane: NDArray[Any], lowest: Any, highest: Any) -> Mask | None:
    """Where a plane is highest, if it holds only these two values; looked at in bands that stay in the processor's
    cache."""
    result = np.empty(plane.shape, np.bool_)
    rows = max(1, BAND // plane.shape[1])
    for top in range(0, len(plane), rows):
        band, here = plane[top : top + rows], result[top : top + rows]
        np.equal(band, highest, out=here)
        if np.count_nonzero(here) + np.count_nonzero(band == lowest) < band.size:
            return None
    return result


def _luma(values: NDArray[Any]) -> NDArray[Any]:
    """(..., 1 or 3) -> luma in the same units (...)"""
    if values.shape[-1] == 1:
        return values[..., 0]
    if np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2]):
        return values[..., 0]
    plane = np.zeros(values.shape[:-1], np.float32)
    for channel, weight in enumerate(LUMA):
        plane += np.float32(weight) * values[..., channel]
    return plane if values.dtype.kind == "f" else np.rint(plane).astype(values.dtype)


def _is_labels(values: NDArray[Any], half: float) -> bool:
    """Whether these are few flat colours, black among them, and dark and light ones that are no greys."""
    if values.shape[-1] == 1 or values.dtype.kind == "f":
        return False
    few = _counted(values[:: max(1, len(values) // 64)])[0]
    if len(few) > LABELS or len(few := _counted(values)[0]) > LABELS:
        return False
    coloured = few[(few != few[:, :1]).any(axis=1)]
    return bool((few == 0).all(axis=1).any() and len(coloured) and (_luma(coloured) <= half).any())


def _counted(colours: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(..., C) -> the different colours (n, C) and how often each is there."""
    flat = colours.reshape(-1, colours.shape[-1])
    if flat.dtype.kind == "f":
        flat = np.rint(flat * 65535).astype(np.uint16)
    packed = np.zeros(len(flat), np.uint64)
    for channel in range(flat.shape[1]):
        packed = packed << np.uint64(16) | flat[:, channel].astype(np.uint64)
    _, first, counts = np.unique(packed, return_index=True, return_counts=True)
    return flat[first], counts


# By opacity ---------------------------------------------------------------------------------------------------------


def _by_opacity(colours: NDArray[Any], alpha: NDArray[Any], called: str, word: str) -> tuple[Mask, list[str]]:
    """(H, W, 1 or 3) and an opacity (H, W) that varies, or is nowhere -> hole, remarks."""
    hole, most = _WORDS[word], alpha.max()
    if not most:
        if (colours != colours[:1, :1]).any():
            raise InputError(
                f"{called} is wholly transparent: either nothing is {hole}, or what its hidden colours say; "
                f"{_remedy(word)}"
            )
        return np.zeros(alpha.shape, np.bool_), []
    opaque = alpha > most / 2
    if opaque.all():  # nothing is clear
        if (colours != colours[:1, :1]).any():
            return _by_brightness(colours, called, word, labels=False)
        return _by_brightness(alpha[..., None], called, word, labels=False)
    painted = [f"{word} is painted on a clear layer: opaque is {hole}"]
    if word == "sketch":
        return opaque, painted
    step = max(1, round((alpha.size / LOOKED_AT) ** 0.5))
    seen = colours[::step, ::step][opaque[::step, ::step]]
    few, counts = _counted(seen if len(seen) else colours[opaque])
    share = np.count_nonzero(opaque) / opaque.size
    white = 65535 if colours.dtype.kind == "f" else _white(colours)
    light = _luma(few) > white / 2
    if light.all() and len(few) <= STROKES:  # painted, and white beside
        return opaque, painted
    if _is_black_and_white(few, counts, white):
        if share > 0.5:
            return opaque & (_luma(colours) > _white(colours) / 2), [f"{word} has clear parts, which are no {hole}"]
        _refuse(called, word, share, f"what is opaque is {hole}, or only what is white")
    flat = np.sort(counts)[::-1][:STROKES].sum() >= MOST * counts.sum()
    if flat and share <= 0.5:
        return opaque, painted
    if not flat and share > 0.5:
        return ~opaque, ["mask is a picture with a part erased: the transparent part is hole"]
    _refuse(called, word, share, "what is opaque is hole (painted or cut out), or what is transparent (erased)")


def _is_black_and_white(few: NDArray[Any], counts: NDArray[np.int64], white: int) -> bool:
    """Whether nearly all is grey and nearly black or nearly white, and both are there."""
    grey = (few == few[:, :1]).all(axis=1)
    black, light = (
        int(counts[grey & there].sum()) for there in (few[:, 0] <= NEAR * white, few[:, 0] >= (1 - NEAR) * white)
    )
    return black > 0 and light > 0 and black + light >= 0.9 * counts.sum()


def _refuse(called: str, word: str, share: float, readings: str) -> NoReturn:
    raise InputError(f"{called} is {share:.0%} opaque: either {readings}; {_remedy(word)}")


def _remedy(word: str) -> str:
    return f"save it in black and white, white = {_WORDS[word]}"


# Turned pictures ----------------------------------------------------------------------------------------------------

_TURNS = {  # EXIF's orientation -> whether rows and columns change places, then which of the two are reversed
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_PIL_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def as_shown(given: Any, picture: Picture, word: str) -> Any:
    """A mask, sketch or structure picture for a PIL image that a camera has turned, as the image is shown.

    An array or a tensor belongs to the image's stored pixels, which is what NumPy makes of it; so does a PIL image of
    the stored size, where that is not the shown one. All else is given back as it is.

    Args:
        given: whatever the user gave
        picture: upright, from a PIL image whose stored pixels Pillow does not turn itself
        word: "mask", "sketch" or "structure"

    Raises: InputError naming the orientation, where an array has not the stored size
    """
    orientation = picture.source.orientation
    if orientation not in _TURNS or not (isinstance(given, (np.ndarray, Image.Image)) or is_tensor(given)):
        return given
    exchanged, down, across = _TURNS[orientation]
    shown = (picture.height, picture.width)
    stored = shown[::-1] if exchanged else shown
    if isinstance(given, Image.Image):
        turned_itself = given.getexif().get(0x0112, 1) != 1
        if turned_itself or not exchanged or stored == shown or given.size != stored[::-1]:
            return given
        return given.transpose(_PIL_TURNS[orientation])
    at = (given.ndim - 2, given.ndim - 1) if is_tensor(given) else (0, 1)
    size = tuple(given.shape[axis] for axis in at if 0 <= axis < given.ndim)
    if size != stored:
        raise InputError(
            f"{word} is {'x'.join(map(str, size[::-1]))} but the picture's stored pixels are {stored[1]}x{stored[0]}, "
            f"which its EXIF orientation {orientation} turns: give a {word} for these, or turn the picture first "
            "(PIL.ImageOps.exif_transpose)"
        )
    if is_tensor(given):
        turned = given.transpose(*at) if exchanged else given
        return turned.flip([axis for axis, reverse in zip(at, (down, across), strict=True) if reverse])
    array = given.swapaxes(0, 1) if exchanged else given
    return array[:: -1 if down else 1, :: -1 if across else 1]
