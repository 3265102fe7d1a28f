"""Structure pictures: texture smoothed away, edges kept, by relative total variation (RTV).

Minimises sum (S - I)² + strength * sum of windowed total variation / windowed inherent variation, as a few rounds of
one linear system with weights from the last round's S.

Source: Xu et al. 2012, "Structure extraction from texture via relative total variation", and the published MATLAB
script `tsmooth.m`. That script does not solve its systems: it stops conjugate gradients, per colour, at a residual of
a tenth of the right side (`solver="published"`, which gives the structure pictures published with StructureFlow to
the last bit of 8-bit rounding). The exact solution is 40 to 64 dB from it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from retouche.errors import InputError
from retouche.numerics import conjugate_gradient, dissection
from retouche.numerics.structure_bands import smooth_in_bands
from retouche.numerics.total_variation import Holes, Setting, conductances
from retouche.progress import part, report_progress

Solver = Literal["exact", "published"]

PUBLISHED_TOLERANCE, PUBLISHED_STEPS = 0.1, 100
LARGEST_DIRECT = 1 << 21
"""Pixels of the largest picture solved directly; it takes about 1.5 GB. Larger ones in bands (`structure_bands.py`)."""
PIXELS_AT_ONCE = 1 << 21
"""Colours and pictures are treated together as long as they hold no more numbers than this."""

SETTINGS = {
    "xu": Setting(0.01, 3.0, 0.02, 4),  # the paper's defaults
    "script": Setting(0.015, 3.0, 0.001, 3),  # what StructureFlow's script passes; its Places2 and Paris examples
    "example": Setting(0.015, 3.0, 0.02, 4),  # what its CelebA examples and one of Places2 were made with
}


@torch.no_grad()
def rtv(
    image: Tensor,
    strength: float,
    sigma: float,
    sharpness: float,
    rounds: int,
    solver: Solver = "exact",
    mask: Tensor | None = None,
    holes: Holes = "published",
) -> Tensor:
    """Smooth pictures by relative total variation; computed in float64, without a gradient.

    Args:
        image: (N, 3, H, W), 0..1 (not -1..1: the weights are not scale-free); colours share one set of weights
        strength: how much is smoothed; the paper's lambda, 0.01 to 0.03
        sigma: texture size in pixels, halved each round down to 0.5
        sharpness: least gradient that counts as an edge; smaller keeps edges sharper
        rounds: linear systems solved
        solver: "exact" (above LARGEST_DIRECT pixels to about 1/500 of the range, rms 1/50,000, on the CPU, in bounded
            memory), or "published": conjugate gradients as in the published MATLAB, to a residual of 0.1
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, blanked with 0 first; what the image holds there is not read
        holes: what else becomes of a hole. "published": it takes part as black, only gradients in it do not count for
            sharpness, so black flows out over its border. "cut": it takes no part; nothing flows over its border, and
            the result is 0 inside

    Returns: (N, 3, H, W) in the image's dtype and device; values leave 0..1 by rounding (and by the published
        solver's error) only
    Raises: InputError if a shape or number does not fit, or the strength is so large and the sharpness so small that
        the exact solver cannot compute with them
    """
    _check(image, strength, sigma, sharpness, rounds, mask)
    if solver not in ("exact", "published") or holes not in ("published", "cut"):
        raise InputError(f'solver is "{solver}" and holes "{holes}": give exact or published, and published or cut')
    n, c, h, w = image.shape
    setting = Setting(strength, sigma, sharpness, rounds)
    if solver == "exact" and h * w > LARGEST_DIRECT:
        return _in_bands(image, setting, mask, holes)
    known = None if mask is None else (mask <= 0.5).to(torch.float64).expand(n, 1, h, w).to(image.device)
    result = torch.empty_like(image)
    count = max(1, PIXELS_AT_ONCE // (c * h * w))
    for start in range(0, n, count):
        some = slice(start, start + count)
        with part(start / n, min(1.0, (start + count) / n)):
            result[some] = _smoothed(image[some], setting, solver, None if known is None else known[some], holes)
    return result


@torch.no_grad()
def structure_of_known(image: Tensor, mask: Tensor, setting: str = "script", solver: Solver = "exact") -> Tensor:
    """The structure picture of the known part of a picture: what a network gets where nobody has the whole picture.

    The hole is cut out of the smoothing, so neither its content nor its blank value shows in the known part. On
    photographs the known part is 32 to 43 dB from that of the whole picture's structure; the published handling of
    holes 23 to 28 dB.

    Args:
        image: (N, 3, H, W), -1..1, complete or already blanked
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole
        setting: one of SETTINGS
        solver: as of `rtv`

    Returns: (N, 3, H, W), -1..1, 0 in the hole, in the image's dtype
    Raises: InputError if a shape or the setting does not fit
    """
    if setting not in SETTINGS:
        raise InputError(f'no RTV setting "{setting}": give one of {", ".join(SETTINGS)}')
    smoothed = rtv(
        (image.float() if image.dtype != torch.float64 else image) * 0.5 + 0.5, *SETTINGS[setting], solver, mask, "cut"
    )
    return ((smoothed.clamp(0, 1) * 2 - 1) * (mask <= 0.5)).to(image.dtype)


def _check(image: Tensor, strength: float, sigma: float, sharpness: float, rounds: int, mask: Tensor | None) -> None:
    if image.ndim != 4 or not image.is_floating_point():
        raise InputError(f"image is {tuple(image.shape)} {image.dtype}: give a float tensor (N, 3, H, W) in 0..1")
    n, _, h, w = image.shape
    if mask is not None and tuple(mask.shape) not in {(n, 1, h, w), (1, 1, h, w)}:
        raise InputError(f"mask is {tuple(mask.shape)} but image is {tuple(image.shape)}: give ({n}, 1, {h}, {w})")
    if strength <= 0 or sigma <= 0 or sharpness <= 0 or rounds < 1:
        raise InputError(
            f"strength {strength}, sigma {sigma} and sharpness {sharpness} must be above 0, rounds {rounds} at least 1"
        )
    lowest, highest = image.aminmax()
    if not (lowest.isfinite() and highest.isfinite()):
        raise InputError("image holds NaN or infinity: clean it first")
    if lowest < -0.5 or highest > 1.5:
        raise InputError(f"image reaches from {lowest:.3g} to {highest:.3g}: scale it to 0..1")


def _in_bands(image: Tensor, setting: Setting, mask: Tensor | None, holes: Holes) -> Tensor:
    """Pictures one by one, on the CPU."""
    known = None if mask is None else (mask[:, 0] <= 0.5).cpu()
    n, _, h, w = image.shape
    results = []
    for k, picture in enumerate(image.cpu()):

        def read(box: tuple[int, int, int, int], picture: Tensor = picture) -> Tensor:
            left, top, right, bottom = box
            return picture[:, top:bottom, left:right]

        with part(k / n, (k + 1) / n):
            one = None if known is None else known[k % len(known)]
            results.append(smooth_in_bands(read, (h, w), setting, one, holes))
    return (results[0][None] if n == 1 else torch.stack(results)).to(image)


def _smoothed(image: Tensor, setting: Setting, solver: Solver, known: Tensor | None, holes: Holes) -> Tensor:
    image = image.to(torch.float64)
    if known is not None:
        image = image * known
    smooth, sigma = image.clone(), setting.sigma
    for turn in range(setting.rounds):
        with part(turn / setting.rounds, (turn + 1) / setting.rounds):
            horizontal, vertical = conductances(smooth, sigma, setting.sharpness, known, holes)
            half = setting.strength / 2
            _solve(image, horizontal.mul_(half), vertical.mul_(half), solver, smooth)
        sigma = setting.next_sigma(sigma)
    return smooth


def _solve(image: Tensor, horizontal: Tensor, vertical: Tensor, solver: Solver, smooth: Tensor) -> None:
    """(1 + weighted Laplacian) S = image, written into `smooth`."""
    n, c, h, w = image.shape
    if solver == "exact":
        smooth.copy_(dissection.solve(image, horizontal, vertical))
        return
    at_once = c if n * c * h * w <= PIXELS_AT_ONCE else 1
    factor = conjugate_gradient.Factor(horizontal.cpu(), vertical.cpu(), at_once)
    for first in range(0, c, at_once):
        some = slice(first, first + at_once)
        right = image[:, some].cpu()
        smooth[:, some], _ = conjugate_gradient.solve(right, factor, PUBLISHED_TOLERANCE, PUBLISHED_STEPS)
        report_progress((first + at_once) / c)
