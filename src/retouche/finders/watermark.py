"""A mark that lies at the same place of every picture: where it is, its colour and opacity, and what it covers.

A picture I with a mark of colour W and opacity a is I = (1 - a) J + a W. Over many pictures the median gradient of I
shows the mark's outline alone, because J differs from picture to picture (Dekel et al. 2017, "On the Effectiveness of
Visible Watermarks"). Here, its integral gives the mark's shape; inside small windows each picture is a straight line
over that shape, whose height at 0 is J and whose slope is a (W - J): a second line over all windows and pictures gives
a and W. Then J = (I - a W) / (1 - a) wherever the mark lets enough through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retouche.finders.planes import Floats, box_mean, box_sum, filled, touching
from retouche.layers.first_fill import first_fill
from retouche.masks import Mask, components, dilate

FEWEST = 8
"""Pictures below which chance looks like a mark."""
SURE = 5.0
"""Standard errors that a median gradient has to be away from 0."""
STEEP = 0.006
"""And its size, of white, a pixel."""
FAINT = 0.02
"""Opacity from which a pixel belongs to the mark."""
OPAQUE = 0.9
"""Opacity above which too little shows through to be recovered."""
BEYOND = 0.2
"""How far beyond black or white a recovered value may lie, as noise and JPEG take it, before it counts as wrong."""
RADIUS = 6
"""Of the windows in which a picture is a straight line over the mark's shape, pixels."""
ROUNDS = 3
"""Of shape and colour in turn."""
PASSES = 3
"""Over ever closer regions."""
HOLD = 0.003
"""How much an opacity's value weighs beside its steps to neighbours."""
RIM = 2
"""Pixels around a mark that count as doubtful."""
LONE = 5
"""Sure pixels in a square of 5x5 below which they are chance."""
CHANCE = 0.12
"""Share of the largest opacity below which a pixel's is noise."""


@dataclass(frozen=True)
class Mark:
    """A static mark.

    Attributes:
        opacity: (H, W), 0..1
        colour: (H, W, 3), 0..1; what it is where the opacity is 0 does not matter
    """

    opacity: Floats
    colour: Floats

    @property
    def mask(self) -> Mask:
        """(H, W), True where the mark is."""
        return self.opacity > FAINT

    @property
    def opaque(self) -> Mask:
        """(H, W), True where too little shows through: this has to be filled."""
        return dilate(self.opacity > OPAQUE, 1) & self.mask

    def removed(self, image: NDArray[np.floating]) -> tuple[Floats, Mask]:
        """The picture beneath the mark.

        Args:
            image: (H, W, 3), 0..1, with the mark

        Returns: the picture (H, W, 3), 0..1, with what has to be filled left as it is; and what has to be filled: the
            opaque part, and pixels that cannot come from any colour beneath
        """
        share = np.where(self.opaque, 0, self.opacity)[..., None]
        beneath = (image - share * self.colour) / (1 - share)
        foreign = (np.abs(beneath - 0.5).max(-1) > 0.5 + BEYOND) & self.mask
        hole = self.opaque | foreign
        return np.where(hole[..., None], image, beneath.clip(0, 1)).astype(np.float32), hole


def outline(stack: Floats) -> Mask:
    """Where differences between neighbours stay the same over pictures, more than chance allows.

    Args:
        stack: (K, H, W, 3), 0..1

    Returns: (H, W)
    """
    evidence = np.zeros(stack.shape[1:3], np.float32)
    for axis in (2, 1):
        for channel in range(3):
            plane = stack[..., channel]
            step = np.diff(plane, axis=axis, append=np.take(plane, [-1], axis))
            middle = np.median(step, 0)
            spread = 1.4826 * np.median(np.abs(step - middle), 0)
            error = 1.2533 * np.maximum(spread, 1 / 255) / np.sqrt(len(stack))  # of a median of normal values
            evidence = np.maximum(evidence, np.where(np.abs(middle) > STEEP, np.abs(middle) / error, 0))
    # an outline is a line: chance is not
    return (evidence > SURE) | ((evidence > SURE / 2) & (box_mean(evidence, 1) > SURE / 3))


