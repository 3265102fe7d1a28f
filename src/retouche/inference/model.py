"""The one object users hold: a method with its networks, and how to bring any picture before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from retouche.arithmetic import HALVES, Precision
from retouche.errors import InputError, WeightsError
from retouche.inference.fill import Asked, Filling, FillOptions
from retouche.inference.report import Report
from retouche.masks import MaskLike
from retouche.methods import find
from retouche.methods.loading import Networks
from retouche.methods.method import Method, Scope
from retouche.pictures import PictureLike
from retouche.pictures.margins import Margins


@dataclass
class Model(Networks):
    """A method, its settings and its networks; call it with a picture and a mask.

    Attributes:
        paths: the models that a method which chooses by the hole sends holes to, by name
        home: where a fill without weights computes
        precision: what the network computes in
        compiled: the network in its compiled form, where that was asked for
        likeness: dB of the first fills to those of the uncompiled network in float32, inside their holes, where the
            network computes otherwise; None before
        left_plain: whether another precision was asked of what has no single network, and is left out
    """

    paths: dict[str, Model] = field(default_factory=dict)
    home: torch.device = field(default=torch.device("cpu"))
    precision: Precision = "32"
    compiled: Callable[..., Any] | None = None
    likeness: float | None = None
    left_plain: bool = False

    @property
    def record(self) -> Method:
        """The method's record."""
        return find(self.method)

    @property
    def scope(self) -> Scope:
        """What it can see and fill."""
        return self.record.scope(self.config)

    @property
    def conditioning(self) -> frozenset[str]:
        """The inputs it takes beside picture and mask: "sketch", "structure"."""
        return self.record.conditioning(self.config)

    listens = conditioning
    """The former name, until 0.2."""

    @property
    def multiple(self) -> int:
        """The generator's sides must divide by this."""
        return self.generator.multiple if self.generator is not None else 1

    @property
    def smallest(self) -> int:
        """The generator's shortest side."""
        return self.generator.smallest if self.generator is not None else 1

    @property
    def engine(self) -> str:
        """Who runs the network: "torch", "onnx" or "openvino"."""
        return getattr(self.generator, "engine", "torch")

    @property
    def device(self) -> torch.device:
        """Where the generator's weights are; of a fill without weights, where it computes."""
        if self.generator is None:
            return self.home
        weights = next(self.generator.parameters(), None)
        return weights.device if weights is not None else torch.device("cpu")

    def to(self, device: torch.device | str) -> Model:
        """Move all networks, and a fill without weights; returns the model itself."""
        self.home = torch.device(device)
        for network in (self.generator, *self.critics.values()):
            if network is not None:
                network.to(device)
        for path in self.paths.values():
            path.to(device)
        return self

    @property
    def computes(self) -> bool:
        """Whether it has networks of its own, all run by PyTorch: what `compute` is for."""
        engines = {path.engine for path in (self, *self.paths.values()) if path.generator is not None}
        return engines == {"torch"}

    def refine(self, wanted: bool = True) -> Model:
        """Take many times as long for better fills of large pictures, where the network has a way to; returns itself.

        Raises: InputError if it has none
        """
        if self.generator is None or self.generator.refine is None:
            raise InputError(f'model "{self.name}" cannot refine its fills: leave that out, or choose lama')
        self.generator.refine = wanted
        return self

    def compute(self, precision: Precision = "32", compile: bool = False) -> Model:
        """Compute the network in another precision, or compiled; returns the model itself.

        How far the fills are from those of float32 is measured on the first pass, and said in the report's remarks.

        Args:
            precision: "32"; "tf32", float32 with products of 10 bits, on GPUs that have them; "bf16" or "fp16", half
                precision by autocast
            compile: by torch.compile, which takes minutes at each new size

        Raises: InputError if PyTorch runs no network of this model's, or for an unknown precision
        """
        if precision not in HALVES:
            raise InputError(f'no precision "{precision}": give one of {", ".join(HALVES)}')
        if not self.computes:
            raise InputError(f'model "{self.name}" has no network that PyTorch runs: leave precision and compile out')
        for path in (each for each in (self, *self.paths.values()) if each.generator is not None):
            path.precision, path.likeness = precision, None
            path.compiled = torch.compile(path.generator) if compile else None
        for path in (self, *self.paths.values()):
            path.left_plain = path.generator is None and (compile or precision != "32")
        return self

    def save(self, path: str | Path, **header: str) -> None:
        """Write networks and settings to a safetensors file that is runnable alone.

        Raises: WeightsError for fills without weights
        """
        from retouche.weights.native import save_networks

        if self.generator is None and not self.critics:
            raise WeightsError(f'"{self.method}" has no weights to save')
        if self.engine != "torch":
            raise WeightsError(f"{self.name} runs in another engine and has no weights to save: copy the exported file")
        kept = {key: value for key, value in self.header.items() if key in {"licence", "step", "ema", "perceptual"}}
        if self.source_sha256 is not None:
            kept["source_sha256"] = self.source_sha256
        save_networks(
            Path(path),
            method=self.method,
            layout=self.layout,
            preset=self.preset,
            config=self.config,
            generator=self.generator,
            critics=self.critics,
            **{**kept, **header},
        )

    @overload
    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        report: Literal[False] = False,
        *,
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Any: ...

    @overload
    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        *,
        report: Literal[True],
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[Any, Report]: ...

    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        report: bool = False,
        *,
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Any:
        """Fill the holes of a picture of any size; outside the dilated mask nothing changes.

        Args:
            picture: path, PIL image, array (H, W[, C]) uint8 or uint16, float tensor (3, H, W) or (N, 3, H, W) in
                0..1, or a `Picture`
            mask: path, PIL image, array or tensor of the picture's size; two values are background and hole, of more
                > 127 (8 bit) or > 0.5 (float) is hole; where opacity varies it decides (see `open_mask`). An array for
                a PIL image with an EXIF orientation belongs to its stored pixels. For a batch (N, 1, H, W), or one
                mask for all. May be left out where the picture is only extended
            sketch: white strokes on black, same size, for a model that takes one
            structure: an edge-preserving smoothed picture of the same size, for a model that takes one
            dilate: pixels to grow the mask by; None = round(longest side / 256), at least 1, but nowhere more than
                half the thickness of the hole there; 0 = exactly the mask
            feather: width of the soft edge inside the grown ring, pixels; None = half the dilation
            seed: for methods that draw at random
            memory: bytes that one pass may take; None = 2 GiB
            report: also return what was done
            extend: room to add at the picture's sides and to fill, pixels or percent: "left=200,right=10%" or
                {"left": 200}. The mask is of the picture's own size, a sketch or structure picture of the new one;
                what is new is not dilated: the old pixels outside the mask stay
            progress: called on this thread, now and then, with the fraction done: from 0.0, never less than before,
                and 1.0 when all is filled. What it raises ends the fill

        Returns: the type given (a PIL image for a path; larger where extended), or (that, `Report`);
            for a batch, a list of reports
        Raises: InputError
        """
        filling = Filling(self, FillOptions(dilate, feather, seed, memory, extend))
        if isinstance(picture, Tensor) and picture.ndim == 4 and picture.shape[0] != 1:
            pairs = zip(picture, _batch_masks(mask, len(picture)), strict=True)
            filled, reports = filling.run([Asked(*pair, sketch, structure) for pair in pairs], progress)
            return (torch.stack(filled), reports) if report else torch.stack(filled)
        (whole,), (single,) = filling.run([Asked(picture, mask, sketch, structure)], progress)
        return (whole, single) if report else whole


def _batch_masks(mask: MaskLike | None, count: int) -> list[Any]:
    """One mask per picture of a batch."""
    if isinstance(mask, Tensor) and mask.ndim == 4:
        if mask.shape[0] not in {1, count}:
            raise InputError(f"{mask.shape[0]} masks for {count} pictures: give one for all, or one for each")
        return list(mask) if mask.shape[0] == count else [mask[0]] * count
    return [mask] * count
