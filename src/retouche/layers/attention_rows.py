"""Contextual attention for use: the map of all places against all places, made one row of queries at a time.

The same sums as `attention`'s bands, which the gradient needs: each row is computed once and kept while the rows around
it look at it, in buffers that are used again. A row of a map at an eighth of 512 pixels takes a megabyte, so that its
two dozen passes happen in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

GROUP_BYTES = 4 * 2**20
"""Rows whose products are made together: a product of few rows does not keep a processor busy."""


class Rows:
    """Rows 0 to `height` - 1 of something, made when they are asked for, the last three kept.

    Args:
        make: (row, where to write it)
        height: rows outside are zero
        like: a tensor of one row's shape and kind
    """

    def __init__(self, make: Callable[[int, Tensor], None], height: int, like: Tensor) -> None:
        self.make, self.height = make, height
        self.buffers = [torch.empty_like(like) for _ in range(3)]
        self.held: list[int | None] = [None, None, None]
        self.zero = like.new_zeros(1).expand(like.shape)

    def __call__(self, row: int) -> Tensor:
        if not 0 <= row < self.height:
            return self.zero
        place = row % 3
        if self.held[place] != row:
            self.make(row, self.buffers[place])
            self.held[place] = row
        return self.buffers[place]


def pasted(
    small: Tensor, norms: Tensor, blocks: Tensor, free: Tensor, silent: bool, fuse: bool, wanted: range
) -> Tensor:
    """The pasted blocks of one sample.

    Args:
        small: (C, h, w), the halved map
        norms: (h, w), what scores are multiplied by, one for each key
        blocks: ((h + 1) * (w + 1), 4C), what is pasted
        free: (h * w) bool, keys that may be pasted
        silent: whether the others score 0 before and weigh 0 after the softmax, instead of being left out of it
        fuse: whether neighbouring places support each other's matches
        wanted: rows of queries that matter

    Returns: (h + 1, w + 1, 4C); only block rows whose rows of queries are all wanted, or outside, are right
    """
    _, h, w = small.shape
    keys = functional.pad(small, (0, 1)).flatten(1)  # behind each row a zero, so that rows do not touch
    final = scores(small, keys, norms, fuse)
    rows = max(1, min(h + 1, GROUP_BYTES // (blocks.shape[0] * w * small.element_size())))
    mask, some = free.to(small), bool(free.any())
    # weights of blocks: of a group of rows and the row behind it, which the group begins to fill
    placed = small.new_zeros(rows + 1, w + 1, h + 1, w + 1)
    wide = small.new_zeros(w + 1, h, w + 1)
    made = small.new_zeros(h + 1, w + 1, blocks.shape[1])
    first, last = max(wanted.start - 1, 0), min(wanted.stop, h)
    for start in range(first, last + 1, rows):
        stop = min(start + rows, last + 1)
        for row in range(start, stop):
            if row in wanted:
                weights = _weighed(final(row), mask, silent, some).view(w, h, w)
                # a patch is four blocks: two side by side, twice
                wide[:w, :, :w] = weights
                wide[w], wide[:, :, w] = 0, 0
                wide[1:, :, 1:] += weights
                placed[row - start, :, :h] += wide
                placed[row - start + 1, :, 1:] += wide
        filled = placed[: stop - start].view(-1, blocks.shape[0])
        torch.mm(filled, blocks, out=made[start:stop].view(-1, blocks.shape[1]))
        placed[0] = placed[stop - start]
        placed[1:] = 0
    return made


def _weighed(scores: Tensor, mask: Tensor, silent: bool, some: bool) -> Tensor:
    """Scores, which are overwritten, to weights; where nothing is free (`some` is false) the same for all."""
    if silent or not some:
        scores.mul_(mask)
    else:
        scores.masked_fill_(mask == 0, -torch.inf)
    weights = scores.softmax(1)
    return weights.mul_(mask) if silent else weights


def scores(small: Tensor, keys: Tensor, norms: Tensor, fuse: bool) -> Callable[[int], Tensor]:
    """Row -> (w, h * w) scores of its places, fused where asked; a result lasts until three rows later."""
    channels, h, w = small.shape
    queries = small.permute(1, 2, 0).reshape(h * w, channels)
    group = max(1, min(h, GROUP_BYTES // (w * keys.shape[1] * small.element_size())))
    products, held = small.new_empty(group * w, keys.shape[1]), [-1]

    def beside(row: int, out: Tensor) -> None:
        """Single places, summed with those at the left and the right of both."""
        if held[0] != row // group:
            held[0] = row // group
            some = queries[held[0] * group * w : (held[0] + 1) * group * w]
            torch.mm(some, keys, out=products[: len(some)])
        _diagonal(products[row % group * w :][:w], out)

    along = Rows(beside, h, products[:w])
    summed = torch.empty_like(products[:w])

    def patch(row: int, out: Tensor) -> None:
        """Patches of 3x3: three such rows."""
        above, here, below = along(row - 1), along(row), along(row + 1)
        wide = w + 1
        torch.add(here[:, wide:], above[:, :-wide], out=summed[:, wide:])
        summed[:, :wide] = here[:, :wide]
        summed[:, :-wide] += below[:, wide:]
        torch.mul(summed.view(w, h, wide)[..., :w], norms, out=out.view(w, h, w))

    result = small.new_empty(w, h * w)
    alone = Rows(patch, h, result)
    if not fuse:
        return alone

    def fused_row(row: int, out: Tensor) -> None:
        """With the support of the places before and behind, across the ends of rows as published."""
        before, here, behind = alone(row - 1), alone(row), alone(row + 1)
        _diagonal(here, out)
        out[0, 1:] += before[-1, :-1]
        out[-1, :-1] += behind[0, 1:]

    fused = Rows(fused_row, h, result)
    # the first and the last row need each other
    ends = {row: fused(row).clone() for row in (h - 1, 0)}

    def fused_column(row: int) -> Tensor:
        """The same in column-major order, where the last row of a column is followed by the first of the next."""
        result.copy_(fused(row))
        to, above = (result[1:], ends[h - 1][:-1]) if row == 0 else (result, fused(row - 1))
        to[:, w:] += above[:, :-w]
        to[:, 1:w] += above[:, -w:-1]
        to, below = (result[:-1], ends[0][1:]) if row == h - 1 else (result, fused(row + 1))
        to[:, :-w] += below[:, w:]
        to[:, -w:-1] += below[:, 1:w]
        return result

    return fused_column


def _diagonal(x: Tensor, out: Tensor) -> None:
    """out[p, q] = x[p - 1, q - 1] + x[p, q] + x[p + 1, q + 1], zero outside."""
    out.copy_(x)
    out[1:, 1:] += x[:-1, :-1]
    out[:-1, :-1] += x[1:, 1:]
