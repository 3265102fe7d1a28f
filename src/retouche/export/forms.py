"""The two forms of an exported network, as modules whose operations are recorded.

`network` has the generator's own tensors. `pipeline` takes and gives 8-bit pictures: it pads, fills, rounds, and leaves
every pixel outside the hole as it was. Both see the hole blanked, so that what it hid cannot matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retouche.methods.method import Generator


class NetworkForm(nn.Module):
    """(image (N, 3, H, W) -1..1, mask (N, 1, H, W) 1 = hole, guides) -> prediction (N, 3, H, W), hole or not.

    Args:
        generator: the network
        guides: which of "sketch", "structure" follow the mask, in this order
        side: of the pictures, where the network knows one size alone; 0 = any
    """

    def __init__(self, generator: Generator, guides: tuple[str, ...], side: int = 0) -> None:
        super().__init__()
        self.generator, self.guides, self.side = generator, guides, side

    def forward(self, image: Tensor, mask: Tensor, *guides: Tensor) -> Tensor:
        image = image * (1 - mask)
        result = self.generator(image, mask, **dict(zip(self.guides, guides, strict=True)))
        return chosen(result.refined, result.structure)


class PipelineForm(NetworkForm):
    """(picture (N, H, W, 3), mask (N, H, W), guides), all uint8 -> the filled picture, uint8.

    The mask is a hole where it exceeds 127. A sketch is (N, H, W), a stroke where it exceeds 127; a structure
    picture is (N, H, W, 3). Sides are mirrored to the network's multiple, and cut again, unless it knows one size.
    """

    def forward(self, picture: Tensor, mask: Tensor, *guides: Tensor) -> Tensor:
        hole = mask > 127
        seen = self._image(picture)
        unknown = self._grown(hole[:, None].float())
        given = {
            name: self._image(guide) if name == "structure" else self._grown((guide > 127)[:, None].float())
            for name, guide in zip(self.guides, guides, strict=True)
        }
        result = self.generator(seen * (1 - unknown), unknown, **given)
        image = chosen(result.refined, result.structure)[..., : picture.shape[1], : picture.shape[2]]
        levels = image.add(1).mul(127.5).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
        return torch.where(hole[..., None], levels, picture)

    def _image(self, picture: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, h, w) -1..1"""
        return self._grown(picture.permute(0, 3, 1, 2).float() / 127.5 - 1)

    def _grown(self, x: Tensor) -> Tensor:
        if self.side:
            return x
        for axis in (2, 3):
            x = x.index_select(axis, mirrored(x, axis, self.generator.multiple, self.generator.smallest))
        return x


def chosen(refined: Tensor | None, structure: Tensor | None) -> Tensor:
    """The picture that a network makes: the structure picture, where it makes nothing else."""
    found = structure if refined is None else refined
    assert found is not None
    return found


def mirrored(x: Tensor, axis: int, multiple: int, smallest: int) -> Tensor:
    """Indices that mirror an axis to the right size, as `image.pad_to` does, by operations on variable sizes."""
    line = torch.ones_like(x.select(1, 0).select(0, 0).select(3 - axis, 0))  # (side,)
    side = line.sum().long()
    wanted = ((side + (multiple - 1)) // multiple * multiple).clamp(min=-(-smallest // multiple) * multiple)
    period = (2 * side - 2).clamp(min=1)
    at = torch.arange(wanted, device=x.device) % period  # type: ignore[call-overload]  # a size that varies is a tensor
    return torch.minimum(at, period - at)


FORMS: dict[str, type[NetworkForm]] = {"network": NetworkForm, "pipeline": PipelineForm}
