"""Writing picture files, whole or not at all, with everything of their source that the format can hold."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import PngImagePlugin, TiffImagePlugin

from retouche import picture_metadata as metadata
from retouche import picture_png as png
from retouche.errors import InputError
from retouche.picture_files import Pixels, Source, as_pil, finished_exif, reason

log = logging.getLogger(__name__)

_counter = itertools.count()


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A path to write to; on success its content takes `path`'s place at once, on failure it is gone.

    On Linux the content has no name until it is whole, so that even a killed process leaves nothing behind; elsewhere
    it is a hidden file beside. The path given has no suffix to go by, and is to be opened as it is, not resolved.

    Raises: InputError where the folder is missing or cannot be written, the disk is full, or the file exists and
        `overwrite` is false
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file name")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first")
    _refuse_existing(path, overwrite)
    named = _fresh_name(path.parent)
    nameless = _nameless(path.parent)
    temporary = named if nameless is None else Path(f"/proc/self/fd/{nameless}")
    try:
        if nameless is None:
            named.touch(exist_ok=False)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if path.exists():
            _refuse_existing(path, overwrite)  # it may have appeared meanwhile
            shutil.copymode(path, temporary)
        if nameless is not None:
            # with a descriptor (unused: the path is absolute) Python calls linkat, which alone follows /proc's link
            os.link(temporary, named, src_dir_fd=nameless, follow_symlinks=True)
        os.replace(named, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({reason(error)}): choose another folder or free space") from error
    finally:
        named.unlink(missing_ok=True)
        if nameless is not None:
            os.close(nameless)


def _fresh_name(folder: Path) -> Path:
    """A hidden name that no file has: a killed process of the same number, as in a container, may have left some."""
    while True:
        named = folder / f".retouche-{os.getpid()}-{next(_counter)}.part"
        if not os.path.lexists(named):
            return named


def _nameless(folder: Path) -> int | None:
    """Descriptor of a file in this folder that has no name yet, where the system knows such."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # a file system without them; if the folder cannot be written, the named file says so
        return None


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or allow overwriting (--overwrite)")


def write_file(pixels: Pixels, mode: str, source: Source, path: Path, *, overwrite: bool = False) -> None:
    """Write (H, W, C) uint8 or uint16 in the format of the suffix, with everything of the source that it can hold.

    A file of the source's own format repeats the source's settings; another is written at high quality.

    Raises: InputError where the format cannot hold these pixels, or the file cannot be written
    """
    target = _SUFFIXES.get(path.suffix.lower())
    if target is None:
        known = ", ".join(sorted(_SUFFIXES))
        raise InputError(f"{path.name} has no picture suffix known here: use one of {known}")
    longest, side = max(pixels.shape[:2]), _LONGEST.get(target, 2**31 - 1)
    if longest > side:
        raise InputError(f"{path.name} cannot hold a side of {longest} pixels, only {side}: choose PNG or TIFF")
    depth = pixels.dtype.itemsize * 8
    if depth == 16 and (target not in ("PNG", "TIFF") or mode not in ("L", "RGB", "RGBA")):
        raise InputError(f"{path.name} cannot hold 16-bit {mode}: choose PNG or TIFF, and L, RGB or RGBA")
    if mode not in _MODES[target]:
        if mode in ("LA", "RGBA"):
            raise InputError(f"{path.name} cannot hold transparency: choose PNG")
        if mode == "CMYK":
            raise InputError(f"{path.name} cannot hold CMYK: choose TIFF or JPEG")
        pixels, mode = _converted(pixels, mode)
    if target != source.format:
        source = replace(source, settings={}, chunks=())
    exif = finished_exif(source, pixels, mode)
    with atomic_write(path, overwrite=overwrite) as temporary:
        _WRITERS[target](temporary, pixels, mode, replace(source, exif=exif))


