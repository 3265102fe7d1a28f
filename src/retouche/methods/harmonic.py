"""Membrane interpolation: the smoothest continuation of the known pixels into the hole.

The basis of gradient-domain cloning (Perez, Gangnet, Blake: Poisson image editing, SIGGRAPH 2003) with a vanishing
guidance field. Best where the hole is narrow or its surroundings are smooth; it invents no texture.
"""

from __future__ import annotations

from torch import Tensor

from retouche.layers.laplace import membrane
from retouche.methods.method import Method, Scope


def fill(image: Tensor, mask: Tensor, seed: int = 0) -> Tensor:
    """Fill the hole with the solution of Laplace's equation; the picture's border is a mirror.

    Args:
        image: (N, 3, H, W), -1..1; the hole is not read
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, with at least one known pixel in each sample
        seed: unused

    Returns: (N, 3, H, W)
    """
    return membrane(image, mask.expand(len(image), 1, *image.shape[-2:]))


METHOD = Method(
    title="Harmonic (membrane) interpolation, Perez et al. 2003",
    source="https://doi.org/10.1145/882262.882269",
    fill=fill,
    scope=lambda config: Scope(side=1 << 20, hole=1 << 20, context=0.25, pixel_bytes=350.0),
)
