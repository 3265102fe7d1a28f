"""Membrane interpolation: the smoothest continuation of the known pixels into the hole.

The basis of gradient-domain cloning (Perez, Gangnet, Blake: Poisson image editing, SIGGRAPH 2003) with a vanishing
guidance field. Best where the hole is narrow or its surroundings are smooth; it invents no texture.
"""

from __future__ import annotations

from torch import Tensor

from retouche.numerics.laplace import membrane


def fill(image: Tensor, mask: Tensor, seed: int = 0) -> Tensor:
    """Fill the hole with the solution of Laplace's equation; the picture's border is a mirror.

    Args:
        image: (N, 3, H, W), -1..1; the hole is not read
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, with at least one known pixel in each sample
        seed: unused

    Returns: (N, 3, H, W)
    """
    return membrane(image, mask.expand(len(image), 1, *image.shape[-2:]))
