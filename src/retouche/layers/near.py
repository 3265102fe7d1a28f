"""Convolutions only where their result is wanted: near a hole, where a whole map would be thrown away elsewhere.

A map (N, C, H, W) is kept as rows: C values for each of some cells, in reading order. A convolution gathers the rows
beneath its kernel and multiplies them with the kernel as one matrix; beyond the picture it reads zeros. Cells side by
side have rows side by side, so that one copy brings a whole row of a 3x3 kernel. The same sums as the dense
convolution's, in another order. (Graham et al. 2018, arXiv 1711.10275, call convolutions that keep to a set of cells
submanifold sparse.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 1024
"""Rows made at once: what is gathered for them stays in the processor's cache."""
SPARE = 8
"""Rows of zeros after the last cell's, so that a kernel's row may begin at any cell."""


@dataclass(frozen=True)
class Spots:
    """Some cells of a map, among them those beyond its edges that a kernel reads.

    Attributes:
        kept: (N, H + 2 border, W + 2 border), bool; the map itself begins at (border, border)
        border: cells
    """

    kept: Tensor
    border: int

    @cached_property
    def places(self) -> Tensor:
        """(K,), int64: where in the flattened `kept` each row's cell is."""
        return self.kept.flatten().nonzero()[:, 0]

    @cached_property
    def number(self) -> Tensor:
        """Of the flattened `kept`'s length, int64: a cell's row; 0 where it is not kept."""
        number = self.places.new_zeros(self.kept.numel())
        number[self.places] = torch.arange(len(self.places), device=number.device)
        return number

    @cached_property
    def beyond(self) -> Tensor:
        """(M,), int64: rows of cells beyond the map; they hold zeros."""
        outside = self.kept.clone()
        outside[:, self._rows, self._columns] = False
        return self.number[outside.flatten().nonzero()[:, 0]]

    @property
    def inside(self) -> Tensor:
        """(N, H, W), bool: a view of `kept` without its border."""
        return self.kept[:, self._rows, self._columns]

    @property
    def _rows(self) -> slice:
        return slice(self.border, self.kept.shape[1] - self.border)

    @property
    def _columns(self) -> slice:
        return slice(self.border, self.kept.shape[2] - self.border)

    def at(self) -> tuple[Tensor, Tensor, Tensor]:
        """(K,) each: sample, row and column of every cell in the map; negative or too large beyond it."""
        _, rows, columns = self.kept.shape
        line = self.places // columns
        return line // rows, line % rows - self.border, self.places % columns - self.border

    def before(self, reach: int) -> Spots:
        """The cells that a kernel of this reach reads to make these (those of them inside the map)."""
        inner = functional.pad(self.inside, (self.border,) * 4)
        return Spots(grown(inner, reach), self.border)


def spots(wanted: Tensor, border: int) -> Spots:
    """(N, H, W) bool -> those cells of a map with so wide a border"""
    return Spots(functional.pad(wanted, (border,) * 4), border)


def grown(wanted: Tensor, by: int) -> Tensor:
    """(N, H, W) bool -> the cells at most `by` cells away in rows and columns."""
    for axis in (1, 2):
        length, spread = wanted.shape[axis], wanted.clone()
        for step in range(1, min(by, length - 1) + 1):
            spread.narrow(axis, step, length - step).logical_or_(wanted.narrow(axis, 0, length - step))
            spread.narrow(axis, 0, length - step).logical_or_(wanted.narrow(axis, step, length - step))
        wanted = spread
    return wanted


def parents(wanted: Tensor) -> Tensor:
    """(N, H, W) bool, H and W even -> (N, H/2, W/2): the cells of half the size that hold a wanted one."""
    rows = wanted[:, ::2] | wanted[:, 1::2]
    return rows[..., ::2] | rows[..., 1::2]


