"""The border of foreign files: read within bounds that follow from their own size; any fault is one line.

Every reader is a function of a `Stream`, the file's mapped bytes, to tensors or containers of them. Nothing that a file
claims of itself is believed before it is compared with what the file holds.
"""

from __future__ import annotations

import contextlib
import logging
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from retouche.errors import RetoucheError, WeightsError

log = logging.getLogger("retouche")

TENSORS = 20_000
"""Tensors in one file; networks of pictures have hundreds, a trainer's whole state a few thousand."""
NAME = 500
"""Characters of a tensor's name, containers included."""
DEPTH = 64
"""Containers within containers."""
SPARE_BYTES = 64 << 20
"""What tensors may take beyond twice the file that they are in (views may share their numbers)."""

MEMORY = "asks for more memory than there is"
LINE = 600
"""Characters of an error; what a file says of itself can be longer."""


class Stream:
    """A file's bytes, mapped and not read; what would lie beyond its end is refused.

    Attributes:
        view: all of it; tensors are views of it and may be written to, which never reaches the file
        place: where the next read begins
    """

    def __init__(self, view: memoryview) -> None:
        self.view, self.place = view, 0

    @classmethod
    def of(cls, path: Path) -> Stream:
        """The bytes of a file."""
        if path.stat().st_size == 0:
            return cls(memoryview(b""))
        return cls(np.memmap(path, np.uint8, "c").data)

    def __len__(self) -> int:
        return len(self.view)

    def take(self, length: int) -> memoryview:
        """The next bytes, not copied.

        Raises: WeightsError if there are not so many
        """
        end = self.place + length
        if not self.place <= end <= len(self.view):
            raise damaged("it ends early")
        taken = self.view[self.place : end]
        self.place = end
        return taken

    def number(self, form: str) -> int:
        """The next integer, in `struct`'s words."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def line(self) -> bytes:
        """The bytes before the next newline."""
        start, step = self.place, 256
        while start < len(self.view):
            found = self.view[start : start + step].tobytes().find(b"\n")
            if found >= 0:
                text = self.view[self.place : start + found].tobytes()
                self.place = start + found + 1
                return text
            start, step = start + step, 2 * step
        raise damaged("it ends early")


def damaged(why: str) -> WeightsError:
    """The error for a file that contradicts itself; the border puts its path before."""
    return WeightsError(f"is damaged or cut short ({why}): fetch it anew")


@contextlib.contextmanager
def border(path: Path | str) -> Iterator[None]:
    """Whatever goes wrong with a foreign file inside becomes one line that begins with its path.

    Raises: the RetoucheError that was raised, its path before it; WeightsError for every other exception
    """
    try:
        yield
    except RetoucheError as error:
        text = str(error)
        raise type(error)(one_line(text if text.startswith(str(path)) else f"{path} {text}")) from None
    except OSError as failed:
        raise WeightsError(one_line(f"{path} cannot be read ({failed.strerror or failed})")) from None
    except Exception as broken:
        # a forged or cut file makes readers and networks fail in whichever way its parts happen to clash
        log.debug("%s", path, exc_info=True)
        if isinstance(broken, MemoryError) or "allocate memory" in str(broken) or "not enough memory" in str(broken):
            raise WeightsError(one_line(f"{path} {MEMORY}: fetch it anew")) from None
        why = str(broken).splitlines()[0][:80] if str(broken) else type(broken).__name__
        raise WeightsError(one_line(f"{path} {damaged(why)}")) from None


def one_line(text: str) -> str:
    """Text that may hold a file's own words, fit to be printed: no control characters, not too long."""
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+", "?", text)
    return clean if len(clean) <= LINE else f"{clean[: LINE // 2]} ... {clean[-LINE // 2 :]}"
