"""3x3 convolutions with a quarter of the multiplications, as products of matrices.

Source: Lavin, Gray 2015 (arXiv 1509.09308), F(4x4, 3x3): tiles of 6x6 places and the kernel are brought to a domain
where a convolution is a product for each of 36 values, and 4x4 places come back. The matrices are those of Toom and
Cook for the points below; they are exact, and in float32 a result is about twice as far from the true one as a plain
convolution's (with the customary points 0, 1, -1, 2, -2 it is three times).

Maps are channels last. No gradients: what learns takes the plain convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from retouche.layers.exporting import plainly

OUTPUT, KERNEL = 4, 3
TILE = OUTPUT + KERNEL - 1
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Where the polynomials are evaluated, beside infinity."""
TILES = 512
"""Tiles at a time: all that one needs lies in memory for these only."""
FEWEST_TILES, FEWEST_CHANNELS = 48, 64
"""From here on it is quicker than the plain convolution: the kernel is transformed at each call."""


def worthwhile(x: Tensor) -> bool:
    """Whether a padded map (N, C, h + 2, w + 2) is large enough, and nothing else (a gradient, a device with
    convolutions of its own, few digits) speaks against it."""
    n, channels, height, width = x.shape
    tiles = n * -((height - 2) // -OUTPUT) * -((width - 2) // -OUTPUT)
    return (
        tiles >= FEWEST_TILES
        and channels >= FEWEST_CHANNELS
        and not plainly(x)
        and x.device.type == "cpu"
        and x.dtype in {torch.float32, torch.float64}
    )


def convolved(maps: Sequence[Tensor], kernels: Sequence[Sequence[Tensor | None]]) -> list[Tensor]:
    """Sums of convolutions: the i-th result is that of all maps, each with its kernel of the i-th row.

    Args:
        maps: padded, (N, C, h + 2, w + 2) each
        kernels: a row for each result, in it one (outputs, C, 3, 3) for each map; None where a map adds nothing

    Returns: (N, outputs, h, w) each, channels last
    """
    n, _, height, width = maps[0].shape
    h, w = height - KERNEL + 1, width - KERNEL + 1
    down, across = -(h // -OUTPUT), -(w // -OUTPUT)
    margin = (0, OUTPUT * across - w, 0, OUTPUT * down - h)
    spread = [(functional.pad(x, margin) if any(margin) else x).permute(0, 2, 3, 1).contiguous() for x in maps]
    lifted = [[None if kernel is None else _lifted(kernel) for kernel in row] for row in kernels]
    widths = [next(k.shape[2] for k in row if k is not None) for row in lifted]
    results = [maps[0].new_empty(n, OUTPUT * down, OUTPUT * across, outputs) for outputs in widths]
    rows = max(1, TILES // (n * across))
    for first in range(0, down, rows):
        last = min(first + rows, down)
        tiles = [_tiles(x, first, last) for x in spread]
        for result, row in zip(results, lifted, strict=True):
            total: Tensor | None = None
            for tile, kernel in zip(tiles, row, strict=True):
                if kernel is not None:
                    total = torch.bmm(tile, kernel) if total is None else total.baddbmm_(tile, kernel)
            assert total is not None
            output = _matrix("back", total) @ total.flatten(1)  # (16, places * outputs)
            places = output.view(OUTPUT, OUTPUT, n, last - first, across, -1).permute(2, 3, 0, 4, 1, 5)
            result[:, OUTPUT * first : OUTPUT * last].view(n, last - first, OUTPUT, across, OUTPUT, -1).copy_(places)
    return [result[:, :h, :w].permute(0, 3, 1, 2) for result in results]


def _tiles(x: Tensor, first: int, last: int) -> Tensor:
    """(N, h, w, C) -> the 36 values of all tiles of these rows of tiles: (36, tiles, C)."""
    band = x[:, OUTPUT * first : OUTPUT * last + KERNEL - 1]
    cut = band.unfold(1, TILE, OUTPUT).unfold(2, TILE, OUTPUT)  # (N, rows, across, C, 6, 6)
    cut = cut.permute(4, 5, 0, 1, 2, 3).reshape(TILE * TILE, -1)
    return (_matrix("tile", x) @ cut).view(TILE * TILE, -1, x.shape[-1])


def _lifted(kernel: Tensor) -> Tensor:
    """(outputs, C, 3, 3) -> (36, C, outputs)"""
    outputs, channels = kernel.shape[:2]
    rows = kernel.permute(0, 2, 3, 1).reshape(outputs, KERNEL * KERNEL, channels)  # a view of what is channels last
    return (_matrix("kernel", kernel) @ rows).permute(1, 2, 0)


def _matrix(name: str, like: Tensor) -> Tensor:
    return _matrices(like.dtype)[name]


@cache
def _matrices(dtype: torch.dtype) -> dict[str, Tensor]:
    """For both axes at once: to the domain from a tile (36, 36) and a kernel (36, 9), and back (16, 36)."""
    # transposing a product of polynomials, evaluated at the points, gives the correlation
    alone = {"tile": torch.linalg.inv(_powers(TILE)).t(), "kernel": _powers(KERNEL), "back": _powers(OUTPUT).t()}
    return {name: torch.kron(matrix, matrix).to(dtype).contiguous() for name, matrix in alone.items()}


def _powers(terms: int) -> Tensor:
    """The values of a polynomial of so many terms at all points, of its highest term at infinity."""
    points = torch.tensor(POINTS, dtype=torch.float64)[:, None]
    infinity = functional.one_hot(torch.tensor([terms - 1]), terms).double()
    return torch.cat([points ** torch.arange(terms), infinity])
