"""How much room is added at a picture's sides, in words: "left=200,right=10%". Needs neither NumPy nor torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from retouche.errors import InputError

SIDES = ("left", "top", "right", "bottom")

Margins: TypeAlias = "str | Mapping[str, int | str]"
"""How much room each side gets: "left=200,right=10%", or {"left": 200, "right": "10%"}; pixels, or a share of the
picture's width (left, right) or height (top, bottom)."""

_ACCEPTED = 'give pixels or percent for left, top, right or bottom, e.g. "left=200,right=10%"'


def margins(given: Margins, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Room at the left, top, right and bottom in pixels.

    Args:
        given: words or a mapping
        size: (height, width) of the picture that shares are of

    Raises: InputError naming the word that says nothing, or where nothing is added
    """
    asked = parsed(given)
    height, width = size
    found = []
    for side in SIDES:
        number, share = asked.get(side, (0.0, False))
        found.append(round(number / 100 * (width if side in ("left", "right") else height)) if share else int(number))
    left, top, right, bottom = found
    if not any(found):
        raise InputError(f"extend adds nothing to a picture of {width}x{height}: {_ACCEPTED}")
    return left, top, right, bottom


def parsed(given: Margins) -> dict[str, tuple[float, bool]]:
    """Side -> (number, whether it is a percentage). Raises: InputError"""
    pairs = given.items() if isinstance(given, Mapping) else [_pair(word) for word in given.split(",")]
    asked: dict[str, tuple[float, bool]] = {}
    for side, length in pairs:
        found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)(%?)", str(length).strip())
        if side not in SIDES or side in asked or found is None or ("." in found[1] and not found[2]):
            raise InputError(f'extend has "{side}={length}": {_ACCEPTED}')
        asked[side] = float(found[1]), bool(found[2])
    return asked


def _pair(word: str) -> tuple[str, str]:
    side, _, length = word.partition("=")
    return side.strip().lower(), length
