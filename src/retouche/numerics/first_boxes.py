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


class Stage(NamedTuple):
    """Elimination of some pixels of which no two are linked. Pixels and the matrix's entries go by number."""

    pixels: Tensor
    """(pixels,)"""
    owner: Tensor
    """(links,): of each link of these pixels: which of `pixels` it starts from, ..."""
    end: Tensor
    """... the pixel where it ends, ..."""
    link: Tensor
    """... and its entry."""
    first: Tensor
    """(pairs,): of each two links of one pixel, whose ends thus become linked: the one's place in `link`, ..."""
    second: Tensor
    """... the other's, ..."""
    target: Tensor
    """... and the entry of the two ends."""


class Plan(NamedTuple):
    """What is done to each box. The matrix's entries are pairs of pixels, each once; a pixel's own has its number."""

    links: Tensor
    """(3, links): first pixel, second pixel and entry of the horizontal links row by row, then the vertical ones."""
    stages: tuple[Stage, ...]
    entries: int
    border: Tensor
    """(pixels,)"""
    rest: Tensor
    """(pixels, pixels): the entries of the border's matrix."""


@cache
def plan(level: Level) -> Plan:
    """The order of a box's inner pixels, those with the fewest links first, and what becomes of the others' links."""
    h, w = level.size
    number = torch.arange((h + 1) * (w + 1)).view(h + 1, w + 1)
    linked: list[set[int]] = [set() for _ in range(number.numel())]
    entries = {(pixel, pixel): pixel for pixel in range(number.numel())}

    def entry(one: int, other: int) -> int:
        if one != other:
            linked[one].add(other)
            linked[other].add(one)
        return entries.setdefault((min(one, other), max(one, other)), len(entries))

    starts = torch.cat([number[:, :-1].flatten(), number[:-1].flatten()]).tolist()
    ends = torch.cat([number[:, 1:].flatten(), number[1:].flatten()]).tolist()
    links = torch.tensor([starts, ends, [entry(one, other) for one, other in zip(starts, ends, strict=True)]])
    outer = [int(number[pixel]) for pixel in border(level)]
    inner = sorted(set(range(number.numel())).difference(outer))
    stages = []
    while inner:
        fewest = min(len(linked[pixel]) for pixel in inner)
        pixels: list[int] = []
        for pixel in inner:
            if len(linked[pixel]) == fewest and linked[pixel].isdisjoint(pixels):
                pixels.append(pixel)
        spread = [
            (owner, end, entry(pixel, end)) for owner, pixel in enumerate(pixels) for end in sorted(linked[pixel])
        ]
        for pixel in pixels:
            inner.remove(pixel)
            for end in linked[pixel]:
                linked[end].remove(pixel)
        pairs = [
            (i, j, entry(spread[i][1], spread[j][1]))
            for i in range(len(spread))
            for j in range(i + 1)
            if spread[i][0] == spread[j][0]
        ]
        columns = [*torch.tensor(spread).view(-1, 3).unbind(1), *torch.tensor(pairs).view(-1, 3).unbind(1)]
        stages.append(Stage(torch.tensor(pixels), *(column.contiguous().long() for column in columns)))
    rest = [[entry(one, other) for other in outer] for one in outer]
    count = len(outer)
    return Plan(
        links, tuple(stages), len(entries), torch.tensor(outer).long(), torch.tensor(rest).long().view(count, count)
    )


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
        first, second, entry = self.plan.links.to(links.device)
        matrix = links.new_full((self.plan.entries, links.shape[1]), least)
        matrix[: len(mass)] = mass
        matrix.index_add_(0, first, links).index_add_(0, second, links)
        matrix[entry] = -links
        self.steps: list[tuple[Stage, Tensor, Tensor]] = []
        for stage in self.plan.stages:
            stage = Stage(*(some.to(links.device) for some in stage))
            inverse = matrix[stage.pixels].reciprocal_()
            row = matrix[stage.link]
            scaled = row * inverse[stage.owner]
            matrix.index_add_(0, stage.target, row[stage.first].mul_(scaled[stage.second]), alpha=-1)
            self.steps.append((stage, inverse[:, None], scaled[:, None]))
        self.matrix = matrix

    def border_matrix(self) -> Tensor:
        """(border pixels * border pixels, boxes)"""
        return self.matrix[self.plan.rest.flatten().to(self.matrix.device)]

    def forward(self, values: Tensor) -> Tensor:
        """Right sides, (pixels, C, boxes), changed in place -> those of the borders, (boxes, border pixels, C)."""
        for stage, _, scaled in self.steps:
            values.index_add_(0, stage.end, values[stage.pixels[stage.owner]].mul_(scaled), alpha=-1)
        return values[self.plan.border.to(values.device)].permute(2, 0, 1)

    def backward(self, values: Tensor, solved: Tensor) -> Tensor:
        """What `forward` left in `values` and the borders' solution -> the solution, (pixels, C, boxes)."""
        values[self.plan.border.to(values.device)] = solved.permute(1, 2, 0)
        for stage, inverse, scaled in reversed(self.steps):
            values[stage.pixels] *= inverse
            values.index_add_(0, stage.pixels[stage.owner], values[stage.end].mul_(scaled), alpha=-1)
        return values
