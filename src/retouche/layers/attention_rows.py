"""Contextual attention for use: the map of all places against all places, made one row of queries at a time, of all
queries or of those in a box.

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
    small: Tensor, norms: Tensor, blocks: Tensor, free: Tensor, silent: bool, fuse: bool, rows: range, columns: range
) -> Tensor:
    """The pasted blocks of one sample, for some of its queries.

    Args:
        small: (C, h, w), the halved map
        norms: (h, w), what scores are multiplied by, one for each key
        blocks: ((h + 1) * (w + 1), 4C), what is pasted
        free: (h * w) bool, keys that may be pasted
        silent: whether the others score 0 before and weigh 0 after the softmax, instead of being left out of it
        fuse: whether neighbouring places support each other's matches
        rows, columns: of the queries, within h and w, none of both empty

    Returns: (len(rows) + 1, len(columns) + 1, 4C), the blocks that begin at the first query's. Those at the edges lack
        the share of the queries beyond, so that there only what is at the map's own edge is right.
    """
    _, h, w = small.shape
    keys = functional.pad(small, (0, 1)).flatten(1)  # behind each row a zero, so that rows do not touch
    final = scores(small, keys, norms, fuse, rows, columns)
    across, down = len(columns), len(rows)
    group = max(1, min(down + 1, GROUP_BYTES // (blocks.shape[0] * across * small.element_size())))
    mask = free.to(small)
    # where nothing is free all are left with score 0 and weigh the same
    left_out = None if silent else torch.where(free | ~free.any(), 0.0, -torch.inf).to(small)
    # weights of blocks: of a group of rows and the row behind it, which the group begins to fill
    placed = small.new_zeros(group + 1, across + 1, h + 1, w + 1)
    wide = small.new_zeros(across + 1, h, w + 1)
    made = small.new_empty(down + 1, across + 1, blocks.shape[1])
    for start in range(0, down + 1, group):
        stop = min(start + group, down + 1)
        for row in range(start, min(stop, down)):
            weights = _weighed(final(rows[row]), mask, left_out).view(across, h, w)
            # a patch is four blocks: two side by side, twice
            wide[:across, :, :w] = weights
            wide[across], wide[:, :, w] = 0, 0
            wide[1:, :, 1:] += weights
            placed[row - start, :, :h] += wide
            placed[row - start + 1, :, 1:] += wide
        filled = placed[: stop - start].view(-1, blocks.shape[0])
        torch.mm(filled, blocks, out=made[start:stop].view(-1, blocks.shape[1]))
        placed[0] = placed[stop - start]
        placed[1:] = 0
    return made


def _weighed(scores: Tensor, mask: Tensor, left_out: Tensor | None) -> Tensor:
    """Scores, which are overwritten, to weights; `left_out` is added to scores, None is silence."""
    scores.mul_(mask)
    if left_out is not None:
        return scores.add_(left_out).softmax(1)
    return scores.softmax(1).mul_(mask)


def scores(
    small: Tensor, keys: Tensor, norms: Tensor, fuse: bool, rows: range, columns: range
) -> Callable[[int], Tensor]:
    """Row -> (len(columns), h * w) scores of its places, fused where asked; a result lasts until three rows later.

    Args:
        rows: those that will be asked for, from the first to the last
        columns: of the places
    """
    _, h, w = small.shape
    # each of the three sums of neighbours makes one more column wrong at an edge where the map goes on
    first, last = max(columns.start - 3, 0), min(columns.stop + 3, w)
    alone = matches(small, keys, norms, range(first, last))
    wanted = slice(columns.start - first, columns.stop - first)
    if not fuse:
        return lambda row: alone(row)[wanted]
    # the other end of the neighbouring row, where the first or the last place of a row is among these
    tail = alone if last == w else matches(small, keys, norms, range(max(w - 2, 0), w)) if first == 0 else None
    head = alone if first == 0 else matches(small, keys, norms, range(min(2, w))) if last == w else None
    result = small.new_empty(last - first, h * w)

    def fused_row(row: int, out: Tensor) -> None:
        """With the support of the places before and behind, across the ends of rows as published."""
        _diagonal(alone(row), out)
        if first == 0:
            assert tail is not None
            out[0, 1:] += tail(row - 1)[-1, :-1]
        if last == w:
            assert head is not None
            out[-1, :-1] += head(row + 1)[0, 1:]

    fused = Rows(fused_row, h, result)
    # the first and the last row need each other
    ends = {row: fused(row).clone() for row, other in ((h - 1, 0), (0, h - 1)) if other in rows}

    def fused_column(row: int) -> Tensor:
        """The same in column-major order, where the last row of a column is followed by the first of the next."""
        result.copy_(fused(row))
        to, above = (result[1:], ends[h - 1][:-1]) if row == 0 else (result, fused(row - 1))
        to[:, w:] += above[:, :-w]
        to[:, 1:w] += above[:, -w:-1]
        to, below = (result[:-1], ends[0][1:]) if row == h - 1 else (result, fused(row + 1))
        to[:, :-w] += below[:, w:]
        to[:, -w:-1] += below[:, 1:w]
        return result[wanted]

    return fused_column


def matches(small: Tensor, keys: Tensor, norms: Tensor, columns: range) -> Rows:
    """Rows of (len(columns), h * w): similarity of the 3x3 patches of some columns to all others'.

    The first and the last of the columns are right only at the map's own edge.
    """
    _, h, w = small.shape
    across = len(columns)
    queries = small[..., columns.start : columns.stop].permute(1, 2, 0).reshape(h * across, -1)
    group = max(1, min(h, GROUP_BYTES // (across * keys.shape[1] * small.element_size())))
    products, held = small.new_empty(group * across, keys.shape[1]), [-1]

    def beside(row: int, out: Tensor) -> None:
        """Single places, summed with those at the left and the right of both."""
        if held[0] != row // group:
            held[0] = row // group
            some = queries[held[0] * group * across : (held[0] + 1) * group * across]
            torch.mm(some, keys, out=products[: len(some)])
        _diagonal(products[row % group * across :][:across], out)

    along = Rows(beside, h, products[:across])
    summed = torch.empty_like(products[:across])

    def patch(row: int, out: Tensor) -> None:
        """Patches of 3x3: three such rows."""
        above, here, below = along(row - 1), along(row), along(row + 1)
        wide = w + 1
        torch.add(here[:, wide:], above[:, :-wide], out=summed[:, wide:])
        summed[:, :wide] = here[:, :wide]
        summed[:, :-wide] += below[:, wide:]
        torch.mul(summed.view(across, h, wide)[..., :w], norms, out=out.view(across, h, w))

    return Rows(patch, h, small.new_empty(across, h * w))


def _diagonal(x: Tensor, out: Tensor) -> None:
    """out[p, q] = x[p - 1, q - 1] + x[p, q] + x[p + 1, q + 1], zero outside."""
    out.copy_(x)
    out[1:, 1:] += x[:-1, :-1]
    out[:-1, :-1] += x[1:, 1:]
