"""Whether an exported file computes what PyTorch does: at three sizes, with two kinds of hole, on batches of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retouche.engines.sessions import Run
from retouche.errors import RetoucheError
from retouche.export.forms import NetworkForm, PipelineForm

SIDE, STEP = 64, 32
"""Pixels: sides of the smallest picture compared, and what larger ones have more; both are made to suit the network."""
HOLES = ("box", "strokes")
LEVEL = 1
"""Largest difference of a pipeline, which rounds to 8 bits: a value between two levels may fall to either side."""


@dataclass(frozen=True)
class Parity:
    """One comparison.

    Attributes:
        height, width: pixels
        hole: "box" or "strokes"
        largest: difference: of the network form in -1..1, of the pipeline in levels of 8 bits; see `difference`
    """

    height: int
    width: int
    hole: str
    largest: float


def compare(form: NetworkForm, run: Run, centre: int = 0) -> list[Parity]:
    """Differences between PyTorch and an engine for all sizes and holes.

    Args:
        form: with the network as PyTorch runs it
        run: the exported file in an engine
        centre: side of the middle that alone may be hole; 0 = anywhere

    Raises: RetoucheError where the pipeline changes a pixel outside the hole
    """
    found = []
    for height, width in sizes(form):
        for kind in HOLES:
            example = examples(form, height, width, kind, centre)
            found.append(Parity(height, width, kind, difference(form, run, example)))
    return found


def within(found: Sequence[Parity], tolerance: float, jump: float = 0.0) -> bool:
    """Whether all comparisons are within the tolerance; with a jump, half of them and more, and none is beyond it."""
    usual = sum(each.largest <= tolerance for each in found)
    return 2 * usual >= len(found) and all(each.largest <= max(tolerance, jump) for each in found)


def difference(form: NetworkForm, run: Run, example: Mapping[str, Tensor]) -> float:
    """Largest difference for one batch; where a network's own values pass -1..1, relative to the largest of them."""
    with torch.no_grad():
        expected = form(*example.values()).numpy()
    result = run({name: tensor.numpy() for name, tensor in example.items()})
    if result.shape != expected.shape:
        raise RetoucheError(f"the exported file gives {result.shape} where PyTorch gives {expected.shape}")
    if isinstance(form, PipelineForm):
        known = (example["mask"] <= 127).numpy()
        if not np.array_equal(result[known], example["picture"].numpy()[known]):
            raise RetoucheError("the exported file changes pixels outside the hole")
    return apart(isinstance(form, PipelineForm), expected, result)


def apart(levels: bool, expected: NDArray[Any], result: NDArray[Any]) -> float:
    """Largest difference of two results: of levels as it is, else relative to the largest value, where beyond 1."""
    largest = float(np.abs(result.astype(np.float64) - expected.astype(np.float64)).max())
    if not levels:
        largest /= max(1.0, float(np.abs(expected).max()))
    return float("inf") if np.isnan(largest) else largest


def sizes(form: NetworkForm) -> list[tuple[int, int]]:
    """Height and width of the pictures to compare: what the network takes, or for a pipeline, what it does not."""
    if form.side:
        return [(form.side, form.side)]
    multiple = form.generator.multiple
    short, step = (side + -side % multiple for side in (max(SIDE, form.generator.smallest), STEP))
    odd = -3 if isinstance(form, PipelineForm) else 0
    long = short + step + odd
    short += odd
    return [(short, short), (short, long), (long, short)]


def examples(
    form: NetworkForm, height: int, width: int, hole: str = "box", centre: int = 0, batch: int = 2, seed: int = 0
) -> dict[str, Tensor]:
    """Inputs by name, in the form's order: pictures of smooth colours with grain, holes, guides."""
    random = torch.Generator().manual_seed(seed + height * 7919 + width)
    images = pictures(batch, height, width, random)
    masks = torch.stack([_hole(hole, height, width, centre, random) for _ in range(batch)])[:, None]
    found = {"image": images, "mask": masks}
    for guide in form.guides:
        strokes = (torch.rand(batch, 1, height, width, generator=random) > 0.97).float()
        found[guide] = pictures(batch, height, width, random) if guide == "structure" else strokes
    if not isinstance(form, PipelineForm):
        return found
    found = {"picture" if name == "image" else name: tensor for name, tensor in found.items()}
    return {name: eight_bits(name, tensor) for name, tensor in found.items()}


def pictures(batch: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """(batch, 3, height, width), -1..1"""
    coarse = torch.rand(batch, 3, 5, 5, generator=random) * 2 - 1
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    grain = torch.rand(batch, 3, height, width, generator=random) - 0.5
    return (0.8 * smooth + 0.4 * grain).clamp(-1, 1)


def as_json(found: list[Parity]) -> list[dict[str, Any]]:
    """The comparisons for the file's metadata."""
    return [asdict(each) for each in found]


def eight_bits(name: str, tensor: Tensor) -> Tensor:
    """An input of the network form as the pipeline takes it: pictures (N, H, W, 3), masks and sketches (N, H, W)."""
    if name in ("picture", "structure"):
        return tensor.add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return (tensor[:, 0] * 255).to(torch.uint8)


def _hole(kind: str, height: int, width: int, centre: int, random: torch.Generator) -> Tensor:
    """(height, width), 1 = hole: a box of a quarter of the sides, or six thick lines."""
    mask = torch.zeros(height, width)
    inner_h, inner_w = (centre or height), (centre or width)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    inside = mask[top : top + inner_h, left : left + inner_w]
    if kind == "box":
        y, x = (int(torch.randint(side // 2, (1,), generator=random)) for side in (inner_h, inner_w))
        inside[y : y + max(1, inner_h // 3), x : x + max(1, inner_w // 3)] = 1
        return mask
    rows, columns = torch.arange(inner_h)[:, None], torch.arange(inner_w)
    for _ in range(6):
        y0, x0, y1, x1 = (torch.rand(4, generator=random) * torch.tensor([inner_h, inner_w] * 2)).tolist()
        length = max(1e-3, ((y1 - y0) ** 2 + (x1 - x0) ** 2) ** 0.5)
        across = ((rows - y0) * (x1 - x0) - (columns - x0) * (y1 - y0)).abs() / length
        along = ((rows - y0) * (y1 - y0) + (columns - x0) * (x1 - x0)) / length
        inside[(across < 1.5) & (along > 0) & (along < length)] = 1
    inside[inner_h // 2, inner_w // 2] = 1
    return mask
