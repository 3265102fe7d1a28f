"""A hole through a film: what fills it moves as its surroundings move, and is invented anew only where they are others.

The surroundings of the hole are registered with those of an earlier frame (affine, Gauss-Newton on a pyramid; Lucas and
Kanade 1981), and that frame's fill is taken along. What has passed through the surroundings on its way into the hole is
the film's own content. Sampled from one kept frame as long as it reaches, so that it is blurred once, not every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[Any]
Invent = Callable[[Array, Array], Array]
"""A picture (H, W, 3) and a hole (H, W) in it -> the picture filled."""

MARGIN = (32, 96)  # least and most pixels of surroundings that are looked at, half of the hole's longer side between
ALIKE = 10 / 255  # median difference of surroundings, beyond which they are others: a cut, or too much going on
OUTLIER = 30 / 255  # what differs more is something else that passes
STILL = 0.05  # pixels; what moves less stands still, and is copied exactly
SMALLEST = 16  # pixels of the pyramid's coarsest side
STEPS = 12
LUMA = (0.299, 0.587, 0.114)


@dataclass
class Steady:
    """Fills a fixed hole frame by frame.

    Attributes:
        hole: (H, W) bool
        invent: fills what cannot be taken along
        kept: the window of the frame that is taken along, filled (3, h, w) float32 in 0..1; None before the first
        last: the window of the frame before, filled
        motion: of the kept frame to the one before, six numbers in pixels
        speed: their change from frame to frame
        invented: frames that were filled anew, in whole or in part
    """

    hole: Array
    invent: Invent
    kept: Tensor | None = None
    last: Tensor | None = None
    motion: Array = field(default_factory=lambda: np.zeros(6))
    speed: Array = field(default_factory=lambda: np.zeros(6))
    invented: int = 0

    def __post_init__(self) -> None:
        rows, columns = (np.flatnonzero(self.hole.any(axis=axis)) for axis in (1, 0))
        sides = (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
        margin = min(max(max(sides) // 2, MARGIN[0]), MARGIN[1])
        height, width = self.hole.shape
        self.at = (
            slice(max(0, int(rows[0]) - margin), min(height, int(rows[-1]) + 1 + margin)),
            slice(max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)),
        )
        self.inside = torch.from_numpy(np.ascontiguousarray(self.hole[self.at]))

    def fill(self, frame: Array) -> Array:
        """The next frame (H, W, 3) uint8 or uint16 -> its window `at`, filled, in the same values."""
        white = float(np.iinfo(frame.dtype).max)
        window = torch.from_numpy(frame[self.at].astype(np.float32) / white).permute(2, 0, 1)  # (3, h, w)
        filled = self._carried(window, frame)
        if filled is None:
            filled = self._invented(frame, self.hole, white)
            self._keep(filled)
        self.last = filled
        output = (filled.permute(1, 2, 0).numpy() * white).round().clip(0, white).astype(frame.dtype)
        result = frame[self.at].copy()
        result[self.inside.numpy()] = output[self.inside.numpy()]
        return result

    def _carried(self, window: Tensor, frame: Array) -> Tensor | None:
        """The window with the kept frame's fill; None where the surroundings are others."""
        if self.kept is None or self.last is None:
            return None
        motion, apart = _registered(window, self.kept, self.inside, self.motion + self.speed)
        moved, there = _moved(self.kept, motion)
        speed = motion - self.motion
        if apart > ALIKE or bool(
            (self.inside & ~there).any()
        ):  # it reaches no farther: the frame before is kept instead
            self._keep(self.last)
            motion, apart = _registered(window, self.kept, self.inside, self.speed.copy())
            if apart > ALIKE:
                return None
            moved, there = _moved(self.kept, motion)
            speed = motion
        self.speed, self.motion = speed, motion
        moved = _lit(moved, window, there & ~self.inside)
        filled = torch.where(self.inside, moved + _light(window - moved, there & ~self.inside), window)
        missing = self.inside & ~there
        if bool(missing.any()):  # it comes in from beyond the picture
            white = float(np.iinfo(frame.dtype).max)
            whole, hole = frame.copy(), np.zeros_like(self.hole)
            whole[self.at] = (filled.permute(1, 2, 0).numpy() * white).round().clip(0, white)
            hole[self.at] = missing.numpy()
            filled = torch.where(missing, self._invented(whole, hole, white), filled)
            self._keep(filled)
        return filled

    def _invented(self, frame: Array, hole: Array, white: float) -> Tensor:
        self.invented += 1
        result = self.invent(frame, hole)[self.at]
        return torch.from_numpy(result.astype(np.float32) / white).permute(2, 0, 1)

    def _keep(self, filled: Tensor) -> None:
        self.kept, self.motion = filled, np.zeros(6)

    def state(self) -> dict[str, Array]:
        """All that the next frame depends on."""
        assert self.kept is not None and self.last is not None
        return {
            "kept": self.kept.numpy(),
            "last": self.last.numpy(),
            "motion": self.motion,
            "speed": self.speed,
            "invented": np.array(self.invented),
        }

    def restore(self, state: Any) -> None:
        """Go on from a `state`."""
        self.kept, self.last = (torch.from_numpy(np.array(state[name])) for name in ("kept", "last"))
        self.motion, self.speed = np.array(state["motion"]), np.array(state["speed"])
        self.invented = int(state["invented"])


# Motion ---------------------------------------------------------------------------------------------------------------


