"""Files of several pages or frames: TIFF and GIF, filled page by page, all else in them as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol

from retouche.errors import InputError, reason
from retouche.pictures import gif, gif_blocks, tiff_pages
from retouche.pictures.decoding import border
from retouche.pictures.picture import Picture
from retouche.pictures.source import MAX_PIXELS


class Pages(Protocol):
    """The pages of one file.

    Attributes:
        count: how many there are
        name: what errors call the file
    """

    count: int
    name: str

    @property
    def timing(self) -> tuple[Any, ...]:
        """What belongs to each page beside what it shows: its time, its disposal, its name; for comparing files."""
        ...

    def picture(self, number: int) -> Picture:
        """What one page shows, counted from 0.

        Raises: InputError, or whatever a parser stumbles over
        """
        ...

    def rewritten(self, selected: Collection[int], fill: Callable[[int, Picture], Picture]) -> bytes:
        """The file with some pages filled, which are asked for in order; all others show what they showed, bit for bit.

        Raises: InputError
        """
        ...


_KINDS: tuple[tuple[tuple[bytes, ...], Callable[[bytes, str, int], Pages]], ...] = (
    (gif_blocks.MAGIC, gif.GifPages),
    (tiff_pages.MAGIC, tiff_pages.TiffPages),
)


def open_pages(path: Path, max_pixels: int = MAX_PIXELS) -> Pages | None:
    """The pages of a TIFF or GIF; None where the file is of another kind, which holds one picture.

    Raises: InputError in one line with the remedy
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): check the path") from error
    return pages_of(content, path.name, max_pixels)


def pages_of(content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Pages | None:
    """As `open_pages`, of a file's content."""
    kind = next((kind for magic, kind in _KINDS if content.startswith(magic)), None)
    if kind is None:
        return None
    with border(name, "read", "it is damaged, or no picture"):
        return kind(content, name, max_pixels)


def page(pages: Pages, number: int) -> Picture:
    """What one page shows, counted from 0. Raises: InputError in one line"""
    with border(f"{pages.name}, page {number + 1}", "decoded", "it is cut short or damaged"):
        return pages.picture(number)


def rewrite(pages: Pages, selected: Collection[int], fill: Callable[[int, Picture], Picture]) -> bytes:
    """`Pages.rewritten`, whatever a parser or encoder stumbles over in one line. Raises: InputError"""
    with border(pages.name, "filled page by page", "save its pages as pictures of their own"):
        return pages.rewritten(selected, fill)


def selection(words: str, count: int | None = None, name: str = "") -> range:
    """ "all", "3" or "2-5", counted from 1, as numbers counted from 0.

    Args:
        count: pages of a file; None = only whether the words can be understood

    Raises: InputError where they cannot, or name a page that is not there
    """
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", words)
    if words == "all":
        return range(count or 0)
    if found is None or (first := int(found[1])) < 1 or (last := int(found[2] or found[1])) < first:
        raise InputError(f'--pages "{words}" is no choice: give all, a page like 3, or some like 2-5')
    if count is not None and last > count:
        raise InputError(f"{name} has {count} page{'s' if count > 1 else ''}, not {last}: give fewer --pages, or all")
    return range(first - 1, last)
