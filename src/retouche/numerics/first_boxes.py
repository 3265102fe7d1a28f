"""The smallest boxes of a nested dissection: thousands of sparse matrices with one pattern, eliminated side by side.

What is done to a box is worked out once, pixel by pixel; each step is then one operation on all boxes, which lie along
the last dimension. (LAPACK would be called for each of thousands of matrices with 9 rows.)
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from retouche.numerics.boxes import Level, border


class Gone(NamedTuple):
    """Elimination of a pixel. Pixels and the matrix's entries go by number."""

    pixel: int
    ends: list[int]
    """The pixels that are linked to it."""
    links: list[int]
    """The entries of these links."""
    pairs: list[tuple[int, int, int]]
    """Each two of `ends`, as places there, and their entry: they become linked."""


class Plan(NamedTuple):
    """What is done to each box. The matrix's entries are pairs of pixels, each once; a pixel's own has its number."""

    links: tuple[Tensor, Tensor, Tensor]
    """(links,): first pixel, second pixel and entry of the horizontal links row by row, then the vertical ones."""
    gone: list[Gone]
    entries: int
    border: list[int]
    rest: list[int]
    """The entries of the border's matrix, row by row."""


@cache
def plan(level: Level) -> Plan:
    """The order in which a box's inner pixels go, those with the fewest links first, and what it does to the others."""
    h, w = level.size
    number = torch.arange((h + 1) * (w + 1)).view(h + 1, w + 1)
    linked: list[set[int]] = [set() for _ in range(number.numel())]
    entries = {(pixel, pixel): pixel for pixel in range(number.numel())}

    def entry(one: int, other: int) -> int:
        if one != other:
            linked[one].add(other)
            linked[other].add(one)
        return entries.setdefault((min(one, other), max(one, other)), len(entries))

    starts = torch.cat([number[:, :-1].flatten(), number[:-1].flatten()])
    stops = torch.cat([number[:, 1:].flatten(), number[1:].flatten()])
    links = torch.tensor([entry(one, other) for one, other in zip(starts.tolist(), stops.tolist(), strict=True)])
    outer = [int(number[pixel]) for pixel in border(level)]
    inner = sorted(set(range(number.numel())).difference(outer))
    gone = []
    while inner:
        pixel = min(inner, key=lambda one: len(linked[one]))
        inner.remove(pixel)
        ends = sorted(linked[pixel])
        to_ends = [entry(pixel, end) for end in ends]
        for end in ends:
            linked[end].remove(pixel)
        pairs = [(i, j, entry(ends[i], ends[j])) for i in range(len(ends)) for j in range(i + 1)]
        gone.append(Gone(pixel, ends, to_ends, pairs))
    rest = [entry(one, other) for one in outer for other in outer]
    return Plan((starts, stops, links), gone, len(entries), outer, rest)


class FirstBoxes:
    """The boxes' matrices without their inner pixels.

    Args:
        level: the smallest boxes
        links: (links, boxes), conductances in the order of `Plan.links`
        mass: (pixels, boxes), what the diagonal holds beside them
        least: stands where nothing is linked
    """

    def __init__(self, level: Level, links: Tensor, mass: Tensor, least: float) -> None:
        self.plan = plan(level)
        starts, stops, entries = (some.to(links.device) for some in self.plan.links)
        matrix = links.new_full((self.plan.entries, links.shape[1]), least)
        matrix[: len(mass)] = mass
        matrix.index_add_(0, starts, links).index_add_(0, stops, links)
        matrix[entries] = -links
        self.factors: list[tuple[Tensor, list[Tensor]]] = []
        """Of each pixel that goes: one over its own entry, and each of its links divided by it."""
        rows = matrix.unbind()
        for pixel, _, to_ends, pairs in self.plan.gone:
            inverse = rows[pixel].reciprocal()
            scaled = [rows[k] * inverse for k in to_ends]
            for i, j, target in pairs:
                rows[target].addcmul_(rows[to_ends[i]], scaled[j], value=-1)
            self.factors.append((inverse, scaled))
        count = len(self.plan.border)
        rest = torch.tensor(self.plan.rest, device=matrix.device, dtype=torch.int64)
        self.border_matrix = matrix[rest].T.contiguous().unflatten(1, (count, count))
        """(boxes, border pixels, border pixels)"""

    def forward(self, values: Tensor) -> Tensor:
        """Right sides, (pixels, C, boxes), changed in place -> those of the borders, (boxes, border pixels, C)."""
        rows = values.unbind()
        for (pixel, ends, _, _), (_, scaled) in zip(self.plan.gone, self.factors, strict=True):
            for end, factor in zip(ends, scaled, strict=True):
                rows[end].addcmul_(rows[pixel], factor, value=-1)
        return values[self.plan.border].permute(2, 0, 1)

    def backward(self, values: Tensor, solved: Tensor) -> Tensor:
        """What `forward` left in `values` and the borders' solution -> the solution, (pixels, C, boxes)."""
        values[self.plan.border] = solved.permute(1, 2, 0)
        rows = values.unbind()
        for (pixel, ends, _, _), (inverse, scaled) in reversed(list(zip(self.plan.gone, self.factors, strict=True))):
            rows[pixel].mul_(inverse)
            for end, factor in zip(ends, scaled, strict=True):
                rows[pixel].addcmul_(rows[end], factor, value=-1)
        return values
