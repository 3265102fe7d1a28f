"""Contextual attention: every place of a feature map is repainted with patches of its known places.

Source: Yu et al. 2018 (arXiv 1801.07892), github.com/JiahuiYu/generative_inpainting; the published codes differ in
points that change the numbers, gathered in `VARIANTS`. The layer has no parameters.

Written as published it multiplies 3x3 and 4x4 patches and keeps several maps of all places against all places. Here
overlapping patches are diagonal sums of single places, which is exact, and the map is made for a band of rows at a
time, so that memory grows with a band and not with the whole map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retouche.errors import InputError
from retouche.image import Box
from retouche.layers import attention_rows
from retouche.layers.exporting import exporting, without_autocast

Map = Callable[[Tensor], Tensor]

BAND_BYTES = 64 * 2**20
"""Size of one band of the map where its gradient is wanted; about five of them live at a time."""
SMALL_BYTES = 2 * 2**20
"""A whole map below this is quicker at once than row by row."""
SCALE = 10.0
"""Scores times this enter the softmax, in all published codes."""
FLOOR = 1e-4
"""Added to or bounding patch norms, in all published codes."""


@dataclass(frozen=True)
class Rules:
    """What the published codes of contextual attention disagree on; the defaults are the original's.

    Attributes:
        fuse: let neighbouring places support each other's matches
        resize: which rows and columns survive halving: "align_corners" drifts from 2i to 2i + 1, "plain" takes 2i
        mask_steps: the mask is halved at once (1), or resized to the features first and halved then (2)
        norm: "bounded" divides by max(norm, 1e-4), "raised" by the root of the sum of all squares + 1e-4 each
        holes: "silent" gives patches that touch the hole score 0 before and weight 0 after the softmax;
            "excluded" leaves them out of the softmax
        overlap: pasted patches are divided by "four", or by the "true" number that overlap, fewer at the border
    """

    fuse: bool = True
    resize: Literal["align_corners", "plain"] = "align_corners"
    mask_steps: Literal[1, 2] = 2
    norm: Literal["bounded", "raised"] = "bounded"
    holes: Literal["silent", "excluded"] = "silent"
    overlap: Literal["four", "true"] = "four"


VARIANTS = {
    "official": Rules(),  # JiahuiYu/generative_inpainting, v1.0.0 and v2.0.0
    "tf": Rules(fuse=False, mask_steps=1),  # nipponjo/deepfillv2-pytorch networks_tf.py
    "pt": Rules(resize="plain", mask_steps=1),  # nipponjo/deepfillv2-pytorch networks.py
    "daa233": Rules(resize="plain", mask_steps=1, norm="raised"),  # daa233/generative-inpainting-pytorch
    "mmagic": Rules(resize="plain", holes="excluded", overlap="true"),  # open-mmlab/mmagic
}


def contextual_attention(
    features: Tensor, mask: Tensor, variant: str | Rules = "official", box: Box | None = None
) -> Tensor:
    """Repaint every place of a feature map, known ones too, with the patches of known places that look like it.

    Places are compared at half size by the 3x3 patches around them; the 4x4 patches of the full map are pasted with
    the softmax of the comparison as weights. Each sample uses its own mask; published code often uses one for all.

    Args:
        features: (N, C, h, w), h and w even
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, any size; networks give the picture's, (4h, 4w)
        variant: whose rules, a name of `VARIANTS` or the rules themselves
        box: of the map, the only places to repaint; with patches of all known places still

    Returns: (N, C, h, w), or of the box's size, in the features' dtype; half precision is computed in float32. Where
        holes are "excluded" and no patch of a sample is free of them (published code gives NaN), all weigh the same.
    Raises: InputError for odd sides, a mask of another batch size or an unknown variant
    """
    n, _, h, w = features.shape
    if isinstance(variant, str) and variant not in VARIANTS:
        raise InputError(f'no attention variant "{variant}"; known: {", ".join(VARIANTS)}')
    if h % 2 or w % 2:
        raise InputError(f"features are {w}x{h} but attention halves them: give even sides")
    if mask.ndim != 4 or mask.shape[0] not in (1, n) or mask.shape[1] != 1:
        raise InputError(f"mask is {tuple(mask.shape)} for {n} feature maps: give ({n}, 1, H, W) or (1, 1, H, W)")
    rules = VARIANTS[variant] if isinstance(variant, str) else variant
    exact = features if features.dtype in {torch.float32, torch.float64} else features.float()
    free = _hole_free(mask, h, w, rules).expand(n, -1, -1)  # (N, 1, L)
    small = _resize(exact, h // 2, w // 2, rules.resize)
    device = features.device.type
    with without_autocast(device):
        attended, (left, top) = _attend(small, _blocks(exact), free, rules, box or (0, 0, w, h))
    blocks = attended.unflatten(1, (-1, 2, 2)).movedim((4, 5), (2, 4))  # (N, C, blocks down, 2, blocks across, 2)
    picture = blocks.flatten(2, 3).flatten(3, 4)
    if box is None:
        picture = picture[:, :, 1:-1, 1:-1]
    else:  # the map of blocks has a border of one
        left, top = 2 * left - 1, 2 * top - 1
        picture = picture[..., box[1] - top : box[3] - top, box[0] - left : box[2] - left]
    layout = (
        torch.channels_last if features.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )
    return (picture / _overlap(h, w, rules, picture, box)).to(features.dtype, memory_format=layout)


def _resize(x: Tensor, height: int, width: int, rule: str) -> Tensor:
    """Nearest neighbour to any size, by the rows and columns that TensorFlow (with corners aligned) or PyTorch take."""
    for axis, target in ((2, height), (3, width)):
        source, i = x.shape[axis], torch.arange(target, device=x.device)
        if rule == "align_corners":
            # i * (source - 1) / (target - 1), halves up, in whole numbers
            steps = max(target - 1, 1)
            i = (2 * i * (source - 1) + steps).div(2 * steps, rounding_mode="floor")
        else:
            i = (i * source).div(target, rounding_mode="floor")
        x = x.index_select(axis, i)
    return x


def _hole_free(mask: Tensor, h: int, w: int, rules: Rules) -> Tensor:
    """(N, 1, L) bool: which 3x3 patches of the halved map touch no hole; outside the map there is none."""
    if rules.mask_steps == 2:
        mask = _resize(mask, h, w, rules.resize)
    mask = _resize(mask, h // 2, w // 2, rules.resize)
    return functional.max_pool2d(mask.float(), 3, 1, 1).flatten(2) == 0


def _blocks(x: Tensor) -> Tensor:
    """The map with a border of one, cut into 2x2 blocks as rows: (N, (h/2 + 1) * (w/2 + 1), 4C).

    A 4x4 patch at stride 2 is four of these blocks, so pasting patches is pasting blocks with summed weights.
    """
    cut = functional.pad(x, (1, 1, 1, 1)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (N, C, Y, 2, X, 2)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _overlap(h: int, w: int, rules: Rules, like: Tensor, box: Box | None) -> Tensor | float:
    """How many pasted patches meet at each place of a map, or of a box of it."""
    if rules.overlap == "four":
        return 4.0
    count_h, count_w = (torch.full((side,), 2.0, dtype=like.dtype, device=like.device) for side in (h, w))
    for count in (count_h, count_w):
        count[[0, -1]] = 1
    if box is not None:
        count_w, count_h = count_w[box[0] : box[2]], count_h[box[1] : box[3]]
    return count_h[:, None] * count_w


def _attend(small: Tensor, blocks: Tensor, free: Tensor, rules: Rules, box: Box) -> tuple[Tensor, tuple[int, int]]:
    """The pasted blocks, (N, 4C, h + 1, w + 1), band by band; or some that hold all of a box, and the first of them.

    Args:
        small: (N, C, h, w), the halved map
        blocks: (N, (h + 1) * (w + 1), 4C), what is pasted
        free: (N, 1, h * w), patches that may be pasted
        box: of the map before it was halved
    """
    n, c, h, w = small.shape
    # A column of zeros behind each row: a step beyond either end of a row then meets zeros. Three such rows above and
    # below serve the bands at the top and bottom.
    keys = functional.pad(small, (0, 1)).flatten(2)  # (N, C, h * (w + 1))
    queries = functional.pad(small, (0, 1, 3, 3)).flatten(2).transpose(1, 2)
    squares = small.square().sum(1, keepdim=True)
    squares = 9 * functional.avg_pool2d(squares, 3, 1, 1) if exporting() else _boxed(squares)
    # the root of a bounded square is the bounded root, and has a gradient where a patch is all zero
    squares = squares + 9 * c * FLOOR if rules.norm == "raised" else squares.clamp(min=FLOOR**2)
    norms = SCALE * squares.rsqrt()  # (N, 1, h, w), one for each key

    remember = torch.is_grad_enabled() and small.requires_grad
    if not (remember or exporting() or (h * w) ** 2 * small.element_size() < SMALL_BYTES):
        # place y is in block (y + 1) // 2, which the patches of that place and the one before are pasted into
        rows, columns = (
            range(max((first - 1) // 2, 0), min(last // 2 + 1, length))
            for first, last, length in ((box[1], box[3], h), (box[0], box[2], w))
        )
        silent = rules.holes == "silent"
        each = [
            attention_rows.pasted(small[i], norms[i, 0], blocks[i], free[i, 0], silent, rules.fuse, rows, columns)
            for i in range(n)
        ]
        return torch.stack(each).movedim(3, 1), (columns.start, rows.start)

    def scores(first: int, last: int) -> Tensor:
        """Fused along rows where asked: (N, last - first, w, h * w) for these rows of queries."""
        margin = 1 if rules.fuse else 0
        return _row_scores(queries, keys, norms, first - margin, last + margin, rules.fuse)

    def band(first: int, last: int) -> Tensor:
        """Pasted block rows first to last, both included: (N, last - first + 1, w + 1, 4C)."""
        matched = _fuse_columns(scores, first, last, h).flatten(3) if rules.fuse else scores(first, last)
        return _paste(_split(_weigh(matched, free[:, None], rules), h), blocks)

    high = h if exporting() else max(1, min(h, BAND_BYTES // (n * w * h * w * small.element_size())))
    if high == h:
        return band(0, h).movedim(3, 1), (0, 0)
    pasted = small.new_zeros(n, h + 1, w + 1, blocks.shape[2])
    for first in range(0, h, high):
        last = min(first + high, h)
        # bands are made again when the gradient comes by: together they would be the whole map
        part = checkpoint(band, first, last, use_reentrant=False) if remember else band(first, last)
        pasted[:, first : last + 1] += part
    return pasted.movedim(3, 1), (0, 0)


def _boxed(x: Tensor) -> Tensor:
    """3x3 sums; exporters drop the divisor."""
    return functional.avg_pool2d(x, 3, 1, 1, divisor_override=1)


def _row_scores(queries: Tensor, keys: Tensor, norms: Tensor, first: int, last: int, fuse: bool) -> Tensor:
    """Cosine-like similarity of 3x3 patches, rows first to last of queries against all keys.

    With `fuse`, a match of (p, q) is supported by (p - 1, q - 1) and (p + 1, q + 1) in row-major order, across the ends
    of rows as published, and the outermost two rows are used up.
    """
    n, _, h, w = norms.shape
    wide = w + 1
    # row r of the map begins at (r + 3) * wide; a patch needs one more place and one more row on either side
    span = slice((first + 2) * wide - 1, (last + 4) * wide + 1)
    band = queries[:, span] @ keys  # (N, places, h * wide)
    band = _diagonal_sum(_diagonal_sum(band, 1), wide)
    band = band.view(n, last - first, wide, h, wide)[:, :, :w, :, :w] * norms[:, None]
    band = band.reshape(n, (last - first) * w, h * w)
    if not fuse:
        return band.view(n, last - first, w, h * w)
    # rows outside the map must not support anything
    if first < 0:
        band = functional.pad(band[:, -first * w :], (0, 0, -first * w, 0))
    if last > h:
        band = functional.pad(band[:, : (h - last) * w], (0, 0, 0, (last - h) * w))
    return _diagonal_sum(band[:, w - 1 : 1 - w or None], 1).view(n, last - first - 2, w, h * w)


def _diagonal_sum(band: Tensor, step: int) -> Tensor:
    """band[p - step, q - step] + band[p, q] + band[p + step, q + step], with zeros beyond q; uses up the ends of p."""

    if exporting():  # sums of padded copies: engines write slices in place a number at a time
        before = functional.pad(band[:, : -2 * step, :-step], (step, 0))
        return band[:, step:-step] + before + functional.pad(band[:, 2 * step :, step:], (0, step))

    def summed(band: Tensor) -> Tensor:
        total = band[:, step:-step].clone()
        total[:, :, step:] += band[:, : -2 * step, :-step]
        total[:, :, :-step] += band[:, 2 * step :, step:]
        return total

    def spread(slope: Tensor) -> Tensor:
        result = functional.pad(slope, (0, 0, step, step))
        result[:, : -2 * step, :-step] += slope[:, :, step:]
        result[:, 2 * step :, step:] += slope[:, :, :-step]
        return result

    return _linear(band, summed, spread)


def _fuse_columns(scores: Callable[[int, int], Tensor], first: int, last: int, h: int) -> Tensor:
    """The same support in column-major order, where the last row of a column is followed by the first of the next.

    Args:
        scores: (first, last) -> (N, last - first, w, h * w)
        first, last: rows of queries wanted, of h

    Returns: (N, last - first, w, h, w)
    """
    top, bottom = max(first - 1, 0), min(last + 1, h)
    rows = _split(scores(top, bottom), h)
    if first == 0:
        end = rows[:, -1:] if bottom == h else _split(scores(h - 1, h), h)
        above = functional.pad(end[:, :, :-1], (0, 0, 0, 0, 1, 0))
    if last == h:
        start = rows[:, :1] if top == 0 else _split(scores(0, 1), h)
        below = functional.pad(start[:, :, 1:], (0, 0, 0, 0, 0, 1))
    parts = [*([above] if first == 0 else []), rows, *([below] if last == h else [])]
    return _linear(torch.cat(parts, 1) if len(parts) > 1 else rows, _column_sum, _column_spread)


def _split(rows: Tensor, h: int) -> Tensor:
    """(N, r, w, h * w) -> (N, r, w, h, w); sizes are numbers or, in a recorded graph, variables."""
    n, r, w, _ = rows.shape
    return rows.reshape(n, r, w, h, w)


def _column_sum(rows: Tensor) -> Tensor:
    """(N, r + 2, w, h, w) -> (N, r, w, h, w): each match with those of the places above and below."""
    above, below = rows[:, :-2], rows[:, 2:]
    if exporting():
        # a row of keys before the first and behind the last: the other end of the neighbouring column
        first, last = (functional.pad(above[..., -1:, :-1], (1, 0)), functional.pad(below[..., :1, 1:], (0, 1)))
        return rows[:, 1:-1] + torch.cat([first, above[..., :-1, :]], 3) + torch.cat([below[..., 1:, :], last], 3)
    total = rows[:, 1:-1].clone()
    total[..., 1:, :] += above[..., :-1, :]
    total[..., 0, 1:] += above[..., -1, :-1]
    total[..., :-1, :] += below[..., 1:, :]
    total[..., -1, :-1] += below[..., 0, 1:]
    return total


def _column_spread(slope: Tensor) -> Tensor:
    """The transpose of `_column_sum`."""
    result = functional.pad(slope, (0, 0, 0, 0, 0, 0, 1, 1))
    above, below = result[:, :-2], result[:, 2:]
    above[..., :-1, :] += slope[..., 1:, :]
    above[..., -1, :-1] += slope[..., 0, 1:]
    below[..., 1:, :] += slope[..., :-1, :]
    below[..., 0, 1:] += slope[..., -1, :-1]
    return result


def _weigh(scores: Tensor, free: Tensor, rules: Rules) -> Tensor:
    """(N, rows, w, L) scores, already scaled, and (N, 1, 1, L) hole-free patches -> weights of the same shape."""
    if rules.holes == "silent":
        return (scores * free).softmax(3) * free
    # where nothing is free all scores become 0: the same weight for all
    none = torch.where(free.any(3, keepdim=True), -torch.inf, 0.0).to(scores)
    return torch.where(free, scores, none).softmax(3)


def _paste(weights: Tensor, blocks: Tensor) -> Tensor:
    """(N, r, w, h, w) weights of patches, (N, (h + 1) * (w + 1), 4C) blocks -> (N, r + 1, w + 1, 4C)."""
    n, r, w, h, _ = weights.shape
    if exporting():
        corners = (functional.pad(weights, (x, 1 - x, y, 1 - y, x, 1 - x, y, 1 - y)) for y, x in _CORNERS)
        placed = next(corners)
        for corner in corners:
            placed = placed + corner
        return (placed.flatten(3).flatten(1, 2) @ blocks).reshape(n, r + 1, w + 1, blocks.shape[2])

    def spread(weights: Tensor) -> Tensor:
        result = weights.new_zeros(n, r + 1, w + 1, h + 1, w + 1)
        for y, x in _CORNERS:
            result[:, y : y + r, x : x + w, y : y + h, x : x + w] += weights
        return result

    def summed(slope: Tensor) -> Tensor:
        total = slope[:, :-1, :-1, :-1, :-1].clone()
        for y, x in _CORNERS[1:]:
            total += slope[:, y : y + r, x : x + w, y : y + h, x : x + w]
        return total

    placed = _linear(weights, spread, summed)
    return (placed.flatten(3).flatten(1, 2) @ blocks).unflatten(1, (r + 1, w + 1))


_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def _linear(x: Tensor, there: Map, back: Map) -> Tensor:
    """there(x), whose gradient is `back`, the transpose of `there`.

    Both are sums of shifted copies, written in place. PyTorch could derive the one from the other, but pads or copies
    the whole map for each shift: three times the work of this.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        return Linear.apply(x, there, back)
    return there(x)


class Linear(torch.autograd.Function):
    """A linear map whose transpose is known."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Map, back: Map) -> Tensor:
        ctx.there, ctx.back = there, back
        return there(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return Linear.apply(slope, ctx.back, ctx.there), None, None
