"""The table of file formats: plain facts, without any library that reads or writes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One kind of picture file.

    Attributes:
        name: as Pillow calls it
        title: as people call it
        suffixes: lower case; the first is the one that is written where only the format is known
        media: its media type
        modes: the modes of `Picture` that it holds
        longest: pixels of its longest possible side; None = no limit of its own
        deep: the modes that it holds at 16 bits per sample
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    media: str
    modes: tuple[str, ...]
    longest: int | None = None
    deep: tuple[str, ...] = ()


JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".jif")

FORMATS = {
    one.name: one
    for one in (
        Format("PNG", "PNG", (".png",), "image/png", ("L", "LA", "RGB", "RGBA"), deep=("L", "RGB", "RGBA")),
        Format(
            "JPEG",
            "JPEG",
            (".jpg", ".jpeg", ".jfif", ".jpe", ".jif"),
            "image/jpeg",
            ("L", "RGB", "CMYK", "YCbCr"),
            longest=65500,
        ),
        Format("WEBP", "WebP", (".webp",), "image/webp", ("L", "LA", "RGB", "RGBA"), longest=16383),
        Format(
            "TIFF",
            "TIFF",
            (".tif", ".tiff"),
            "image/tiff",
            ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"),
            deep=("L", "RGB", "RGBA"),
        ),
        Format("BMP", "BMP", (".bmp",), "image/bmp", ("L", "RGB", "RGBA")),
        Format("AVIF", "AVIF", (".avif",), "image/avif", ("RGB", "RGBA"), longest=65536),
        Format("HEIF", "HEIC", (".heic", ".heif"), "image/heic", ("L", "RGB", "RGBA"), longest=16384),
        Format("JXL", "JPEG XL", (".jxl",), "image/jxl", ("L", "LA", "RGB", "RGBA")),
    )
}
BY_SUFFIX = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
SUFFIXES = tuple(BY_SUFFIX)
"""What is read and written, and what counts as a picture in a folder; a file named outright may have any suffix."""
PAGED_SUFFIXES = (*SUFFIXES, ".gif")
"""The same where files are taken page by page."""

_TITLES = [one.title for one in FORMATS.values()]
TITLES = f"{', '.join(_TITLES[:-1])} or {_TITLES[-1]}"
