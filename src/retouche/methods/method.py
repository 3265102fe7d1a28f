"""The method record: what the rest of the house knows about one way to fill holes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from retouche.errors import InputError
from retouche.image import Box, pad_to
from retouche.layers.exporting import at_hand
from retouche.methods.recipe_protocol import Batch as Batch
from retouche.methods.recipe_protocol import DataConfig as DataConfig
from retouche.methods.recipe_protocol import Recipe as Recipe
from retouche.methods.recipe_protocol import RecipeContext as RecipeContext
from retouche.methods.recipe_protocol import uniform as uniform
from retouche.weights.layout import Layout, Order
from retouche.weights.store import Weights as Weights

Fill = Callable[..., Tensor]
"""(image (N, 3, H, W) -1..1, mask (N, 1, H, W) 1 = hole, seed) -> prediction of the image's shape.

One that takes long may `retouche.progress.report_progress` how far it is.
"""


@dataclass(frozen=True)
class Prediction:
    """What a generator makes of one batch, hole or not; nothing is composited.

    Attributes:
        refined: (N, 3, H, W), -1..1; None where only a part of the method is loaded
        coarse: the first stage's output of the same shape
        structure: the edge-preserving structure picture of the same shape
        flow: (N, 2, h, w), offsets (x, y) in feature pixels
    """

    refined: Tensor | None
    coarse: Tensor | None = None
    structure: Tensor | None = None
    flow: Tensor | None = None


class Generator(nn.Module):
    """The interface of every network that fills: tensors in, tensors out, no files, devices or settings.

    Attributes:
        multiple: both sides of the image must divide by this
        smallest: no side may be shorter
        largest: no side may be longer, of networks that hold numbers for one size; 0 = any
        refine: whether it takes many times as long for a better fill; None where it has no such way
        gives: which picture of a `Prediction` it makes, "refined" or, as a structure network alone, "structure"
        local: whether `near` makes what is wanted alone
        order: of the colours that the layers inside see. Callers give and get red, green, blue whatever it is
    """

    multiple: int
    smallest: int
    largest: int = 0
    refine: bool | None = None
    gives: str = "refined"
    local: bool = False
    order: Order = "rgb"

    def __call__(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """`forward`, with the colours of what goes in and comes out exchanged where the network's order is another."""
        if self.order == "rgb":
            result = super().__call__(image, mask, sketch=sketch, structure=structure)
            assert isinstance(result, Prediction)
            return result
        result = super().__call__(_exchanged(image), mask, sketch=sketch, structure=_exchanged(structure))
        pictures = ("refined", "coarse", "structure")
        return replace(result, **{name: _exchanged(getattr(result, name)) for name in pictures})

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill a batch.

        Args:
            image: (N, 3, H, W), RGB, -1..1, complete or already blanked
            mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole
            sketch: (N, 1, H, W), 1 = stroke, where the network takes one
            structure: (N, 3, H, W), -1..1, a structure picture, where the network takes one
        """
        raise NotImplementedError

    def near(self, image: Tensor, mask: Tensor, boxes: Sequence[Box], sketch: Tensor | None = None) -> Tensor:
        """The refined picture near the hole, of a network that is `local`: equal to the whole pass but for rounding.

        Args:
            image, mask, sketch: as of `forward`
            boxes: of the picture; together they hold all of every sample's hole

        Returns: (N, 3, H, W); outside the boxes the image with its hole blank
        """
        if self.order == "rgb":
            return self.inside(image, mask, boxes, sketch)
        return _exchanged(self.inside(_exchanged(image), mask, boxes, sketch))

    def inside(self, image: Tensor, mask: Tensor, boxes: Sequence[Box], sketch: Tensor | None = None) -> Tensor:
        """As `near`, in the colours of the layers."""
        raise NotImplementedError

    def cost_near(self, boxes: Sequence[Box], size: tuple[int, int]) -> float:
        """Pixels of a whole pass, over pictures of this height and width, that take as long as these boxes."""
        raise NotImplementedError


@overload
def _exchanged(image: Tensor) -> Tensor: ...
@overload
def _exchanged(image: None) -> None: ...
@overload
def _exchanged(image: Tensor | None) -> Tensor | None: ...
def _exchanged(image: Tensor | None) -> Tensor | None:
    """Red for blue and blue for red; what is no picture stays, for `checked` to refuse."""
    return image if image is None or image.ndim != 4 or image.shape[1] != 3 else image.flip(1)


def checked(network: Generator, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The image and its mask in the image's dtype and batch size, after the checks every generator makes at its door.

    Values are looked at on the CPU alone.

    Raises: InputError naming the size or value and the remedy
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(f"image is {tuple(image.shape)} {image.dtype}: give a float tensor (N, 3, H, W) in -1..1")
    n, _, h, w = image.shape
    if mask.shape not in ((n, 1, h, w), (1, 1, h, w)):
        raise InputError(f"mask is {tuple(mask.shape)} but image is {tuple(image.shape)}: give ({n}, 1, {h}, {w})")
    multiple, smallest = network.multiple, network.smallest
    if (h, w) != (padded := size_taken(network, (h, w))):
        raise InputError(
            f"image is {w}x{h} but sides must be multiples of {multiple}, at least {smallest}: "
            f"pad it to {padded[1]}x{padded[0]}"
        )
    if network.largest and max(h, w) > network.largest:
        raise InputError(
            f"image is {w}x{h} but sides must be at most {network.largest}: cut it into windows, as model(...) does"
        )
    if at_hand(image) and not (image.isfinite().all() and mask.isfinite().all()):
        raise InputError("image or mask holds NaN or infinity: clean it first")
    return image, mask.to(image).expand(n, 1, h, w)


def size_taken(network: Generator, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width to which pictures of a size are padded for a network."""
    height, width = (max(network.smallest, side) for side in size)
    return height + -height % network.multiple, width + -width % network.multiple


