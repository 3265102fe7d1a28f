"""Retouche: learned image inpainting. Fill holes in pictures; use, convert and compare the networks that do it.

filled = retouche.inpaint(picture, mask)          # the shipped default, no download
model = retouche.load("weights.pth")              # any published file, recognised by its content
filled, report = model(picture, mask, report=True)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from retouche.errors import DataError, InputError, RetoucheError, WeightsError

if TYPE_CHECKING:
    from retouche import layers, losses
    from retouche.inference.load import create, load
    from retouche.inference.model import Model
    from retouche.inference.report import Report
    from retouche.methods import methods

__version__ = "0.1.0"

_HOMES = {  # public name -> where it lives; imported at first use, so that `retouche --help` does not wait for torch
    "create": "retouche.inference.load",
    "load": "retouche.inference.load",
    "methods": "retouche.methods",
    "Model": "retouche.inference.model",
    "Report": "retouche.inference.report",
    "layers": "retouche.layers",
    "losses": "retouche.losses",
}

__all__ = [
    "DataError",
    "InputError",
    "Model",
    "Report",
    "RetoucheError",
    "WeightsError",
    "create",
    "inpaint",
    "layers",
    "load",
    "losses",
    "methods",
]


def inpaint(picture: Any, mask: Any = None, model: str = "default", **options: Any) -> Any:
    """Fill the holes of a picture with the shipped default, or with any other model.

    Args:
        picture: path, PIL image, array (H, W[, C]) uint8 or uint16, or float tensor (3, H, W) or (N, 3, H, W) in 0..1
        mask: path, PIL image, array or tensor of the same size; white (1) = hole; None with `extend` alone
        model: what `retouche.load` takes
        options: those of `Model.__call__` (dilate, feather, seed, memory, report, extend, ...)

    Returns: the type given, same size (unless extended); outside the dilated mask identical
    """
    from retouche.inference.load import load

    return load(model)(picture, mask, **options)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'retouche' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return module if name in {"layers", "losses"} else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
