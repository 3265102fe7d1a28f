"""The shipped default: chooses by the hole. Thin parts go to the network `thin`, all others to the collage `guided`.

What is thin is measured where it is: a stroke that leaves a blob is thin although the blob is not.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retouche.fills.grain import matched
from retouche.fills.harmonic import fill as harmonic
from retouche.masks import around, dilate, opened
from retouche.methods import guided
from retouche.methods.catalogue import shipped
from retouche.methods.method import Method, Route, at_any_size

THICK = 12
"""A hole is thick where a square of 2 * THICK + 1 pixels fits into it."""
FEWEST = guided.FEWEST


def route(hole: NDArray[np.bool_]) -> tuple[Route, ...]:
    """Which path fills which part: thin parts first, so that thick ones know more.

    Args:
        hole: (H, W), True = hole, with a known pixel
    """
    near = around(hole, 2 * THICK)  # beyond there is no hole
    part = hole[near]
    if hole.size - np.count_nonzero(part) < FEWEST:
        return (Route("harmonic", hole, f"fewer than {FEWEST} pixels are known"),)
    if not (thick := _thick(part)).any():
        return (Route("thin", hole, f"at most {2 * THICK} pixels thick"),)
    thin = part & ~thick
    large = Route("guided", _placed(thick, near, hole.shape), f"more than {2 * THICK} pixels thick")
    if not thin.any():
        return (large,)
    return Route("thin", _placed(thin, near, hole.shape), f"at most {2 * THICK} pixels thick"), large


def _thick(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The thick parts, with the rims and corners that belong to them."""
    thick = opened(hole, THICK)
    return hole & dilate(thick, THICK) if thick.any() else thick


def _placed(part: NDArray[np.bool_], near: tuple[slice, slice], size: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = np.zeros(size, np.bool_)
    whole[near] = part
    return whole


def fill(image: Tensor, mask: Tensor, seed: int = 0, sketch: Tensor | None = None) -> Tensor:
    """Fill each sample's hole, each part by its path.

    Args:
        image: (N, 3, H, W), -1..1; the hole is not read
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, with at least one known pixel in each sample
        seed: of the collage's random search
        sketch: (N, 1, H, W) or (1, 1, H, W), 1 = stroke: where edges should run inside large holes

    Returns: (N, 3, H, W)
    """
    mask = mask.expand(len(image), 1, *image.shape[-2:])
    filled = []
    for number, (sample, hole) in enumerate(zip(image.float().split(1), mask[:, :1] > 0.5, strict=True)):
        strokes = None if sketch is None else sketch[min(number, len(sketch) - 1)][None]
        result, left = sample.masked_fill(hole, 0), hole[None].clone()
        for each in route(hole[0].cpu().numpy()) if hole.any() else ():
            mine = torch.from_numpy(each.hole)[None, None].to(hole.device)
            result = torch.where(mine, _by(each.path, result, left.to(result), seed, strokes), result)
            left &= ~mine
        filled.append(result)
    return torch.cat(filled).to(image.dtype)


def _by(path: str, image: Tensor, mask: Tensor, seed: int, sketch: Tensor | None) -> Tensor:
    if path == "thin":
        return grained(thin(image, mask), image, mask, seed)
    return guided.fill(image, mask, seed, sketch) if path == "guided" else harmonic(image, mask, seed)


def grained(result: Tensor, image: Tensor, mask: Tensor, seed: int) -> Tensor:
    """A whole picture's fill with the grain of its surroundings, on the image's device."""
    whole = torch.where(mask > 0.5, result, image).float().cpu()
    return matched(whole, mask.cpu(), seed).to(result)


@torch.no_grad()
def thin(image: Tensor, mask: Tensor) -> Tensor:
    """What the thin network makes of a whole picture: image (1, 3, H, W), mask (1, 1, H, W) -> (1, 3, H, W)."""
    result = at_any_size(shipped("thin", image.device), image, mask)
    assert result is not None
    return result


METHOD = Method(
    title="Retouche's own: a network for thin holes, a guided collage for large ones",
    source="src/retouche/methods/retouche.py; docs/models.md",
    fill=fill,
    scope=guided.METHOD.scope,
    conditioning=lambda config: frozenset({"sketch"}),
    stand_in="portable",
    networks=("thin", *guided.METHOD.networks),
    paths=("thin", "guided", "harmonic"),
    route=route,
)