def from_dense(x: Tensor, cells: Spots) -> Tensor:
    """(N, C, H, W) -> the cells' rows (K + SPARE, C)"""
    n, y, x_ = cells.at()
    height, width = x.shape[-2:]
    place = (n * height + y.clamp_(0, height - 1)) * width + x_.clamp_(0, width - 1)
    rows = room(x, cells, x.shape[1])
    torch.index_select(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]), 0, place, out=rows[: len(place)])
    rows[cells.beyond] = 0
    return rows


def room(like: Tensor, cells: Spots, channels: int) -> Tensor:
    """(K + SPARE, channels), not yet filled but for the spare rows."""
    rows = like.new_empty(len(cells.places) + SPARE, channels)
    rows[-SPARE:] = 0
    return rows


def convolved(
    rows: Tensor,
    cells: Spots,
    wanted: Spots,
    convolution: nn.Conv2d,
    slope: float = 1.0,
    onto: tuple[Tensor, Spots] | None = None,
) -> Tensor:
    """The convolution's result at the wanted cells; stride 1, odd kernel, zeros beyond the border.

    Args:
        rows: (K + SPARE, C), of `cells`, which hold all that the kernel reads for wanted cells inside the map
        convolution: its reach is at most the border
        slope: of a leaky ReLU after it, on the negative side
        onto: rows (L + SPARE, out) and their cells, to be added last

    Returns: (K' + SPARE, out)
    """
    height, width = convolution.kernel_size
    dilation = convolution.dilation[0]
    columns = cells.kept.shape[2]
    together = width if dilation == 1 else 1  # cells that one copy brings
    top, left = (-dilation * (length // 2) for length in (height, width))
    down, across = range(height), range(0, width, together)
    offsets = torch.tensor(
        [(top + y * dilation) * columns + left + x * dilation for y in down for x in across], device=rows.device
    )
    channels = rows.shape[1]
    beside = rows.as_strided((len(rows) - together + 1, together * channels), (channels, 1))
    kernel = convolution.weight.permute(2, 3, 1, 0).reshape(-1, convolution.out_channels)
    result = room(rows, wanted, convolution.out_channels)
    last = cells.number.numel() - 1
    for some, output in zip(wanted.places.split(CHUNK), result[:-SPARE].split(CHUNK), strict=True):
        beneath = cells.number[(some[:, None] + offsets).clamp_(0, last)]  # (chunk, pieces of the kernel)
        torch.mm(beside.index_select(0, beneath.flatten()).view(len(some), len(kernel)), kernel, out=output)
        if convolution.bias is not None:
            output.add_(convolution.bias)
        if slope != 1:
            functional.leaky_relu_(output, slope)
        if onto is not None:
            output.add_(onto[0].index_select(0, onto[1].number[some]))
    result[wanted.beyond] = 0
    return result


def doubled(rows: Tensor, coarse: Spots, wanted: Spots, spread: nn.Conv2d) -> Tensor:
    """What `functional.pixel_shuffle(spread(x), 2)` has at the wanted cells.

    Args:
        rows: (K + SPARE, C), of the coarse cells, which hold every parent of a wanted one inside the map
        wanted: of twice the size
        spread: the 1x1 convolution to four times the channels

    Returns: (K' + SPARE, C'), zeros beyond the map
    """
    channels = spread.out_channels // 4
    kernel = spread.weight.view(channels, 4, -1).transpose(0, 1).reshape(4 * channels, -1)  # the 2x2 pixels first
    assert spread.bias is not None
    bias = spread.bias.view(channels, 4).t().reshape(-1)
    four = torch.addmm(bias, rows, kernel.t()).view(-1, channels)
    _, lines, columns = coarse.kept.shape
    n, y, x = wanted.at()
    place = (n * lines + y.div(2, rounding_mode="floor") + coarse.border) * columns
    place += x.div(2, rounding_mode="floor") + coarse.border
    result = room(rows, wanted, channels)
    child = 4 * coarse.number[place] + 2 * (y % 2) + x % 2
    torch.index_select(four, 0, child, out=result[:-SPARE])
    result[wanted.beyond] = 0
    return result
