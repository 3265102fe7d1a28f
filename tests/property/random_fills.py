"""A campaign of random fills: every kind of picture and mask, every method, small budgets included.

    python tests/property/random_fills.py --count 3000 --seed 0

Checks promise 1 (outside the grown mask nothing changes) and promise 2 (what goes in comes out: type, size, mode,
depth, alpha, profile), that the same call gives the same bytes, and that nothing is refused that could be filled. Exit
code 0 without findings. `test_random_fills.py` runs a short form.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from hostile_pictures import icc_profile
from PIL import Image, ImageOps

import retouche
from retouche.masks import dilate
from retouche.methods import METHODS, find
from retouche.pictures import Picture, open_picture, write_picture

QUICK = ("mean", "harmonic", "telea", "navier-stokes")
SLOW = ("exemplar", "guided", "default", "fsr")
NETWORKS = tuple(name for name in METHODS if find(name).build is not None)
BUDGETS = (None, None, 1, 300_000, 20_000_000)


@lru_cache
def model(name: str) -> retouche.Model:
    """The method ready to fill; networks without a file of their own with random weights."""
    return retouche.create(name) if name in NETWORKS else retouche.load(name)


# Pictures: a function makes (what is given, how it is shown as (H, W, C)) --------------------------------------------


def smooth(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """(H, W, C) uint8"""
    y, x = np.mgrid[:height, :width][..., None]
    phase = rng.uniform(0, 6, (4, channels))
    waves = np.sin(x * rng.uniform(0.02, 0.5) + phase[0]) + np.cos(y * rng.uniform(0.02, 0.5) + phase[1])
    return np.clip(128 + 55 * waves + rng.normal(0, 9, (height, width, channels)), 0, 255).astype(np.uint8)


def with_alpha(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """The last channel as opacity: all opaque, soft, or with clear parts."""
    pixels = pixels.copy()
    way = rng.integers(4)
    if way == 0:
        pixels[..., -1] = 255
    elif way >= 2:
        pixels[..., -1] = np.where(pixels[..., 0] > rng.integers(60, 220), 0, pixels[..., -1])
    return pixels


def array(rng: np.random.Generator, height: int, width: int) -> Any:
    channels = int(rng.choice([0, 1, 3, 3, 4]))
    pixels = smooth(rng, height, width, max(1, channels))
    pixels = with_alpha(rng, pixels) if channels == 4 else pixels
    kind = rng.choice(["uint8", "uint16", "float32", "float64", "float16", ">u2"])
    if kind.startswith("float"):
        pixels = (pixels / 255).astype(kind)
    elif kind != "uint8":
        pixels = (pixels.astype(np.uint16) * 257).astype(kind)
    pixels = pixels[..., 0] if channels == 0 else pixels
    return np.asfortranarray(pixels) if rng.random() < 0.2 else pixels


def tensor(rng: np.random.Generator, height: int, width: int) -> Any:
    channels = int(rng.choice([1, 3, 3, 4]))
    pixels = smooth(rng, height, width, channels)
    pixels = with_alpha(rng, pixels) if channels == 4 else pixels
    values = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 255
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    values = values.to(dtypes[rng.integers(len(dtypes))])
    return values[None] if rng.random() < 0.3 else values


def pil(rng: np.random.Generator, height: int, width: int) -> Any:
    mode = str(rng.choice(["L", "RGB", "RGB", "RGBA", "LA", "P", "1", "CMYK", "YCbCr", "I;16"]))
    if mode == "I;16":
        image = Image.fromarray(smooth(rng, height, width, 1)[..., 0].astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        pixels = with_alpha(rng, smooth(rng, height, width, len(mode)))
        image = Image.fromarray(pixels)
    else:
        image = Image.fromarray(smooth(rng, height, width, 3)).convert(mode)
    if rng.random() < 0.3 and mode not in ("1", "I;16"):
        image.info["icc_profile"] = icc_profile()
    if rng.random() < 0.4:
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        image.info["exif"] = exif.tobytes()
        image.getexif()[0x0112] = exif[0x0112]
    return image


def file(rng: np.random.Generator, height: int, width: int, folder: Path) -> Any:
    """A file of a lossless format, with its profile and orientation."""
    image = pil(rng, height, width)
    while image.mode == "I;16":
        image = pil(rng, height, width)
    suffix = str(rng.choice(["png", "tif", "bmp", "webp"]))
    words: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    if image.mode in ("CMYK", "YCbCr", "LA", "P", "1") and suffix != "tif":
        suffix, words = ("tif", {}) if image.mode in ("CMYK", "YCbCr") else ("png", {})
    if image.mode == "RGBA" and suffix == "bmp":
        suffix = "png"
    if image.info.get("icc_profile") and suffix != "bmp":
        words["icc_profile"] = image.info["icc_profile"]
    if suffix in ("png", "webp") and image.info.get("exif"):
        words["exif"] = image.info["exif"]
    path = folder / f"picture.{suffix}"
    image.save(path, **words)
    if rng.random() < 0.3 and image.mode in ("RGB", "RGBA"):
        deep = smooth(rng, height, width, len(image.mode)).astype(np.uint16) * 257
        path = folder / f"deep.{rng.choice(['png', 'tif'])}"
        write_picture(open_picture(deep), path, overwrite=True)
    return path


# Masks --------------------------------------------------------------------------------------------------------------


def hole(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W): boxes, strokes, noise, a border, half of the picture, all but a little, nothing."""
    made = np.zeros((height, width), bool)
    y, x = np.mgrid[:height, :width]
    way = rng.integers(9)
    if way <= 2:
        for _ in range(rng.integers(1, 4)):
            top, left = rng.integers(height), rng.integers(width)
            made[
                top : top + 1 + rng.integers(max(1, height // 2)), left : left + 1 + rng.integers(max(1, width // 2))
            ] = 1
    elif way == 3:
        made = np.abs(y - rng.uniform(-1, 1) * x - rng.uniform(0, height)) < rng.uniform(0.5, 4)
    elif way == 4:
        made = rng.random((height, width)) < rng.choice([0.01, 0.2, 0.9])
    elif way == 5:
        made = x < width // 2 if rng.random() < 0.5 else y >= height // 2
    elif way == 6:
        made[:] = True
        made[rng.integers(height), rng.integers(width)] = False
    elif way == 7:
        edge = rng.integers(1, 4)
        made[:edge] = made[-edge:] = made[:, :edge] = made[:, -edge:] = True
    return made


def as_mask(rng: np.random.Generator, made: np.ndarray, folder: Path) -> Any:
    """A hole as people write it."""
    white = made.astype(np.uint8) * 255
    layer = np.dstack([white * 0 + rng.integers(256, dtype=np.uint8)] * 3 + [white])
    if 0 < made.mean() <= 0.5:
        special = [lambda: layer, lambda: Image.fromarray(layer), lambda: saved(Image.fromarray(layer), folder)]
    else:
        special = []
    forms: list[Callable[[], Any]] = [
        lambda: made,
        lambda: made.astype(np.float32),
        lambda: white,
        lambda: made.astype(np.uint16) * 65535,
        lambda: torch.from_numpy(made),
        lambda: torch.from_numpy(white)[None],
        lambda: torch.from_numpy(made).float()[None, None],
        lambda: Image.fromarray(white),
        lambda: Image.fromarray(white).convert("1"),
        lambda: saved(Image.fromarray(white).convert(str(rng.choice(["L", "RGB", "1", "P"]))), folder),
        *special,
    ]
    return forms[rng.integers(len(forms))]()


def saved(image: Image.Image, folder: Path) -> Path:
    image.save(folder / "mask.png")
    return folder / "mask.png"


# One fill -----------------------------------------------------------------------------------------------------------


def shown(given: Any) -> np.ndarray:
    """(H, W, C) as displayed, in the units given."""
    return open_picture(given).pixels


def one(seed: int, folder: Path) -> str:
    """Make a picture and a mask, fill, and check; returns what was done in words.

    Raises: AssertionError, or whatever the fill raises and should not
    """
    rng = np.random.default_rng(seed)
    name = str(rng.choice(QUICK)) if rng.random() < 0.7 else str(rng.choice(SLOW if rng.random() < 0.7 else NETWORKS))
    most = 48 if name in QUICK else 40
    height, width = (round(most ** rng.uniform(0, 1)) for _ in range(2))
    if rng.random() < 0.04:
        height, width = (1, 300) if rng.random() < 0.5 else (260, 3)
    kind = str(rng.choice(["array", "tensor", "pil", "file"]))
    given = {"array": array, "tensor": tensor, "pil": pil}[kind](rng, height, width) if kind != "file" else None
    given = file(rng, height, width, folder) if given is None else given
    before = shown(given)
    alpha = open_picture(given).alpha()
    drawn = hole(rng, *(before.shape[:2]))
    mask = as_mask(rng, stored(drawn, given), folder) if kind == "pil" else as_mask(rng, drawn, folder)
    if kind == "pil" and not isinstance(mask, (np.ndarray, torch.Tensor)):
        mask = as_mask(rng, drawn, folder)  # files and images are as shown
        if isinstance(mask, (np.ndarray, torch.Tensor)):
            mask = stored(drawn, given)
    options: dict[str, Any] = {
        "dilate": rng.choice([None, 0, 1, 3, 10**9]),
        "feather": rng.choice([None, 0, 2, 10**9]),
        "memory": rng.choice(np.array(BUDGETS, object)),
        "seed": int(rng.integers(5)),
    }
    unseen = np.zeros(drawn.shape, bool) if alpha is None else alpha == 0
    said = f"{name} {kind} {before.dtype} {before.shape} {type(mask).__name__} {drawn.mean():.2f} {options}"
    fillable = not drawn.any() or not (drawn | unseen).all()
    try:
        # a decoded file comes back with all that belongs into the file; a path as a PIL image
        asked = open_picture(given) if kind == "file" and seed % 4 else given
        filled, report = model(name)(asked, mask, report=True, **options)
    except retouche.InputError:
        if fillable:
            raise AssertionError(f"refused: {said}") from None
        return "refused"
    assert fillable, f"filled from nothing: {said}"
    grown = dilate(drawn, report.dilate)
    if isinstance(filled, Picture):
        path = folder / f"filled{given.suffix}"
        write_picture(filled, path, overwrite=True)
        filled, profile = open_picture(path), open_picture(given).source.icc
        assert filled.mode == open_picture(given).mode and filled.source.icc == profile, said
    after = shown(filled)
    assert after.shape == before.shape and after.dtype == before.dtype, said
    assert np.array_equal(after[~grown], before[~grown]), f"changed: {said}"
    assert np.isfinite(after.astype(np.float64)).all(), said
    if alpha is not None:
        assert np.array_equal(after[..., -1], alpha), f"alpha: {said}"
    same_kind(filled, given, kind, said)
    if seed % 7 == 0:
        again = shown(model(name)(given, mask, **options)) if kind != "file" else None
        assert again is None or np.array_equal(again, after), f"other bytes: {said}"
    return f"{name} {kind}"


def stored(drawn: np.ndarray, given: Any) -> np.ndarray:
    """A hole drawn as shown, for a PIL image's stored pixels."""
    orientation = given.getexif().get(0x0112, 1) if isinstance(given, Image.Image) else 1
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    image = Image.fromarray(drawn.astype(np.uint8) * 255)
    image.getexif()[0x0112] = inverse
    return np.asarray(ImageOps.exif_transpose(image)) > 0


def same_kind(filled: Any, given: Any, kind: str, said: str) -> None:
    """Promise 2: the type that was given, with what it has beside its pixels."""
    if kind in ("array", "tensor"):
        assert type(filled) is type(given) and filled.shape == given.shape and filled.dtype == given.dtype, said
    elif kind == "pil":
        assert isinstance(filled, Image.Image), said
        wanted = {"P": "RGB"}.get(given.mode, given.mode)
        assert filled.mode == wanted, f"{said}: {given.mode} became {filled.mode}"
        assert filled.info.get("icc_profile") == given.info.get("icc_profile"), said
        stream = io.BytesIO()
        filled.convert("RGB").save(stream, "PNG")  # a picture like any other


def main() -> int:
    logging.getLogger("retouche").setLevel(logging.ERROR)  # empty masks are meant
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    done: Counter[str] = Counter()
    found = 0
    with TemporaryDirectory() as folder:
        for number in range(options.count):
            seed = options.seed * 1_000_000 + number
            try:
                done[one(seed, Path(folder))] += 1
            except Exception as error:
                found += 1
                words = (
                    str(error) if isinstance(error, AssertionError) and str(error) else traceback.format_exc(limit=-3)
                )
                print(f"seed {seed}: {words}", flush=True)
    refused = done.pop("refused", 0)
    print(
        f"{options.count} fills of seed {options.seed}: {sum(done.values())} kept, {refused} rightly refused, "
        f"{found} findings"
    )
    for words, count in sorted(done.items()):
        print(f"{count:6} {words}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
