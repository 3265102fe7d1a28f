"""The hole as it is filled: grown, its soft edge, and what is unknown beside it.

All that is computed here is computed in the box around the hole: beyond it the arrays of the picture's size stay the
zeros that the system lends, which cost neither time nor memory before they are looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.masks import Mask, around, dilate, dilate_thick, feather_weight


class GrownHole(NamedTuple):
    """What of a picture is filled.

    Attributes:
        hole: (H, W), True = to be filled
        unknown: (H, W), True = to be filled, or seen by nobody; an array of its own
        weight: (H, W) float32, 0..1, how much of the fill each pixel takes
        pixels: how many are to be filled
        grow, soft: dilation and feather used, pixels
        remarks: what a user should know
    """

    hole: Mask
    unknown: Mask
    weight: NDArray[np.float32]
    pixels: int
    grow: int
    soft: int
    remarks: list[str]


def grown_hole(
    hole: Mask, grow: int, soft: int, by_thickness: bool, fresh: Mask | None = None, unseen: Mask | None = None
) -> GrownHole:
    """Grow a hole; a growth that leaves nothing known is undone.

    Args:
        hole: (H, W), True = hole; not changed
        grow, soft: dilation and feather asked for, pixels
        by_thickness: grow no part by more than half its own thickness
        fresh: (H, W), True = new canvas, to be filled and not grown; None = nowhere
        unseen: (H, W), True = wholly transparent; None = nowhere

    Raises: InputError where nothing known is left even so
    """
    near = around(hole, grow) if fresh is None else (slice(None), slice(None))
    part = hole[near]  # everywhere else nothing is to be filled
    marked = bool(part.any())
    remarks: list[str] = []
    wanted = grown = part if fresh is None else part | fresh
    if wanted.any():
        hidden = None if unseen is None else unseen[near]
        elsewhere = hole.size - part.size  # known pixels beyond the box
        if unseen is not None and hidden is not None:
            elsewhere -= np.count_nonzero(unseen) - np.count_nonzero(hidden)
        if part.size == hole.size and wanted.all():
            raise InputError("the mask covers the whole picture: leave something known to fill from")
        if not elsewhere and _with(wanted, hidden).all():
            raise InputError(
                "the mask covers all that is not wholly transparent: leave something visible to fill from, "
                "or take the picture's alpha away if its hidden colours are meant"
            )
        grow = grow if marked else 0
        if grow:
            grown = _with(dilate_thick(part, grow) if by_thickness else dilate(part, grow), fresh)
        if not elsewhere and _with(grown, hidden).all():
            remarks.append(f"mask not grown: {grow} pixels more would leave nothing known")
            grown, grow = wanted, 0
    soft = min(soft, grow)
    unknown = np.zeros(hole.shape, np.bool_) if unseen is None else unseen.copy()
    weight = np.zeros(hole.shape, np.float32)
    weight[near] = feather_weight(wanted, grown, soft)
    weight[near][grown & unknown[near]] = 1  # what nobody sees is not blended into what the next window knows
    unknown[near] |= grown
    result = np.zeros(hole.shape, np.bool_)
    result[near] = grown
    return GrownHole(result, unknown, weight, int(np.count_nonzero(grown)), grow, soft, remarks)


def _with(one: Mask, other: Mask | None) -> Mask:
    return one if other is None else one | other
