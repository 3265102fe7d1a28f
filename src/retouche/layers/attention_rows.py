"""Contextual attention for use: the map of all places against all places, made one row of queries at a time, of all
queries or of those in a box.

The same sums as `attention`'s bands, which the gradient needs. A row of queries against all keys is large (a megabyte
at an eighth of 512 pixels, 64 at an eighth of 2048), so it is worked through in tiles of keys that stay in the
processor's cache, and goes to memory four times: as products, fused along rows, as scores and as weights.

Behind each row of keys stands a place that is none: a step beyond either end of a row meets it, and a shift by a row
or a place is one distance in memory for all keys of a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

TILE_BYTES = 2**19
"""Scores that are worked on together: some of these fit a processor's own cache."""

LEAST = 1e-30
"""Smaller weights become zero: numbers just above a type's smallest (denormal ones) take a processor a hundred times as
long; where one weight in a thousand was such, the whole layer took half as long again."""

Tile = Callable[[int, int, int], Tensor]
"""(row of queries, first, last) -> (queries, last - first), their keys from first to last; lasts until the next call"""


class Rows:
    """Rows 0 to `height` - 1 of something, made when they are asked for, the last three kept.

    Args:
        make: (row, where to write it)
        height: rows outside are zero
        like: a tensor of one row's shape and kind; what `make` leaves out stays zero
    """

    def __init__(self, make: Callable[[int, Tensor], object], height: int, like: Tensor) -> None:
        self.make, self.height = make, height
        self.buffers = [torch.zeros_like(like) for _ in range(3)]
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
    across, down, wide = len(columns), len(rows), w + 1
    if not silent:
        norms = norms * free.any()  # where nothing is free all are left with score 0 and weigh the same
        free = free | ~free.any()
    left_out = functional.pad(torch.where(free, 0.0, -torch.inf).to(small).view(h, w), (0, 1), value=-torch.inf)
    high = max(1, min(h + 1, TILE_BYTES // (across * wide * small.element_size())))  # rows of keys in a tile
    scored = (fused if fuse else matched)(small, norms, columns, high)(rows)
    edge = wide + 1  # places around the keys that weigh nothing
    scores = small.new_full((across, h * wide + 2 * edge), -torch.inf)
    if silent:
        # one of those places stands for all that is not free: it scores 0 that many times
        scores[:, 0] = (~free).sum().to(small).log()
    here, before = torch.zeros_like(scores), torch.zeros_like(scores)  # weights of a row of queries and the one before
    sums = small.new_zeros(across + 2, high * wide + 1)  # the first and the last row stay zero
    placed = small.new_empty(across + 1, sums.shape[1] - 1)
    result = small.new_zeros(down + 1, across + 1, blocks.shape[1])
    for i in range(down + 1):
        here, before = before, here
        if i == down:
            here.zero_()
        else:
            for first, last in _tiles(h, wide, high):
                tile = scores[:, edge + first : edge + last]
                torch.add(scored(rows[i], first, last), left_out.view(-1)[first:last], out=tile)
            torch.softmax(scores, 1, out=here)
            torch.threshold_(here, LEAST, 0.0)
            here[:, 0] = 0
        for first, last in _tiles(h + 1, wide, high):
            # a patch is four blocks: two below each other, twice
            start, stop, length = edge + first - 1, edge + last, last - first
            torch.add(here[:, start:stop], before[:, start - wide : stop - wide], out=sums[1:-1, : length + 1])
            torch.add(sums[1:, 1 : length + 1], sums[:-1, :length], out=placed[:, :length])
            result[i].addmm_(placed[:, :length], blocks[first:last])
    return result


def matched(small: Tensor, norms: Tensor, columns: range, high: int) -> Callable[[range], Tile]:
    """Rows that will be asked for -> scores of the places in these columns, not fused."""
    around, wanted = _around(columns, 1, small.shape[2])
    lines = functional.pad(small[..., around.start : around.stop], (0, 0, 1, 1)).permute(1, 2, 0)
    patch = patches(lines, small, norms, high)
    room = small.new_empty(len(around), high * (small.shape[2] + 1))

    def scored(row: int, first: int, last: int) -> Tensor:
        return patch(row, first, last, room[:, : last - first])[wanted]

    return lambda rows: scored


def fused(small: Tensor, norms: Tensor, columns: range, high: int) -> Callable[[range], Tile]:
    """Rows that will be asked for, from the first to the last -> scores of the places in these columns, fused."""
    _, h, w = small.shape
    wide = w + 1
    # each of the three sums of neighbours makes one more column wrong at an edge where the map goes on
    around, wanted = _around(columns, 3, w)
    across = len(around)
    # before and behind a row's places those that precede and follow them in row-major order, parted by a zero
    lines = functional.pad(small, (0, 0, 2, 2)).permute(1, 2, 0)
    zero = torch.zeros_like(lines[2:, :1])
    queries = [lines[:-2, -2:], zero, lines[1:-1, around.start : around.stop], zero, lines[2:, :2]]
    before = queries[0].shape[1]
    behind = before + across + 1
    patch = patches(torch.cat(queries, 1), small, norms, high)
    room = small.new_empty(behind + 1 + before, high * wide + 4)
    result = small.new_empty(across, high * wide)

    def fused_row(row: int, out: Tensor) -> None:
        """With the support of the places before and behind, across the ends of rows as published.

        Args:
            out: (across, wide + h * wide + wide): before and behind the keys those that precede and follow them in
                column-major order, where the last row of a column is followed by the first of the next
        """
        for first, last in _tiles(h, wide, high):
            length = last - first
            x = patch(row, first - 2, last + 2, room[:, : length + 4])
            x[before] = x[before - 1] if row > 0 else 0
            x[behind] = x[behind + 1] if row < h - 1 else 0
            x = x[before : behind + 1]
            tile = out[:, wide + first : wide + last]
            torch.add(x[1:-1, 2:-2], x[:-2, 1:-3], out=tile).add_(x[2:, 3:-1])
            # between a row's last key and the next one's first stands the place that is none
            tile[:, ::wide] += x[:-2, :length:wide]
            tile[:, w - 1 :: wide] += x[2:, wide + 2 :: wide]
        out[:, 1:w] = out[:, h * wide : h * wide + w - 1]
        out[:, -wide:-2] = out[:, wide + 1 : wide + w]

    line = Rows(fused_row, h, small.new_empty(across, (h + 2) * wide))

    def prepared(rows: range) -> Tile:
        beyond = {}  # the first and the last row need each other
        if 0 in rows:
            beyond[-1] = functional.pad(line(h - 1)[:-1], (0, 0, 1, 0))
        if h - 1 in rows:
            beyond[h] = functional.pad(line(0)[1:], (0, 0, 0, 1))

        def scored(row: int, first: int, last: int) -> Tensor:
            """The same in column-major order."""
            above, below = (beyond[i] if i in beyond else line(i) for i in (row - 1, row + 1))
            start, stop = wide + first, wide + last
            tile = result[wanted, : last - first]
            torch.add(line(row)[wanted, start:stop], above[wanted, first:last], out=tile)
            return tile.add_(below[wanted, start + wide : stop + wide])

        return scored

    return prepared


def patches(queries: Tensor, small: Tensor, norms: Tensor, high: int) -> Callable[[int, int, int, Tensor], Tensor]:
    """Similarity of the 3x3 patches of some places to all others': (row, first key, last, where to write it).

    Keys may reach two beyond the map, where all is zero. The first and the last of the places are right only at the
    map's own edge.

    Args:
        queries: (1 + h + 1, places, C), the places' features, those of a row neighbours; with what precedes and follows
        small, norms: as of `pasted`
    """
    wide = small.shape[2] + 1
    margin = wide + 3
    keys = functional.pad(functional.pad(small, (0, 1)).flatten(1), (margin, margin))
    scale = functional.pad(functional.pad(norms, (0, 1)).flatten(), (2, 2))
    queries = queries.contiguous()
    height, places, _ = queries.shape
    products = Rows(
        lambda row, out: torch.mm(queries[row], keys, out=out), height, small.new_empty(places, keys.shape[1])
    )
    sums = small.new_zeros(places + 2, high * wide + 6)  # the first and the last row stay zero

    def patch(row: int, first: int, last: int, out: Tensor) -> Tensor:
        start, stop = margin + first - 1, margin + last + 1
        above, here, below = (products(row + i) for i in (0, 1, 2))
        x = sums[:, : stop - start]
        torch.add(here[:, start:stop], above[:, start - wide : stop - wide], out=x[1:-1])
        x[1:-1].add_(below[:, start + wide : stop + wide])
        torch.add(x[1:-1, 1:-1], x[:-2, :-2], out=out).add_(x[2:, 2:])
        return out.mul_(scale[first + 2 : last + 2])

    return patch


def _around(columns: range, by: int, w: int) -> tuple[range, slice]:
    """The columns with so many at each side, as far as there are any; and which of these they are."""
    around = range(max(columns.start - by, 0), min(columns.stop + by, w))
    return around, slice(columns.start - around.start, columns.stop - around.start)


def _tiles(h: int, wide: int, high: int) -> Iterator[tuple[int, int]]:
    """First and last of the keys of each tile."""
    for first in range(0, h, high):
        yield first * wide, min(first + high, h) * wide