def _grid(motion: Array, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from: x and y (h, w). Six numbers: x by 1, x, y; y by 1, x, y, which run from -1 to 1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    a = [float(value) for value in motion]
    across = (x + 1) / 2 * (width - 1) + a[0] + a[1] * x + a[2] * y
    down = (y + 1) / 2 * (height - 1) + a[3] + a[4] * x + a[5] * y
    return across, down


def _sampled(image: Tensor, motion: Array, mode: str = "bilinear") -> tuple[Tensor, Tensor]:
    """(c, h, w) moved, and where that is inside (h, w)."""
    _, height, width = image.shape
    across, down = _grid(motion, height, width)
    there = (across >= -0.01) & (across <= width - 0.99) & (down >= -0.01) & (down <= height - 0.99)
    grid = torch.stack([across / max(1, width - 1) * 2 - 1, down / max(1, height - 1) * 2 - 1], dim=-1)[None]
    moved = functional.grid_sample(image[None], grid, mode=mode, padding_mode="border", align_corners=True)
    return moved[0], there


def _moved(image: Tensor, motion: Array) -> tuple[Tensor, Tensor]:
    """As `_sampled`, smoothly; what stands still is copied."""
    if not motion.any():
        return image, torch.ones(image.shape[1:], dtype=torch.bool)
    moved, there = _sampled(image, motion, "bicubic")
    return moved.clamp(0, 1), there


def _registered(window: Tensor, kept: Tensor, inside: Tensor, guess: Array) -> tuple[Array, float]:
    """The motion that brings the kept window onto this one outside the hole, and the median difference that is left."""
    weights = torch.tensor(LUMA)[:, None, None]
    new, old, outside = (window * weights).sum(0), (kept * weights).sum(0), (~inside).float()
    new = _lit(new[None], old[None], ~inside)[0]
    sources = torch.stack([old, outside])  # what was hole then shows nothing of the motion
    side = min(new.shape)
    steps = [step for step in (8, 4, 2, 1) if side // step >= SMALLEST] or [1]
    best = np.zeros(6)
    least = _apart(new, sources, outside, best)
    for start in (guess, np.zeros(6)):  # it goes on as it went, or has stopped
        motion = start.astype(float).copy()
        for step in steps:
            planes = (_shrunk(new, step), _shrunk(old, step), _shrunk(outside, step))
            motion = _fitted(*planes, motion / step) * step
        apart = _apart(new, sources, outside, motion)
        if np.isfinite(motion).all() and apart < least - 1e-4:
            best, least = motion, apart
        if least < ALIKE / 4:
            break
    if np.abs(best).reshape(2, 3).sum(axis=1).max() < STILL:
        best = np.zeros(6)
    return best, least


def _lit(image: Tensor, like: Tensor, at: Tensor) -> Tensor:
    """(c, h, w) as light and as rich in contrast as another, judged there."""
    one, other = image[:, at], like[:, at]
    gain = float((other.std() / one.std().clamp(min=1e-3)).clamp(0.5, 2)) if one.shape[1] > 1 else 1.0
    return (image - one.mean()) * gain + other.mean()


def _shrunk(plane: Tensor, step: int) -> Tensor:
    return plane if step == 1 else functional.avg_pool2d(plane[None, None], step)[0, 0]


def _apart(new: Tensor, sources: Tensor, outside: Tensor, motion: Array) -> float:
    moved, there = _sampled(sources, motion)
    at = (outside > 0) & there & (moved[1] > 0.99)
    if int(at.sum()) < int(outside.sum()) // 5:
        return 1.0
    return float((new - moved[0]).abs()[at].median())


def _fitted(new: Tensor, old: Tensor, outside: Tensor, motion: Array) -> Array:
    """Gauss-Newton on one level of the pyramid, in its pixels."""
    height, width = new.shape
    slopes = torch.stack([*torch.gradient(old)[::-1], outside])  # along x, along y
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    for _ in range(STEPS):
        moved, there = _sampled(torch.cat([old[None], slopes]), motion)
        at = (outside > 0.99) & there & (moved[3] > 0.99)
        if int(at.sum()) < 32:
            return motion
        apart = (new - moved[0])[at]
        weight = 1 / (1 + (apart / (2 * apart.abs().median() + 1e-3)) ** 2)  # Cauchy: others may pass
        gx, gy, u, v = moved[1][at], moved[2][at], x[at], y[at]
        slope = torch.stack([gx, gx * u, gx * v, gy, gy * u, gy * v], dim=1)  # (n, 6)
        normal = (slope * weight[:, None]).T @ slope + 1e-5 * len(apart) * torch.eye(6)
        step = torch.linalg.solve(normal, (slope * weight[:, None]).T @ apart).numpy()
        motion = motion + step
        if np.abs(step).max() < 0.005 or not np.isfinite(motion).all():
            break
    return motion


def _light(apart: Tensor, known: Tensor) -> Tensor:
    """How much lighter or darker (3, h, w) a frame is than what was carried, spread smoothly from where it is known."""
    size = apart.shape[1:]
    weight = (known & (apart.abs().amax(0) < OUTLIER)).float()[None]
    sums, weights = [apart * weight], [weight]
    while min(sums[-1].shape[1:]) > 1:
        sums.append(functional.avg_pool2d(sums[-1][None], 2, ceil_mode=True)[0])
        weights.append(functional.avg_pool2d(weights[-1][None], 2, ceil_mode=True)[0])
    spread = sums[-1] / weights[-1].clamp(min=1e-6)
    for level in range(len(sums) - 2, 1, -1):  # the finest two are noise
        spread = functional.interpolate(spread[None], size=sums[level].shape[1:], mode="bilinear", align_corners=False)[
            0
        ]
        share = (weights[level] * 4).clamp(max=1)
        spread = share * sums[level] / weights[level].clamp(min=1e-6) + (1 - share) * spread
    return functional.interpolate(spread[None], size=size, mode="bilinear", align_corners=False)[0]
