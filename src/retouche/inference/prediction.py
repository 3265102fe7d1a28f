"""One pass of a model's network or fill, on the model's device and in its precision; what comes back is on the CPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retouche.arithmetic import computing_in
from retouche.errors import WeightsError
from retouche.methods.method import at_any_size, boxes_near

if TYPE_CHECKING:
    from retouche.inference.model import Model

ALIKE = 40.0
"""dB from which on a fill cannot be told from that of float32 by eye."""


@torch.inference_mode()
def predicted(
    model: Model, image: Tensor, mask: Tensor, sketch: Tensor | None, structure: Tensor | None, seed: int
) -> Tensor:
    """The predictions for windows at the size the method sees.

    Args:
        image: (n, 3, h, w), -1..1, on the CPU, with its hole blank
        mask: (n, 1, h, w), 1 = hole
        sketch: (n, 1, h, w), 1 = stroke
        structure: (n, 3, h, w), -1..1
        seed: for fills that draw at random

    Returns: (n, 3, h, w), -1..1, on the CPU
    Raises: WeightsError where the model has only a part of its networks
    """
    there, hole = _sent(image, model.device), _sent(mask, model.device)
    sketch, structure = (None if guide is None else _sent(guide, model.device) for guide in (sketch, structure))
    if model.generator is None:
        fill = model.record.fill
        assert fill is not None  # checked at the door
        return fill(there, hole, seed, **({} if sketch is None else {"sketch": sketch})).cpu()
    network = model.generator if model.compiled is None else model.compiled
    boxes = boxes_near(model.generator, mask)
    with computing_in(model.precision, model.device.type):
        result = at_any_size(network, there, hole, sketch, structure, boxes)  # type: ignore[arg-type]
    if result is None:
        raise WeightsError(
            f"{model.name} holds only the structure network of {model.method}: "
            "give the folder that holds the texture network too"
        )
    result = result.float().cpu()
    # near a hole the layers themselves are asked, which is quicker than the whole, compiled
    if model.likeness is None and (model.precision != "32" or (model.compiled is not None and boxes is None)):
        with computing_in("32", model.device.type):
            exact = at_any_size(model.generator, there, hole, sketch, structure, boxes)
        assert exact is not None
        model.likeness = _psnr(result, exact.float().cpu(), mask)
    return result


def likeness_remarks(model: Model) -> list[str]:
    """Those of a model and its paths, whatever they have filled."""
    remarks = [likeness_remark(path) for path in model.paths.values() or (model,)]
    return [text for text in remarks if text is not None]


def likeness_remark(model: Model) -> str | None:
    """What a report says of a network that does not compute plainly, or that does though not asked to; else None."""
    if model.left_plain:
        return f"{model.method} is no single network: it computes in float32, uncompiled, whatever is asked"
    if model.likeness is None:
        return None
    how = [f"computed in {model.precision}"] if model.precision != "32" else []
    how += ["compiled"] if model.compiled is not None else []
    far = "" if model.likeness >= ALIKE else f", below {ALIKE:.0f} dB differences can be seen: leave --precision out"
    return f"{', '.join(how)}: {model.likeness:.1f} dB to float32 inside the holes of the first pass{far}"


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; a GPU takes it from pinned memory beside what it is computing."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def _psnr(result: Tensor, exact: Tensor, mask: Tensor) -> float:
    hole = (mask > 0.5).expand_as(result)
    error = float((result.clamp(-1, 1) - exact.clamp(-1, 1))[hole].double().square().mean()) if hole.any() else 0.0
    return math.inf if error == 0 else 10 * math.log10(4 / error)