def region_of(sure: Mask) -> Mask:
    """Where a mark with this outline may be: closed over gaps of letters, enclosed parts included, with a rim."""
    gap = max(6, max(sure.shape) // 50)
    kept = sure & (box_sum(sure.astype(np.float32), 2) >= LONE)  # an outline's pixels have neighbours, chance has not
    if not kept.any():
        return kept
    wide = np.pad(kept, gap)
    closed = ~dilate(~filled(dilate(wide, gap)), gap)[gap:-gap, gap:-gap]  # filled while gaps are bridged
    return dilate(closed, RIM)


def estimate(stack: Floats) -> Mark | None:
    """The mark that is at the same place of every picture.

    Args:
        stack: (K, H, W, 3), 0..1, at least `FEWEST` pictures

    Returns: the mark; None if nothing stays the same
    """
    sure = outline(stack)
    region, mark = region_of(sure), None
    for _ in range(PASSES):
        mark = _within(stack, region)
        if mark is None:
            return None
        # only what hangs together with a sure outline; a closer region is bridged better
        region = dilate(touching(mark.mask, dilate(sure, 1)), RIM)
    assert mark is not None
    kept = region & mark.mask
    return Mark(np.where(kept, mark.opacity, 0), mark.colour) if kept.any() else None


def _within(stack: Floats, region: Mask) -> Mark | None:
    """The mark inside a region, each group of parts with a colour of its own."""
    opacity = np.zeros(region.shape, np.float32)
    colour = np.zeros((*region.shape, 3), np.float32)
    beneath = _smooth(stack, region)
    for left, top, right, bottom in components(region, max(region.shape) // 20):
        y, x = slice(max(0, top - RADIUS), bottom + RADIUS), slice(max(0, left - RADIUS), right + RADIUS)
        found = _part(stack[:, y, x], beneath[:, y, x], region[y, x])
        if found is not None:
            mine = found[0] > opacity[y, x]
            opacity[y, x][mine] = found[0][mine]
            colour[y, x][mine] = found[1]
    largest = float(opacity.max(initial=0))
    if largest <= FAINT:
        return None
    return Mark(np.where(opacity > max(FAINT, CHANCE * largest), opacity, 0), colour)


def _part(stack: Floats, beneath: Floats, region: Mask) -> tuple[Floats, Floats] | None:
    """Opacity (h, w) and colour (3,) of one group of parts; None if what stays the same is no mark."""
    shape = _first_shape(stack, beneath, region)
    found = None
    for _ in range(ROUNDS):
        fitted = _opacity_and_colour(stack, shape, region)
        if fitted is None:
            return found
        opacity, colour = fitted
        # each pixel's opacity, with the colour known: least squares over pictures and channels
        away = colour - beneath
        seen = ((stack - beneath) * away).sum((0, 3)) / (away**2).sum((0, 3)).clip(1e-6)
        # steps between neighbours are known better still: what lies beneath changes little from pixel to pixel
        steps = []
        for axis in (2, 1):
            step = np.diff(stack, axis=axis, append=np.take(stack, [-1], axis))
            weight = 1 / np.maximum(np.abs(step - np.median(step, 0)), 0.01)  # edges beneath weigh less
            top, bottom = (weight * step * away).sum((0, 3)), (weight * away**2).sum((0, 3)).clip(1e-6)
            steps.append(np.where(region, top / bottom, 0))
        shape = _integral(np.where(region, seen, 0), steps[0], steps[1])
        shape = np.where(region, shape, 0).clip(0, 1).astype(np.float32)
        largest = float(np.quantile(shape[region], 0.98))
        if largest < FAINT:
            return found
        shape = (shape / largest).clip(0, 1)
        found = opacity * shape, colour
    return found


def _integral(values: NDArray[np.floating], right: NDArray[np.floating], down: NDArray[np.floating]) -> Floats:
    """The map whose differences to the right and downwards are the given ones, and whose values roughly are.

    Screened Poisson equation with reflecting borders, solved exactly by Fourier transforms of the mirrored map.
    """
    h, w = values.shape
    right, down = right.copy(), down.copy()
    right[:, -1], down[-1] = 0, 0
    wanted = HOLD * values - right - down
    wanted[:, 1:] += right[:, :-1]
    wanted[1:] += down[:-1]
    mirrored = np.concatenate([wanted, wanted[:, ::-1]], 1)
    mirrored = np.concatenate([mirrored, mirrored[::-1]], 0)
    waves = [2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(2 * side)) for side in (h, w)]
    spectrum = np.fft.fft2(mirrored) / (HOLD + waves[0][:, None] + waves[1][None])
    return np.fft.ifft2(spectrum).real[:h, :w].astype(np.float32)


def _smooth(stack: Floats, region: Mask) -> Floats:
    """Each picture's region bridged smoothly from its rim."""
    mask = torch.from_numpy(region)[None, None].float()
    filled = [first_fill(torch.from_numpy(each).permute(2, 0, 1)[None], mask) for each in stack]
    return torch.cat(filled).permute(0, 2, 3, 1).numpy()


def _first_shape(stack: Floats, beneath: Floats, region: Mask) -> Floats:
    """The mark's opacity up to a factor: how far pictures are from what is smooth, in the median."""
    apart = np.median(np.abs(np.median(stack - beneath, 0)), -1)
    return np.where(region, apart / max(1e-6, float(np.quantile(apart[region], 0.98))), 0).clip(0, 1).astype(np.float32)


def _opacity_and_colour(stack: Floats, shape: Floats, region: Mask) -> tuple[float, Floats] | None:
    """Opacity where the shape is 1, and the colour (3,)."""
    mean = box_mean(shape, RADIUS)
    variance = box_mean(shape * shape, RADIUS) - mean * mean
    there = region & (variance > 0.25 * float(variance[region].max(initial=0)))
    if not there.any():
        return None
    levels, slopes = [], []
    for image in stack:
        for channel in range(3):
            plane = image[..., channel]
            average = box_mean(plane, RADIUS)
            slope = (box_mean(plane * shape, RADIUS) - mean * average) / variance.clip(1e-6)
            levels.append((average - slope * mean)[there])
            slopes.append(slope[there])
    level = np.stack(levels).reshape(len(stack), 3, -1)
    slope = np.stack(slopes).reshape(len(stack), 3, -1)
    # slope = opacity * colour - opacity * level: one opacity, a colour for each channel; outliers weigh less
    weight = np.ones_like(slope)
    opacity, offset = 0.0, np.zeros(3)
    for _ in range(8):
        total = weight.sum((0, 2), keepdims=True)
        mid_level = (weight * level).sum((0, 2), keepdims=True) / total
        mid_slope = (weight * slope).sum((0, 2), keepdims=True) / total
        spread = (weight * (level - mid_level) ** 2).sum()
        opacity = float(-(weight * (level - mid_level) * (slope - mid_slope)).sum() / max(1e-9, float(spread)))
        offset = (mid_slope + opacity * mid_level)[0, :, 0]
        rest = np.abs(slope - offset[None, :, None] + opacity * level)
        weight = 1 / np.maximum(rest, 1.5 * float(np.median(rest)) + 1e-6)
    opacity = min(1.0, opacity)
    if opacity < FAINT:
        return None
    return opacity, (offset / opacity).clip(0, 1).astype(np.float32)