def _converted(pixels: Pixels, mode: str) -> tuple[Pixels, str]:
    """YCbCr -> RGB, for formats without it."""
    assert mode == "YCbCr", mode
    return np.asarray(as_pil(pixels, mode).convert("RGB")), "RGB"


def _common(source: Source) -> dict[str, Any]:
    """The words for Pillow's encoders that several formats share; only what is there."""
    words = {
        "icc_profile": source.icc,
        "dpi": source.dpi,
        "exif": b"Exif\0\0" + source.exif if source.exif else None,
        "xmp": source.xmp,
    }
    return {name: value for name, value in words.items() if value is not None}


def _write_jpeg(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    words = _common(source)
    for name, limit in (("exif", metadata.EXIF_LIMIT + 6), ("xmp", 65533 - 29)):
        if len(words.get(name, b"")) > limit:
            log.warning("%s: %s is too long for a JPEG and is left out", path.name, name.upper())
            del words[name]
    if source.comment is not None and len(source.comment) <= 65533:
        words["comment"] = source.comment
    settings = source.settings or {"quality": 95, "subsampling": 0}
    if mode != "RGB":
        settings = {name: value for name, value in settings.items() if name not in ("subsampling", "keep_rgb")}
    xmp = words.pop("xmp", None)
    if xmp is not None:  # by hand: Pillow before 11 has no word for it
        head = b"http://ns.adobe.com/xap/1.0/\0"
        words["extra"] = b"\xff\xe1" + struct.pack(">H", 2 + len(head) + len(xmp)) + head + xmp
    as_pil(pixels, mode, source.bilevel).convert("L" if source.bilevel else mode).save(
        path, "JPEG", **settings, **words
    )


def _write_png(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    chunks = [(name, content) for name, content in source.chunks if not (name == b"sRGB" and source.icc)]
    if source.xmp is not None:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + source.xmp))
    if pixels.dtype == np.uint16:
        before = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(source.icc))] if source.icc else []
        before += chunks
        if source.dpi is not None:
            metre = [round(value / 0.0254) for value in source.dpi]
            before.append((b"pHYs", struct.pack(">IIB", *metre, 1)))
        if source.exif:
            before.append((b"eXIf", source.exif))
        png.write_samples(path, pixels, mode, before)
        return
    words = _common(source)
    words.pop("xmp", None)
    info = PngImagePlugin.PngInfo()
    for name, content in chunks:
        info.add(name, content)
    as_pil(pixels, mode, source.bilevel).save(path, "PNG", pnginfo=info, **words)


