"""What images, pictures and masks agree on; needs no PyTorch, so that who only reads files does not wait for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

if TYPE_CHECKING:
    from torch import Tensor

Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""

LUMA = (0.299, 0.587, 0.114)


def is_tensor(given: object) -> TypeGuard[Tensor]:
    """Whether it is a PyTorch tensor; nobody has one before PyTorch is imported."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)  # another thread may be importing it just now
    return kind is not None and isinstance(given, kind)


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def area(box: Box) -> int:
    """Pixels of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])