def boxes_near(network: Generator, mask: Tensor) -> list[Box] | None:
    """Boxes around all holes of a batch at the size the network takes, where to make only them spares work.

    Args:
        mask: (N, 1, H, W), 1 = hole, on the CPU
    """
    if not network.local or network.training:
        return None
    from retouche.layers.boxed import worthwhile  # brings attention and gates, which most networks have not

    seen = pad_to(mask, network.multiple, network.smallest)[0]
    return worthwhile((seen > 0).any(0)[0].numpy(), network.cost_near)


def at_any_size(
    network: Generator,
    image: Tensor,
    mask: Tensor,
    sketch: Tensor | None = None,
    structure: Tensor | None = None,
    boxes: Sequence[Box] | None = None,
) -> Tensor | None:
    """A generator's prediction for pictures of any size: mirrored beyond the border to a size it takes, then cropped.

    Args:
        image, mask, sketch, structure: as of `Generator.forward`, sides from 1 pixel on
        boxes: those of `boxes_near`: only these are made (see `Generator.near`)

    Returns: (N, 3, H, W), or None from a network without one (a structure network alone)
    """

    def grown(x: Tensor) -> Tensor:
        return pad_to(x, network.multiple, network.smallest)[0]

    sketch, structure = (None if guide is None else grown(guide) for guide in (sketch, structure))
    if boxes is not None:
        refined: Tensor | None = network.near(grown(image), grown(mask), boxes, sketch)
    else:
        refined = network(grown(image), grown(mask), sketch=sketch, structure=structure).refined
    return None if refined is None else refined[..., : image.shape[-2], : image.shape[-1]]


@dataclass(frozen=True)
class Scope:
    """What a method can see and fill, for the hole strategy of `inference`.

    Attributes:
        side: longest side of a crop that the method is at home with, in pixels; larger crops are scaled down
        hole: largest extent of a hole it fills well inside such a crop, in pixels
        context: known surroundings wanted around a hole, as a multiple of the hole's extent
        pixel_bytes: peak working memory per crop pixel, in bytes
        square_bytes: peak working memory per crop pixel squared, in bytes (attention over all pairs)
        reach: how far from a pixel the method looks for its fill, in pixels; tiles overlap by no more. 0 = not known:
            they overlap by half
        centre: (side, hole) of a network that only knows one picture size with its hole in the middle
        statistics: the network normalises by statistics of the whole map, so that a crop changes the fill everywhere
    """

    side: int = 512
    hole: int = 256
    context: float = 1.0
    pixel_bytes: float = 2000.0
    square_bytes: float = 0.0
    reach: int = 0
    centre: tuple[int, int] | None = None
    statistics: bool = False