def _write_webp(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    words = _common(source)
    words.pop("dpi", None)
    # `exact` keeps colours under full transparency, which are known pixels too. The quality of a lossy WebP cannot be
    # read from the file, so 90 stands for it.
    settings = source.settings or {"quality": 90}
    wide = "RGBA" if mode in ("LA", "RGBA") else "RGB"
    as_pil(pixels, mode).convert(wide).save(path, "WEBP", exact=True, method=4, **settings, **words)


def _write_tiff(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    if pixels.dtype == np.uint16 and mode != "L":
        _write_tiff16(path, pixels, mode, source)
        return
    words = _common(source)
    words.pop("exif", None)
    words.pop("xmp", None)
    tags: dict[int, Any] = metadata.tiff_tags(source.exif) if source.exif else {}
    if source.xmp is not None:
        tags[700] = source.xmp
    settings = dict(source.settings) or {"compression": "tiff_adobe_deflate"}
    if predictor := settings.pop("predictor", None):
        tags[317] = predictor
    if not source.bilevel and settings["compression"] in ("group3", "group4"):
        settings["compression"] = "tiff_adobe_deflate"
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        if not isinstance(value, dict):
            directory[tag] = value
    as_pil(pixels, mode, source.bilevel).save(path, "TIFF", tiffinfo=directory, **settings, **words)
    _add_directories(path, tags)


def _write_tiff16(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    tags = metadata.tiff_tags(source.exif) if source.exif else {}
    extra: list[tuple[int, Any, int, Any, bool]] = [
        (tag, 2, 0, text, True) for tag, text in tags.items() if isinstance(text, str) and tag not in (270, 305)
    ]
    if source.xmp is not None:
        extra.append((700, 1, len(source.xmp), source.xmp, True))
    compressed = source.settings.get("compression", "tiff_adobe_deflate") != "raw"
    with path.open("r+b") as file:  # tifffile would resolve a path and lose a nameless file
        tifffile.imwrite(
            file,
            pixels,
            photometric="rgb",
            planarconfig="contig",
            compression="adobe_deflate" if compressed else None,
            predictor=compressed,
            rowsperstrip=max(1, (1 << 20) // (pixels.shape[1] * pixels.shape[2] * 2)),
            extrasamples=["unassalpha"] if mode == "RGBA" else None,
            iccprofile=source.icc,
            resolution=source.dpi,
            resolutionunit="inch" if source.dpi else None,
            description=tags.get(270),
            software=tags.get(305, False),
            metadata=None,
            extratags=extra,
        )
    _add_directories(path, tags)


def _add_directories(path: Path, tags: dict[int, Any]) -> None:
    """Append the EXIF and GPS directories among `tags` to a TIFF, which neither writer can do in every case.

    They go to the end, followed by the file's first directory anew with their offsets in it.
    """
    inner = {tag: values for tag, values in tags.items() if isinstance(values, dict)}
    if not inner:
        return
    with path.open("r+b") as file:
        head = file.read(8)
        order = "<" if head.startswith(b"II") else ">"
        file.seek(struct.unpack(order + "I", head[4:])[0])
        rows = [file.read(12) for _ in range(struct.unpack(order + "H", file.read(2))[0])]
        following = file.read(4)

        def at_end() -> int:
            end = file.seek(0, os.SEEK_END)
            file.write(bytes(end % 2))
            return end + end % 2

        for tag, values in inner.items():
            at = at_end()
            directory = TiffImagePlugin.ImageFileDirectory_v2(head[:4] + bytes(4), group=tag)
            for key, value in values.items():
                directory[key] = value
            file.write(directory.tobytes(at))
            rows.append(struct.pack(order + "HHII", tag, 4, 1, at))
        rows.sort(key=lambda row: int(struct.unpack(order + "H", row[:2])[0]))
        at = at_end()
        file.write(struct.pack(order + "H", len(rows)) + b"".join(rows) + following)
        file.seek(4)
        file.write(struct.pack(order + "I", at))


def _write_bmp(path: Path, pixels: Pixels, mode: str, source: Source) -> None:
    words = {"dpi": source.dpi} if source.dpi else {}
    if mode != "RGBA":
        as_pil(pixels, mode, source.bilevel).save(path, "BMP", **words)
        return
    # Pillow writes 32-bit BMP with a header that hides the alpha channel from readers, itself included; this one
    # (BITMAPV4HEADER) names the four channels.
    height, width = pixels.shape[:2]
    metre = [round(value * 39.3701) for value in source.dpi or (0, 0)]
    size = 4 * width * height
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, *metre, 0, 0)
    masks = struct.pack("<IIII4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs") + bytes(48)
    with path.open("wb") as file:
        file.write(struct.pack("<2sIHHI", b"BM", 14 + 108 + size, 0, 0, 14 + 108) + header + masks)
        file.write(np.ascontiguousarray(pixels[::-1][..., [2, 1, 0, 3]]).data)


_WRITERS: dict[str, Callable[[Path, Pixels, str, Source], None]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "TIFF": _write_tiff,
    "BMP": _write_bmp,
}
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "WEBP": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"),
    "BMP": ("L", "RGB", "RGBA"),
}
_LONGEST = {"JPEG": 65500, "WEBP": 16383}  # pixels: what libjpeg and libwebp write
_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
