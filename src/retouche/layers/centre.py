"""The geometry of networks that know one picture size with one square hole in its middle.

Such a network sees everything but the hole, and predicts a somewhat larger block: the ring between hole and block is
known, and predicted again so that the seam is learned (the overlap of Pathak et al. 2016, arXiv 1604.07379).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.exporting import at_hand


@dataclass(frozen=True)
class Centre:
    """Where hole and block lie in a square picture; all in pixels.

    Attributes:
        side: of the picture
        block: side of the predicted block
        overlap: width of the ring around the hole that is predicted although known
    """

    side: int = 128
    block: int = 64
    overlap: int = 4

    @property
    def hole(self) -> int:
        """Side of the hole."""
        return self.block - 2 * self.overlap

    def crop(self, image: Tensor) -> Tensor:
        """The block of a picture: (N, C, side, side) -> (N, C, block, block)."""
        first = (self.side - self.block) // 2
        return image[..., first : first + self.block, first : first + self.block]

    def mask(self, like: Tensor) -> Tensor:
        """The hole, (1, 1, side, side), 1 = hole, in the dtype and on the device of `like`."""
        first = (self.side - self.hole) // 2
        mask = like.new_zeros(1, 1, self.side, self.side)
        mask[..., first : first + self.hole, first : first + self.hole] = 1
        return mask

    def paste(self, image: Tensor, block: Tensor) -> Tensor:
        """The picture with its middle replaced by a block; everything else is the picture's own."""
        first = (self.side - self.block) // 2
        where = functional.pad(torch.ones_like(block[:1, :1]), (first,) * 4).bool()
        return torch.where(where, functional.pad(block, (first,) * 4), image)

    def check(self, image: Tensor, mask: Tensor) -> None:
        """Refuse what does not fit this geometry.

        Args:
            image: (N, 3, H, W)
            mask: (N, 1, H, W), 1 = hole

        Raises: InputError if the picture has another size or the mask leaves the hole
        """
        h, w = image.shape[-2:]
        if (h, w) != (self.side, self.side):
            raise InputError(
                f"image is {w}x{h} but this network knows {self.side}x{self.side} only: "
                "use model(picture, mask), which crops and scales"
            )
        if at_hand(mask) and bool(((mask > 0) & (self.mask(mask) == 0)).any()):
            raise InputError(
                f"the hole leaves the middle {self.hole}x{self.hole} of the {self.side}x{self.side} image, all that "
                "this network can fill: use model(picture, mask), which places any hole there"
            )
