"""The shipped default as one network, for exported files: its three networks without the search for patches.

`retouche` chooses between a network and a collage of patches, which no engine's operators describe. Here the network
`thin` fills what is thin, the network `layout` fills the rest at a low resolution, and `refine` finishes at full size
with the enlarged layout in the collage's place. Thin holes come out as the default's, without the grain that it adds
in noisy pictures; large ones are softer, for want of the collage's texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from retouche.layers.exporting import where_needed
from retouche.methods import layout as layouts
from retouche.methods import thin as thins
from retouche.methods.catalogue import shipped
from retouche.methods.layout import OVERVIEW, LayoutGenerator
from retouche.methods.method import Generator, Method, Prediction, Scope, checked
from retouche.methods.refine import RefineGenerator
from retouche.methods.retouche import THICK
from retouche.methods.thin import ThinGenerator


@dataclass(frozen=True)
class PortableConfig:
    """Settings of the three networks."""

    thin: thins.ThinConfig = field(default_factory=thins.ThinConfig)
    layout: layouts.LayoutConfig = field(default_factory=layouts.LayoutConfig)
    refine: thins.ThinConfig = field(default_factory=thins.ThinConfig)


class PortableGenerator(Generator):
    """Thin parts, then the layout of thick ones, then their finish; 5.3 million parameters."""

    multiple, smallest = 8, 16

    def __init__(self, config: PortableConfig) -> None:
        super().__init__()
        self.config = config
        self.thin = ThinGenerator(config.thin)
        self.layout = LayoutGenerator(config.layout)
        self.refining = RefineGenerator(config.refine)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill a batch; a `sketch` counts inside the thick parts of the hole."""
        image, mask = checked(self, image, mask)
        hole = (mask > 0.5).to(image)
        thick = thick_parts(hole)
        thin = where_needed(hole * (1 - thick), lambda: self.made(self.thin(image, hole)), image)
        known = torch.where(hole > thick, thin, image)
        strokes = torch.zeros_like(hole) if sketch is None else sketch.to(hole).expand_as(hole) * thick

        def finished() -> Tensor:
            plan = self.laid_out(known, thick, strokes)
            return self.made(self.refining(known, thick, structure=plan))

        return Prediction(refined=torch.where(thick > 0, where_needed(thick, finished, known), thin))

    @staticmethod
    def made(prediction: Prediction) -> Tensor:
        """The picture of a network that makes one."""
        assert prediction.refined is not None
        return prediction.refined

    def laid_out(self, image: Tensor, mask: Tensor, sketch: Tensor) -> Tensor:
        """(N, 3, H, W): the layout network's fill at a low resolution, enlarged; as `guided.laid_out`."""
        down, across = (shares(image.select(1, 0).select(0, 0), axis) for axis in (0, 1))

        def averaged(x: Tensor) -> Tensor:
            return down @ x @ across.t()

        share = averaged(1 - mask)
        touched = (share < 1 - 1e-4).to(mask)
        nothing = touched.amin((2, 3), keepdim=True)  # 1 where the whole picture is touched
        small_mask = torch.where(nothing > 0, (share < 1e-6).to(mask), touched)
        small = averaged(image * (1 - mask)) / share.clamp_min(1e-6) * (1 - small_mask)
        strokes = (averaged(sketch) > 0).to(sketch)
        result = self.layout(small, small_mask, sketch=strokes).refined
        assert result is not None
        up, along = (enlarging(image.select(1, 0).select(0, 0), axis) for axis in (0, 1))
        large = (up @ functional.pad(result, (2, 2, 2, 2), mode="replicate") @ along.t()).clamp(-1, 1)
        return torch.where(mask > 0, large, image)


def thick_parts(hole: Tensor) -> Tensor:
    """(N, 1, H, W), 1 = hole -> 1 where a square of 2 THICK + 1 pixels of hole is near, with rims and corners.

    As `retouche.route` splits holes, with squares in the place of discs; beyond the border is hole.
    """
    core = 1 - squared(1 - hole)
    return hole * squared(squared(core))  # the squares themselves, and the rims around them


def squared(mask: Tensor) -> Tensor:
    """Every pixel that is set becomes a square of 2 THICK + 1 pixels."""
    side = 2 * THICK + 1
    return functional.max_pool2d(functional.max_pool2d(mask, (side, 1), 1, (THICK, 0)), (1, side), 1, (0, THICK))


def shares(image: Tensor, axis: int) -> Tensor:
    """How much of each pixel a small pixel averages along an axis: (small side, side), rows that add up to 1.

    The longer side becomes at most `OVERVIEW` pixels; both become multiples of 8, at least 16. Written as operations on
    variable sizes, which exported graphs need.

    Args:
        image: (H, W), whose sizes are wanted
    """
    at, row, step = steps(image, axis)
    overlap = torch.minimum((row + 1) * step, at + 1) - torch.maximum(row * step, at)
    return overlap.clamp_min(0) / step


def enlarging(image: Tensor, axis: int) -> Tensor:
    """The way back, bicubic: (side, small side + 4), to multiply what has its border pixels twice more on either side.

    As `torch.nn.functional.interpolate` without aligned corners; a product of matrices is several times quicker than
    engines' own operator.
    """
    at, row, step = steps(image, axis, more=4)
    far = ((at[:, None] + 0.5) / step - 0.5 - (row.t() - 2)).abs()
    # Keys 1981 with PyTorch's a = -0.75
    near = (1.25 * far - 2.25) * far * far + 1
    beyond = ((-0.75 * far + 3.75) * far - 6) * far + 3
    return torch.where(far <= 1, near, torch.where(far < 2, beyond, torch.zeros_like(far)))


def steps(image: Tensor, axis: int, more: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (side,), small ones and so many `more` (small side + more, 1), from 0; a small one's size."""
    sides = [torch.ones_like(image.select(1 - each, 0)).sum() for each in (0, 1)]
    longest = torch.maximum(*sides)
    factor = torch.minimum(OVERVIEW / longest, torch.ones_like(longest))
    small = ((sides[axis] * factor / 8).round() * 8).clamp(16, OVERVIEW)
    at = torch.ones_like(image.select(1 - axis, 0)).cumsum(0) - 1
    row = torch.arange(small.long() + more, device=image.device).to(image)[:, None]  # type: ignore[call-overload]
    return at, row, sides[axis] / small


def assembled() -> PortableGenerator:
    """The networks that ship with the package, as one."""
    parts = {name: shipped(name, torch.device("cpu")) for name in ("thin", "layout", "refine")}
    result = PortableGenerator(PortableConfig(*(part.config for part in parts.values())))  # type: ignore[arg-type]
    for own, part in zip((result.thin, result.layout, result.refining), parts.values(), strict=True):
        own.load_state_dict(part.state_dict())
    return result.eval()


METHOD = Method(
    title="Retouche's default as one network: thin, layout and refine, without the collage",
    source="src/retouche/methods/portable.py",
    presets={"default": PortableConfig()},
    build=PortableGenerator,
    scope=lambda config: Scope(side=1024, hole=400, context=1.0, pixel_bytes=3000.0),
    conditioning=lambda config: frozenset({"sketch"}),
)
