"""File names as they are compared, shown and recorded, whatever bytes they are made of.

On Linux a name is any bytes but "/" and NUL. Python holds those that are no UTF-8 as lone surrogates (PEP 383), which
no encoder accepts; a newline or U+2028 in a name ends a line of a list, a log or a terminal.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # controls, lone surrogates, line and paragraph separators
_BEYOND_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

LEVELS: tuple[Callable[[str], str], ...] = (
    str,
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()),
)
"""How alike two names may be to pair, strictest first: the same; the same letters; but for upper and lower case."""


def shown(text: object) -> str:
    """Words or a path in one line that every terminal and log can hold: what has no sign of its own is escaped."""
    given = str(text)
    if given.isprintable():
        return given
    return "".join(_escaped(sign) if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in given)


def _escaped(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return sign.encode("unicode_escape", "surrogatepass").decode()


def as_json(value: Any, encoding: str = "utf-8", indent: int | None = None) -> str:
    """JSON that any encoder takes, and without `indent` one line, without its end, for every reader of lines.

    Args:
        value: bytes of names that are no UTF-8 stay what they are: escaped as lone surrogates, which `json.loads`
            gives back and `os.fsencode` turns into the bytes
        encoding: of the file or terminal; where it lacks a letter, all but ASCII is escaped
    """
    text = _BEYOND_JSON.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False, indent=indent)
    )
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value, indent=indent)
    return text


def home(path: str) -> str:
    """The path with a leading "~" replaced, where there is a home folder."""
    return os.path.expanduser(path) if path.startswith("~") else path


class RealFolders:
    """Paths with their folders' links resolved; each folder is looked up once, the file itself not at all."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, path: str | Path) -> str:
        """Two paths with the same answer are the same entry of the same folder."""
        given = os.fspath(path)
        end = given.rfind(os.sep) + 1 if os.altsep is None else len(given) - len(os.path.basename(given))
        folder, name = given[:end], given[end:]
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        if (real := self._known.get(folder)) is None:
            real = self._known[folder] = os.path.join(os.path.realpath(folder), "")
        return real + name