@dataclass(frozen=True)
class Route:
    """Which of a method's paths fills which part of the hole.

    Attributes:
        path: a method's name
        hole: (H, W) bool, True = to be filled by it
        why: in words, for the report
    """

    path: str
    hole: NDArray[np.bool_]
    why: str


@dataclass(frozen=True)
class Method:
    """One paper's method, or one fill without weights; each method's file ends in its record.

    Attributes:
        title: for people: name, authors, year
        source: paper and official code
        fill: fills without weights have this and nothing of the following
        presets: name -> frozen dataclass with the network's settings; the first is the default
        build: configuration -> generator, freshly initialised from torch's global random state
        critics: configuration -> critic name -> network
        layouts: how published files name the same tensors
        weights: the published files known
        scope: configuration -> what it can see and fill
        channels_last: whether a pixel's channels lie together in memory where the networks are used. Measured on one
            core (torch 2.13, AVX-512, 256x256, seconds without and with): deepfill-v2 0.66, 0.53; mmagic's 0.84, 0.71;
            deepfill-v1 1.28, 1.07; aot-gan 1.46, 1.23; sii-gan 1.39, 1.22; mi-gan 1.02, 0.73. Left as they are:
            partial-conv 0.31, 0.30; context-encoder 0.20, 0.22; structure-flow 6.1, 6.8
        conditioning: configuration -> which inputs beside image and mask it takes: "sketch", "structure"; a fill that
            takes a sketch has a further argument `sketch`, (N, 1, H, W), 1 = stroke
        networks: of a fill: names of the methods whose shipped networks it asks
        grain: whether its fills get the noise of their surroundings where they lack it (`fills.grain`)
        paths: names of the methods that `route` may send holes to
        route: (hole (H, W), True = hole) -> which of the paths fills which part, in this order
        stand_in: of a fill: name of the method whose network stands for it where only networks can be: exported files
        structure: (configuration, image with its hole blanked, mask) -> the structure picture (N, 3, H, W) that the
            network takes where none is given
        tolerance: largest difference to PyTorch, in -1..1, that an exported file may show
        jump: of a network with a step in it, over which rounding may carry a value: the largest difference, in -1..1,
            that up to half of the comparisons may show
        recipes: training presets by name: frozen dataclasses with the fields `network` (a configuration), `data`
            (`DataConfig`), `steps` and the recipe's own numbers; the first is the default
        recipe: (training preset, networks by name: "generator" and the critics, tools) -> how they are trained
    """

    title: str
    source: str
    fill: Fill | None = None
    presets: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[Any], Generator] | None = None
    critics: Callable[[Any], dict[str, nn.Module]] = lambda config: {}
    layouts: tuple[Layout, ...] = ()
    weights: tuple[Weights, ...] = ()
    scope: Callable[[Any], Scope] = lambda config: Scope()
    channels_last: bool = False
    conditioning: Callable[[Any], frozenset[str]] = lambda config: frozenset()
    networks: tuple[str, ...] = ()
    grain: bool = False
    paths: tuple[str, ...] = ()
    route: Callable[[NDArray[np.bool_]], tuple[Route, ...]] | None = None
    stand_in: str = ""
    structure: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    tolerance: float = 2e-4
    jump: float = 0.0
    recipes: Mapping[str, Any] = field(default_factory=dict)
    recipe: Callable[[Any, Mapping[str, nn.Module], RecipeContext], Recipe] | None = None
    listens: InitVar[Callable[[Any], frozenset[str]] | None] = None  # the former name of `conditioning`, until 0.2

    def __post_init__(self, listens: Callable[[Any], frozenset[str]] | None) -> None:
        if listens is not None:
            object.__setattr__(self, "conditioning", listens)
