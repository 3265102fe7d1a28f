"""Structure pictures of any size in bounded memory: bands of rows, one after the other, each solved by multigrid.

What a pixel takes of others fades with their distance (over about 90 pixels in flat areas of the setting `script`).
A band is therefore solved together with some rows below it, `LOOK_AHEAD`, whose lower neighbours keep the values of
the last round; rows above it are already those of this round. Colours are solved one by one, in float32, as the
correction of what is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from retouche.numerics.box_multigrid import Solver
from retouche.numerics.total_variation import Holes, Setting, blur_reach, conductances
from retouche.progress import part, report_progress

log = logging.getLogger("retouche")

BAND_PIXELS = 11 << 20
"""Of a band with what it looks ahead. The solver takes up to 140 bytes for each."""
LOOK_AHEAD = 192
ROWS_AT_ONCE = 256
LEAST_ROWS, MOST_ROWS = 128, 1 << 13  # of a band beside those; a row of a sheared plane costs some microseconds
TOLERANCE = 1e-3
"""The last round's solution counts as found once a step changes no pixel by more (of 0..1); a solution that only
gives weights for the next round, at twice that."""
MOST_STEPS = 30

Read = Callable[[tuple[int, int, int, int]], Tensor]
"""Gives what of the picture lies in a box (left, top, right, bottom), (C, h, w), 0..1: so nobody holds all of it."""


def smooth_in_bands(read: Read, size: tuple[int, int], setting: Setting, known: Tensor | None, holes: Holes) -> Tensor:
    """RTV of one picture, as `structure.rtv` with its exact solver, to about 1/500 of the range, rms 1/50,000.

    Args:
        read: the picture, 3 colours
        size: its height and width
        setting: of RTV
        known: (H, W), 1 = known, 0 = hole, in which the picture is taken as 0; None: all known
        holes: as of `structure.rtv`

    Returns: (3, H, W), float32, on a CPU
    """
    height, width = size
    if width > height:  # bands along the shorter side are the thickest

        def turned(box: tuple[int, int, int, int]) -> Tensor:
            left, top, right, bottom = box
            return read((top, left, bottom, right)).mT

        return smooth_in_bands(turned, (width, height), setting, None if known is None else known.mT, holes).mT

    def read_known(top: int, bottom: int) -> Tensor:
        rows = read((0, top, width, bottom)).to(torch.float32)
        return rows if known is None else rows * known[top:bottom]

    result = torch.empty(3, height, width)
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(height, top + ROWS_AT_ONCE)
        result[:, top:bottom] = read_known(top, bottom)
    sigma = setting.sigma
    for turn in range(setting.rounds):
        with part(turn / setting.rounds, (turn + 1) / setting.rounds):
            tolerance = TOLERANCE if turn == setting.rounds - 1 else 2 * TOLERANCE
            _round(read_known, result, setting._replace(sigma=sigma), tolerance, known, holes)
        sigma = setting.next_sigma(sigma)
    return result


def _bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) row of each."""
    most = min(max(LEAST_ROWS, BAND_PIXELS // width - LOOK_AHEAD), MOST_ROWS)
    count = -(-height // most)
    for k in range(count):
        yield k * height // count, (k + 1) * height // count


def _round(
    read: Callable[[int, int], Tensor],
    smooth: Tensor,
    setting: Setting,
    tolerance: float,
    known: Tensor | None,
    holes: Holes,
) -> None:
    """One linear system, with this round's sigma: `smooth` holds the last round's picture and becomes this one's."""
    _, height, width = smooth.shape
    reach = blur_reach(setting.sigma) + 2
    old = smooth[:, :0]  # the last round's rows from `old_top` on, which this round has already written over
    old_top = 0
    for top, bottom in _bands(height, width):
        end = min(height, bottom + LOOK_AHEAD)
        first, last = max(0, top - reach), min(height, end + reach)
        before = torch.cat([old[:, first - old_top :], smooth[:, old_top + old.shape[1] : last]], 1)
        some = None if known is None else known[None, None, first:last].to(torch.float32)
        horizontal, vertical = conductances(before[None], setting.sigma, setting.sharpness, some, holes)
        horizontal = horizontal[0, top - first : end - first].mul_(setting.strength / 2)
        vertical = vertical[0, max(top - 1, 0) - first : min(end, height - 1) - first].mul_(setting.strength / 2)
        old_top = max(0, bottom - reach)
        old = before[:, old_top - first : end - first].clone()
        del before
        with part(top / height, bottom / height):
            _solve_band(read(top, end), smooth, (top, end), horizontal, vertical, tolerance)


def _solve_band(
    image: Tensor,
    smooth: Tensor,
    rows: tuple[int, int],
    horizontal: Tensor,
    vertical: Tensor,
    tolerance: float,
) -> None:
    """Correct rows of `smooth`; the rows beside them are kept.

    Args:
        image: (C, rows, W)
        horizontal: (rows, W - 1), vertical: from the row above (if there is one) to the row below (if there is one)
    """
    top, end = rows
    above, below = int(top > 0), int(end < smooth.shape[1])
    inner = vertical[above : len(vertical) - below]
    mass = torch.ones(end - top, smooth.shape[2])
    if above:
        mass[0] += vertical[0]
    if below:
        mass[-1] += vertical[-1]
    solver = Solver(horizontal, inner, mass)
    for colour in range(len(smooth)):
        plane = smooth[colour, top - above : end + below]
        own = plane[above : above + end - top]
        right = image[colour] - own
        flow = own.diff(dim=1).mul_(horizontal)
        right[:, :-1] += flow
        right[:, 1:] -= flow
        flow = plane.diff(dim=0).mul_(vertical)
        right[1 - above :] -= flow[: len(right) - 1 + above]
        right[: len(right) - 1 + below] += flow[above:]
        del flow
        correction, steps = solver.solve(right, tolerance, MOST_STEPS)
        if steps == MOST_STEPS:
            log.warning(
                "rows %d to %d of the structure picture are not solved to %g after %d steps: a larger sharpness or "
                "less strength gives what can be computed with",
                top,
                end,
                tolerance,
                steps,
            )
        own += correction
        report_progress((colour + 1) / len(smooth))
